"""What can go wrong in the router; the docstring is the message."""


class RouterError(Exception):
    """The router can't do that."""

    def __str__(self) -> str:
        return super().__str__() or (self.__doc__ or "").strip()


class IntakeFull(RouterError):
    """More tickets arrive than can be stored: send again after a second."""


class IntakeUnavailable(RouterError):
    """The database does not answer: send again after a few seconds; nothing was stored."""
