"""What a matching run tells the world: who got a ticket, what nobody can take, and whom nobody need look for any more."""

from collections.abc import Sequence
from datetime import datetime

from services.router.news import TicketAssigned, TicketOffered, TicketUnroutable
from services.router.store.pools import Given, Judged
from shared.ledger.clocks import Resolved
from shared.postgres.outbox import Batch, Outbox
from shared.postgres.pool import Connection

OVERFLOW = "overflow"
"""Among the reasons of an assignment: the ticket waited in another pool, too long for that one alone."""


async def save_news(
    connection: Connection,
    tenant: str,
    pool: str,
    given: Sequence[Given],
    unroutable: Sequence[Judged],
    helped: Sequence[tuple[Given, Resolved]],
    now: datetime,
) -> Batch | None:
    """Write what a run has to say into the outbox; returns it for publishing after the commit."""
    outbox = Outbox(now)
    for one in given:
        if one.offered_until is None:
            outbox.add(tenant, "ticket.assigned", one.external_id, _assigned(one, pool))
        else:
            outbox.add(tenant, "ticket.offered", one.external_id, _offered(one, one.offered_until, pool))
    for lost in unroutable:
        news = TicketUnroutable(
            source=lost.source, ticket=lost.external_id, channel=lost.channel, skills=lost.needs, pool=pool
        )
        outbox.add(tenant, "ticket.unroutable", lost.external_id, news)
    for one, ended in helped:
        outbox.add(tenant, "escalation.resolved", one.external_id, ended)
    return await outbox.save(connection)


def _assigned(one: Given, pool: str) -> TicketAssigned:
    ticket = one.choice.ticket
    return TicketAssigned(
        source=one.source,
        ticket=one.external_id,
        owner=one.choice.agent,
        channel=ticket.channel,
        skills=ticket.needs,
        prefers=ticket.prefers,
        reasons=_reasons(one),
        pool=pool,
    )


def _offered(one: Given, until: datetime, pool: str) -> TicketOffered:
    ticket = one.choice.ticket
    return TicketOffered(
        source=one.source,
        ticket=one.external_id,
        agent=one.choice.agent,
        until=until,
        channel=ticket.channel,
        skills=ticket.needs,
        prefers=ticket.prefers,
        reasons=_reasons(one),
        pool=pool,
    )


def _reasons(one: Given) -> tuple[str, ...]:
    return (one.choice.because, OVERFLOW) if one.is_guest else (one.choice.because,)
