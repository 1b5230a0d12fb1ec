"""The fold: a ticket's events and a policy version in, every clock out.

`place` folds the events; `clock.advance` lets time act on what is still running; `evaluate` is both. Intake stores what
`place` says, reconciled with what had already fired; firing advances the stored rows. No other SLA arithmetic exists.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from msgspec import Struct

from shared.contract.events import TicketEvent
from shared.contract.tickets import Status, Urgency
from shared.sla.clock import Change, Clock
from shared.sla.fields import Classification, Fields
from shared.sla.policy import SlaPolicy


class Facts(Struct, frozen=True, kw_only=True):
    """What the helpdesk said of a ticket, up to one instant; what `classify` judges."""

    source: str
    channel: str
    """As the helpdesk writes it; the policy's aliases make it one of ours."""
    urgency: Urgency | None = None
    subject: str = ""
    text: str = ""
    language: str = ""
    requester_key: str = ""
    requester_tier: str = ""
    attributes: dict[str, Any] = {}


Classify: TypeAlias = Callable[[Facts], Classification]


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
    assigned_by_hand: str | None = None
    """The agent of the last `assigned` event, if any."""


def place(events: Sequence[TicketEvent], policy: SlaPolicy, classify: Classify, now: datetime) -> Evaluation:
    """Fold the events, in whatever order they came; clocks that are still running are left as the last event put them."""
    raise NotImplementedError


def evaluate(events: Sequence[TicketEvent], policy: SlaPolicy, classify: Classify, now: datetime) -> Evaluation:
    """Fold the events and let time act on the running clocks up to `now`."""
    raise NotImplementedError


def reconcile(before: Sequence[Clock], placed: Sequence[Clock], now: datetime) -> tuple[tuple[Clock, ...], tuple[tuple[Change, Clock], ...]]:
    """Join what is stored with what the fold says: fired warnings and breaches are kept while their due time stands.

    Returns the clocks to store and what changed, in order. A breach whose deadline moved away, or that a late event
    shows was met in time, is `breach_retracted`; a stored clock that the fold no longer knows is `cancelled`.
    """
    raise NotImplementedError
