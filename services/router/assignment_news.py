"""What a matching run tells the world: who got a ticket, and what nobody can take."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from services.router.domain.queue import Needs, Reason
from services.router.store.pools import Given, Unroutable
from shared.contract.tickets import Channel
from shared.postgres.outbox import Batch, Outbox
from shared.postgres.pool import Connection


class TicketAssigned(Struct, frozen=True, kw_only=True):
    """`data` of `ticket.assigned`."""

    source: str
    ticket: str
    owner: str
    channel: Channel
    skills: Needs
    """Mandatory skills with the least level; the owner has them all."""
    prefers: tuple[str, ...]
    reasons: tuple[str, ...]
    pool: str


class TicketUnroutable(Struct, frozen=True, kw_only=True):
    """`data` of `ticket.unroutable`: nobody on the roster takes this channel with these skills."""

    source: str
    ticket: str
    channel: Channel
    skills: Needs
    reasons: tuple[str, ...] = (Reason.NO_SKILL,)
    pool: str


class TicketUnassigned(Struct, frozen=True, kw_only=True):
    """`data` of `ticket.unassigned`."""

    source: str
    ticket: str
    owner: str
    reason: str


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
