"""What providers tell of pages after they took them, in SQL."""

from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct

from services.escalation.domain.retry import Outcome
from services.escalation.store import QUERIES
from shared.postgres.pool import Connection


class Receipted(Struct, frozen=True, kw_only=True):
    """A page, as far as a receipt's signature needs it."""

    method: str
    secret: str


class Arrival(Struct, frozen=True, kw_only=True):
    """A page that arrived."""

    accepted_at: datetime | None
    """None where the provider had not said that it took it."""
    is_news: bool


async def load(connection: Connection, page_id: UUID) -> Receipted | None:
    """The page; None where there is none."""
    row = await connection.fetchrow(QUERIES["load_receipted"], page_id)
    return None if row is None else Receipted(**dict(row))


async def save_arrival(
    connection: Connection, page_id: UUID, attempt: int, outcome: Outcome, now: datetime
) -> Arrival | None:
    """Note that an attempt of the page arrived; None where there was no such attempt."""
    row = await connection.fetchrow(
        QUERIES["save_arrival"], page_id, now, outcome.provider_id, _encoder.encode(outcome), attempt
    )
    if row is None:
        return None
    await _note(connection, page_id, attempt, outcome)
    return Arrival(**dict(row))


async def save_progress(
    connection: Connection, page_id: UUID, attempt: int, outcome: Outcome, now: datetime, verify_by: datetime | None
) -> None:
    """Note that the provider has the page; it need not say before `verify_by` that it arrived."""
    await connection.execute(
        QUERIES["save_progress"], page_id, now, outcome.provider_id, _encoder.encode(outcome), attempt, verify_by
    )


async def save_loss(connection: Connection, page_id: UUID, attempt: int, outcome: Outcome, now: datetime) -> bool:
    """Note that the page won't arrive; False where that changes nothing, for a newer attempt is under way."""
    encoded = _encoder.encode(outcome)
    if await connection.fetchval(QUERIES["save_loss"], page_id, now, encoded, attempt) is not None:
        return True
    await _note(connection, page_id, attempt, outcome)
    return False


async def take_unverified(connection: Connection, now: datetime, limit: int, detail: str) -> dict[str, int]:
    """Let pages be tried another way of which no receipt came in time; how many, by method."""
    rows = await connection.fetch(QUERIES["take_unverified"], now, limit, detail)
    return {row["method"]: row["pages"] for row in rows}


async def _note(connection: Connection, page_id: UUID, attempt: int, outcome: Outcome) -> None:
    await connection.execute(QUERIES["note_receipt"], page_id, attempt, outcome.result, outcome.detail or None)


_encoder = msgspec.json.Encoder()
