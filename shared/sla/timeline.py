"""The fold: a ticket's events and a policy version in, every clock out.

`place` folds the events; `clock.advance` lets time act on what is still running; `evaluate` is both. Intake stores what
`place` says, reconciled with what had already fired; firing advances the stored rows. No other SLA arithmetic exists.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from shared.contract.events import TicketEvent
from shared.contract.tickets import Status, TargetKind
from shared.sla import clock as clock_time
from shared.sla import placing, story
from shared.sla.calendar import to_instant
from shared.sla.clock import Clock
from shared.sla.fields import Classification, Facts, Fields
from shared.sla.policy import Classify, Judge, SlaPolicy
from shared.sla.reconciling import reconcile

__all__ = ["Classify", "Evaluation", "Facts", "Judge", "evaluate", "place", "reconcile"]

_TARGET_ORDER = {kind: place for place, kind in enumerate(TargetKind)}


class Evaluation(Struct, frozen=True, kw_only=True):
    """One ticket as its log tells it."""

    clocks: tuple[Clock, ...]
    """In the order of their start, then target and cycle; finished ones too."""
    status: Status
    opened_at: datetime | None
    """None while only later events have arrived: then there are no clocks yet."""
    facts: Facts | None
    fields: Fields | None
    classification: Classification | None
    matched: str | None
    """Name of the present target line; None is an explicit `no_target`."""
    solved_at: datetime | None = None
    """When it was last solved or closed; None once it is reopened."""
    assigned_by_hand: str | None = None
    """The agent of the last `assigned` event since it was last over, if any."""
    policy_version: int | None = None
    """The version that judges it now."""


_NONE_LATER: Mapping[int, Judge] = {}


def place(
    events: Sequence[TicketEvent],
    policy: SlaPolicy,
    classify: Classify,
    now: datetime,
    later: Mapping[int, Judge] = _NONE_LATER,
) -> Evaluation:
    """Fold the events, in whatever order they came; clocks that are still running are left as the last event put them.

    `policy` and `classify` judge the ticket from its opening on, `later` has the versions that its events name.
    A promise that was late before an event ended it is `breached` with both instants, noticed `now`.
    """
    told = story.tell(events, Judge(policy, classify), later)
    if told is None:
        return _unopened(events)
    placed = [item.clock for item in placing.all_clocks(told, now)]
    if len(placed) > 1:
        placed.sort(key=_order)
    line = told.line
    return Evaluation(
        clocks=tuple(placed),
        status=told.status,
        opened_at=told.opened_at,
        facts=told.facts,
        fields=told.fields,
        classification=told.classification,
        matched=None if line is None else line.target.name,
        solved_at=None if told.solved_at is None else to_instant(told.solved_at),
        assigned_by_hand=told.agent,
        policy_version=told.judge.policy.version,
    )


def evaluate(
    events: Sequence[TicketEvent],
    policy: SlaPolicy,
    classify: Classify,
    now: datetime,
    later: Mapping[int, Judge] = _NONE_LATER,
) -> Evaluation:
    """`place` the events and let time act on the running clocks up to `now`."""
    placed = place(events, policy, classify, now, later)
    return replace(placed, clocks=tuple(clock_time.advance(clock, now)[0] for clock in placed.clocks))


def _order(clock: Clock) -> tuple[datetime, int, int]:
    return clock.started_at, _TARGET_ORDER[clock.target], clock.cycle


def _unopened(events: Sequence[TicketEvent]) -> Evaluation:
    return Evaluation(
        clocks=(),
        status=story.last_status(events),
        opened_at=None,
        facts=None,
        fields=None,
        classification=None,
        matched=None,
        assigned_by_hand=story.last_agent(events),
    )
