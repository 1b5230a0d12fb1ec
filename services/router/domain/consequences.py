"""What follows when nobody can take a ticket (routing-rules 3.6)."""

from datetime import datetime

from msgspec import Struct

from services.router.domain.queue import Reason
from shared.contract.help import Why
from shared.sla.calendar import Calendar


class Consequence(Struct, frozen=True, kw_only=True):
    """What is done about a ticket that waits for a reason."""

    why: Why
    """What is said of it to whoever is paged."""
    help_at: datetime
    """When somebody is told, unless it has an owner by then."""
    asks_again: bool = False
    """All have declined, for the first time: they are asked once more."""


def consequence(
    reason: Reason, since: datetime, latest_start_at: datetime, *, was_cleared: bool, calendar: Calendar | None = None
) -> Consequence | None:
    """What follows from waiting for `reason` since then; None where the ticket just waits in its order.

    Skilled people who are not there get half of the time in which the ticket can still be saved, by the `calendar` of what
    is owed; where nobody has the skill, or all have declined, there is nothing to wait for.
    """
    match reason:
        case Reason.NO_SKILL:
            return Consequence(why=Why.NO_SKILL, help_at=since)
        case Reason.OFFLINE:
            return Consequence(why=Why.OFFLINE, help_at=half_the_slack(since, latest_start_at, calendar))
        case Reason.EXCLUDED:
            return Consequence(why=Why.EXCLUDED, help_at=since, asks_again=not was_cleared)
    return None


def half_the_slack(since: datetime, latest_start_at: datetime, calendar: Calendar | None = None) -> datetime:
    """Half-way between the two instants in open time, so that nobody is woken while their calendar is closed anyway.

    At once where the latest start has passed, or with the next opening. Without a calendar all time counts.
    """
    if calendar is None:
        return max(since, since + (latest_start_at - since) / 2)
    return calendar.add(since, calendar.between(since, latest_start_at) / 2) or max(since, latest_start_at)
