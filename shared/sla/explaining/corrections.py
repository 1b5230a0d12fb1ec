"""Breaches that we took for real until an event arrived late and said otherwise (rule 41).

Found by folding what was known just before such an arrival, and what was known after it, with the functions that
intake and firing call.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from shared.contract.events import TicketEvent
from shared.sla import story, timeline
from shared.sla.clock import Change
from shared.sla.explaining import causes
from shared.sla.explaining.explained import Cause, Turn, Turning
from shared.sla.explaining.history import Key
from shared.sla.policy import Judge
from shared.sla.reconciling import reconcile

WORK = 10_000
"""Events that are folded for this, all in all: half of them before an arrival, half after it."""


def retractions(
    log: Sequence[TicketEvent],
    judge: Judge,
    later: Mapping[int, Judge],
    now: datetime,
    arrivals: Mapping[str, datetime],
) -> tuple[dict[Key, list[Turning]], int]:
    """The breaches that were taken back, by clock; and how many late events could not be looked at."""
    groups: dict[datetime, list[TicketEvent]] = {}
    for event in log:
        arrived = arrivals.get(event.id)
        if arrived is not None and arrived <= now and arrived - event.occurred_at > causes.LATE_AFTER:
            groups.setdefault(arrived, []).append(event)
    latest = sorted(groups, key=lambda arrived: arrived - min(event.occurred_at for event in groups[arrived]))
    looked_at = latest[max(len(latest) - WORK // (2 * len(log)), 0) :] if log else []
    unchecked = sum(len(groups[arrived]) for arrived in latest) - sum(len(groups[arrived]) for arrived in looked_at)
    found: dict[Key, list[Turning]] = {}
    for arrived in sorted(looked_at):
        for key, turning in _taken_back(log, judge, later, arrived, groups[arrived], arrivals):
            found.setdefault(key, []).append(turning)
    return found, unchecked


def _taken_back(
    log: Sequence[TicketEvent],
    judge: Judge,
    later: Mapping[int, Judge],
    arrived: datetime,
    late: Sequence[TicketEvent],
    arrivals: Mapping[str, datetime],
) -> list[tuple[Key, Turning]]:
    by_then = [event for event in log if arrivals.get(event.id, event.occurred_at) <= arrived]
    before = [event for event in by_then if arrivals.get(event.id, event.occurred_at) < arrived]
    believed = timeline.evaluate(before, judge.policy, judge.classify, arrived, later).clocks
    breached = {(clock.target, clock.cycle): clock.breached_at for clock in believed if clock.breached_at is not None}
    if not breached:
        return []
    placed = timeline.place(by_then, judge.policy, judge.classify, arrived, later).clocks
    found = []
    for change, clock in reconcile(believed, placed, arrived)[1]:
        if change is Change.BREACH_RETRACTED:
            turning = Turning(
                turn=Turn.BREACH_RETRACTED,
                at=arrived,
                taken_back=breached.get((clock.target, clock.cycle)),
                line=clock.matched,
                policy_version=clock.policy_version,
                cause=_cause(by_then, judge, later, late, arrivals),
            )
            found.append(((clock.target, clock.cycle), turning))
    return found


def _cause(
    log: Sequence[TicketEvent],
    judge: Judge,
    later: Mapping[int, Judge],
    late: Sequence[TicketEvent],
    arrivals: Mapping[str, datetime],
) -> Cause | None:
    """The earliest of what arrived together."""
    wanted = min(late, key=lambda event: event.occurred_at).id
    before: causes.Seen | None = None
    for told, event, _ in story.steps(log, judge, later):
        after = causes.seen(told)
        if event.id == wanted:
            return causes.cause(event, before, after, arrivals)
        before = after
    return None
