"""What agents have goes back into the queue: one way for everybody who takes a ticket from its agent, or an offer back.

Lock order: tickets by id (held by the caller), their queue rows, agents.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from services.router import holding
from services.router.domain.queueing import entry_of
from services.router.holding import Happened
from services.router.store import queue as queue_store
from shared.ledger import clocks as clock_rows
from shared.ledger import tickets as ticket_rows
from shared.ledger.policies import PolicyShelf
from shared.postgres.outbox import Batch, Outbox
from shared.postgres.pool import Connection


class Requeued(Struct, frozen=True, kw_only=True):
    """What went back into the queue."""

    tickets: int = 0
    pools: frozenset[tuple[str, str]] = frozenset()
    """(tenant, pool) where a matching run may find something to do."""
    offers: Counter[tuple[str, str]] = Counter()
    """(pool, outcome) of offers that were withdrawn."""
    lost: tuple[UUID, ...] = ()
    """Tickets that somebody had: their clocks of ownership are to hear of it."""
    batch: Batch | None = None
    """Its events, in the outbox: to be published after the commit."""


async def requeue(
    connection: Connection,
    shelf: PolicyShelf,
    ticket_ids: Sequence[UUID],
    reason: str,
    now: datetime,
    *,
    excludes: bool = False,
    is_theirs: bool = True,
) -> Requeued:
    """Take tickets from the agents who have them, or to whom they are offered; they wait again with the age they have.

    `reason` says why, in the record and in `ticket.unassigned`. Who had one gets it again if they can (`is_theirs`), or
    not in this cycle (`excludes`). Those that nobody has are left alone. The caller owns the transaction and holds the
    tickets' rows.
    """
    if not ticket_ids:
        return Requeued()
    tickets = {ticket.id: ticket for ticket in await ticket_rows.read(connection, ticket_ids)}
    clocks = await clock_rows.load(connection, ticket_ids)
    await queue_store.hold(connection, ticket_ids)
    outbox = Outbox(now)
    happened = Happened()
    entries, cleared, lost = [], [], []
    for tenant in sorted({ticket.tenant for ticket in tickets.values()}):
        mine = [ticket.id for ticket in tickets.values() if ticket.tenant == tenant]
        for one in await queue_store.release(connection, tenant, mine, reason, now):
            ticket = tickets[one.ticket_id]
            holding.tell_ended(outbox, ticket, one, reason, happened)
            cleared += [one.ticket_id] if one.was_cleared else []
            lost += [one.ticket_id] if one.was_accepted else []
            entries.append(
                entry_of(
                    ticket,
                    await shelf.version(connection, tenant, ticket.policy_version),
                    clocks[ticket.id],
                    now,
                    queued_at=one.queued_at,
                    previous_owner=one.agent if is_theirs and not excludes else None,
                    excluded=(*one.excluded, one.agent) if excludes else one.excluded,
                )
            )
    await queue_store.enqueue(connection, entries)
    if cleared:
        await queue_store.mark_cleared(connection, cleared)
    return Requeued(
        tickets=len(entries),
        pools=frozenset((entry.tenant, entry.pool) for entry in entries),
        offers=happened.offers,
        lost=tuple(lost),
        batch=await outbox.save(connection),
    )
