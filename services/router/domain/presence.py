"""When people are there by their shifts, and what becomes of the work of those who have gone (routing-rules 3.7)."""

from datetime import UTC, datetime, timedelta

from msgspec import Struct

from shared.sla.calendar import Calendar

EXPECTED_WITHIN = timedelta(days=1)
"""Who has gone and has no shift ahead is expected back within this."""

_HORIZON = timedelta(days=400)
"""An opening that goes on for longer counts as one that ends and begins anew, at a multiple of this from `_ORIGIN`."""
_ORIGIN = datetime(2000, 1, 1, tzinfo=UTC)


class Shift(Struct, frozen=True, kw_only=True):
    """Where somebody who works by a calendar stands at one instant."""

    until: datetime | None
    """End of the shift that is on; None where none is."""
    next_at: datetime | None
    """Beginning of the next one; None where none is to come."""


def shift_at(calendar: Calendar, now: datetime) -> Shift:
    """The shift that is on, and when the next one begins.

    A shift is one opening of the calendar from end to end, over midnight and clock changes too; its end isn't part of it.
    """
    begins = calendar.next_open(now)
    if begins is None or begins > now:
        return Shift(until=None, next_at=begins)
    # an end that doesn't move with `now`, so that nothing is written anew as long as the same shift is on
    last = _ORIGIN + ((now - _ORIGIN) // _HORIZON + 2) * _HORIZON
    [(_, until), *_] = calendar.intervals(now, last)
    return Shift(until=until, next_at=calendar.next_open(until))


class GoneWork(Struct, frozen=True, kw_only=True):
    """A ticket of somebody who has gone."""

    is_interruptible: bool
    is_parked: bool
    """It takes no capacity, because nobody wrote for long."""
    is_touched: bool
    """They have done something with it."""
    gone_at: datetime
    next_present_at: datetime | None
    """When their next shift begins; None where nobody knows."""
    latest_start_at: datetime | None
    """When somebody has to begin so that what is owed next is in time; None where nothing is."""
    is_customer_waiting: bool
    """The last word is the customer's."""


def goes_back(work: GoneWork, now: datetime, grace: timedelta) -> bool:
    """Whether somebody else is to have it: nobody is forgotten, and what can wait for the one who knows it waits.

    Real-time work goes once the grace is over; parked, only when the customer has written. Other work goes if they had
    done nothing with it, or if it has to be begun before their next shift. Where no shift is known the customer isn't
    made to wait for them, and what else is owed waits for a day.
    """
    if now < work.gone_at + grace:
        return False
    if not work.is_interruptible:
        return work.is_customer_waiting or not work.is_parked
    if not work.is_touched:
        return True
    if work.next_present_at is not None:
        return work.latest_start_at is not None and work.latest_start_at < work.next_present_at
    if work.is_customer_waiting or work.latest_start_at is None:
        return work.is_customer_waiting
    expected_at = work.gone_at + EXPECTED_WITHIN
    return now >= expected_at or work.latest_start_at < expected_at
