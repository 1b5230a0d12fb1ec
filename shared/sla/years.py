"""A calendar's openings compiled a year at a time, on demand, to columns with running totals (sla-rules 4).

All integers are microseconds: instants since 1970, positions as open time from a fixed, arbitrary origin.
Growing keeps every position, replaces tables whole and is done by one thread at a time: readers need no lock.
"""

from datetime import UTC, datetime, timedelta
from threading import RLock
from typing import NamedTuple

from shared.sla.hours import DAY, Spec
from shared.sla.openings import Openings, compile_openings

SECOND = 1_000_000
DAY_LONG = DAY * SECOND
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
FIRST_YEAR, LAST_YEAR = 1970, 2100
"""Instants outside count as the nearest one inside; it bounds the work for a calendar that never opens again (rule 15)."""

_NEW_YEAR = {
    year: (datetime(year, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND for year in range(FIRST_YEAR, LAST_YEAR + 1)
}
FIRST, LAST = _NEW_YEAR[FIRST_YEAR], _NEW_YEAR[LAST_YEAR]
_BEFORE_ALL = -(1 << 62)


class Table(NamedTuple):
    """The open spans, ascending and apart; the first entry stands for "before all openings"."""

    starts: list[int]
    ends: list[int]
    before: list[int]
    """Position of each start."""
    after: list[int]
    """Position of each end."""


class OpenDays(NamedTuple):
    """Columns of the open local days, ascending."""

    days: list[int]
    """Counted from 1970-01-01."""
    closes: list[int]
    """When it closes for the last time."""
    midnights: list[int]
    """When it begins, going by the last offset of its open time."""
    is_steady: list[bool]
    """Whether the zone keeps one offset all day, so that wall and instant differ by the midnight."""


class CompiledYears:
    """The years of one calendar that somebody asked for: contiguous, grown at either end."""

    __slots__ = ("_growing", "_last_year", "_spec", "_year", "days", "since", "table", "until")

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._growing = RLock()
        self._year = self._last_year = 0
        self.since = self.until = 0
        """What is compiled: from the first instant of a year to before that of another; both 0 for nothing yet."""
        self.table = Table([_BEFORE_ALL], [_BEFORE_ALL], [0], [0])
        self.days = OpenDays([], [], [], [])

    def cover(self, at: int) -> int:
        """The instant, or the nearest in the years that can be compiled; compiles up to it."""
        at = min(max(at, FIRST), LAST - 1)
        if self.since <= at < self.until:
            return at
        with self._growing:
            if not self._year:
                year = (EPOCH + MICROSECOND * at).year
                self._year, self._last_year = year, year - 1
                self.since = self.until = _NEW_YEAR[year]
                self.grow_later()
            while at < self.since and self.grow_earlier():
                pass
            while at >= self.until and self.grow_later():
                pass
        return at

    def grow_later(self) -> bool:
        """Compile the year after; False where there is none, or nothing was asked yet."""
        with self._growing:
            if self.until >= LAST or not self._year:
                return False
            year = self._last_year + 1
            found = self._compiled(year)
            starts, ends, before, after = (list(column) for column in self.table)
            for start, end in ((first * SECOND, last * SECOND) for first, last in found.spans):
                if start == ends[-1]:
                    after[-1] += end - start
                    ends[-1] = end
                    continue
                starts.append(start)
                ends.append(end)
                before.append(after[-1])
                after.append(after[-1] + end - start)
            self.days = _joined(self.days, _open_days(found))
            self.table = Table(starts, ends, before, after)
            self._last_year, self.until = year, _NEW_YEAR[year + 1]
            return True

    def grow_earlier(self) -> bool:
        """Compile the year before; False where there is none."""
        with self._growing:
            if self.since <= FIRST:
                return False
            year = self._year - 1
            found = self._compiled(year)
            starts, ends, before, after = (column[1:] for column in self.table)
            origin = self.table.before[0]
            for start, end in ((first * SECOND, last * SECOND) for first, last in reversed(found.spans)):
                origin -= end - start
                if starts and end == starts[0]:
                    starts[0], before[0] = start, origin
                    continue
                starts.insert(0, start)
                ends.insert(0, end)
                before.insert(0, origin)
                after.insert(0, origin + end - start)
            # Of a day that goes on into the next year, that year knows the close.
            self.days = _joined(_open_days(found), self.days)
            self.table = Table([_BEFORE_ALL, *starts], [_BEFORE_ALL, *ends], [origin, *before], [origin, *after])
            self._year, self.since = year, _NEW_YEAR[year]
            return True

    def _compiled(self, year: int) -> Openings:
        return compile_openings(self._spec, _NEW_YEAR[year] // SECOND, _NEW_YEAR[year + 1] // SECOND)


def _open_days(found: Openings) -> OpenDays:
    return OpenDays(
        list(found.days),
        [day.closes * SECOND for day in found.days.values()],
        [(number * DAY - day.offset) * SECOND for number, day in found.days.items()],
        [day.is_steady for day in found.days.values()],
    )


def _joined(earlier: OpenDays, later: OpenDays) -> OpenDays:
    """Both, in order; of a day that goes on over the seam the later part knows the close."""
    overlaps = bool(earlier.days) and bool(later.days) and earlier.days[-1] == later.days[0]
    kept = len(earlier.days) - 1 if overlaps else len(earlier.days)
    return OpenDays(
        earlier.days[:kept] + later.days,
        earlier.closes[:kept] + later.closes,
        earlier.midnights[:kept] + later.midnights,
        earlier.is_steady[:kept] + later.is_steady,
    )
