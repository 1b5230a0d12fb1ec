"""Pages that were given up, in SQL: listed with their reason, and tried anew. Callers own the transaction."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from services.escalation.store import QUERIES
from shared.postgres.pool import Connection


class Dead(Struct, frozen=True, kw_only=True):
    """A page that was given up."""

    id: UUID
    kind: str
    state: str
    ticket: str
    """The helpdesk's id; `test` of a canary."""
    recipient: str
    person: str | None
    method: str
    attempts: int
    committed_at: datetime
    failed_at: datetime | None
    reason: str | None
    """What its last attempt said."""
    is_wanted: bool
    """Its escalation still asks for it."""


async def list_dead(connection: Connection, tenant: str, limit: int) -> list[Dead]:
    """Pages of the tenant that were given up, the newest first."""
    return [Dead(**dict(row)) for row in await connection.fetch(QUERIES["list_dead_pages"], tenant, limit)]


async def hold(connection: Connection, tenant: str, page_id: UUID) -> Dead | None:
    """Hold a page of the tenant with its escalation; None where there is none."""
    await connection.execute(QUERIES["lock_escalation_of_page"], tenant, page_id)
    row = await connection.fetchrow(QUERIES["hold_page"], tenant, page_id)
    return Dead(**dict(row)) if row else None


async def replay(connection: Connection, page_id: UUID, now: datetime) -> None:
    """Let a held page be due again, with those it tells of."""
    await connection.execute(QUERIES["replay_page"], page_id, now)
