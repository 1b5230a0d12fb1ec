"""Working time: how much of it lies between two instants, and when so much of it will have passed.

Compiled a year at a time to UTC spans with running totals (sla-rules 4): every question is one or two binary searches.
Inside, instants and durations are integer microseconds; `position` is the open time from a fixed, arbitrary origin.
"""

from bisect import bisect_left, bisect_right
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from msgspec import structs

from shared.sla.hours import DAY, CalendarSpec
from shared.sla.openings import Openings, compile_openings, transition

NEVER = 1 << 62
"""The instant of what does not happen before the end of the compiled years."""

_SECOND = 1_000_000
_DAY = DAY * _SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST_YEAR, _LAST_YEAR = 1970, 2100
"""Instants outside count as the nearest one inside; it bounds the work for a calendar that never opens again (rule 15)."""


def to_microseconds(at: datetime) -> int:
    """An aware instant as microseconds since the epoch; raises TypeError for a naive one (rule 32)."""
    return (at - _EPOCH) // _MICROSECOND


def to_instant(at: int) -> datetime:
    """The inverse of `to_microseconds`, in UTC."""
    return _EPOCH + _MICROSECOND * at


_NEW_YEAR = {year: to_microseconds(datetime(year, 1, 1, tzinfo=UTC)) for year in range(_FIRST_YEAR, _LAST_YEAR + 1)}
_FIRST, _LAST = _NEW_YEAR[_FIRST_YEAR], _NEW_YEAR[_LAST_YEAR]
_BEFORE_ALL = -NEVER


class _OpenDays(NamedTuple):
    """Columns of the open local days, ascending."""

    days: list[int]
    """Counted from 1970-01-01."""
    closes: list[int]
    """When it closes for the last time."""
    midnights: list[int]
    """When it begins, going by the last offset of its open time."""
    is_steady: list[bool]
    """Whether the zone keeps one offset all day, so that wall and instant differ by the midnight."""


class Calendar:
    """One calendar, compiled as far as it was asked so far; shared by all tickets, safe to read from threads."""

    __slots__ = ("_always", "_days", "_last_year", "_since", "_table", "_until", "_year", "spec")

    def __init__(self, spec: CalendarSpec) -> None:
        self.spec = spec
        self._always = spec.always
        # Starts, ends, and the positions of both. The first entry stands for "before all openings".
        self._table: tuple[list[int], list[int], list[int], list[int]] = ([_BEFORE_ALL], [_BEFORE_ALL], [0], [0])
        self._days = _OpenDays([], [], [], [])
        self._since = self._until = self._year = self._last_year = 0

    # Aware datetimes and timedeltas.

    def add(self, start: datetime, open_time: timedelta) -> datetime | None:
        """The earliest instant by which `open_time` has been open since `start`; zero gives the next open instant.

        None where the calendar does not open that long before the year 2100. Raises ValueError for a negative time.
        """
        at = (start - _EPOCH) // _MICROSECOND
        wanted = open_time // _MICROSECOND
        if wanted <= 0:
            if wanted:
                raise ValueError("open time to add is negative; use subtract")
            due = self.next_opening(at)
        else:
            due = self.instant(self.position(at) + wanted)
        return None if due >= NEVER else to_instant(due)

    def subtract(self, end: datetime, open_time: timedelta) -> datetime | None:
        """The latest instant from which `open_time` is open until `end`: the mirror of `add`.

        None where the calendar was not open that long since 1970. Raises ValueError for a negative time.
        """
        wanted = open_time // _MICROSECOND
        if wanted < 0:
            raise ValueError("open time to subtract is negative; use add")
        start = self._latest(to_microseconds(end), wanted)
        return None if start is None else to_instant(start)

    def between(self, start: datetime, end: datetime) -> timedelta:
        """The open time from `start` to `end`; zero where `end` comes first, never negative (rule 20)."""
        first, last = to_microseconds(start), to_microseconds(end)
        if last <= first:
            return timedelta()
        return _MICROSECOND * (self.position(last) - self.position(first))

    def next_open(self, at: datetime) -> datetime | None:
        """`at` if it is open, else the next opening; None where none comes before the year 2100."""
        opening = self.next_opening(to_microseconds(at))
        return None if opening >= NEVER else to_instant(opening)

    def add_business_days(self, start: datetime, days: int) -> datetime | None:
        """The same local time on the `days`-th following open day, at most its last close (sla-rules 1).

        A start outside opening hours counts as the next opening. None where there are not that many open days before 2100.
        """
        due = self.business_days_after(to_microseconds(start), days)
        return None if due >= NEVER else to_instant(due)

    def intervals(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """The open spans from `start` to `end`, cut to them, in UTC."""
        first, last = to_microseconds(start), to_microseconds(end)
        if self._always:
            return [(to_instant(first), to_instant(last))] if first < last else []
        first, last = self._covered(first), self._covered(last)
        starts, ends, _, _ = self._table
        indices = range(bisect_right(ends, first), bisect_left(starts, last))
        return [(to_instant(max(starts[i], first)), to_instant(min(ends[i], last))) for i in indices]

    def same_as(self, other: "Calendar") -> bool:
        """Whether the other is declared the same, whatever its name: then no due time can differ."""
        return self is other or structs.replace(self.spec, name="") == structs.replace(other.spec, name="")

    def is_same_between(self, other: "Calendar", since: datetime, until: datetime) -> bool:
        """Whether both are open at the same instants of `[since, until)`, on the same local days (rules 31 and 55).

        Then open time used and due times within are the same. A due time in business days may be the close of its day:
        ask a day further for these.
        """
        first, last = to_microseconds(since), to_microseconds(until)
        if first >= last or self.same_as(other):
            return True
        if self.spec.always or other.spec.always:
            return self.spec.always and other.spec.always and self.spec.zone == other.spec.zone
        return self.openings_between(first, last) == other.openings_between(first, last)

    def openings_between(self, first: int, last: int) -> tuple[list[int], ...]:
        """Starts and ends of the open spans, cut to the stretch, and the midnights of its open days."""
        first, last = max(first, _FIRST), min(last, _LAST)
        self._covered(first - 2 * _DAY)  # a local day may reach over the edge of a compiled year
        self._covered(last + 2 * _DAY)
        opens, closes, _, _ = self._table
        span = slice(bisect_right(closes, first), bisect_left(opens, last))
        starts, ends = opens[span], closes[span]
        if not starts:
            return starts, ends, []
        starts[0], ends[-1] = max(starts[0], first), min(ends[-1], last)
        midnights = self._days.midnights
        days = slice(max(0, bisect_right(midnights, starts[0]) - 1), bisect_left(midnights, ends[-1]))
        return starts, ends, midnights[days]

    # Microseconds, for the fold.

    def position(self, at: int) -> int:
        """Open time from the calendar's origin to an instant; the difference of two is the open time between them."""
        if self._always:
            return at
        if not self._since <= at < self._until:
            at = self._covered(at)
        starts, _, before, after = self._table
        i = bisect_right(starts, at) - 1
        reached = before[i] + at - starts[i]
        if reached > after[i]:
            return after[i]
        return reached

    def instant(self, position: int) -> int:
        """The earliest instant at a position, the inverse of `position`; NEVER where that is not reached."""
        if self._always:
            return position if position < _LAST else NEVER
        _, ends, _, after = self._table
        while position > after[-1]:
            if not self._grow_later():
                return NEVER
            _, ends, _, after = self._table
        i = bisect_left(after, position)
        return ends[i] - (after[i] - position)

    def next_opening(self, at: int) -> int:
        """`at` if it is open, else the next opening, or NEVER."""
        if self._always:
            return at
        at = self._covered(at)
        while True:
            starts, ends, _, _ = self._table
            i = bisect_right(ends, at)
            if i < len(ends):
                return max(at, starts[i])
            if not self._grow_later():
                return NEVER

    def business_days_after(self, at: int, days: int) -> int:
        """`add_business_days` in microseconds; NEVER where there are not that many open days."""
        start = self.next_opening(at)
        if start >= NEVER:
            return NEVER
        if self._always:
            day, time_of_day = self._wall(start)
            return self._on_wall(day + days, time_of_day)
        known = self._days
        i = bisect_right(known.midnights, start) - 1
        time_of_day = start - known.midnights[i]
        if not known.is_steady[i] or not 0 <= time_of_day < _DAY:
            day, time_of_day = self._wall(start)
            i = bisect_left(known.days, day)
        # A day at the edge of what is compiled may still go on in the next year.
        i += days
        while i >= len(known.days) or (known.days[i] + 2) * _DAY >= self._until:
            if not self._grow_later():
                return NEVER
            known = self._days
        if known.is_steady[i]:
            return min(known.midnights[i] + time_of_day, known.closes[i])
        return min(self._on_wall(known.days[i], time_of_day), known.closes[i])

    def _wall(self, at: int) -> tuple[int, int]:
        """The local date, counted from 1970-01-01, and the time of day."""
        local = to_instant(at).astimezone(self.spec.zone)
        time_of_day = ((local.hour * 60 + local.minute) * 60 + local.second) * _SECOND + local.microsecond
        return local.toordinal() - _EPOCH.toordinal(), time_of_day

    def _on_wall(self, day: int, time_of_day: int) -> int:
        """When the local wall first shows that time or a later one, on a day counted from 1970-01-01."""
        zone = self.spec.zone
        wall = _EPOCH.replace(tzinfo=None) + timedelta(days=day, microseconds=time_of_day)
        at = wall.replace(tzinfo=zone)
        instant = at.astimezone(UTC)
        if instant.astimezone(zone).replace(tzinfo=None) == wall:
            return to_microseconds(instant)
        low, high = to_microseconds(at.replace(fold=1)) // _SECOND, to_microseconds(instant) // _SECOND
        return transition(zone, low, high) * _SECOND

    def _latest(self, end: int, wanted: int) -> int | None:
        """The latest instant from which `wanted` is open until `end`."""
        if self._always or not wanted:
            return end - wanted
        end = self._covered(end)
        position = self.position(end) - wanted
        while position < self._table[2][0] and self._grow_earlier():
            pass
        starts, _, before, _ = self._table
        i = bisect_right(before, position) - 1
        if i < 1:
            return None
        return starts[i] + position - before[i]

    # The compiled years: contiguous, grown on demand at either end.

    def _covered(self, at: int) -> int:
        """The instant, or the nearest in the years that can be compiled; compiles up to it."""
        at = min(max(at, _FIRST), _LAST - 1)
        if not self._year:
            year = to_instant(at).year
            self._year, self._last_year = year, year - 1
            self._since = self._until = _NEW_YEAR[year]
            self._grow_later()
        while at < self._since and self._grow_earlier():
            pass
        while at >= self._until and self._grow_later():
            pass
        return at

    def _grow_later(self) -> bool:
        if self._until >= _LAST or not self._year:
            return False
        year = self._last_year + 1
        found = self._compiled(year)
        starts, ends, before, after = (list(column) for column in self._table)
        for start, end in ((first * _SECOND, last * _SECOND) for first, last in found.spans):
            if start == ends[-1]:
                after[-1] += end - start
                ends[-1] = end
                continue
            starts.append(start)
            ends.append(end)
            before.append(after[-1])
            after.append(after[-1] + end - start)
        self._days = _joined(self._days, _open_days(found))
        self._table = (starts, ends, before, after)
        self._last_year, self._until = year, _NEW_YEAR[year + 1]
        return True

    def _grow_earlier(self) -> bool:
        if self._since <= _FIRST:
            return False
        year = self._year - 1
        found = self._compiled(year)
        starts, ends, before, after = (column[1:] for column in self._table)
        origin = self._table[2][0]
        for start, end in ((first * _SECOND, last * _SECOND) for first, last in reversed(found.spans)):
            origin -= end - start
            if starts and end == starts[0]:
                starts[0], before[0] = start, origin
                continue
            starts.insert(0, start)
            ends.insert(0, end)
            before.insert(0, origin)
            after.insert(0, origin + end - start)
        # Of a day that goes on into the next year, that year knows the close.
        self._days = _joined(_open_days(found), self._days)
        self._table = ([_BEFORE_ALL, *starts], [_BEFORE_ALL, *ends], [origin, *before], [origin, *after])
        self._year, self._since = year, _NEW_YEAR[year]
        return True

    def _compiled(self, year: int) -> Openings:
        return compile_openings(self.spec, _NEW_YEAR[year] // _SECOND, _NEW_YEAR[year + 1] // _SECOND)


def _open_days(found: Openings) -> _OpenDays:
    return _OpenDays(
        list(found.days),
        [day.closes * _SECOND for day in found.days.values()],
        [(number * DAY - day.offset) * _SECOND for number, day in found.days.items()],
        [day.is_steady for day in found.days.values()],
    )


def _joined(earlier: _OpenDays, later: _OpenDays) -> _OpenDays:
    """Both, in order; of a day that goes on over the seam the later part knows the close."""
    overlaps = bool(earlier.days) and bool(later.days) and earlier.days[-1] == later.days[0]
    kept = len(earlier.days) - 1 if overlaps else len(earlier.days)
    return _OpenDays(
        earlier.days[:kept] + later.days,
        earlier.closes[:kept] + later.closes,
        earlier.midnights[:kept] + later.midnights,
        earlier.is_steady[:kept] + later.is_steady,
    )
