"""The SQL of looking for what should never be."""

from datetime import datetime

from msgspec import Struct

from services.router.store import QUERIES
from shared.postgres.pool import Connection


class Stranded(Struct, frozen=True):
    """An open ticket that neither waits for an owner nor has one."""

    tenant: str
    source: str
    external_id: str


async def reconcile_counters(connection: Connection) -> int:
    """Set agents' loads to the sum of their active assignments; returns by how many units they had drifted.

    Opens its own transaction: agents are locked by one statement and counted by the next, which sees what they finished.
    """
    async with connection.transaction():
        drifted = await connection.fetch(QUERIES["list_drifted"])
        if not drifted:
            return 0
        who = [row["tenant"] for row in drifted], [row["key"] for row in drifted]
        await connection.execute(QUERIES["lock_agents"], *who)
        return sum(row["units"] for row in await connection.fetch(QUERIES["reconcile_loads"], *who))


async def list_stranded(connection: Connection, limit: int) -> list[Stranded]:
    """Up to `limit` open tickets that neither wait nor are anybody's."""
    rows = await connection.fetch(QUERIES["list_stranded"], limit)
    return [Stranded(row["tenant"], row["source"], row["external_id"]) for row in rows]


async def forget_waits(connection: Connection, before: datetime, limit: int) -> int:
    """Delete up to `limit` waits that ended before an instant, the oldest of each tenant first; returns how many."""
    return len(await connection.fetch(QUERIES["forget_waits"], before, limit))
