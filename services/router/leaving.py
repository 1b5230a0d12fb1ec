"""Agents who left the roster: what they had goes back into the queue, so that no ticket is stuck with somebody gone.

Lock order: tickets by id, their queue rows, agents. Applying a roster locks agents, so `hold` comes before it; what is
given to a leaver between the two is found by `requeue_of`, which never waits for a ticket, or by the next minute's.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from services.router.domain.queueing import entry_of
from services.router.news import TicketUnassigned
from services.router.store import QUERIES
from services.router.store import queue as queue_store
from shared.ledger import clocks as clock_rows
from shared.ledger import tickets as ticket_rows
from shared.ledger.policies import PolicyShelf
from shared.postgres.outbox import Batch, Outbox
from shared.postgres.pool import Connection

REASON = "left_roster"
"""Why the assignments end, for the record."""
AT_ONCE = 1_000
"""Tickets that one call puts back at most; the rest follows within minutes."""


class Requeued(Struct, frozen=True, kw_only=True):
    """What went back into the queue."""

    tickets: int = 0
    batch: Batch | None = None
    """Its events, in the outbox: to be published after the commit."""


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
    if not left:
        return Requeued()
    tickets = {ticket.id: ticket for ticket in await ticket_rows.read(connection, left)}
    clocks = await clock_rows.load(connection, left)
    await queue_store.hold(connection, left)
    outbox = Outbox(now)
    entries = []
    for name in sorted({ticket.tenant for ticket in tickets.values()}):
        mine = [ticket.id for ticket in tickets.values() if ticket.tenant == name]
        for one in await queue_store.release(connection, name, mine, REASON, now):
            ticket = tickets[one.ticket_id]
            news = TicketUnassigned(source=ticket.source, ticket=ticket.external_id, owner=one.agent, reason=REASON)
            outbox.add(name, "ticket.unassigned", ticket.external_id, news)
            policy = await shelf.version(connection, name, ticket.policy_version)
            entries.append(entry_of(ticket, policy, clocks[ticket.id], now))
    await queue_store.enqueue(connection, entries)
    return Requeued(tickets=len(entries), batch=await outbox.save(connection))
