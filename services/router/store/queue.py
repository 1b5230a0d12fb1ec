"""The queue and the assignments in SQL, as intake changes them: who waits, who has what.

Callers own the transaction and hold the tickets' rows. Lock order: ticket, then queue rows, then agents by key; so call
`dequeue` before `release`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct

from services.router.domain.queue import QueueEntry
from services.router.store import QUERIES
from shared import ids
from shared.contract.tickets import Channel
from shared.postgres.pool import Connection, Record

_COLUMNS = (
    "ticket_id", "tenant", "pool", "channel", "units", "interruptible", "needs", "prefers", "signature", "urgency_rank",
    "queued_at", "due_at", "latest_start_at", "rescue_at", "band", "order_rank", "order_at", "previous_owner",
    "affinity_until", "excluded", "insists", "relax_at", "overflow_pool", "overflow_at",
)  # fmt: skip
_SEPARATOR = "\x1f"
_NONE = b"[]"
_encode = msgspec.json.Encoder().encode


class Released(Struct, frozen=True):
    """An assignment that ended."""

    ticket_id: UUID
    agent: str
    pool: str
    """Where it was taken."""
    queued_at: datetime | None = None
    """Since when it wanted an owner; None where it was given by hand."""
    excluded: tuple[str, ...] = ()
    """Who must not get it in this cycle."""
    was_accepted: bool = True
    """False: it was only offered."""
    was_cleared: bool = False
    """All had declined it, and were asked once more."""
    pools: tuple[str, ...] = ()
    """Where somebody waits whom the agent may now have room for."""


class ByHand(Struct, frozen=True, kw_only=True):
    """A ticket that the helpdesk gave to an agent."""

    tenant: str
    ticket_id: UUID
    agent: str
    """May be somebody who isn't on the roster: then the ticket has an owner, and nobody's load grows."""
    pool: str
    channel: Channel
    units: int
    interruptible: bool
    park_at: datetime | None = None
    """When it is parked, unless somebody writes."""
    queued_at: datetime | None = None
    """Since when it wants an owner."""


class Handed(Struct, frozen=True, kw_only=True):
    """What giving tickets by hand changed."""

    changed: list[UUID]
    """Tickets that are somebody else's now."""
    ended: list[Released]
    """What other agents had of them, or were offered."""
    settled: list[str]
    """Pools of offers that need no answer any more, as the agent has the ticket."""


class Load(Struct, kw_only=True):
    """By how much an agent's load changes."""

    primary: int = 0
    interruptible: int = 0
    calls: int = 0
    is_given: bool = False
    """They were given something: whoever waits longest for that comes first."""


async def enqueue_new(connection: Connection, entries: Sequence[QueueEntry]) -> None:
    """Put tickets in the queue that came into being in this transaction; the fast way."""
    rows = [
        (
            entry.ticket_id, entry.tenant, entry.pool, entry.channel, entry.units, entry.interruptible,
            _encode(entry.needs), entry.prefers, entry.signature, entry.urgency_rank, entry.queued_at, entry.due_at,
            entry.latest_start_at, entry.rescue_at, entry.band, entry.order_rank, entry.order_at, entry.previous_owner,
            entry.affinity_until, entry.excluded, _encode(entry.insists) if entry.insists else _NONE, entry.relax_at,
            entry.overflow_pool, entry.overflow_at,
        )
        for entry in entries
    ]  # fmt: skip
    await connection.copy_records_to_table("queued", records=rows, columns=_COLUMNS)


async def enqueue(connection: Connection, entries: Sequence[QueueEntry]) -> None:
    """Put tickets in the queue, or move those that wait in it to where they belong now.

    A ticket that somebody has is left alone. One that waits keeps its age, its exclusions and its wait for a previous owner.
    """
    columns: list[Sequence[object]] = [[getattr(entry, name) for entry in entries] for name in _COLUMNS]
    by_name = dict(zip(_COLUMNS, columns, strict=True))
    by_name["needs"] = [_encode(entry.needs) for entry in entries]
    by_name["prefers"] = [_SEPARATOR.join(entry.prefers) for entry in entries]
    by_name["excluded"] = [_SEPARATOR.join(entry.excluded) for entry in entries]
    by_name["insists"] = [_encode(entry.insists) for entry in entries]
    by_name["relax_at"] = [_SEPARATOR.join(at.isoformat() for at in entry.relax_at) for entry in entries]
    await connection.execute(QUERIES["enqueue"], *by_name.values())


async def mark_cleared(connection: Connection, ticket_ids: Sequence[UUID]) -> None:
    """Remember of tickets that just came back into the queue that those who declined them were asked once more."""
    await connection.execute(QUERIES["mark_cleared"], ticket_ids)


async def dequeue(connection: Connection, ticket_ids: Sequence[UUID]) -> list[UUID]:
    """Take tickets out of the queue; returns those that were in it.

    Waits for a matching run that is giving one of them away just now: `release` then finds what it gave.
    """
    return [row["ticket_id"] for row in await connection.fetch(QUERIES["dequeue"], ticket_ids)]


async def release(
    connection: Connection, tenant: str, ticket_ids: Sequence[UUID], reason: str, now: datetime
) -> list[Released]:
    """End the assignments of tickets and free their units; returns what ended. `reason` says why, for the record."""
    rows = await connection.fetch(QUERIES["release"], tenant, ticket_ids, now, reason)
    return [
        Released(
            row["ticket_id"],
            row["agent"],
            row["pool"],
            row["queued_at"],
            tuple(row["excluded"]),
            row["was_accepted"],
            row["was_cleared"],
            tuple(row["pools"]),
        )
        for row in rows
    ]


async def assign_by_hand(connection: Connection, given: Sequence[ByHand], now: datetime) -> Handed:
    """Obey the helpdesk: these agents have these tickets, whatever their capacity.

    Takes them out of the queue and from whoever else had them. Who already has one keeps it; who was only offered it, or
    had it parked, has it at once. An agent whose load grows beyond capacity is marked `over_capacity`. Each ticket at
    most once in `given`.
    """
    ticket_ids = [one.ticket_id for one in given]
    agents = [one.agent for one in given]
    park_at = [one.park_at for one in given]
    await dequeue(connection, ticket_ids)
    ended = await connection.fetch(QUERIES["end_for_others"], ticket_ids, agents, now)
    confirmed = await connection.fetch(QUERIES["confirm_by_hand"], ticket_ids, agents, now, park_at)
    made = await connection.fetch(
        QUERIES["insert_by_hand"],
        [ids.uuid7(now) for _ in given],
        [one.tenant for one in given],
        ticket_ids,
        agents,
        [one.pool for one in given],
        [one.channel for one in given],
        [one.units for one in given],
        [one.interruptible for one in given],
        now,
        park_at,
        [one.queued_at for one in given],
    )
    loads: dict[tuple[str, str], Load] = {}
    for row in ended:
        _add(loads, row, -1)
    for row in made:
        _add(loads, row, 1, is_given=True)
    for row in confirmed:
        if row["was_parked"]:
            _add(loads, row, 1)
    await change_loads(connection, loads, now)
    return Handed(
        changed=[row["ticket_id"] for row in made] + [row["ticket_id"] for row in confirmed if not row["was_accepted"]],
        ended=[
            Released(row["ticket_id"], row["agent"], row["pool"], was_accepted=row["was_accepted"]) for row in ended
        ],
        settled=[row["pool"] for row in confirmed if not row["was_accepted"]],
    )


def _add(loads: dict[tuple[str, str], Load], row: Record, sign: int, *, is_given: bool = False) -> None:
    load = loads.setdefault((row["tenant"], row["agent"]), Load())
    if row["interruptible"]:
        load.interruptible += sign * row["units"]
    else:
        load.primary += sign * row["units"]
    load.calls += sign * (row["channel"] == Channel.PHONE)
    load.is_given |= is_given


async def change_loads(connection: Connection, loads: Mapping[tuple[str, str], Load], now: datetime) -> None:
    """Add to the loads of agents, given as (tenant, key), whatever their capacity; who has too much is marked."""
    if loads:
        await connection.execute(
            QUERIES["change_loads"],
            [tenant for tenant, _ in loads],
            [agent for _, agent in loads],
            [load.primary for load in loads.values()],
            [load.interruptible for load in loads.values()],
            [load.calls for load in loads.values()],
            [load.is_given for load in loads.values()],
            now,
        )


async def hold(connection: Connection, ticket_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the tickets that wait, locked in the queue; waits for a matching run that is giving one away just now."""
    return {row["ticket_id"] for row in await connection.fetch(QUERIES["hold_queued"], ticket_ids)}


async def hold_owners(connection: Connection, ticket_ids: Sequence[UUID], named: Sequence[tuple[str, str]]) -> None:
    """Hold still the loads of whoever has these tickets, and of the `named` (tenant, agent), in the lock order."""
    tenants, agents = [tenant for tenant, _ in named], [agent for _, agent in named]
    await connection.execute(QUERIES["hold_owners"], ticket_ids, tenants, agents)


async def last_owners(connection: Connection, ticket_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Who had each ticket last, of those that somebody has had."""
    return {row["ticket_id"]: row["agent"] for row in await connection.fetch(QUERIES["last_owners"], ticket_ids)}
