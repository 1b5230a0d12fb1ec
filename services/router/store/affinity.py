"""Who knows a ticket before anybody has had it: the owner of its parent, or of its customer's last one."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from services.router.store import QUERIES
from shared.contract.ledger import Ticket
from shared.postgres.pool import Connection


async def owners_of_parents(connection: Connection, split: Sequence[tuple[Ticket, str]]) -> dict[UUID, str]:
    """Who has, or had last, the ticket from which each was split off, given by the helpdesk's id of the parent."""
    rows = await connection.fetch(
        QUERIES["owners_of_parents"],
        [ticket.id for ticket, _ in split],
        [ticket.tenant for ticket, _ in split],
        [ticket.source for ticket, _ in split],
        [parent for _, parent in split],
    )
    return {row["id"]: row["agent"] for row in rows}


async def owners_of_customers(connection: Connection, known: Sequence[tuple[Ticket, datetime]]) -> dict[UUID, str]:
    """Who has a ticket of the same customer, or had one until the given time or later; these are remembered as theirs, too."""
    rows = await connection.fetch(
        QUERIES["owners_of_customers"],
        [ticket.id for ticket, _ in known],
        [ticket.tenant for ticket, _ in known],
        [ticket.requester_key for ticket, _ in known],
        [since for _, since in known],
    )
    return {row["id"]: row["agent"] for row in rows}
