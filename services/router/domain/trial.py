"""What a candidate policy makes of one ticket: the same fold as for the policy in force, and nobody is told.

Pure: the log and the candidate's clocks as they are stored go in; its clocks now, and the outcomes that are new, come out.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from services.router.domain.classify import judge
from shared.contract.events import PolicyChanged, TicketEvent
from shared.contract.tickets import Channel, ClockState, TargetKind, Urgency
from shared.policy.document import Policy
from shared.sla import clock as clock_time
from shared.sla import timeline
from shared.sla.clock import Change, Clock


class Outcome(Struct, frozen=True):
    """A promise kept or broken, as the metric of outcomes counts it."""

    target: TargetKind
    channel: Channel
    urgency: Urgency
    change: Change
    """`met`, in time, or `breached`."""


class Trial(Struct, frozen=True, kw_only=True):
    """A ticket under the candidate."""

    clocks: tuple[Clock, ...]
    outcomes: tuple[Outcome, ...]
    """Those that are news since the clocks that were stored."""


def try_on(candidate: Policy, log: Sequence[TicketEvent], stored: Sequence[Clock], now: datetime) -> Trial:
    """Judge a ticket as though the candidate had held since its opening, up to `now`.

    Other versions that reached the live ticket meanwhile are no business of the candidate's.
    """
    classified = judge(candidate)
    events = [event for event in log if not isinstance(event.data, PolicyChanged)]
    evaluation = timeline.place(events, classified.policy, classified.classify, now)
    joined, changes = timeline.reconcile(
        stored, [_silent(clock) for clock in evaluation.clocks], now, keeps_finished=False
    )
    kept = {(clock.target, clock.cycle) for clock in stored if clock.state is ClockState.MET}
    news = [
        (change, clock)
        for change, clock in changes
        if _counts(change, clock) and not (change is Change.MET and (clock.target, clock.cycle) in kept)
    ]
    clocks = []
    for placed in joined:
        clock, passed = clock_time.advance(placed, now)
        clocks.append(clock)
        news += [(change, clock) for change in passed if _counts(change, clock)]
    verdict = evaluation.classification
    channel = verdict.channel if verdict else Channel.OTHER
    urgency = verdict.urgency if verdict else Urgency.NORMAL
    return Trial(
        clocks=tuple(clocks),
        outcomes=tuple(Outcome(clock.target, channel, urgency, change) for change, clock in news),
    )


def _silent(clock: Clock) -> Clock:
    """A clock that warns nobody and climbs no ladder."""
    return replace(clock, calendar="", warn_at=(), warned=0, warned_at=None, escalate=None)


def _counts(change: Change, clock: Clock) -> bool:
    """A promise that was kept late was counted as broken already, at its deadline."""
    return change is Change.BREACHED or (change is Change.MET and clock.state is ClockState.MET)
