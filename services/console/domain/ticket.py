"""One ticket as `ticket show` and `ticket explain` tell it; the names are those of `--json`."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from msgspec import Struct


class TicketHead(Struct, frozen=True, kw_only=True):
    """The ticket itself, with its owner or the reason why it has none."""

    id: UUID
    source: str
    external_id: str
    status: str
    opened_at: datetime | None
    solved_at: datetime | None
    channel: str | None
    urgency: str | None
    theme: str | None
    language: str | None
    subject: str | None
    requester_key: str | None
    requester_tier: str | None
    team: str | None = None
    matched: str | None
    needs: msgspec.Raw
    prefers: tuple[str, ...]
    rules: tuple[str, ...]
    pool: str
    policy_version: int
    owner: str | None
    assigned_at: datetime | None
    waiting_reason: str | None
    queued_at: datetime | None


class ClockLine(Struct, frozen=True, kw_only=True):
    """One promise."""

    target: str
    cycle: int
    matched: str
    policy_version: int
    calendar: str
    state: str
    started_at: datetime
    due_at: datetime | None
    warned: int
    warned_at: datetime | None
    breached_at: datetime | None
    detected_at: datetime | None
    met_at: datetime | None
    ended_at: datetime | None
    open_used: timedelta
    wall_used: timedelta | None


class EventLine(Struct, frozen=True, kw_only=True):
    """One fact of the log."""

    event_id: str
    occurred_at: datetime
    received_at: datetime
    data: msgspec.Raw


class AssignmentLine(Struct, frozen=True, kw_only=True):
    """Somebody had the ticket, or was offered it."""

    agent: str
    by_hand: bool
    assigned_at: datetime
    accepted_at: datetime | None
    """None: it was only offered."""
    state: str
    ended_at: datetime | None
    end_reason: str | None


class PageTrace(Struct, frozen=True, kw_only=True):
    """An escalation of the ticket, and one page of it if it had any."""

    target: str
    reason: str
    escalation: str
    kind: str | None
    step: int | None
    recipient: str | None
    person: str | None
    method: str | None
    state: str | None
    due_at: datetime | None
    accepted_at: datetime | None
    acknowledged_at: datetime | None


class TicketStory(Struct, frozen=True, kw_only=True):
    """All of it, at one instant of the deciding time."""

    now: datetime
    head: TicketHead
    clocks: tuple[ClockLine, ...]
    events: tuple[EventLine, ...]
    assignments: tuple[AssignmentLine, ...]
    pages: tuple[PageTrace, ...]
