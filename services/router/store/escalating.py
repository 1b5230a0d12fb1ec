"""What somebody has to know who asks for help with a ticket, in SQL. Callers own the transaction."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from services.router.store import QUERIES
from shared.contract.tickets import Channel, Status
from shared.postgres.pool import Connection


class HeldTicket(Struct, frozen=True, kw_only=True):
    """A ticket, locked."""

    id: UUID
    status: Status
    channel: Channel | None
    matched: str | None
    policy_version: int
    opened_at: datetime | None


class LiveHelp(Struct, frozen=True, kw_only=True):
    """The escalation of a ticket that no promise began."""

    id: UUID
    state: str
    generation: int
    loop: int
    step: int
    policy_version: int
    ladder: str
    next_step_at: datetime | None
    acknowledged_by: str | None


async def hold(connection: Connection, tenant: str, ticket_id: UUID) -> HeldTicket | None:
    """Lock a ticket; None where the tenant has no such."""
    row = await connection.fetchrow(QUERIES["hold_for_escalation"], tenant, ticket_id)
    if row is None:
        return None
    channel = None if row["channel"] is None else Channel(row["channel"])
    return HeldTicket(**{**dict(row), "status": Status(row["status"]), "channel": channel})


async def look(connection: Connection, ticket_id: UUID) -> LiveHelp | None:
    """Its escalation, if somebody is told that it needs one."""
    row = await connection.fetchrow(QUERIES["look_at_help"], ticket_id)
    return None if row is None else LiveHelp(**dict(row))
