"""Tickets that wait find more people with time: insisted preferences are given up, another pool comes in (routing-rules 3.5).

Both happen at instants that are known when a ticket is queued; at once where nobody in its pool could ever take it.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from services.router.domain.match import match
from services.router.domain.queue import Reason, Waiting
from services.router.store import widening as widening_store
from shared.postgres.pool import Connection


class Widened(Struct, frozen=True, kw_only=True):
    """For how many tickets more people are to be asked."""

    changed: int = 0
    """In their own pool."""
    pools: frozenset[str] = frozenset()
    """Pools that may have them now, too."""


class Verdicts(Struct, frozen=True, kw_only=True):
    """What was found of tickets that nobody in their pool gets."""

    judged: Sequence[tuple[Waiting, Reason]]
    """Why they wait; without those for which more people are to be asked first."""
    widened: Widened = Widened()


async def advance(connection: Connection, tenant: str, pool: str, now: datetime, limit: int) -> Widened:
    """Do what is due by now for tickets of a pool, up to `limit` of each kind."""
    changed = await widening_store.give_up_rings(connection, tenant, pool, now, limit)
    pools = await widening_store.open_overflow(connection, tenant, pool, now, limit)
    return Widened(changed=changed + len(pools), pools=frozenset(pools))


async def widen(connection: Connection, tenant: str, left: Sequence[tuple[Waiting, Reason]], now: datetime) -> Verdicts:
    """Ask more people for tickets that nobody on the roster of their pool has the skills for.

    Those that insist on a preference do without it from now on; those that may go to another pool later may do so at
    once, and wait for its people. Only what is left then is really lost.
    """
    lost = [ticket for ticket, reason in left if reason is Reason.NO_SKILL]
    if not lost:
        return Verdicts(judged=left)
    freed = await widening_store.give_up_ring_of(connection, [ticket.ticket_id for ticket in lost], now)
    hosts = await widening_store.list_overflowing(
        connection, [ticket.ticket_id for ticket in lost if ticket.ticket_id not in freed]
    )
    found: dict[UUID, Reason] = {}
    opened: set[str] = set()
    for host in sorted(set(hosts.values())):
        desks = await widening_store.look_at_desks(connection, tenant, host)
        guests = [ticket for ticket in lost if hosts.get(ticket.ticket_id) == host]
        welcome = {
            ticket.ticket_id: reason
            for ticket, reason in match([], desks, now, onlookers=guests).left
            if reason is not Reason.NO_SKILL
        }
        opened |= await widening_store.open_overflow_of(connection, list(welcome), now)
        found |= welcome
    return Verdicts(
        judged=[
            (ticket, found.get(ticket.ticket_id, reason)) for ticket, reason in left if ticket.ticket_id not in freed
        ],
        widened=Widened(changed=len(freed), pools=frozenset(opened)),
    )
