"""What people and programs look up: escalations, pages, attempts. Reads only."""

from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct

from services.escalation.store import QUERIES
from shared.contract.help import About
from shared.postgres.pool import Connection, Record


class EscalationView(Struct, frozen=True, kw_only=True):
    """An escalation, as it is shown."""

    id: UUID
    ticket_id: UUID
    source: str
    external_id: str
    channel: str
    urgency: str
    target: str
    """The promise, or `routing`: nobody takes the ticket, or somebody asks for help with it."""
    cycle: int
    generation: int
    policy_version: int
    ladder: str
    reason: str
    """`warned`, `breached`, `unroutable` or `manual`."""
    state: str
    opened_at: datetime
    anchor_at: datetime
    """What the steps count from: when the promise broke, or warned, or somebody was needed, or when it went on after a stop."""
    step: int
    """The next one to take, from 0."""
    loop: int
    next_step_at: datetime | None
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    resolved_at: datetime | None
    resolution: str | None
    about: About | None = None
    """Of the target `routing`: why somebody is needed; null for a promise."""
    answered: list[str] = []
    """Of a step that all must answer, and not all have: who has."""
    wakes_at: datetime | None = None
    """Of an acknowledged one: when it goes up again, and why: a `snooze`, or the `silence` that its ladder allows."""
    wakes_for: str | None = None
    is_held: bool = False
    """Its promise is paused: what was left until its next step goes on with it."""
    ends_at: datetime | None = None
    """When it ends by itself, and alarms; null until somebody was paged."""


class AttemptView(Struct, frozen=True, kw_only=True):
    """One attempt to send a page."""

    n: int
    started_at: datetime
    finished_at: datetime | None
    outcome: str | None
    detail: str | None


class PageView(Struct, frozen=True, kw_only=True):
    """A page, as it is shown: without address, token and body."""

    id: UUID
    escalation_id: UUID | None
    """Null: about a group, about ourselves, or sent to try a contact."""
    generation: int | None
    """Of the escalation when it was made."""
    source: str | None
    external_id: str | None
    target: str | None
    kind: str
    urgency: str
    step: int
    loop: int
    recipient: str
    person: str | None
    method: str
    fallback_of: str | None
    """The method that did not get through to the same person."""
    state: str
    due_at: datetime
    """When somebody had to be told."""
    committed_at: datetime
    attempted_at: datetime | None
    """When the first attempt began."""
    accepted_at: datetime | None
    delivered_at: datetime | None
    """Where the provider gives receipts."""
    acknowledged_at: datetime | None
    """Where this page was what somebody answered."""
    attempts: int
    next_attempt_at: datetime | None
    deferred_until: datetime | None
    """Held back until then, and why."""
    deferred_for: str | None
    held_for: str | None
    """What its first attempt had to wait for, where that is over."""
    group_id: UUID | None
    group_version: int | None
    """Its number in the group; of a page about the group, how many it names."""
    told_by: UUID | None
    """The page about the group that names this one, which is never sent itself."""
    provider_id: str | None
    verify_by: datetime | None
    """A receipt has to come by then."""
    last_detail: str | None
    """What its newest attempt met; of one that was given up, why."""


class PageFilter(Struct, frozen=True, kw_only=True):
    """Which pages; what is None does not matter."""

    id: UUID | None = None
    escalation_id: UUID | None = None
    ticket: str | None = None
    """The helpdesk's id."""
    person: str | None = None
    method: str | None = None
    state: str | None = None
    kind: str | None = None
    group_id: UUID | None = None
    since: datetime | None = None
    """Stored then or later."""
    until: datetime | None = None
    """Stored before then."""


class After(Struct, frozen=True):
    """The last row of the page before."""

    at: datetime
    id: UUID


async def list_escalations(
    connection: Connection, tenant: str, *, state: str | None, ticket: str | None, after: After | None, limit: int
) -> list[EscalationView]:
    """Escalations of the tenant, the newest first."""
    rows = await connection.fetch(
        QUERIES["list_escalations"], tenant, state, ticket, after and after.at, after and after.id, limit
    )
    return [_escalation(row) for row in rows]


async def get_escalation(connection: Connection, tenant: str, escalation_id: UUID) -> EscalationView | None:
    """One escalation of the tenant."""
    row = await connection.fetchrow(QUERIES["get_escalation"], tenant, escalation_id)
    return _escalation(row) if row else None


_about = msgspec.json.Decoder(About)


def _escalation(row: Record) -> EscalationView:
    return EscalationView(**{**dict(row), "about": None if row["about"] is None else _about.decode(row["about"])})


async def list_pages(
    connection: Connection, tenant: str, wanted: PageFilter, *, after: After | None, limit: int
) -> list[PageView]:
    """Pages of the tenant, the newest first."""
    rows = await connection.fetch(
        QUERIES["list_pages"],
        tenant,
        wanted.id,
        wanted.escalation_id,
        wanted.ticket,
        wanted.person,
        wanted.method,
        wanted.state,
        wanted.kind,
        wanted.group_id,
        wanted.since,
        wanted.until,
        after and after.at,
        after and after.id,
        limit,
    )
    return [PageView(**dict(row)) for row in rows]


async def list_attempts(connection: Connection, page_ids: list[UUID]) -> dict[UUID, list[AttemptView]]:
    """Every attempt of the pages."""
    attempts: dict[UUID, list[AttemptView]] = {page_id: [] for page_id in page_ids}
    for row in await connection.fetch(QUERIES["list_attempts"], page_ids):
        columns = dict(row)
        attempts[columns.pop("page_id")].append(AttemptView(**columns))
    return attempts
