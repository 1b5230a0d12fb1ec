"""The way through the kinds of work in a pool that has more of them than one transaction reads.

A kind is a signature. A tour begins where the one before it first stopped, so that no kind is always the last to be served.
"""

BEFORE_ALL = -1
"""Less than every signature."""


class Tour:
    """Visits every signature once, a stretch at a time: from `start` to the greatest, then from the least to `start`."""

    def __init__(self, start: int = BEFORE_ALL) -> None:
        self.after = self._start = start
        self._has_turned = start == BEFORE_ALL

    def go_on(self, following: int | None) -> bool:
        """Move on from a stretch that ended with signature `following` (None: at the greatest); False after the last one."""
        if self._has_turned and (following is None or (self._start != BEFORE_ALL and following >= self._start)):
            return False
        self._has_turned |= following is None
        self.after = BEFORE_ALL if following is None else following
        return True
