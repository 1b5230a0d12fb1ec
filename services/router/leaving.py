"""Agents who left the roster: what they had goes back into the queue, so that no ticket is stuck with somebody gone.

Lock order: tickets by id, their queue rows, agents. Applying a roster locks agents, so `hold` comes before it; what is
given to a leaver between the two is found by `requeue_of`, which never waits for a ticket, or by the next minute's.
"""

from collections.abc import Sequence
from datetime import datetime

from services.router.requeueing import Requeued, requeue
from services.router.store import QUERIES
from services.router.store import queue as queue_store
from shared.ledger.policies import PolicyShelf
from shared.postgres.pool import Connection

REASON = "left_roster"
"""Why the assignments end, for the record."""
AT_ONCE = 1_000
"""Tickets that one call puts back at most; the rest follows within minutes."""


async def hold(connection: Connection, tenant: str, staying: Sequence[str]) -> None:
    """Lock the tickets of those who are about to leave: everybody of the tenant but the keys `staying`."""
    rows = await connection.fetch(QUERIES["hold_tickets_of_leavers"], tenant, staying)
    if rows:
        await queue_store.hold(connection, [row["id"] for row in rows])


async def requeue_of(
    connection: Connection, shelf: PolicyShelf, tenant: str, leavers: Sequence[str], now: datetime
) -> Requeued:
    """Take their open tickets from those who just left the roster, and queue them again with the age they have.

    The caller owns the transaction.
    """
    if not leavers:
        return Requeued()
    return await _requeue(connection, shelf, tenant, leavers, now)


async def requeue_all(connection: Connection, shelf: PolicyShelf, now: datetime) -> Requeued:
    """The same for everybody who is off the roster, of all tenants, but for what they were given by hand: that is obeyed."""
    return await _requeue(connection, shelf, None, None, now)


async def _requeue(
    connection: Connection, shelf: PolicyShelf, tenant: str | None, leavers: Sequence[str] | None, now: datetime
) -> Requeued:
    left = [row["id"] for row in await connection.fetch(QUERIES["hold_left"], tenant, leavers, AT_ONCE)]
    return await requeue(connection, shelf, left, REASON, now, is_theirs=False)
