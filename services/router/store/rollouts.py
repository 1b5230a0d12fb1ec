"""Rollouts of policy versions in SQL: how far each has come, and the tickets that come next. Callers own the transaction."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import msgspec
from msgspec import Struct

from services.router.domain.effects import Counts
from services.router.domain.reach import Reach
from services.router.store import QUERIES
from shared.contract.ledger import Ticket
from shared.postgres.pool import Connection

START = UUID(int=0)
"""The cursor before the first ticket."""


class Scope(StrEnum):
    """Which open tickets a rollout is for."""

    OPEN = "open"
    SINCE = "since"


class State(StrEnum):
    """Whether there is more to do."""

    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    """Too many tickets failed: it needs a person."""


class RolloutView(Struct, frozen=True, kw_only=True):
    """A rollout as the outside sees it."""

    version: int
    scope: Scope
    at: datetime
    """From when on the version holds for them."""
    opened_from: datetime | None
    """Scope `since`: only tickets opened from then on, as though the version had always held."""
    state: State
    total: int | None
    """Tickets it is for; null until they are counted."""
    done: int
    failed: int
    """Tickets that keep their version because of a fault."""
    recomputed: int
    """Of those done; the others could not move."""
    earlier: int
    """Clocks, by what became of them; these and those below."""
    later: int
    started: int
    cancelled: int
    breached: int
    """Late at once."""
    retracted: int
    """Broken before, and no longer."""
    finished_at: datetime | None


class Rollout(RolloutView, frozen=True, kw_only=True):
    """A version on its way to tickets that are open already, with what its workers need."""

    id: UUID
    tenant: str
    rejudges: bool
    seen_at: datetime | None
    cursor: UUID

    @property
    def is_running(self) -> bool:
        """Whether there is more to do."""
        return self.state == State.RUNNING


def view(rollout: Rollout) -> RolloutView:
    """Without what only its workers need."""
    return msgspec.convert(rollout, RolloutView, from_attributes=True)


class Next(Struct, frozen=True):
    """A stretch of the tenant's tickets."""

    ids: Sequence[UUID]
    """Those in it that the version is for."""
    cursor: UUID | None
    """Where the next stretch begins; None at the end of all."""


class Meant(Struct, frozen=True, kw_only=True):
    """The open tickets a version is for."""

    tenant: str
    version: int
    rejudges: bool
    """Also those that it judges already."""
    opened_from: datetime | None


async def insert(
    connection: Connection,
    rollout_id: UUID,
    tenant: str,
    version: int,
    reach: Reach,
    at: datetime,
    *,
    rejudges: bool,
) -> None:
    """A version sets out, at the instant of its application."""
    scope = Scope.OPEN if reach.opened_from is None else Scope.SINCE
    await connection.execute(
        QUERIES["insert_rollout"], rollout_id, tenant, version, scope, at, reach.opened_from, rejudges
    )


async def load(connection: Connection, rollout_id: UUID) -> Rollout | None:
    """One of them."""
    row = await connection.fetchrow(QUERIES["load_rollout"], rollout_id)
    return None if row is None else Rollout(**dict(row))


async def history(connection: Connection, tenant: str, before: UUID | None, limit: int) -> list[Rollout]:
    """Up to `limit` of a tenant's, the newest first, from before that id."""
    return [Rollout(**dict(row)) for row in await connection.fetch(QUERIES["list_rollouts"], tenant, before, limit)]


async def claim(connection: Connection, tenant: str | None) -> Rollout | None:
    """The one to work on next, locked until the transaction ends; None where there is none, or others work on them."""
    row = await connection.fetchrow(QUERIES["claim_rollout"], tenant)
    return None if row is None else Rollout(**dict(row))


async def mark_seen(connection: Connection, rollout_id: UUID) -> None:
    """Whoever begins from now on goes by the new version."""
    await connection.execute(QUERIES["mark_rollout_seen"], rollout_id)


async def may_begin(connection: Connection, seen_at: datetime, patience: timedelta) -> bool:
    """Whether nobody is left who may still open a ticket under an older version."""
    answer: bool = await connection.fetchval(QUERIES["may_begin_rollout"], seen_at, patience)
    return answer


async def count(connection: Connection, meant: Meant) -> int:
    """How many open tickets there are that it is for."""
    found: int = await connection.fetchval(
        QUERIES["count_rollout_tickets"], meant.tenant, meant.version, meant.rejudges, meant.opened_from
    )
    return found


async def begin(connection: Connection, rollout_id: UUID, total: int) -> None:
    """Keep how many tickets it has before it."""
    await connection.execute(QUERIES["set_rollout_total"], rollout_id, total)


async def find(connection: Connection, meant: Meant, cursor: UUID, window: int, limit: int) -> Next:
    """The next `limit` tickets or fewer, among the `window` that follow the cursor."""
    row = await connection.fetchrow(
        QUERIES["find_rollout_tickets"],
        meant.tenant,
        meant.version,
        meant.rejudges,
        meant.opened_from,
        cursor,
        window,
        limit,
    )
    if row is None:
        raise AssertionError("a query without FROM has one row")
    ids: list[UUID] = row["ids"]
    return Next(ids, ids[-1] if len(ids) == limit else row["last_id"])


async def lock_tickets(connection: Connection, meant: Meant, ids: Sequence[UUID]) -> list[Ticket]:
    """Those of the tickets that it is for still, locked until the transaction ends."""
    rows = await connection.fetch(QUERIES["lock_rollout_tickets"], ids, meant.version, meant.rejudges)
    return [Ticket(**dict(row)) for row in rows]


async def restamp(connection: Connection, ids: Sequence[UUID], version: int, changed_at: datetime | None) -> None:
    """Let a version judge locked tickets that it leaves where they are, from `changed_at` on (None: since ever)."""
    await connection.execute(QUERIES["restamp_tickets"], ids, version)
    await connection.execute(QUERIES["restamp_clocks"], ids, version, changed_at)


async def advance(
    connection: Connection,
    rollout: Rollout,
    cursor: UUID | None,
    counts: Counts,
    now: datetime,
    *,
    failed: int = 0,
    is_stopped: bool = False,
) -> None:
    """One batch is done; without a cursor it was the last."""
    state = State.RUNNING if cursor is not None else State.DONE
    await connection.execute(
        QUERIES["advance_rollout"],
        rollout.id,
        cursor or rollout.cursor,
        counts.tickets,
        failed,
        counts.recomputed,
        counts.earlier,
        counts.later,
        counts.started,
        counts.cancelled,
        counts.breached,
        counts.retracted,
        State.STOPPED if is_stopped else state,
        now,
    )


async def tickets_left(connection: Connection) -> int:
    """How many tickets all running rollouts have before them; at least one for each that hasn't begun."""
    left: int = await connection.fetchval(QUERIES["count_rollouts_left"])
    return left


async def wait_briefly(connection: Connection) -> None:
    """In this transaction, fail with asyncpg.LockNotAvailableError rather than wait long for a lock."""
    await connection.fetchval(QUERIES["wait_briefly"])


async def with_events(connection: Connection, ids: Sequence[UUID], kinds: Sequence[str]) -> set[UUID]:
    """Those of the tickets whose logs hold an event of one of these kinds."""
    return {row["ticket_id"] for row in await connection.fetch(QUERIES["tickets_with_events"], ids, kinds)}
