"""What an explanation needs of a ticket, in SQL, beside its log and its clocks."""

from datetime import datetime
from uuid import UUID

from services.router.store import QUERIES
from shared.contract.ledger import Ticket
from shared.postgres.pool import Connection
from shared.sla.explaining.explained import Given, Waiting


async def load_ticket(connection: Connection, tenant: str, ticket_id: UUID) -> Ticket | None:
    """The ticket, not locked; None where the tenant has no such."""
    row = await connection.fetchrow(QUERIES["explain_ticket"], tenant, ticket_id)
    return None if row is None else Ticket(**dict(row))


async def load_waiting(connection: Connection, ticket_id: UUID) -> Waiting | None:
    """Why the ticket waits for an owner; None where it does not."""
    row = await connection.fetchrow(QUERIES["explain_waiting"], ticket_id)
    return None if row is None else Waiting(**dict(row))


async def load_given(connection: Connection, ticket_id: UUID) -> Given | None:
    """How an agent has the ticket, or is offered it; None where nobody is."""
    row = await connection.fetchrow(QUERIES["explain_given"], ticket_id)
    return None if row is None else Given(**dict(row))


async def load_late_arrivals(connection: Connection, ticket_id: UUID) -> dict[str, datetime]:
    """When the events that came late reached us, by their ids."""
    rows = await connection.fetch(QUERIES["explain_arrivals"], ticket_id)
    return {row["event_id"]: row["received_at"] for row in rows}
