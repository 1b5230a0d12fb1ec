"""Tickets that wait for the same people, in the order of one policy.

A line drops what no longer waits when it comes up, so giving a ticket to somebody needs no search. A ticket that comes back
joins anew, maybe another line: `Job.token` tells which of its places is of today.
"""

from collections.abc import Callable
from datetime import datetime
from heapq import heappop, heappush
from typing import Any, Protocol, TypeAlias

from services.router.domain.queue import Band, QueueEntry
from tests.bench.routing.instants import instant
from tests.bench.routing.office import Job, State

Order: TypeAlias = tuple[Any, ...]
"""The smaller, the sooner; comparable within one policy."""
Ordered: TypeAlias = Callable[[Job], Order]
Placed: TypeAlias = Callable[[Job, float], QueueEntry]
"""The place of a ticket as it is at an instant."""


class Line(Protocol):
    """One of the lines of a policy."""

    def join(self, job: Job, now: float) -> None:
        """One more waits."""

    def head(self, now: float) -> tuple[Order, Job] | None:
        """The first and its place; None where nobody waits."""


class Fixed:
    """A line whose order never changes."""

    def __init__(self, order: Ordered) -> None:
        self._order = order
        self._heap: list[tuple[Order, int, int, Job]] = []

    def join(self, job: Job, now: float) -> None:
        """One more waits."""
        heappush(self._heap, (self._order(job), job.ticket.number, job.token, job))

    def head(self, now: float) -> tuple[Order, Job] | None:
        """The first and its place; None where nobody waits."""
        heap = self._heap
        while heap:
            order, number, token, job = heap[0]
            if job.state is State.WAITING and job.token == token:
                return (*order, number), job
            heappop(heap)
        return None


class Banded:
    """A line in the production order: a ticket is placed anew at the two instants at which its band changes."""

    def __init__(self, place: Placed) -> None:
        self._place = place
        self._heap: list[tuple[Order, int, Job, QueueEntry]] = []
        self._current: dict[int, QueueEntry] = {}
        self._timers: list[tuple[datetime, int, int, Job]] = []

    def join(self, job: Job, now: float) -> None:
        """One more waits."""
        self.add(job, self._place(job, now))

    def add(self, job: Job, entry: QueueEntry) -> None:
        """One more waits, at this place."""
        self._current[job.ticket.number] = entry
        heappush(self._heap, (entry.key, job.token, job, entry))
        if entry.band is not Band.RESCUE:
            at = entry.latest_start_at if entry.band is Band.SAVABLE else entry.rescue_at
            heappush(self._timers, (at, job.ticket.number, job.token, job))

    def head(self, now: float) -> tuple[Order, Job] | None:
        """The first and its place; None where nobody waits."""
        first = self.first(now)
        return None if first is None else (first[0].key, first[1])

    def first(self, now: float) -> tuple[QueueEntry, Job] | None:
        """The first as the matcher reads it."""
        if not self._heap:
            return None
        timers, at = self._timers, instant(now)
        while timers and timers[0][0] < at:
            _, _, token, job = heappop(timers)
            if job.state is State.WAITING and job.token == token:
                self.join(job, now)
        heap, current = self._heap, self._current
        while heap:
            _, token, job, entry = heap[0]
            if job.state is State.WAITING and job.token == token and current[job.ticket.number] is entry:
                return entry, job
            heappop(heap)
        return None
