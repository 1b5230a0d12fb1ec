"""Quiet hours: what of low urgency waits for somebody's morning, and until when (R24).

Never the last level, and the next level doesn't wait for it: whoever else is paged then may be awake.
"""

from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from shared.contract.tickets import Urgency

_DAY = timedelta(days=1)


def deferred_until(
    urgency: str, hours: str | None, zone: str | None, at: datetime, *, is_last: bool
) -> datetime | None:
    """When a page that would go at `at` goes instead; None: at once.

    `hours` are as in `22:00-07:00`, of a `zone`; what can't be read as such keeps nobody from being paged.
    """
    if urgency != Urgency.LOW or is_last or not hours or not zone:
        return None
    try:
        return ends_at(hours, ZoneInfo(zone), at)
    except (KeyError, ValueError, OSError):  # all three are what names that lead nowhere raise
        return None


def ends_at(hours: str, zone: ZoneInfo, at: datetime) -> datetime | None:
    """When the quiet hours in which `at` lies end, in UTC; None outside of them. They are half open, like shifts (R20)."""
    begin, end = _read(hours)
    local = at.astimezone(zone)
    now = local.time().replace(fold=0)
    if not (begin <= now < end if begin < end else now >= begin or now < end):
        return None
    day = local.date() + (_DAY if now >= end else timedelta())
    for fold in (0, 1):  # where the clocks are put back, the end comes twice: the first one that is ahead
        ending = datetime.combine(day, end, zone).replace(fold=fold).astimezone(UTC)
        if ending > at:
            return ending
    return None


@lru_cache(256)
def _read(hours: str) -> tuple[time, time]:
    begin, _, end = hours.partition("-")
    return time.fromisoformat(begin.strip()), time.fromisoformat(end.strip())
