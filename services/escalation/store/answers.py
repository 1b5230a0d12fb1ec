"""Acknowledgements in SQL, and what tidying up needs."""

from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct

from services.escalation.store import QUERIES
from shared.contract.help import About
from shared.postgres.pool import Connection


class Answerable(Struct, frozen=True, kw_only=True):
    """What a link in a page leads to."""

    page_id: UUID
    tenant: str
    escalation_id: UUID
    recipient: str
    person: str | None
    kind: str
    answered_at: datetime | None
    person_name: str
    state: str
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    resolved_at: datetime | None
    resolution: str | None
    reason: str
    target: str
    cycle: int
    generation: int
    source: str
    external_id: str
    channel: str
    urgency: str
    due_at: datetime | None
    about: About | None
    """Of the target `routing`: why somebody is needed."""
    now: datetime


class Held(Struct, frozen=True, kw_only=True):
    """An escalation held while it is answered."""

    id: UUID
    tenant: str
    state: str
    target: str
    cycle: int
    generation: int
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    resolved_at: datetime | None
    resolution: str | None
    source: str
    external_id: str
    channel: str
    urgency: str
    now: datetime


_about = msgspec.json.Decoder(About)


async def find_by_token(connection: Connection, token_hash: bytes) -> Answerable | None:
    """The page that was sent with this token."""
    row = await connection.fetchrow(QUERIES["find_by_token"], token_hash)
    if row is None:
        return None
    return Answerable(**{**dict(row), "about": None if row["about"] is None else _about.decode(row["about"])})


async def lock(connection: Connection, tenant: str, escalation_id: UUID) -> Held | None:
    """Hold an escalation of the tenant; None where there is none."""
    row = await connection.fetchrow(QUERIES["lock_for_answer"], escalation_id, tenant)
    return Held(**dict(row)) if row else None


async def acknowledge(connection: Connection, escalation_id: UUID, by: str, now: datetime) -> None:
    """Stop the steps of a held escalation and the pages nobody has begun to send (R9)."""
    await connection.execute(QUERIES["acknowledge_escalation"], escalation_id, by, now)
    await connection.execute(QUERIES["cancel_pages"], escalation_id)


async def mark_page_answered(connection: Connection, page_id: UUID, now: datetime) -> datetime | None:
    """Note on the page that its link was used; returns when it had been accepted, the first time."""
    accepted_at: datetime | None = await connection.fetchval(QUERIES["mark_page_answered"], page_id, now)
    return accepted_at


async def cancel_moot_pages(connection: Connection, limit: int) -> int:
    """Cancel pages of escalations that were answered or resolved meanwhile; returns how many."""
    status: str = await connection.execute(QUERIES["cancel_moot_pages"], limit)
    return int(status.rpartition(" ")[2])


async def outbox_oldest_seconds(connection: Connection) -> float:
    """How long the oldest unpublished events have waited."""
    seconds: float = await connection.fetchval(QUERIES["outbox_oldest"])
    return seconds


async def count_live(connection: Connection) -> dict[str, int]:
    """Escalations that are not resolved, by state."""
    return {row["state"]: row["escalations"] for row in await connection.fetch(QUERIES["count_live"])}
