"""What a matching run tells the world: who got a ticket, and what nobody can take."""

from collections.abc import Sequence
from datetime import datetime

from services.router.news import TicketAssigned, TicketUnroutable
from services.router.store.pools import Given, Unroutable
from shared.postgres.outbox import Batch, Outbox
from shared.postgres.pool import Connection


async def save_news(
    connection: Connection,
    tenant: str,
    pool: str,
    given: Sequence[Given],
    unroutable: Sequence[Unroutable],
    now: datetime,
) -> Batch | None:
    """Write what a run has to say into the outbox; returns it for publishing after the commit."""
    outbox = Outbox(now)
    for one in given:
        ticket = one.choice.ticket
        data = TicketAssigned(
            source=one.source,
            ticket=one.external_id,
            owner=one.choice.agent,
            channel=ticket.channel,
            skills=ticket.needs,
            prefers=ticket.prefers,
            reasons=(one.choice.because,),
            pool=pool,
        )
        outbox.add(tenant, "ticket.assigned", one.external_id, data)
    for lost in unroutable:
        news = TicketUnroutable(
            source=lost.source, ticket=lost.external_id, channel=lost.channel, skills=lost.needs, pool=pool
        )
        outbox.add(tenant, "ticket.unroutable", lost.external_id, news)
    return await outbox.save(connection)
