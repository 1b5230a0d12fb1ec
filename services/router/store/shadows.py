"""Candidate policies that are tried, and their clocks, in SQL. Callers own the transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from services.router.store import QUERIES
from shared.contract.judges import JudgedBy
from shared.contract.tickets import Channel, ClockState, TargetKind
from shared.policy import builtin
from shared.postgres.pool import Connection, Record
from shared.sla.clock import Clock


class State(StrEnum):
    """How a trial is doing."""

    RUNNING = "running"
    FAILED = "failed"
    """The candidate can't be tried; it waits for somebody to look at it."""
    STOPPED = "stopped"
    """Its rows are on their way out."""


class Listed(Struct, frozen=True, kw_only=True):
    """A candidate, as routers look it up every second."""

    id: UUID
    tenant: str
    started_at: datetime
    state: State


class Claimed(Struct, frozen=True, kw_only=True):
    """A candidate that this process tries just now."""

    id: UUID
    tenant: str
    started_at: datetime
    tickets: int


class Shadow(Struct, frozen=True, kw_only=True):
    """A tenant's candidate."""

    id: UUID
    tenant: str
    source: str
    started_at: datetime
    started_by: str
    state: State
    failure: str | None
    tickets: int


class Tally(Struct, frozen=True, kw_only=True):
    """Clocks of one target and channel, by how they stand."""

    policy: JudgedBy
    target: TargetKind
    channel: Channel
    clocks: int
    met: int
    """In time."""
    breached: int
    running: int
    cancelled: int


class Differences(Struct, frozen=True, kw_only=True):
    """Tickets on which the two don't agree what was broken."""

    tickets: int
    only_live: int
    """With a promise that the policy in force broke and the candidate didn't."""
    only_shadow: int


class Differing(Struct, frozen=True, kw_only=True):
    """A promise that was broken under one of the two; null where the other doesn't make it."""

    source: str
    external_id: str
    channel: Channel
    target: TargetKind
    cycle: int
    live_matched: str | None
    live_state: ClockState | None
    live_due_at: datetime | None
    live_breached_at: datetime | None
    shadow_matched: str | None
    shadow_state: ClockState | None
    shadow_due_at: datetime | None
    shadow_breached_at: datetime | None


async def hold(connection: Connection, tenant: str) -> None:
    """Let nobody else start or stop a candidate of this tenant until the transaction ends."""
    await connection.fetchval(QUERIES["hold_shadows"], tenant)


async def insert(
    connection: Connection, shadow_id: UUID, tenant: str, source: str, document: bytes, started_at: datetime, by: str
) -> None:
    """A candidate begins; the tenant has no other that isn't stopped."""
    await connection.execute(QUERIES["insert_shadow"], shadow_id, tenant, source, document, started_at, by)


async def load(connection: Connection, tenant: str) -> Shadow | None:
    """The tenant's candidate; None where there is none."""
    row = await connection.fetchrow(QUERIES["load_shadow"], tenant)
    return None if row is None else Shadow(**{**dict(row), "state": State(row["state"])})


async def list_all(connection: Connection, limit: int) -> list[Listed]:
    """Candidates of all tenants, also those whose rows are still to be removed."""
    rows = await connection.fetch(QUERIES["list_shadows"], limit)
    return [Listed(**{**dict(row), "state": State(row["state"])}) for row in rows]


async def claim(connection: Connection, shadow_id: UUID) -> Claimed | None:
    """Have a running candidate for oneself until the transaction ends; None where another process has it."""
    row = await connection.fetchrow(QUERIES["claim_shadow"], shadow_id)
    return None if row is None else Claimed(**dict(row))


async def load_document(connection: Connection, shadow_id: UUID) -> bytes:
    """The candidate as JSON; raises LookupError where it is gone."""
    document: bytes | None = await connection.fetchval(QUERIES["load_shadow_document"], shadow_id)
    if document is None:
        raise LookupError(f"there is no candidate {shadow_id}")
    return document


async def fail(connection: Connection, shadow_id: UUID, failure: str) -> bool:
    """Say why a candidate can't be tried; False where it has ended already."""
    return await connection.fetchval(QUERIES["fail_shadow"], shadow_id, failure) is not None


async def stop(connection: Connection, tenant: str) -> bool:
    """Try the tenant's candidate no more; False where there is none."""
    return await connection.fetchval(QUERIES["stop_shadow"], tenant) is not None


async def mark(connection: Connection, marks: Sequence[tuple[str, UUID]]) -> None:
    """Tickets, as (tenant, id), of which candidates have something new to hear."""
    await connection.copy_records_to_table("shadow_mark", records=marks, columns=("tenant", "ticket_id"))


async def count_marks(connection: Connection, tenant: str) -> int:
    """About how many marks wait; other tenants' marks in between count too."""
    waiting: int = await connection.fetchval(QUERIES["count_marks"], tenant)
    return waiting


async def take_marks(connection: Connection, tenant: str, limit: int) -> list[UUID]:
    """The tickets of the oldest marks; one may be there more than once."""
    return [row["ticket_id"] for row in await connection.fetch(QUERIES["take_marks"], tenant, limit)]


async def find_due(connection: Connection, shadow_id: UUID, now: datetime, limit: int) -> list[UUID]:
    """Tickets with a clock that breaks before `now`; one may be there more than once."""
    return [row["ticket_id"] for row in await connection.fetch(QUERIES["find_due_trials"], shadow_id, now, limit)]


async def load_tried(connection: Connection, shadow_id: UUID, ticket_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the tickets that are tried already."""
    return {row["ticket_id"] for row in await connection.fetch(QUERIES["load_tried_tickets"], shadow_id, ticket_ids)}


async def add_tried(connection: Connection, shadow_id: UUID, ticket_ids: Sequence[UUID]) -> None:
    """Tickets that are tried from now on."""
    await connection.execute(QUERIES["add_tried_tickets"], shadow_id, ticket_ids)


async def load_clocks(connection: Connection, shadow_id: UUID, ticket_ids: Sequence[UUID]) -> dict[UUID, list[Clock]]:
    """The candidate's clocks of these tickets."""
    clocks: dict[UUID, list[Clock]] = {ticket_id: [] for ticket_id in ticket_ids}
    for row in await connection.fetch(QUERIES["load_shadow_clocks"], shadow_id, ticket_ids):
        clocks[row["ticket_id"]].append(_clock(row))
    return clocks


async def save_clocks(connection: Connection, shadow_id: UUID, clocks: Mapping[UUID, Sequence[Clock]]) -> None:
    """Store clocks as they are now."""
    rows = [
        (
            ticket_id, clock.target, clock.cycle, clock.matched, clock.state, clock.started_at, clock.due_at, clock.late_from,
            clock.breached_at, clock.detected_at, clock.met_at, clock.ended_at, clock.open_used, clock.next_fire_at,
        )
        for ticket_id, mine in clocks.items()
        for clock in mine
    ]  # fmt: skip
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        await connection.execute(QUERIES["save_shadow_clocks"], shadow_id, *columns)


async def remove(connection: Connection, shadow: Listed, limit: int) -> int:
    """Remove up to `limit` rows of each sort that a stopped candidate left behind; returns how many there were."""
    clocks = await connection.fetch(QUERIES["drop_shadow_clocks"], shadow.id, limit)
    tickets = await connection.fetch(QUERIES["drop_tried_tickets"], shadow.id, limit)
    if not clocks and not tickets:
        await connection.execute(QUERIES["drop_shadow"], shadow.id)
    return len(clocks) + len(tickets)


async def drop_marks(connection: Connection, tenant: str, limit: int) -> int:
    """Remove up to `limit` marks that nobody waits for."""
    return len(await connection.fetch(QUERIES["drop_marks"], tenant, limit))


async def compare(connection: Connection, shadow_id: UUID) -> list[Tally]:
    """The clocks of the tickets that are tried under both policies; the channel is the live one's for both."""
    return [
        Tally(
            **{
                **dict(row),
                "policy": JudgedBy(row["policy"]),
                "target": TargetKind(row["target"]),
                "channel": Channel(row["channel"]),
            }
        )
        for row in await connection.fetch(QUERIES["compare_shadow"], shadow_id)
    ]


async def differences(connection: Connection, shadow_id: UUID) -> Differences:
    """On how many tickets the two differ."""
    row = await connection.fetchrow(QUERIES["count_shadow_differences"], shadow_id)
    if row is None:
        raise AssertionError("a count has one row")
    return Differences(**dict(row))


async def examples(connection: Connection, shadow_id: UUID, limit: int) -> list[Differing]:
    """Some of these tickets, the newest first."""
    return [
        Differing(
            **{
                **dict(row),
                "channel": Channel(row["channel"]),
                "target": TargetKind(row["target"]),
                "live_state": _state(row["live_state"]),
                "shadow_state": _state(row["shadow_state"]),
            }
        )
        for row in await connection.fetch(QUERIES["list_shadow_differences"], shadow_id, limit)
    ]


def _state(name: str | None) -> ClockState | None:
    return None if name is None else ClockState(name)


def _clock(row: Record) -> Clock:
    return Clock(
        target=TargetKind(row["target"]),
        cycle=row["cycle"],
        matched=row["matched"],
        policy_version=builtin.VERSION,
        calendar="",
        state=ClockState(row["state"]),
        started_at=row["started_at"],
        due_at=row["due_at"],
        late_from=row["late_from"],
        breached_at=row["breached_at"],
        detected_at=row["detected_at"],
        met_at=row["met_at"],
        ended_at=row["ended_at"],
        open_used=row["open_used"],
    )
