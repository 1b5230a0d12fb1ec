"""Agents who left the roster: what they had goes back into the queue, so that no ticket is stuck with somebody gone.

Lock order: tickets by id, their queue rows, agents. Applying a roster locks agents, so `hold` comes before it; what is
given to a leaver between the two is found by `requeue_of`, which never waits for a ticket, or by the next minute's.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from services.router.domain.queue import Needs, QueueEntry, place_in_queue
from services.router.domain.standing import owed
from services.router.news import TicketUnassigned
from services.router.store import QUERIES
from services.router.store import queue as queue_store
from shared.contract.tickets import Channel, Urgency
from shared.ledger import clocks as clock_rows
from shared.policy.document import ChannelRule
from shared.postgres.outbox import Batch, Outbox
from shared.postgres.pool import Connection, Record
from shared.sla.clock import Clock

REASON = "left_roster"
"""Why the assignments end, for the record."""
AT_ONCE = 1_000
"""Tickets that one call puts back at most; the rest follows within minutes."""
_decode_needs = msgspec.json.Decoder(Needs).decode


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


async def requeue_of(connection: Connection, tenant: str, leavers: Sequence[str], now: datetime) -> Requeued:
    """Take their open tickets from those who just left the roster, and queue them again with the age they have.

    The caller owns the transaction.
    """
    if not leavers:
        return Requeued()
    return await _requeue(connection, await connection.fetch(QUERIES["load_left"], tenant, leavers, AT_ONCE), now)


async def requeue_all(connection: Connection, now: datetime) -> Requeued:
    """The same for everybody who is off the roster, of all tenants, but for what they were given by hand: that is obeyed."""
    return await _requeue(connection, await connection.fetch(QUERIES["load_left"], None, None, AT_ONCE), now)


async def _requeue(connection: Connection, left: Sequence[Record], now: datetime) -> Requeued:
    if not left:
        return Requeued()
    by_id = {row["id"]: row for row in left}
    clocks = await clock_rows.load(connection, list(by_id))
    await queue_store.hold(connection, list(by_id))
    outbox = Outbox(now)
    entries = []
    for name in sorted({row["tenant"] for row in left}):
        mine = [row["id"] for row in left if row["tenant"] == name]
        for one in await queue_store.release(connection, name, mine, REASON, now):
            row = by_id[one.ticket_id]
            news = TicketUnassigned(source=row["source"], ticket=row["external_id"], owner=one.agent, reason=REASON)
            outbox.add(name, "ticket.unassigned", row["external_id"], news)
            entries.append(_entry(row, clocks[one.ticket_id], now))
    await queue_store.enqueue(connection, entries)
    return Requeued(tickets=len(entries), batch=await outbox.save(connection))


def _entry(row: Record, clocks: Sequence[Clock], now: datetime) -> QueueEntry:
    due_at, promised = owed(clocks) or (None, None)
    return place_in_queue(
        ticket_id=row["id"],
        tenant=row["tenant"],
        pool=row["pool"],
        channel=Channel(row["channel"] or Channel.OTHER),
        rule=ChannelRule(units=row["units"], interruptible=row["interruptible"]),
        needs=_decode_needs(row["needs"]),
        prefers=tuple(row["prefers"]),
        urgency=Urgency(row["urgency"] or Urgency.NORMAL),
        queued_at=min(row["opened_at"], now),
        due_at=due_at,
        promised=promised,
        now=now,
    )
