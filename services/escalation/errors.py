"""What can go wrong in escalation; the docstring is the message."""


class EscalationError(Exception):
    """Escalation can't do that."""

    def __str__(self) -> str:
        return super().__str__() or (self.__doc__ or "").strip()


class AddressRefused(EscalationError):
    """The page's address may not be called."""


class SecretMissing(EscalationError):
    """The secret a page is signed with can't be read."""
