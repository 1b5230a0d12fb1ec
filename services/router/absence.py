"""What was given to people who have gone: offers go on at once, other work after the grace, as far as it can't wait."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from services.router.domain.presence import goes_back
from services.router.requeueing import Requeued, requeue
from services.router.store import presence as presence_store
from shared.ledger import tickets as ticket_rows
from shared.ledger.policies import PolicyShelf
from shared.postgres import time as database_time
from shared.postgres.pool import Connection

REASON = "offline"
"""Why the assignments end, for the record."""
AT_ONCE = 500
"""Tickets that one transaction puts back at most."""


async def withdraw_offers(connection: Connection, shelf: PolicyShelf, ticket_ids: Sequence[UUID]) -> Requeued:
    """Queue again those of the tickets that are offered to people who aren't there, or don't take the channel just now.

    They may get them again in the same cycle. Judged anew once the tickets are held. Opens its own transaction; a ticket
    that somebody is changing is left to the next call.
    """
    if not ticket_ids:
        return Requeued()
    async with connection.transaction():
        free = await _hold(connection, ticket_ids)
        lost = await presence_store.still_offered_to_absent(connection, free)
        return await requeue(connection, shelf, lost, REASON, await database_time.now(connection))


async def take_back(connection: Connection, shelf: PolicyShelf, tenant: str, ticket_ids: Sequence[UUID]) -> Requeued:
    """Queue again those of the tickets that are not to wait for an agent who has gone, as `domain.presence.goes_back` says.

    Judged anew once they are held. Opens its own transaction; a ticket that somebody is changing is left to the next call.
    """
    async with connection.transaction():
        free = await _hold(connection, ticket_ids)
        now = await database_time.now(connection)
        lost = await _lost(connection, shelf, tenant, now, free)
        return await requeue(connection, shelf, lost, REASON, now)


async def _hold(connection: Connection, ticket_ids: Sequence[UUID]) -> list[UUID]:
    return [ticket.id for ticket in await ticket_rows.lock_free(connection, ticket_ids)]


async def _lost(
    connection: Connection, shelf: PolicyShelf, tenant: str, now: datetime, ticket_ids: Sequence[UUID]
) -> list[UUID]:
    grace = (await shelf.current(connection, tenant)).routing.grace
    page = await presence_store.work_of_gone(connection, tenant, now - grace, len(ticket_ids), among=ticket_ids)
    return [ticket_id for ticket_id, item in page.work.items() if goes_back(item, now, grace)]
