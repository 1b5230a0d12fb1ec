"""Whom a new version of the policy is for: new tickets, open ones too, or from an instant on (sla-rules 1)."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum

from msgspec import Struct

LONGEST_AHEAD = timedelta(days=400)
"""How far ahead a version may be applied: its calendars are known to open for so long."""


class To(StrEnum):
    """The tickets a version is applied to."""

    NEW = "new"
    """Those that arrive from now on."""
    OPEN = "open"
    """Those that are open now, too."""


class Reach(Struct, frozen=True, kw_only=True):
    """Whom a version is for. Nothing set: tickets that arrive from now on."""

    is_for_open: bool = False
    """For all open tickets too: from the instant of applying on."""
    opened_from: datetime | None = None
    """For open tickets opened from then on too: as though it had always held."""
    holds_from: datetime | None = None
    """Only for tickets that arrive from then on."""

    @property
    def has_rollout(self) -> bool:
        """Whether tickets that are there already are judged by it."""
        return self.is_for_open or self.opened_from is not None


NEW = Reach()


class UnclearReach(ValueError):
    """`to` and `from` don't say whom a version is for; the text says why, and what would."""


def reach(to: To | None, start: datetime | None, now: datetime) -> Reach:
    """Whom `to` and `from` mean: an instant up to now takes in open tickets, a later one waits. Raises UnclearReach."""
    if start is None:
        return Reach(is_for_open=to is To.OPEN)
    if to is not None:
        raise UnclearReach(
            "`to` and `from` exclude each other: `to=open` is for all open tickets from now on, "
            "`from` for those opened from an instant on, as though it had always held"
        )
    if start.tzinfo is None:
        raise UnclearReach(
            "`from` has no offset, so it means another instant in each zone: end it with `Z` or `+02:00`"
        )
    try:
        start = start.astimezone(UTC)
        is_too_far = start > now + LONGEST_AHEAD
    except OverflowError:
        raise UnclearReach("`from` lies beyond the years that UTC can tell") from None
    if is_too_far:
        raise UnclearReach(f"`from` is more than {LONGEST_AHEAD.days} days ahead: apply the file nearer to its time")
    return Reach(holds_from=start) if start > now else Reach(opened_from=start)
