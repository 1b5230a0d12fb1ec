"""Joins what is stored of a ticket's clocks with what the fold says now.

What has fired stays fired while the due time it fired for stands; what the fold takes back is taken back aloud
(rule 41). A cycle that finished before a version came to hold as though it always had keeps its outcome (rule 53).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

from msgspec.structs import replace

from shared.contract.tickets import ClockState
from shared.sla.clock import Change, Clock

Changes: TypeAlias = tuple[Change, ...]


def reconcile(
    before: Sequence[Clock], placed: Sequence[Clock], now: datetime, *, keeps_finished: bool = True
) -> tuple[tuple[Clock, ...], tuple[tuple[Change, Clock], ...]]:
    """Join what is stored with what the fold says: fired warnings and breaches are kept while their due time stands.

    Returns the clocks to store and what changed, in order. A breach whose deadline moved away, or that a late event
    shows was met in time, is `breach_retracted`; a stored clock that the fold no longer knows is `cancelled`.
    With `keeps_finished`, one that finished under a version that the fold does not judge it by stays as it is. That is for
    logs in which a version holds from before it was applied; in others the fold judges each cycle by its own version.
    """
    stored = {(clock.target, clock.cycle): clock for clock in before}
    clocks: list[Clock] = []
    news: list[tuple[Change, Clock]] = []
    for clock in placed:
        known = stored.pop((clock.target, clock.cycle), None)
        if known is None:
            joined, changes = _begun(clock)
        elif keeps_finished and known.is_finished and known.policy_version != clock.policy_version:
            joined, changes = known, ()
        else:
            joined, changes = _joined(known, clock, now)
        clocks.append(joined)
        news += [(change, joined) for change in changes]
    versions = {clock.policy_version for clock in placed}
    for known in stored.values():
        if keeps_finished and known.is_finished and known.policy_version not in versions:
            clocks.append(known)
            continue
        withdrawn, changes = _withdrawn(known, now)
        clocks.append(withdrawn)
        news += [(change, withdrawn) for change in changes]
    return tuple(clocks), tuple(news)


def _begun(clock: Clock) -> tuple[Clock, Changes]:
    """A clock that is new; its whole life may be over already."""
    if not clock.is_finished:
        return clock, (Change.STARTED,)
    if clock.breached_at is not None:
        return clock, (Change.STARTED, Change.BREACHED, _ending(clock))
    return clock, (Change.STARTED, _ending(clock))


def _joined(known: Clock, clock: Clock, now: datetime) -> tuple[Clock, Changes]:
    if clock.is_finished:
        return _ended(known, clock)
    if known.breached_at is not None and not known.is_finished:
        return _late(known, clock, now)
    warned = max(clock.warned, _still_warned(known, clock))
    joined = replace(clock, warned=warned, warned_at=known.warned_at if warned else None)
    if known.is_finished:
        # It goes on after all. A breach is taken back even if it stands: it fires again, and somebody is paged again.
        resumed = Change.STARTED if known.state is ClockState.CANCELLED else Change.DUE_CHANGED
        return joined, (resumed,) if known.breached_at is None else (Change.BREACH_RETRACTED, resumed)
    moved = (known.due_at, known.late_from) != (clock.due_at, clock.late_from)
    return joined, (Change.DUE_CHANGED,) if moved else ()


def _late(known: Clock, clock: Clock, now: datetime) -> tuple[Clock, Changes]:
    """A breach that fired, and a clock that goes on: does the breach stand?

    `now` may lie before the instant at which it was noticed, when the time that decides has jumped back (R33).
    """
    breaks_at = clock.breaks_at
    if breaks_at is None or breaks_at >= max(now, known.detected_at or now):
        warned = max(clock.warned, _still_warned(known, clock))
        return replace(clock, warned=warned, warned_at=known.warned_at if warned else None), (Change.BREACH_RETRACTED,)
    joined = replace(
        clock,
        state=ClockState.BREACHED,
        warned=len(clock.warn_at),
        warned_at=known.warned_at,
        breached_at=breaks_at,
        detected_at=known.detected_at,
    )
    return joined, () if known.due_at == clock.due_at else (Change.DUE_CHANGED,)


def _ended(known: Clock, clock: Clock) -> tuple[Clock, Changes]:
    """A clock that the fold finished: what of that is news?"""
    detected_at = (
        known.detected_at if known.breached_at is not None and clock.breached_at is not None else clock.detected_at
    )
    joined = replace(clock, warned=known.warned, warned_at=known.warned_at, detected_at=detected_at)
    changes: list[Change] = []
    if known.breached_at is not None and clock.breached_at is None:
        changes.append(Change.BREACH_RETRACTED)
    elif known.breached_at is None and clock.breached_at is not None:
        changes.append(Change.BREACHED)
    if (known.ended_at, known.met_at) != (clock.ended_at, clock.met_at) or changes:
        changes.append(_ending(clock))
    return joined, tuple(changes)


def _withdrawn(known: Clock, now: datetime) -> tuple[Clock, Changes]:
    """A stored clock of which the fold knows nothing: a late event shows that it never was."""
    if known.state is ClockState.CANCELLED and known.breached_at is None:
        return known, ()
    cancelled = replace(
        known,
        state=ClockState.CANCELLED,
        late_from=None,
        warn_at=(),
        breached_at=None,
        detected_at=None,
        met_at=None,
        ended_at=known.ended_at or now,
    )
    if known.breached_at is not None:
        return cancelled, (Change.BREACH_RETRACTED, Change.CANCELLED)
    return cancelled, (Change.CANCELLED,)


def _ending(clock: Clock) -> Change:
    return Change.CANCELLED if clock.state is ClockState.CANCELLED else Change.MET


def _still_warned(known: Clock, clock: Clock) -> int:
    """How many warnings of the clock are behind us: all up to the last one that fired or was skipped."""
    if not known.warn_at:
        return min(known.warned, len(clock.warn_at)) if clock.warn_at else known.warned
    if not known.warned:
        return 0
    if not clock.warn_at:
        return known.warned
    last = known.warn_at[min(known.warned, len(known.warn_at)) - 1]
    return sum(at <= last for at in clock.warn_at)
