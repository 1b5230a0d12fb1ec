"""Help with a ticket, in SQL: the router asks for it, escalation takes what is due, the router ends it.

Lock order: tickets by id, queue rows, agents, requests, escalations.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec
from msgspec import Struct

from shared import ids
from shared.contract.help import About
from shared.ledger import QUERIES, pages
from shared.ledger.clocks import Resolved
from shared.postgres.pool import Connection, Record

_encode = msgspec.json.Encoder().encode


class Cause(StrEnum):
    """Who asks."""

    UNROUTABLE = "unroutable"
    """The router: nobody takes the ticket. It ends with an owner."""
    MANUAL = "manual"
    """A person. It ends with the ticket."""


class Request(Struct, frozen=True, kw_only=True):
    """Help that is wanted with a ticket."""

    tenant: str
    ticket_id: UUID
    cause: Cause
    due_at: datetime
    about: About


class Ending(Struct, frozen=True, kw_only=True):
    """A ticket for which nobody need be told any more."""

    ticket_id: UUID
    resolution: str
    """`assigned`: somebody has it; `answered`: an agent wrote to the customer; `cancelled`: it is over."""
    agent: str | None = None
    """Only if it is theirs now."""

    @property
    def is_over(self) -> bool:
        """Ends what a person asked for, too."""
        return self.resolution == CANCELLED


ASSIGNED, ANSWERED, CANCELLED = "assigned", "answered", "cancelled"


async def ask(connection: Connection, requests: Sequence[Request], now: datetime) -> None:
    """Ask for help with tickets, each at most once in `requests`. Asking again moves what is not due yet."""
    await connection.execute(
        QUERIES["ask_for_help"],
        [ids.uuid7(now) for _ in requests],
        [one.tenant for one in requests],
        [one.ticket_id for one in requests],
        [one.cause for one in requests],
        [one.due_at for one in requests],
        [_encode(one.about) for one in requests],
        now,
    )


async def withdraw(connection: Connection, ticket_ids: Sequence[UUID], now: datetime) -> None:
    """Take back what the router wanted to ask for later; what is due already stands."""
    await connection.execute(QUERIES["withdraw_help"], ticket_ids, now)


async def end_if_any(connection: Connection, endings: Sequence[Ending], now: datetime) -> list[Resolved]:
    """`end`, for tickets most of which nobody was ever asked to help with: one look, and seldom more."""
    rows = await connection.fetch(
        QUERIES["find_help"], [one.ticket_id for one in endings], [one.agent for one in endings]
    )
    if not rows:
        return []
    found = {row["ticket_id"] for row in rows}
    return await end(connection, [one for one in endings if one.ticket_id in found], now)


async def end(connection: Connection, endings: Sequence[Ending], now: datetime) -> list[Resolved]:
    """Nobody is told any more, and whoever was hears that it is over (escalation-rules R14); returns what was live.

    Callers hold the tickets, or their queue rows.
    """
    ticket_ids, is_over = [one.ticket_id for one in endings], [one.is_over for one in endings]
    await connection.execute(QUERIES["drop_help_requests"], ticket_ids, is_over)
    # a statement of its own: it has to see what escalation opened while we waited for its request
    found: list[Record] = await connection.fetch(
        QUERIES["resolve_help"], ticket_ids, is_over, [one.resolution for one in endings], now
    )
    if found:
        await pages.resolve(connection, [row["id"] for row in found], now)
    return [Resolved(**dict(row), at=now) for row in found]
