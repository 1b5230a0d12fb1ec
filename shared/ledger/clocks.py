"""Clocks in SQL: the one way in which the router and escalation read and write them.

A running clock is one row of `clock`; when it ends it moves to `clock_finished`. Callers hold the ticket's row lock.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct

from shared.contract.events import TicketEvent
from shared.contract.tickets import ClockState, TargetKind
from shared.ledger import QUERIES, pages
from shared.postgres.outbox import Outbox
from shared.postgres.pool import Connection, Record
from shared.sla.clock import Change, Clock

_RUNNING = (
    "ticket_id", "target", "cycle", "tenant", "matched", "policy_version", "calendar", "state", "started_at", "due_at",
    "warn_at", "warned", "warned_at", "breached_at", "detected_at", "open_used", "escalate", "next_fire_at", "late_from",
)  # fmt: skip
_FINISHED = (
    "ticket_id", "target", "cycle", "tenant", "matched", "policy_version", "calendar", "state", "started_at", "due_at",
    "warned", "warned_at", "breached_at", "detected_at", "met_at", "ended_at", "open_used", "wall_used", "escalate",
)  # fmt: skip


class DueClock(Struct, frozen=True, kw_only=True):
    """A running clock that is due, with what its events and metrics say of the ticket."""

    tenant: str
    ticket_id: UUID
    source: str
    external_id: str
    channel: str
    urgency: str
    clock: Clock


class ClockRow(Struct, frozen=True):
    """A clock and whose it is."""

    tenant: str
    ticket_id: UUID
    clock: Clock


class Resolved(Struct, frozen=True, kw_only=True):
    """An escalation that a kept or withdrawn promise ended, or an owner."""

    id: UUID
    ticket_id: UUID
    target: str
    """The promise, or `routing`."""
    cycle: int
    generation: int
    resolution: str
    """`answered`, `cancelled`, or `withdrawn`: a breach that did not happen, or has not yet; of `routing` also `assigned`."""
    at: datetime
    acknowledged_by: str | None
    """Who had taken responsibility, if somebody had."""


class ClockNews(Struct, frozen=True, kw_only=True):
    """`data` of our `clock.*` events."""

    source: str
    ticket: str
    channel: str
    urgency: str
    target: TargetKind
    cycle: int
    matched: str
    policy_version: int
    started_at: datetime
    due_at: datetime | None
    at: datetime
    """When it happened to the promise: a breach happens at its due time."""
    detected_at: datetime
    """When we noticed."""
    open_seconds: float | None
    """Open time used; unknown while the clock runs on."""
    wall_seconds: float
    retroactive: bool = False
    """Of a breach: a change of terms found it late already, so that `at` is the change and not the due time (rule 51)."""
    reason: str | None = None
    """What moved the due time, took the breach back or ended the clock: the kind of ticket event, as in `status_changed`."""
    cause: str | None = None
    """Id of that event."""


async def claim_due(connection: Connection, now: datetime, limit: int) -> list[DueClock]:
    """Lock up to `limit` clocks that fire before `now`, the longest overdue first; those locked elsewhere are skipped."""
    return [
        DueClock(
            tenant=row["tenant"],
            ticket_id=row["ticket_id"],
            source=row["source"],
            external_id=row["external_id"],
            channel=row["channel"],
            urgency=row["urgency"],
            clock=_clock(row),
        )
        for row in await connection.fetch(QUERIES["claim_due_clocks"], now, limit)
    ]


async def save_fired(connection: Connection, rows: Sequence[ClockRow]) -> None:
    """Store what `clock.advance` made of claimed clocks: warned or breached, nothing else."""
    clocks = [row.clock for row in rows]
    await connection.execute(
        QUERIES["save_fired_clocks"],
        [row.ticket_id for row in rows],
        [clock.target for clock in clocks],
        [clock.cycle for clock in clocks],
        [clock.state for clock in clocks],
        [clock.warned for clock in clocks],
        [clock.warned_at for clock in clocks],
        [clock.breached_at for clock in clocks],
        [clock.detected_at for clock in clocks],
        [clock.next_fire_at for clock in clocks],
    )


async def load(connection: Connection, ticket_ids: Sequence[UUID]) -> dict[UUID, list[Clock]]:
    """All clocks of the tickets, running and finished."""
    clocks: dict[UUID, list[Clock]] = {ticket_id: [] for ticket_id in ticket_ids}
    for row in await connection.fetch(QUERIES["load_running_clocks"], ticket_ids):
        clocks[row["ticket_id"]].append(_clock(row))
    for row in await connection.fetch(QUERIES["load_finished_clocks"], ticket_ids):
        clocks[row["ticket_id"]].append(_clock(row))
    return clocks


def is_same(stored: Clock, clock: Clock) -> bool:
    """Whether a clock's row would stay as it is."""
    if stored.is_finished != clock.is_finished:
        return False
    record = _finished_record if clock.is_finished else _running_record
    return record(ClockRow("", _NOBODY, stored)) == record(ClockRow("", _NOBODY, clock))


async def insert(connection: Connection, rows: Iterable[ClockRow]) -> None:
    """Store clocks that have no row yet."""
    running: list[tuple[object, ...]] = []
    finished: list[tuple[object, ...]] = []
    for row in rows:
        if row.clock.is_finished:
            finished.append(_finished_record(row))
        else:
            running.append(_running_record(row))
    if running:
        await connection.copy_records_to_table("clock", records=running, columns=_RUNNING)
    if finished:
        await connection.copy_records_to_table("clock_finished", records=finished, columns=_FINISHED)


async def delete(connection: Connection, rows: Iterable[ClockRow]) -> None:
    """Take stored clocks out, to be inserted anew as something else."""
    running = [row for row in rows if not row.clock.is_finished]
    finished = [row for row in rows if row.clock.is_finished]
    for query, gone in (("delete_running_clocks", running), ("delete_finished_clocks", finished)):
        if gone:
            await connection.execute(QUERIES[query], *_keys(gone))


async def resolve_escalations(
    connection: Connection, rows: Sequence[ClockRow], resolutions: Sequence[str], now: datetime
) -> list[Resolved]:
    """End the escalations of these clocks, each with its resolution; returns those that were still live.

    The clocks are stored already, so that whoever was paged hears how they stand (escalation-rules R14).
    """
    found = await connection.fetch(QUERIES["resolve_escalations"], *_keys(rows), now, resolutions)
    if found:
        # a statement of its own, after the locks: it has to see the pages that were written while we waited for them
        await pages.resolve(connection, [row["id"] for row in found], now)
    return [
        Resolved(
            id=row["id"],
            ticket_id=row["ticket_id"],
            target=row["target"],
            cycle=row["cycle"],
            generation=row["generation"],
            resolution=row["resolution"],
            at=now,
            acknowledged_by=row["acknowledged_by"],
        )
        for row in found
    ]


def announce(
    outbox: Outbox,
    *,
    tenant: str,
    source: str,
    external_id: str,
    channel: str,
    urgency: str,
    change: Change,
    clock: Clock,
    now: datetime,
    cause: TicketEvent | None = None,
) -> None:
    """Say in the outbox what became of a clock, and by what event; None where time did it."""
    at = _happened_at(change, clock, now)
    outbox.add(
        tenant,
        _KINDS[change],
        external_id,
        ClockNews(
            source=source,
            ticket=external_id,
            channel=channel,
            urgency=urgency,
            target=clock.target,
            cycle=clock.cycle,
            matched=clock.matched,
            policy_version=clock.policy_version,
            started_at=clock.started_at,
            due_at=clock.due_at,
            at=at,
            detected_at=now,
            open_seconds=clock.open_used.total_seconds() if clock.is_finished else None,
            wall_seconds=max(at - clock.started_at, _NOTHING).total_seconds(),
            retroactive=change is Change.BREACHED and clock.breached_at != clock.due_at,
            reason=cause.kind if cause and change in _CAUSED else None,
            cause=cause.id if cause and change in _CAUSED else None,
        ),
    )


_NOBODY = UUID(int=0)
_NOTHING = timedelta()
_CAUSED = frozenset({Change.DUE_CHANGED, Change.BREACH_RETRACTED, Change.CANCELLED})
_KINDS = {change: f"clock.{change}" for change in Change}


def _happened_at(change: Change, clock: Clock, now: datetime) -> datetime:
    match change:
        case Change.STARTED:
            return clock.started_at
        case Change.BREACHED:
            return clock.breached_at or now
        case Change.WARNED:
            return clock.warn_at[clock.warned - 1] if 0 < clock.warned <= len(clock.warn_at) else now
        case Change.MET | Change.CANCELLED:
            return clock.ended_at or now
        case _:
            return now


def _keys(rows: Sequence[ClockRow]) -> tuple[list[UUID], list[str], list[int]]:
    return [row.ticket_id for row in rows], [row.clock.target for row in rows], [row.clock.cycle for row in rows]


def _clock(row: Record) -> Clock:
    """A row of either table; what only the other one has is absent."""
    return Clock(
        target=TargetKind(row["target"]),
        cycle=row["cycle"],
        matched=row["matched"],
        policy_version=row["policy_version"],
        calendar=row["calendar"],
        state=ClockState(row["state"]),
        started_at=row["started_at"],
        due_at=row["due_at"],
        late_from=row.get("late_from"),
        warn_at=tuple(row.get("warn_at", ())),
        warned=row["warned"],
        warned_at=row["warned_at"],
        breached_at=row["breached_at"],
        detected_at=row["detected_at"],
        met_at=row.get("met_at"),
        ended_at=row.get("ended_at"),
        open_used=row["open_used"],
        escalate=row["escalate"],
    )


def _running_record(row: ClockRow) -> tuple[object, ...]:
    clock = row.clock
    return (
        row.ticket_id, clock.target, clock.cycle, row.tenant, clock.matched, clock.policy_version, clock.calendar,
        clock.state, clock.started_at, clock.due_at, clock.warn_at, clock.warned, clock.warned_at, clock.breached_at,
        clock.detected_at, clock.open_used, clock.escalate, clock.next_fire_at, clock.late_from,
    )  # fmt: skip


def _finished_record(row: ClockRow) -> tuple[object, ...]:
    clock = row.clock
    if clock.ended_at is None:
        raise ValueError(f"{clock.target} is still running")
    return (
        row.ticket_id, clock.target, clock.cycle, row.tenant, clock.matched, clock.policy_version, clock.calendar,
        clock.state, clock.started_at, clock.due_at, clock.warned, clock.warned_at, clock.breached_at,
        clock.detected_at, clock.met_at, clock.ended_at, clock.open_used, clock.ended_at - clock.started_at,
        clock.escalate,
    )  # fmt: skip
