"""What the board shows at one instant, as plain data: the store reads it, the views draw it."""

from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct


class TicketCount(Struct, frozen=True, kw_only=True):
    """Tickets of one channel and urgency that are not over."""

    channel: str
    urgency: str
    open: int
    waiting: int
    """In the queue, without an owner."""
    owned: int


class ClockCount(Struct, frozen=True, kw_only=True):
    """Promises of one target: those that run, and what became of those that ended."""

    target: str
    calm: int = 0
    at_risk: int = 0
    late: int = 0
    """Past due, and still unanswered."""
    paused: int = 0
    kept: int = 0
    broken: int = 0
    """Ended after their due time; `late` ones come on top."""

    @property
    def attainment(self) -> float | None:
        """Share of the judged promises that were kept; None before the first is judged."""
        judged = self.kept + self.broken + self.late
        return self.kept / judged if judged else None


class DueSoon(Struct, frozen=True, kw_only=True):
    """A clock that is about to come due, or was not long ago."""

    external_id: str
    channel: str
    urgency: str
    target: str
    due_at: datetime
    is_warned: bool
    owner: str | None


class AgentLoad(Struct, frozen=True, kw_only=True):
    """Somebody who works tickets."""

    key: str
    name: str
    status: str
    capacity: int
    primary_used: int
    interruptible_used: int
    over_capacity: bool
    tickets: int

    @property
    def used(self) -> int:
        """Units of work, interruptible work included."""
        return self.primary_used + self.interruptible_used

    @property
    def share(self) -> float:
        """Units used of the capacity; above 1 where interruptible work comes on top."""
        return self.used / self.capacity if self.capacity else 0.0


class Waiting(Struct, frozen=True, kw_only=True):
    """Tickets that wait for the same reason."""

    reason: str
    tickets: int
    oldest_at: datetime


class PageLine(Struct, frozen=True, kw_only=True):
    """One page, and what became of it."""

    id: UUID
    kind: str
    state: str
    step: int
    recipient: str
    person: str | None
    external_id: str
    target: str
    reason: str
    due_at: datetime
    accepted_at: datetime | None
    acknowledged_at: datetime | None


class PageTotals(Struct, frozen=True, kw_only=True):
    """All pages so far."""

    pages: int = 0
    warnings: int = 0
    accepted: int = 0
    acknowledged: int = 0
    failed: int = 0
    moot: int = 0
    """Pages whose ticket was answered before they were delivered."""


class Snapshot(Struct, frozen=True, kw_only=True):
    """One tenant at one instant."""

    now: datetime
    rate: float
    """Seconds of the deciding time that pass in one; 1 unless the clock is warped."""
    total: int = 0
    over: int = 0
    tickets: tuple[TicketCount, ...] = ()
    clocks: tuple[ClockCount, ...] = ()
    due: tuple[DueSoon, ...] = ()
    late: tuple[DueSoon, ...] = ()
    """Broken last and still unanswered, the newest first."""
    agents: tuple[AgentLoad, ...] = ()
    queue: tuple[Waiting, ...] = ()
    escalations: dict[str, int] = {}
    pages: tuple[PageLine, ...] = ()
    page_totals: PageTotals = PageTotals()

    @property
    def open(self) -> int:
        """Tickets that are not over."""
        return sum(count.open for count in self.tickets)

    @property
    def waiting(self) -> int:
        """Tickets in the queue."""
        return sum(count.waiting for count in self.tickets)

    @property
    def oldest_wait(self) -> timedelta | None:
        """How long the ticket that waits longest has waited."""
        return max((self.now - line.oldest_at for line in self.queue), default=None)
