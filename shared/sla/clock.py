"""One promise on one ticket, and the only transitions time can make on it.

`advance` is the second half of the fold: `timeline.evaluate` places a clock by the ticket's events and then calls it;
firing calls it again on the stored row when time has passed. So both give the same answer for the same instant.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from shared.contract.tickets import ClockState, TargetKind


class Clock(Struct, frozen=True, kw_only=True, gc=False):
    """A clock as the fold leaves it; one row of the table `clock` (or `clock_finished`). Instants are aware UTC."""

    target: TargetKind
    cycle: int
    """1 for the first; `next_response`, `update` and reopened `resolution` count on."""
    matched: str
    """Name of the policy's target line that promised it."""
    policy_version: int
    calendar: str
    state: ClockState
    started_at: datetime
    due_at: datetime | None
    """None while paused."""
    late_from: datetime | None = None
    """Where it is late from another instant than `due_at`: a change or a resume that found the due time passed (rules 39, 51)."""
    warn_at: tuple[datetime, ...] = ()
    """Instants of the warnings for the present due time, ascending; empty while paused."""
    warned: int = 0
    """How many warnings of this cycle are behind us, fired or skipped; never falls while the due time stands."""
    warned_at: datetime | None = None
    breached_at: datetime | None = None
    """The instant from which it was late: `late_from`, else the due time. Stays after a late answer."""
    detected_at: datetime | None = None
    """When we noticed the breach; what `breached_at` is late by is our own lag."""
    met_at: datetime | None = None
    """When the promise was kept, in time or late."""
    ended_at: datetime | None = None
    """When the clock left the running ones: met, or cancelled."""
    open_used: timedelta = timedelta()
    """Open time used up to `ended_at`, or up to the start of the present pause; zero while it runs."""
    escalate: str | None = None
    """The ladder to climb when it warns or breaks."""

    @property
    def is_finished(self) -> bool:
        """No event or passing of time concerns it any more, but for one that arrives late."""
        return self.ended_at is not None

    @property
    def next_fire_at(self) -> datetime | None:
        """The next instant at which time alone changes this clock, or None."""
        if self.state is not ClockState.RUNNING or self.ended_at is not None or self.due_at is None:
            return None
        breaks_at = self.late_from or self.due_at
        if self.warned < len(self.warn_at):
            return min(self.warn_at[self.warned], breaks_at)
        return breaks_at

    @property
    def breaks_at(self) -> datetime | None:
        """The instant after which the promise is broken; None while nothing is due."""
        return self.late_from or self.due_at


class Change(StrEnum):
    """What became of a clock: the last words of our own `clock.*` events."""

    STARTED = "started"
    DUE_CHANGED = "due_changed"
    """The due time moved; it has none while the clock is paused."""
    WARNED = "warned"
    MET = "met"
    """What was promised was done; in time by the clock's `state`, or late where that says `breached`."""
    BREACHED = "breached"
    BREACH_RETRACTED = "breach_retracted"
    """A breach that was announced did not happen: a late event says so."""
    CANCELLED = "cancelled"


def advance(clock: Clock, now: datetime) -> tuple[Clock, tuple[Change, ...]]:
    """Let time act on a clock up to `now`: what it is then, and what happened on the way.

    It warns at a warning's instant and breaks after its due time: an answer at the due time is in time (rule 47).
    Of several warnings passed at once only the last fires; where it broke too, none does (rule 61). Those count as `warned`.
    """
    fires_at, breaks_at = clock.next_fire_at, clock.breaks_at
    if fires_at is None or breaks_at is None or now < fires_at:
        return clock, ()
    if now > breaks_at:
        broken = replace(
            clock,
            state=ClockState.BREACHED,
            warned=len(clock.warn_at),
            breached_at=breaks_at,
            detected_at=now,
        )
        return broken, (Change.BREACHED,)
    passed = sum(at <= now for at in clock.warn_at)
    if passed <= clock.warned:
        return clock, ()
    return replace(clock, warned=passed, warned_at=clock.warn_at[passed - 1]), (Change.WARNED,)
