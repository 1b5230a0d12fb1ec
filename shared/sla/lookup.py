"""Open time by datetimes alone, for the callers that have them: no conversion to integers, no search over the whole list.

Taken of a compiled table: a dictionary by UTC day says where in the columns to look, another does by days of open time.
So a question costs the same in a calendar of one year and of a hundred. What it doesn't cover, the table answers.
"""

from bisect import bisect_left, bisect_right
from datetime import datetime, timedelta

from shared.sla.years import DAY_LONG, EPOCH, LAST, MICROSECOND, Table

_LAST = MICROSECOND * LAST
_FAR = timedelta(days=400_000_000)
"""Longer than any calendar: what lies before the first opening is cut to its position."""


class Lookup:
    """Answers `add` and `between` for the years that a table held when this was made; raises LookupError beyond them."""

    __slots__ = ("_after", "_days", "_open_days", "_shifts", "_starts")

    def __init__(self, table: Table, since: int, until: int) -> None:
        starts, after = table.starts, table.after
        day, last = since // DAY_LONG, until // DAY_LONG
        marks = [bisect_right(starts, number * DAY_LONG - 1) for number in range(day, last)]
        marks.append(bisect_right(starts, until - 1))
        self._days = {day + n: (marks[n], marks[n + 1]) for n in range(last - day)}
        """By UTC day: the bounds of the columns between which to look for an instant of it."""
        self._open_days = _by_open_day(after)
        """By days of position: the bounds between which to look for one."""
        self._starts, self._after, self._shifts = _columns(table)

    def add(self, start: timedelta, open_time: timedelta) -> datetime:
        """When so much (more than nothing) will have been open since `start`, itself time since the epoch."""
        low, high = self._days[start.days]
        i = bisect_right(self._starts, start, low, high) - 1
        after, shifts = self._after, self._shifts
        position = start + shifts[i]
        if position > after[i]:  # noqa: PLR1730 - a call of min takes a tenth of the whole
            position = after[i]
        position += open_time
        low, high = self._open_days[position.days]
        return EPOCH + (position - shifts[bisect_left(after, position, low, high)])

    def between(self, start: timedelta, end: timedelta) -> timedelta:
        """The open time from `start` to a later `end`, both times since the epoch."""
        days, starts, after, shifts = self._days, self._starts, self._after, self._shifts
        low, high = days[start.days]
        i = bisect_right(starts, start, low, high) - 1
        first = start + shifts[i]
        if first > after[i]:  # noqa: PLR1730 - as in add
            first = after[i]
        low, high = days[end.days]
        i = bisect_right(starts, end, low, high) - 1
        last = end + shifts[i]
        return (after[i] if last > after[i] else last) - first  # noqa: FURB136 - as in add


class Elapsed:
    """The same for a calendar that is always open."""

    __slots__ = ()

    def add(self, start: timedelta, open_time: timedelta) -> datetime:
        """So much later."""
        end = start + open_time
        if end >= _LAST:
            raise LookupError
        return EPOCH + end

    def between(self, start: timedelta, end: timedelta) -> timedelta:
        """All of it."""
        return end - start


def _columns(table: Table) -> tuple[list[timedelta], list[timedelta], list[timedelta]]:
    """Starts since the epoch; positions of the ends; and what makes an instant of a span, as time since the epoch, its position.

    Made row by row, so that what is read together lies together in memory.
    """
    starts, after, shifts = [timedelta(days=-1)], [_length(table.after[0])], [_FAR]
    for i in range(1, len(table.starts)):
        starts.append(_length(table.starts[i]))
        after.append(_length(table.after[i]))
        shifts.append(_length(table.before[i] - table.starts[i]))
    return starts, after, shifts


def _length(microseconds: int) -> timedelta:
    return MICROSECOND * microseconds


def _by_open_day(after: list[int]) -> dict[int, tuple[int, int]]:
    first, last = after[0] // DAY_LONG, after[-1] // DAY_LONG
    marks = [bisect_left(after, number * DAY_LONG) for number in range(first, last + 2)]
    return {first + n: (marks[n], marks[n + 1]) for n in range(last - first + 1)}


EMPTY = Lookup(Table([0], [0], [0], [0]), 0, 0)
"""Knows nothing yet."""
