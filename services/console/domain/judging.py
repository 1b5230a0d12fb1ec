"""One ticket judged offline: its log and a policy in, the line that `deskclock evaluate` answers out.

The fold is the services' own (`shared.sla.timeline`); here its clocks are only put into words.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

import msgspec
from msgspec import Struct

from services.router.domain.classify import classify
from shared.contract.events import Opened, Replied, StatusChanged, TicketEvent
from shared.contract.tickets import Status
from shared.policy.document import Policy
from shared.sla import timeline
from shared.sla.clock import Clock

_PLAIN = (Opened, Replied)
"""Events that neither pause a clock nor move its origin."""
_NOTHING = timedelta()


class EvaluatedClock(Struct, frozen=True, kw_only=True):
    """One promise of an evaluated ticket; instants are UTC, null where they have not come."""

    target: str
    cycle: int
    matched: str
    """Name of the target line that promised it."""
    state: str
    started_at: datetime
    due_at: datetime | None
    met_at: datetime | None
    breached_at: datetime | None
    ended_at: datetime | None
    """When it was met or became moot."""
    open_seconds: float
    """Open time used, without pauses: up to the end of the clock, or up to now."""
    wall_seconds: float
    """Time on the wall since `started_at`, up to the same instant."""


class Evaluated(Struct, frozen=True, kw_only=True):
    """One line of the answer. Without an `opened` event there is nothing to judge: `channel` and `urgency` are null."""

    source: str
    ticket: str
    urgency: str | None
    channel: str | None
    status: str
    clocks: list[EvaluatedClock]


def judge(log: Sequence[TicketEvent], policy: Policy, now: datetime) -> Evaluated:
    """All promises of one ticket as of `now`; events in any order, at least one.

    Events dated after `now` are taken as known, as the fold takes them.
    """
    evaluation = timeline.evaluate(log, policy.sla, partial(classify, policy), now)
    verdict = evaluation.classification
    clocks = evaluation.clocks
    is_known = all(_has_used(clock) or _has_only_run(clock, log) for clock in clocks)
    used = {} if is_known else _used(log, policy, now)
    return Evaluated(
        source=log[0].source,
        ticket=log[0].ticket,
        urgency=verdict.urgency if verdict else None,
        channel=verdict.channel if verdict else None,
        status=evaluation.status,
        clocks=[_clock(clock, used.get((clock.target, clock.cycle)), policy, now) for clock in clocks],
    )


def _has_used(clock: Clock) -> bool:
    """The fold says itself how much open time a clock used once it has ended, or while it is paused."""
    return clock.is_finished or clock.due_at is None


def _has_only_run(clock: Clock, log: Sequence[TicketEvent]) -> bool:
    """A first cycle that no change of terms began, and that nothing since can have paused or moved."""
    started = clock.started_at
    return clock.cycle == 1 and all(isinstance(event.data, _PLAIN) or event.occurred_at < started for event in log)


def _used(log: Sequence[TicketEvent], policy: Policy, now: datetime) -> dict[tuple[str, int], timedelta]:
    """Open time used by each clock up to `now`: what the fold would say if the ticket were withdrawn at that instant."""
    first = log[0]
    withdrawn = TicketEvent(
        tenant=first.tenant,
        id="\uffff withdrawn",
        source=first.source,
        ticket=first.ticket,
        occurred_at=now,
        data=StatusChanged(status=Status.SPAM),
    )
    known = [event for event in log if event.occurred_at <= now]
    folded = timeline.place([*known, withdrawn], policy.sla, partial(classify, policy), now)
    return {(clock.target, clock.cycle): clock.open_used for clock in folded.clocks}


def _clock(clock: Clock, used: timedelta | None, policy: Policy, now: datetime) -> EvaluatedClock:
    if _has_used(clock):
        used = clock.open_used
    elif used is None:
        used = policy.sla.calendars[clock.calendar].between(clock.started_at, max(now, clock.started_at))
    until = clock.ended_at or now
    return EvaluatedClock(
        target=clock.target,
        cycle=clock.cycle,
        matched=clock.matched,
        state=clock.state,
        started_at=clock.started_at,
        due_at=clock.due_at,
        met_at=clock.met_at,
        breached_at=clock.breached_at,
        ended_at=clock.ended_at,
        open_seconds=used.total_seconds(),
        wall_seconds=max(until - clock.started_at, _NOTHING).total_seconds(),
    )


def encode(evaluated: Evaluated) -> bytes:
    """The line, without its end."""
    return _encoder.encode(evaluated)


_encoder = msgspec.json.Encoder()
