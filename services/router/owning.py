"""Clocks of ownership follow the assignments: a ticket that got or lost its owner is folded again.

A matching run must not wait for tickets, so this comes after its commit, in transactions of its own; what a crash leaves
undone the next run, or the next minute, does.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias
from uuid import UUID

from services.router import recording, saving
from services.router.domain.standing import Touched
from services.router.store import QUERIES
from shared.jetstream.relay import Relay
from shared.ledger import tickets as ticket_rows
from shared.ledger.policies import PolicyShelf
from shared.postgres import time as database_time
from shared.postgres.pool import Connection

AT_ONCE = 200
"""Tickets of one transaction at most."""

Tell: TypeAlias = Callable[[Sequence[Touched]], None]
"""Hears of the tickets of each transaction once it is committed, as the metrics do."""


def nobody(_: Sequence[Touched]) -> None:
    """For callers who count nothing."""


async def settle_these(
    connection: Connection, shelf: PolicyShelf, relay: Relay, given: Sequence[UUID], tell: Tell = nobody
) -> int:
    """End the running ownership clocks of tickets that were just given away; returns how many tickets were folded.

    Those that another process holds are left to it, or to `settle_given`.
    """
    settled = 0
    for first in range(0, len(given), AT_ONCE):
        rows = await connection.fetch(QUERIES["list_owned_of"], given[first : first + AT_ONCE])
        settled += await _refold(connection, shelf, relay, [row["ticket_id"] for row in rows], tell)
    return settled


async def settle_given(connection: Connection, shelf: PolicyShelf, relay: Relay, tell: Tell = nobody) -> int:
    """The same for every ticket that somebody has; looks at all of these."""
    return await _settle(connection, shelf, relay, "list_owned_unsettled", tell)


async def settle_released(connection: Connection, shelf: PolicyShelf, relay: Relay, tell: Tell = nobody) -> int:
    """Start ownership clocks anew for tickets that wait again, as after their owner left the roster."""
    return await _settle(connection, shelf, relay, "list_released_unsettled", tell)


async def settle_lost(
    connection: Connection, shelf: PolicyShelf, relay: Relay, ticket_ids: Sequence[UUID], tell: Tell = nobody
) -> int:
    """Start the ownership clocks of tickets that just lost their owner; returns how many tickets were folded."""
    if not ticket_ids:
        return 0
    rows = await connection.fetch(QUERIES["list_owned_once"], ticket_ids)
    return await settle_changed(connection, shelf, relay, [row["ticket_id"] for row in rows], tell)


async def settle_changed(
    connection: Connection, shelf: PolicyShelf, relay: Relay, ticket_ids: Sequence[UUID], tell: Tell = nobody
) -> int:
    """End or start the ownership clocks of tickets that just got or lost their owner; returns how many were folded."""
    settled = 0
    for first in range(0, len(ticket_ids), AT_ONCE):
        settled += await _refold(connection, shelf, relay, ticket_ids[first : first + AT_ONCE], tell)
    return settled


async def _settle(connection: Connection, shelf: PolicyShelf, relay: Relay, query: str, tell: Tell) -> int:
    settled = 0
    after = UUID(int=0)
    while True:
        rows = await connection.fetch(QUERIES[query], after, AT_ONCE)
        settled += await _refold(connection, shelf, relay, [row["ticket_id"] for row in rows], tell)
        if len(rows) < AT_ONCE:
            return settled
        after = rows[-1]["ticket_id"]


async def _refold(
    connection: Connection, shelf: PolicyShelf, relay: Relay, ticket_ids: Sequence[UUID], tell: Tell
) -> int:
    """Fold these tickets; returns how many, without those that another process holds."""
    if not ticket_ids:
        return 0
    async with connection.transaction():
        tickets = await ticket_rows.lock_free(connection, ticket_ids)
        if not tickets:
            return 0
        now = await database_time.now(connection)
        touched = await recording.fold_stored(connection, shelf, tickets, {}, now)
        saved = await saving.save(connection, touched, now)
    relay.post(saved.announcements)
    tell(touched)
    return len(touched)
