"""Why a ticket's clocks stand as they do: what is stored of it, told by `shared.sla.explaining.explain`. HTTP and console ask here."""

import asyncio
from uuid import UUID

from msgspec.structs import replace

from services.router.domain.classify import judge
from services.router.domain.standing import versions_named
from services.router.store import explaining as explaining_store
from shared.ledger import clocks as clock_rows
from shared.ledger import tickets as ticket_rows
from shared.ledger.policies import PolicyShelf
from shared.postgres import time as database_time
from shared.postgres.pool import Connection
from shared.sla.explaining.explain import explain
from shared.sla.explaining.explained import Explanation


async def explain_ticket(
    connection: Connection, shelf: PolicyShelf, tenant: str, ticket_id: UUID
) -> Explanation | None:
    """The explanation as of the time that decides; None where the tenant has no such ticket. Changes nothing."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        ticket = await explaining_store.load_ticket(connection, tenant, ticket_id)
        if ticket is None:
            return None
        now = await database_time.now(connection)
        log = (await ticket_rows.load_logs(connection, [ticket]))[ticket.id]
        stored = (await clock_rows.load(connection, [ticket.id]))[ticket.id]
        arrivals = await explaining_store.load_late_arrivals(connection, ticket.id)
        given = await explaining_store.load_given(connection, ticket.id)
        waiting = await explaining_store.load_waiting(connection, ticket.id)
        present = ticket.policy_version if ticket.opened_at else None
        first, named = versions_named(log, present)
        if first is None:
            opening = await shelf.current(connection, tenant)
        else:
            opening = await shelf.version(connection, tenant, first)
        later = {version: judge(await shelf.version(connection, tenant, version)) for version in named}
    # A long log takes a good part of a second: others are served meanwhile.
    told = await asyncio.to_thread(explain, log, judge(opening), now, later, stored=stored, arrivals=arrivals)
    return None if told is None else replace(told, waiting=waiting, given=given)
