"""Who may take a ticket grows with time, in SQL: rings of insisted skills are given up, other pools come in.

Nothing here waits for a queue row that somebody else is changing.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec.structs import replace

from services.router.domain.queue import Band, Groups, Needs, QueueEntry, relaxed
from services.router.domain.roster import Agent
from services.router.store import QUERIES, pools
from shared.contract.tickets import Channel
from shared.postgres.pool import Connection, Record

_SEPARATOR = "\x1f"
_encode = msgspec.json.Encoder().encode
_decode_needs = msgspec.json.Decoder(Needs).decode
_decode_groups = msgspec.json.Decoder(Groups).decode


async def give_up_rings(connection: Connection, tenant: str, pool: str, now: datetime, limit: int) -> int:
    """Give up the groups of insisted skills whose time has come, of up to `limit` tickets; returns of how many."""
    rows = await connection.fetch(QUERIES["hold_rings"], tenant, pool, now, limit)
    return await _save(connection, [relaxed(_entry(row), now) for row in rows], now)


async def give_up_ring_of(connection: Connection, ticket_ids: Sequence[UUID], now: datetime) -> set[UUID]:
    """Give up the last group of insisted skills of these tickets at once; returns those that had one."""
    held = [_entry(row) for row in await connection.fetch(QUERIES["hold_rings_of"], ticket_ids)]
    await _save(connection, [relaxed(replace(entry, relax_at=(now, *entry.relax_at[1:])), now) for entry in held], now)
    return {entry.ticket_id for entry in held}


async def open_overflow(connection: Connection, tenant: str, pool: str, now: datetime, limit: int) -> list[str]:
    """Let other pools have tickets whose time for that has come, up to `limit`; returns these pools, one for each ticket."""
    return [row["guest_of"] for row in await connection.fetch(QUERIES["open_overflow"], tenant, pool, now, limit)]


async def open_overflow_of(connection: Connection, ticket_ids: Sequence[UUID], now: datetime) -> set[str]:
    """Let other pools have these tickets at once; returns the pools."""
    return {row["guest_of"] for row in await connection.fetch(QUERIES["open_overflow_of"], ticket_ids, now)}


async def list_overflowing(connection: Connection, ticket_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Those of the tickets that another pool may have, now or later, and which."""
    rows = await connection.fetch(QUERIES["list_overflowing"], ticket_ids)
    return {row["ticket_id"]: row["overflow_pool"] for row in rows}


async def look_at_desks(connection: Connection, tenant: str, pool: str) -> list[Agent]:
    """Everybody who works tickets of a pool, without a lock: to judge by, not to give to."""
    return pools.to_agents(await connection.fetch(QUERIES["look_at_desks"], tenant, pool))


async def _save(connection: Connection, entries: Iterable[QueueEntry], now: datetime) -> int:
    entries = list(entries)
    if entries:
        await connection.execute(
            QUERIES["save_rings"],
            [entry.ticket_id for entry in entries],
            [_encode(entry.needs) for entry in entries],
            [_SEPARATOR.join(entry.prefers) for entry in entries],
            [entry.signature for entry in entries],
            [_encode(entry.insists) for entry in entries],
            [_SEPARATOR.join(at.isoformat() for at in entry.relax_at) for entry in entries],
            now,
        )
    return len(entries)


def _entry(row: Record) -> QueueEntry:
    return QueueEntry(
        ticket_id=row["ticket_id"],
        tenant=row["tenant"],
        pool=row["pool"],
        channel=Channel(row["channel"]),
        units=row["units"],
        interruptible=row["interruptible"],
        needs=_decode_needs(row["needs"]),
        prefers=tuple(row["prefers"]),
        signature=row["signature"],
        urgency_rank=row["urgency_rank"],
        queued_at=row["queued_at"],
        due_at=row["due_at"],
        latest_start_at=row["latest_start_at"],
        rescue_at=row["rescue_at"],
        band=Band(row["band"]),
        order_rank=row["order_rank"],
        order_at=row["order_at"],
        insists=_decode_groups(row["insists"]),
        relax_at=tuple(row["relax_at"]),
    )
