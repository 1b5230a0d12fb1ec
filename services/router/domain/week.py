"""The hours of a week by the clock on a wall: 168 of them, numbered from Monday 0:00, in a time zone.

SQL counts by them with two short lists (`Offsets`), so that the zone's rules are asked in one place. An hour that
a change of the clocks repeats is one hour of the week that lasts twice as long; one that is skipped never occurred.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOURS = 168
_DAY = 24
_HOUR = timedelta(hours=1)
_SECOND = timedelta(seconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FROM_MONDAY = 3 * _DAY * 3600
"""The first of January 1970 was a Thursday."""


class Offsets(NamedTuple):
    """From when on the local time of a zone is how far ahead: what turns an instant into its hour of the week."""

    starts: tuple[datetime, ...]
    """Ascending; the first is the beginning of the window."""
    seconds: tuple[int, ...]
    """Ahead of UTC, and so many more that the count of hours begins on a Monday."""

    def hour(self, at: datetime) -> int:
        """The hour of the week, from 0 to 167; what comes before the window goes by its beginning. As SQL does it."""
        place = max(sum(start <= at for start in self.starts), 1)
        return ((at - _EPOCH) // _SECOND + self.seconds[place - 1]) // 3600 % HOURS


def offsets(zone: ZoneInfo, since: datetime, until: datetime) -> Offsets:
    """Of `[since, until)`."""
    since, until = since.astimezone(UTC), until.astimezone(UTC)
    starts, seconds = [since], [_ahead(zone, since)]
    at = since
    while at < until:
        after = min(at + _HOUR, until)
        if _ahead(zone, after) != seconds[-1]:
            starts.append(_change(zone, at, after))
            seconds.append(_ahead(zone, after))
        at = after
    return Offsets(tuple(starts), tuple(seconds))


def _ahead(zone: ZoneInfo, at: datetime) -> int:
    ahead = at.astimezone(zone).utcoffset() or timedelta()
    return ahead // _SECOND + _FROM_MONDAY


def _change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The first whole second by the new offset."""
    low = before.replace(microsecond=0)
    high = after
    while high - low > _SECOND:
        middle = low + (high - low) // 2 // _SECOND * _SECOND
        if _ahead(zone, middle) == _ahead(zone, after):
            high = middle
        else:
            low = middle
    return high.replace(microsecond=0)


def occurrences(found: Offsets, until: datetime) -> tuple[float, ...]:
    """How often each hour of the week occurred up to `until`: as time on the wall passed, parts of hours count in part."""
    seconds = [0.0] * HOURS
    ends = (*found.starts[1:], until)
    for start, end, ahead in zip(found.starts, ends, found.seconds, strict=True):
        for hour, length in _pieces(start, end, ahead):
            seconds[hour] += length
    return tuple(length / 3600 for length in seconds)


def _pieces(start: datetime, end: datetime, ahead: int) -> Iterator[tuple[int, float]]:
    at, last = (start - _EPOCH).total_seconds() + ahead, (end - _EPOCH).total_seconds() + ahead
    while at < last:
        following = min((at // 3600 + 1) * 3600, last)
        yield int(at // 3600) % HOURS, following - at
        at = following


def by_day(hours: Sequence[float]) -> tuple[tuple[float, ...], ...]:
    """Seven rows of 24, Monday first."""
    return tuple(tuple(hours[day * _DAY : (day + 1) * _DAY]) for day in range(len(DAYS)))
