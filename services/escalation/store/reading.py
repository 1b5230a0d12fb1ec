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
    """When the promise broke, or warned, or somebody was needed: steps count from it."""
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
    escalation_id: UUID
    source: str
    external_id: str
    kind: str
    step: int
    loop: int
    recipient: str
    person: str | None
    method: str
    state: str
    due_at: datetime
    committed_at: datetime
    attempted_at: datetime | None
    accepted_at: datetime | None
    delivered_at: datetime | None
    acknowledged_at: datetime | None
    attempts: int
    next_attempt_at: datetime | None


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
    connection: Connection,
    tenant: str,
    *,
    escalation_id: UUID | None,
    state: str | None,
    after: After | None,
    limit: int,
) -> list[PageView]:
    """Pages of the tenant, the newest first."""
    rows = await connection.fetch(
        QUERIES["list_pages"], tenant, escalation_id, state, after and after.at, after and after.id, limit
    )
    return [PageView(**dict(row)) for row in rows]


async def list_attempts(connection: Connection, page_ids: list[UUID]) -> dict[UUID, list[AttemptView]]:
    """Every attempt of the pages."""
    attempts: dict[UUID, list[AttemptView]] = {page_id: [] for page_id in page_ids}
    for row in await connection.fetch(QUERIES["list_attempts"], page_ids):
        columns = dict(row)
        attempts[columns.pop("page_id")].append(AttemptView(**columns))
    return attempts
