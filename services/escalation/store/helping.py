"""Requests for help in SQL, and the escalations that they open. Callers own the transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from services.escalation.domain.ladder import Position, Reason
from services.escalation.store import QUERIES, Pulse
from shared.contract.help import About
from shared.postgres.pool import Connection, Record

_encode = msgspec.json.Encoder().encode
_about = msgspec.json.Decoder(About)


class Wanted(Struct, frozen=True, kw_only=True):
    """A request for help with a ticket, taken out."""

    tenant: str
    ticket_id: UUID
    reason: Reason
    due_at: datetime
    about: About
    source: str
    external_id: str
    channel: str | None
    urgency: str | None
    matched: str | None
    policy_version: int


class LiveHelp(Struct, frozen=True, kw_only=True):
    """An escalation of a ticket that no promise began, held."""

    id: UUID
    ticket_id: UUID
    cycle: int
    generation: int
    state: str
    policy_version: int
    ladder: str
    position: Position


class Opening(Struct, frozen=True, kw_only=True):
    """An escalation to open."""

    id: UUID
    wanted: Wanted
    policy_version: int
    ladder: str


class Reopening(Struct, frozen=True, kw_only=True):
    """A live escalation to send up again, from a step on."""

    live: LiveHelp
    wanted: Wanted
    position: Position


class Begun(Struct, frozen=True, kw_only=True):
    """An escalation that begins, or goes up again."""

    id: UUID
    ticket_id: UUID
    cycle: int
    generation: int


async def pulse(connection: Connection) -> Pulse:
    """How the taking of requests stands: one probe of the index."""
    [row] = await connection.fetch(QUERIES["pulse_request"])
    return Pulse(**dict(row))


async def take(connection: Connection, now: datetime, limit: int) -> list[Wanted]:
    """Take out up to `limit` requests that are due; those that another process takes are skipped."""
    return [_wanted(row) for row in await connection.fetch(QUERIES["take_requests"], now, limit)]


async def lock_live(connection: Connection, ticket_ids: Sequence[UUID]) -> dict[UUID, LiveHelp]:
    """The live escalations of the tickets that no promise began, held."""
    return {row["ticket_id"]: _live(row) for row in await connection.fetch(QUERIES["lock_help"], ticket_ids)}


async def open_all(connection: Connection, openings: Sequence[Opening], now: datetime) -> list[Begun]:
    """Open escalations, of each ticket at most one; returns those that are new."""
    rows = await connection.fetch(
        QUERIES["open_help"],
        [one.id for one in openings],
        [one.wanted.tenant for one in openings],
        [one.wanted.ticket_id for one in openings],
        [one.policy_version for one in openings],
        [one.ladder for one in openings],
        [one.wanted.reason for one in openings],
        [one.wanted.due_at for one in openings],
        [_encode(one.wanted.about) for one in openings],
        now,
    )
    return [Begun(**dict(row)) for row in rows]


async def reopen_all(connection: Connection, reopenings: Sequence[Reopening]) -> list[Begun]:
    """Send held escalations up again."""
    rows = await connection.fetch(
        QUERIES["reopen_help"],
        [one.live.id for one in reopenings],
        [one.position.loop for one in reopenings],
        [one.position.step for one in reopenings],
        [one.wanted.due_at for one in reopenings],
        [_encode(one.wanted.about) for one in reopenings],
    )
    return [Begun(**dict(row)) for row in rows]


def _wanted(row: Record) -> Wanted:
    columns: dict[str, Any] = dict(row)
    return Wanted(**{**columns, "reason": Reason(columns["reason"]), "about": _about.decode(columns["about"])})


def _live(row: Record) -> LiveHelp:
    columns: dict[str, Any] = dict(row)
    position = Position(columns.pop("loop"), columns.pop("step"))
    return LiveHelp(**columns, position=position)
