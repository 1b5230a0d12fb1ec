"""`data` of the events this service publishes: `sla.<tenant>.escalation.*` and `sla.<tenant>.page.*`."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from shared.contract.help import About


class EscalationUnheard(Struct, frozen=True, kw_only=True):
    """A ticket needs somebody, and the policy has no escalation by which anybody could be told."""

    source: str
    ticket: str
    channel: str
    urgency: str
    target: str
    reason: str
    about: About
    at: datetime


class SkippedStep(Struct, frozen=True, kw_only=True):
    """A step that paged nobody, and why: `late`, `gap` or `same_people`."""

    loop: int
    step: int
    reason: str


class PagedPerson(Struct, frozen=True, kw_only=True):
    """Whom a step pages."""

    page: UUID
    recipient: str
    person: str | None
    method: str


class EscalationStepped(Struct, frozen=True, kw_only=True):
    """A step was taken; of `escalation.exhausted`, the last one."""

    escalation: UUID
    generation: int
    source: str
    ticket: str
    target: str
    cycle: int
    reason: str
    kind: str
    loop: int
    step: int
    at: datetime
    planned_at: datetime
    next_step_at: datetime | None
    paged: tuple[PagedPerson, ...]
    skipped: tuple[SkippedStep, ...]


class EscalationAcknowledged(Struct, frozen=True, kw_only=True):
    """Somebody takes responsibility."""

    escalation: UUID
    generation: int
    source: str
    ticket: str
    target: str
    cycle: int
    by: str
    at: datetime
    page: UUID | None


class EscalationAnswered(Struct, frozen=True, kw_only=True):
    """One of those whom a step asks one and all has acknowledged; the others are paged on (R6)."""

    escalation: UUID
    generation: int
    source: str
    ticket: str
    target: str
    cycle: int
    by: str
    at: datetime
    page: UUID | None
    waits_for: tuple[str, ...]
    """Who hasn't answered yet."""


class EscalationSnoozed(Struct, frozen=True, kw_only=True):
    """Whoever took responsibility wants to be paged again then, if it isn't over (R16)."""

    escalation: UUID
    generation: int
    source: str
    ticket: str
    target: str
    cycle: int
    by: str
    at: datetime
    page: UUID | None
    wakes_at: datetime


class EscalationHandedBack(Struct, frozen=True, kw_only=True):
    """Whoever took responsibility gave it back: the next step pages now."""

    escalation: UUID
    generation: int
    source: str
    ticket: str
    target: str
    cycle: int
    by: str
    at: datetime
    page: UUID | None
    loop: int
    step: int
    """The step that follows."""


class PageConcluded(Struct, frozen=True, kw_only=True):
    """A page was accepted by its provider, or given up."""

    page: UUID
    escalation: UUID | None
    """None of a page about a group, or about ourselves."""
    source: str
    ticket: str
    """Of a page about a group: the worst of them."""
    kind: str
    loop: int
    step: int
    recipient: str
    person: str | None
    method: str
    attempts: int
    due_at: datetime
    at: datetime
    detail: str | None = None
    group: UUID | None = None
    """What it was told together with."""
    tells: int = 1
    """How many escalations it tells of."""


class PageReplayed(Struct, frozen=True, kw_only=True):
    """Somebody wants a page tried anew that was given up."""

    page: UUID
    kind: str
    ticket: str
    recipient: str
    person: str | None
    method: str
    attempts: int
    """So far."""
    at: datetime


class FollowUpDue(Struct, frozen=True, kw_only=True):
    """The customer of a solved ticket is to be asked whether it is well; said when it is warned of, and again when late."""

    source: str
    ticket: str
    channel: str
    cycle: int
    solved_at: datetime
    due_at: datetime | None
    is_late: bool


class CustomerNoticeDue(Struct, frozen=True, kw_only=True):
    """What the helpdesk should now say to the customer."""

    source: str
    ticket: str
    channel: str
    urgency: str
    target: str
    cycle: int
    is_late: bool
    due_at: datetime | None
    """When the promise was, or is, due."""
    what_happened: str
    what_happens_next: str
    by_when: datetime | None
    """When the next promise to them is due; null where none runs."""
    responsible: str | None
    """Key of the agent who owns the ticket; null where nobody does."""


class EscalationWoken(Struct, frozen=True, kw_only=True):
    """One that was acknowledged goes up again: its snooze is over, or nothing came of it for too long."""

    escalation: UUID
    generation: int
    source: str
    ticket: str
    target: str
    cycle: int
    wakes_for: str
    """`snooze` or `silence`."""
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    loop: int
    step: int
    at: datetime


class EscalationExpired(Struct, frozen=True, kw_only=True):
    """Nobody ended it in time, so it ended by itself; somebody is alarmed."""

    escalation: UUID
    generation: int
    source: str
    ticket: str
    target: str
    cycle: int
    opened_at: datetime
    acknowledged_by: str | None
    at: datetime
    alarmed: tuple[PagedPerson, ...]


class EscalationHandedOver(Struct, frozen=True, kw_only=True):
    """A shift ended: whoever came is paged, or told of what somebody has acknowledged and might hand over."""

    escalation: UUID
    generation: int
    source: str
    ticket: str
    target: str
    cycle: int
    left: tuple[str, ...]
    """Whose shift is over."""
    acknowledged_by: str | None
    paged: tuple[PagedPerson, ...]
    at: datetime


class EscalationRaised(Struct, frozen=True, kw_only=True):
    """Somebody sent it up by hand: the next level is paged now."""

    escalation: UUID
    generation: int
    source: str
    ticket: str
    target: str
    cycle: int
    was: str
    """How it stood: `open`, `acknowledged` or `exhausted`."""
    by: str
    said: str | None
    loop: int
    step: int
    at: datetime


class EscalationResumed(Struct, frozen=True, kw_only=True):
    """What was over came back so soon that nobody is paged anew: it goes on where it was (R18)."""

    escalation: UUID
    generation: int
    source: str
    ticket: str
    target: str
    cycle: int
    before: UUID
    """The escalation that it goes on with."""
    state: str
    acknowledged_by: str | None
    next_step_at: datetime | None
    copied: tuple[PagedPerson, ...]
    """Who is told of it, without being asked for anything."""
    at: datetime
