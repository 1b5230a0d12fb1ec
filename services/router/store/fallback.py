"""Tickets that nobody can take, in SQL: asked for once more, or given to whom the policy names for it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct

from services.router.domain.queue import Needs
from services.router.store import QUERIES
from services.router.store import queue as queue_store
from shared import ids
from shared.contract.tickets import Channel
from shared.postgres.pool import Connection

_ASSIGNMENT = (
    "id", "tenant", "ticket_id", "agent", "pool", "channel", "units", "interruptible", "assigned_at", "accepted_at",
    "queued_at", "excluded", "was_cleared", "by_hand",
)  # fmt: skip
_decode_needs = msgspec.json.Decoder(Needs).decode


class HelpAhead(Struct, frozen=True):
    """A ticket whose people are not there, since when, and until when it can be saved."""

    ticket_id: UUID
    since: datetime
    latest_start_at: datetime


class Unskilled(Struct, frozen=True, kw_only=True):
    """A ticket that nobody on the roster can take."""

    ticket_id: UUID
    source: str
    external_id: str
    channel: Channel
    units: int
    interruptible: bool
    needs: Needs
    prefers: tuple[str, ...]
    queued_at: datetime
    excluded: tuple[str, ...]
    was_cleared: bool


async def clear_exclusions(connection: Connection, ticket_ids: Sequence[UUID]) -> None:
    """Let those who declined these tickets be asked once more."""
    await connection.execute(QUERIES["clear_exclusions"], ticket_ids)


async def has_people(connection: Connection, tenant: str) -> bool:
    """Whether anybody on the roster works tickets, whatever they can do."""
    found: bool = await connection.fetchval(QUERIES["has_people"], tenant)
    return found


async def list_help_ahead(connection: Connection, ticket_ids: Sequence[UUID], now: datetime) -> list[HelpAhead]:
    """Those of the tickets whose people are not there, and of which somebody is to be told later."""
    return [HelpAhead(*row) for row in await connection.fetch(QUERIES["list_help_ahead"], ticket_ids, now)]


async def move_help(connection: Connection, instants: Mapping[UUID, datetime], now: datetime) -> None:
    """Tell somebody of these tickets at another instant, unless it is due by now."""
    await connection.execute(QUERIES["move_help"], list(instants), list(instants.values()), now)


async def judge_anew(connection: Connection, tenant: str, now: datetime) -> None:
    """Let the next matching run find out anew why tickets wait that nobody could take."""
    await connection.execute(QUERIES["judge_anew"], tenant, now)


async def claim_unskilled(connection: Connection, tenant: str, pool: str, person: str, limit: int) -> list[Unskilled]:
    """Lock up to `limit` tickets of a pool that nobody on the roster can take and `person` has not given back."""
    return [
        Unskilled(
            ticket_id=row["ticket_id"],
            source=row["source"],
            external_id=row["external_id"],
            channel=Channel(row["channel"]),
            units=row["units"],
            interruptible=row["interruptible"],
            needs=_decode_needs(row["needs"]),
            prefers=tuple(row["prefers"]),
            queued_at=row["queued_at"],
            excluded=tuple(row["excluded"]),
            was_cleared=row["was_cleared"],
        )
        for row in await connection.fetch(QUERIES["claim_unskilled"], tenant, pool, person, limit)
    ]


async def lock_person(connection: Connection, tenant: str, key: str) -> bool:
    """Hold somebody on the roster; False where they are not on it."""
    return await connection.fetchval(QUERIES["lock_person"], tenant, key) is not None


async def assign(
    connection: Connection, tenant: str, pool: str, person: str, lost: Sequence[Unskilled], now: datetime
) -> None:
    """Give claimed tickets, taken out of the queue, to a person who is held, whatever their capacity.

    As by hand: no timer takes them away, and no absence, after which they would only come back.
    """
    await connection.copy_records_to_table(
        "assignment",
        records=[
            (
                ids.uuid7(now), tenant, one.ticket_id, person, pool, one.channel, one.units, one.interruptible, now, now,
                one.queued_at, one.excluded, one.was_cleared, True,
            )
            for one in lost
        ],
        columns=_ASSIGNMENT,
    )  # fmt: skip
    load = queue_store.Load(
        primary=sum(one.units for one in lost if not one.interruptible),
        interruptible=sum(one.units for one in lost if one.interruptible),
        calls=sum(one.channel is Channel.PHONE for one in lost),
        is_given=True,
    )
    await queue_store.change_loads(connection, {(tenant, person): load}, now)
