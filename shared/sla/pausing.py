"""The stretches in which a promise does not count, found by search rather than by walking through a ticket's whole life.

A ticket that is solved and reopened a thousand times has a thousand promises, each with a thousand pauses behind it: they
share one table with running totals, and each looks through its own window. Instants are microseconds.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import overload

from msgspec import Struct

from shared.contract.tickets import Status
from shared.sla.calendar import NEVER, Calendar

Statuses = Sequence[tuple[int, Status]]
"""How a ticket stood from when on."""


class Pause(Struct, frozen=True, gc=False):
    """A stretch that does not count."""

    since: int
    until: int | None
    """None while it lasts."""


class Table:
    """All stretches of a ticket in some statuses, ascending and apart: one after the other is one (rule 35)."""

    __slots__ = ("_totals", "sinces", "untils")

    def __init__(self, statuses: Statuses, pausing: frozenset[Status]) -> None:
        self.sinces: list[int] = []
        self.untils: list[int] = []
        """NEVER for one that lasts."""
        self._totals: dict[Calendar, tuple[list[int], list[int]]] = {}
        since: int | None = None
        for at, status in statuses:
            if status in pausing:
                if since is None:
                    since = at
            elif since is not None:
                self._add(since, at)
                since = None
        if since is not None:
            self._add(since, NEVER)

    def _add(self, since: int, until: int) -> None:
        if until <= since:
            return
        if self.untils and self.untils[-1] == since:
            self.untils[-1] = until
        else:
            self.sinces.append(since)
            self.untils.append(until)

    def totals(self, calendar: Calendar) -> tuple[list[int], list[int]]:
        """Of each stretch: the open time in those before it, and the position of its start less that; both ascending."""
        found = self._totals.get(calendar)
        if found is None:
            position, paused = calendar.position, 0
            before, counted = [], []
            for since, until in zip(self.sinces, self.untils, strict=True):
                start = position(since)
                before.append(paused)
                counted.append(start - paused)
                if until < NEVER:
                    paused += position(until) - start
            found = self._totals[calendar] = before, counted
        return found


class Pauses(Sequence[Pause]):
    """The part of a table that lies between two instants, cut to them."""

    __slots__ = ("_end", "_first", "_start", "_stop", "_table")

    def __init__(self, table: Table, start: int, end: int | None) -> None:
        """Without an end it goes on for ever."""
        self._table = table
        self._start = start
        self._end = end
        self._first = bisect_right(table.untils, start)
        self._stop = len(table.sinces) if end is None else bisect_left(table.sinces, end)
        if end is not None and end <= start:
            self._stop = self._first

    def __len__(self) -> int:
        """How many there are."""
        return max(self._stop - self._first, 0)

    def __iter__(self) -> Iterator[Pause]:
        """In their order."""
        return (self._pause(i) for i in range(self._first, self._stop))

    @overload
    def __getitem__(self, index: int) -> Pause: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Pause]: ...
    def __getitem__(self, index: int | slice) -> Pause | Sequence[Pause]:
        """One of them, or some."""
        within = range(self._first, self._stop)
        if isinstance(index, slice):
            return [self._pause(i) for i in within[index]]
        return self._pause(within[index])

    def after(self, start: int) -> "Pauses":
        """Those after a later start."""
        return Pauses(self._table, max(start, self._start), self._end)

    def end_of(self, at: int) -> int:
        """When the pause in which an instant lies is over, NEVER if it lasts; the instant itself where it lies in none."""
        i = bisect_right(self._table.sinces, at, self._first, self._stop) - 1
        if i < self._first:
            return at
        until = self._until(i)
        return max(at, until)

    def reached(self, calendar: Calendar, position: int, at: int) -> int:
        """When a position (`at`, were nothing paused) is reached under the pauses; NEVER while the last of them lasts."""
        first, last = self._first, self._stop - 1
        if last < first:
            return at
        i, paused = first, 0
        if last > first:
            _, counted = self._table.totals(calendar)
            skipped = position - self._before_first(calendar)
            i = max(bisect_left(counted, skipped, first + 1, last) - 1, first)
            if i > first:
                paused = self._paused_before(calendar, i)
                at = max(calendar.instant(position + paused) if paused else at, self._until(i - 1))
        while i <= last:
            since, until = self._since(i), self._until(i)
            if at < since:
                break
            if until >= NEVER:
                return NEVER
            paused += calendar.position(until) - calendar.position(since)
            at = max(calendar.instant(position + paused) if paused else at, until)
            i += 1
        return at

    def open_time(self, calendar: Calendar, end: int) -> int:
        """The open time in them up to an instant."""
        i = bisect_left(self._table.sinces, end, self._first, self._stop) - 1
        if i < self._first or end <= self._start:
            return 0
        last = calendar.position(min(self._until(i), end)) - calendar.position(self._since(i))
        return self._paused_before(calendar, i) + last

    def _pause(self, i: int) -> Pause:
        until = self._until(i)
        return Pause(self._since(i), None if until >= NEVER else until)

    def _since(self, i: int) -> int:
        return max(self._table.sinces[i], self._start)

    def _until(self, i: int) -> int:
        until = self._table.untils[i]
        return until if self._end is None else min(until, self._end)

    def _before_first(self, calendar: Calendar) -> int:
        """The open time in the table before the start of these."""
        before, _ = self._table.totals(calendar)
        first, since = self._first, self._table.sinces[self._first]
        cut = calendar.position(self._start) - calendar.position(since) if since < self._start else 0
        return before[first] + cut

    def _paused_before(self, calendar: Calendar, i: int) -> int:
        """The open time in those of these that come before one."""
        if i == self._first:
            return 0
        return self._table.totals(calendar)[0][i] - self._before_first(calendar)


NONE = Pauses(Table((), frozenset()), 0, None)
"""Nothing is paused."""
