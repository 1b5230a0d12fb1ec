"""The hours of a week as a clock on the wall shows them: 168, numbered from Monday 0:00, in a time zone.

SQL counts by them with two short lists (`Offsets`), so that the rules of the zone are asked in one place. An hour that
a change of the clocks repeats is one hour of the week that lasted twice as long; one that is skipped never occurred.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from shared.sla.openings import offset_at, transition

Number = TypeVar("Number", int, float)

HOURS = 168
_DAY = 24
_HOUR = 3600
_SECOND = timedelta(seconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FROM_MONDAY = 3 * _DAY * _HOUR
"""The first of January 1970 was a Thursday."""


class Offsets(NamedTuple):
    """From when on the local time of a zone is how far ahead: what turns an instant into its hour of the week."""

    starts: tuple[int, ...]
    """Seconds since 1970, ascending; the first is the beginning of the window."""
    seconds: tuple[int, ...]
    """Ahead of UTC, with what makes the count of hours begin on a Monday."""

    def hour(self, at: datetime) -> int:
        """The hour of the week, from 0 to 167, as SQL finds it; what lies before the window goes by its first offset."""
        second = (at - _EPOCH) // _SECOND
        place = max(sum(start <= second for start in self.starts), 1)
        return (second + self.seconds[place - 1]) // _HOUR % HOURS


def offsets(zone: ZoneInfo, since: datetime, until: datetime) -> Offsets:
    """Of `[since, until)`."""
    at, last = (since - _EPOCH) // _SECOND, (until - _EPOCH) // _SECOND
    starts, ahead = [at], [offset_at(zone, at)]
    while at < last:
        after = min(at + _HOUR, last)
        if offset_at(zone, after) != ahead[-1]:
            starts.append(transition(zone, at, after))
            ahead.append(offset_at(zone, after))
        at = after
    return Offsets(tuple(starts), tuple(each + _FROM_MONDAY for each in ahead))


def occurrences(found: Offsets, since: datetime, until: datetime) -> tuple[float, ...]:
    """How often each hour of the week occurred in `[since, until)`, by the time that passed: parts of hours count in part."""
    lengths = [0.0] * HOURS
    edges = (since, *(_EPOCH + start * _SECOND for start in found.starts[1:]), until)
    for start, end, ahead in zip(edges, edges[1:], found.seconds, strict=False):
        at, last = (start - _EPOCH) / _SECOND + ahead, (end - _EPOCH) / _SECOND + ahead
        while at < last:
            hour = int(at // _HOUR)
            following = min(float((hour + 1) * _HOUR), last)
            lengths[hour % HOURS] += following - at
            at = following
    return tuple(length / _HOUR for length in lengths)


def by_day(hours: Sequence[Number]) -> tuple[tuple[Number, ...], ...]:
    """Seven rows of 24, Monday first."""
    return tuple(tuple(hours[start : start + _DAY]) for start in range(0, HOURS, _DAY))
