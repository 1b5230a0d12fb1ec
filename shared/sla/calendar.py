"""Working time: how much of it lies between two instants, and when so much of it will have passed.

Compiled a year at a time to UTC spans with running totals (sla-rules 4): every question is one or two binary searches.
Inside, instants and durations are integer microseconds; `position` is the open time from a fixed, arbitrary origin.
"""

from bisect import bisect_left, bisect_right
from datetime import UTC, datetime, timedelta

from shared.sla.hours import Spec, unnamed
from shared.sla.lookup import EMPTY, Elapsed, Lookup
from shared.sla.openings import transition
from shared.sla.years import DAY_LONG, EPOCH, FIRST, LAST, MICROSECOND, SECOND, CompiledYears, Table

NEVER = 1 << 62
"""The instant of what does not happen before the end of the compiled years."""

_NOTHING = timedelta()
_MISSES = 16
"""So many questions beyond what the lookup holds make a new one: rarely enough while years are still coming in."""


def to_microseconds(at: datetime) -> int:
    """An aware instant as microseconds since the epoch; raises TypeError for a naive one (rule 32)."""
    return (at - EPOCH) // MICROSECOND


def to_instant(at: int) -> datetime:
    """The inverse of `to_microseconds`, in UTC."""
    return EPOCH + MICROSECOND * at


class Calendar:
    """One calendar, compiled as far as it was asked so far; shared by all tickets, safe to read from threads."""

    __slots__ = ("_always", "_looked_up", "_lookup", "_misses", "_years", "spec")

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._always = spec.always
        self._years = CompiledYears(spec)
        self._lookup: Lookup | Elapsed = Elapsed() if spec.always else EMPTY
        self._looked_up: Table | None = None
        self._misses = _MISSES

    # Aware datetimes and timedeltas.

    def add(self, start: datetime, open_time: timedelta) -> datetime | None:
        """The earliest instant by which `open_time` has been open since `start`; zero gives the next open instant.

        None where the calendar does not open that long before the year 2100. Raises ValueError for a negative time.
        """
        if open_time > _NOTHING:
            try:
                return self._lookup.add(start - EPOCH, open_time)
            except LookupError:
                self._look_further()
        wanted = open_time // MICROSECOND
        if wanted < 0:
            raise ValueError("open time to add is negative; use subtract")
        at = to_microseconds(start)
        due = self.instant(self.position(at) + wanted) if wanted else self.next_opening(at)
        return None if due >= NEVER else to_instant(due)

    def subtract(self, end: datetime, open_time: timedelta) -> datetime | None:
        """The latest instant from which `open_time` is open until `end`: the mirror of `add`.

        None where the calendar was not open that long since 1970. Raises ValueError for a negative time.
        """
        wanted = open_time // MICROSECOND
        if wanted < 0:
            raise ValueError("open time to subtract is negative; use add")
        start = self._latest(to_microseconds(end), wanted)
        return None if start is None else to_instant(start)

    def between(self, start: datetime, end: datetime) -> timedelta:
        """The open time from `start` to `end`; zero where `end` comes first, never negative (rule 20)."""
        first, last = start - EPOCH, end - EPOCH
        if last <= first:
            return _NOTHING
        try:
            return self._lookup.between(first, last)
        except LookupError:
            self._look_further()
        return MICROSECOND * (self.position(last // MICROSECOND) - self.position(first // MICROSECOND))

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
        if first >= last:
            return []
        if self._always:
            return [(to_instant(first), to_instant(last))]
        first, last = self._years.cover(first), self._years.cover(last)
        starts, ends, _, _ = self._years.table
        indices = range(bisect_right(ends, first), bisect_left(starts, last))
        return [(to_instant(max(starts[i], first)), to_instant(min(ends[i], last))) for i in indices]

    def same_as(self, other: "Calendar") -> bool:
        """Whether the other is declared the same, whatever its name: then no due time can differ."""
        return self is other or unnamed(self.spec) == unnamed(other.spec)

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
        first, last = max(first, FIRST), min(last, LAST)
        self._years.cover(first - 2 * DAY_LONG)  # a local day may reach over the edge of a compiled year
        self._years.cover(last + 2 * DAY_LONG)
        opens, closes, _, _ = self._years.table
        span = slice(bisect_right(closes, first), bisect_left(opens, last))
        starts, ends = opens[span], closes[span]
        if not starts:
            return starts, ends, []
        starts[0], ends[-1] = max(starts[0], first), min(ends[-1], last)
        midnights = self._years.days.midnights
        days = slice(max(0, bisect_right(midnights, starts[0]) - 1), bisect_left(midnights, ends[-1]))
        return starts, ends, midnights[days]

    def _look_further(self) -> None:
        """Something lay beyond what is looked up: once that has happened often enough, look up what was compiled since."""
        self._misses += 1
        years = self._years
        since, until = years.since, years.until
        table = years.table
        if self._misses >= _MISSES and table is not self._looked_up and since < until:
            self._misses, self._looked_up = 0, table
            self._lookup = Lookup(table, since, until)

    # Microseconds, for the fold.

    def position(self, at: int) -> int:
        """Open time from the calendar's origin to an instant; the difference of two is the open time between them."""
        if self._always:
            return at
        years = self._years
        if not years.since <= at < years.until:
            at = years.cover(at)
        starts, _, before, after = years.table
        i = bisect_right(starts, at) - 1
        reached = before[i] + at - starts[i]
        if reached > after[i]:
            return after[i]
        return reached

    def instant(self, position: int) -> int:
        """The earliest instant at a position, the inverse of `position`; NEVER where that is not reached."""
        if self._always:
            return position if position < LAST else NEVER
        _, ends, _, after = self._years.table
        while position > after[-1]:
            if not self._years.grow_later():
                return NEVER
            _, ends, _, after = self._years.table
        i = bisect_left(after, position)
        return ends[i] - (after[i] - position)

    def next_opening(self, at: int) -> int:
        """`at` if it is open, else the next opening, or NEVER."""
        if self._always:
            return at
        at = self._years.cover(at)
        while True:
            starts, ends, _, _ = self._years.table
            i = bisect_right(ends, at)
            if i < len(ends):
                return max(at, starts[i])
            if not self._years.grow_later():
                return NEVER

    def business_days_after(self, at: int, days: int) -> int:
        """`add_business_days` in microseconds; NEVER where there are not that many open days."""
        start = self.next_opening(at)
        if start >= NEVER:
            return NEVER
        if self._always:
            day, time_of_day = self._wall(start)
            return self._on_wall(day + days, time_of_day)
        known = self._years.days
        i = bisect_right(known.midnights, start) - 1
        time_of_day = start - known.midnights[i]
        if not known.is_steady[i] or not 0 <= time_of_day < DAY_LONG:
            day, time_of_day = self._wall(start)
            i = bisect_left(known.days, day)
        # A day at the edge of what is compiled may still go on in the next year.
        i += days
        while i >= len(known.days) or (known.days[i] + 2) * DAY_LONG >= self._years.until:
            if not self._years.grow_later():
                return NEVER
            known = self._years.days
        if known.is_steady[i]:
            return min(known.midnights[i] + time_of_day, known.closes[i])
        return min(self._on_wall(known.days[i], time_of_day), known.closes[i])

    def _wall(self, at: int) -> tuple[int, int]:
        """The local date, counted from 1970-01-01, and the time of day."""
        local = to_instant(at).astimezone(self.spec.zone)
        time_of_day = ((local.hour * 60 + local.minute) * 60 + local.second) * SECOND + local.microsecond
        return local.toordinal() - EPOCH.toordinal(), time_of_day

    def _on_wall(self, day: int, time_of_day: int) -> int:
        """When the local wall first shows that time or a later one, on a day counted from 1970-01-01."""
        zone = self.spec.zone
        wall = EPOCH.replace(tzinfo=None) + timedelta(days=day, microseconds=time_of_day)
        at = wall.replace(tzinfo=zone)
        instant = at.astimezone(UTC)
        if instant.astimezone(zone).replace(tzinfo=None) == wall:
            return to_microseconds(instant)
        low, high = to_microseconds(at.replace(fold=1)) // SECOND, to_microseconds(instant) // SECOND
        return transition(zone, low, high) * SECOND

    def _latest(self, end: int, wanted: int) -> int | None:
        """The latest instant from which `wanted` is open until `end`."""
        if self._always or not wanted:
            return end - wanted
        end = self._years.cover(end)
        position = self.position(end) - wanted
        while position < self._years.table[2][0] and self._years.grow_earlier():
            pass
        starts, _, before, _ = self._years.table
        i = bisect_right(before, position) - 1
        if i < 1:
            return None
        return starts[i] + position - before[i]
