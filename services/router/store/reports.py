"""The SQL of reports: what is due, what was kept, and which policies are in force."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from services.router.domain.attainment import Dimension, Kept, Took
from services.router.domain.forecast import LATE, PAUSED, Deadlines, Horizon, NextDue, due_within
from services.router.store import QUERIES
from shared.contract.tickets import Channel, TargetKind, Urgency
from shared.postgres.pool import Connection, Record


class InForce(NamedTuple):
    """The policy version that a tenant's new tickets get; None: the built-in one."""

    tenant: str
    version: int | None


async def clock_calendars(connection: Connection, tenant: str) -> list[tuple[int, str]]:
    """Policy version and name of every calendar by which a clock of the tenant runs."""
    rows = await connection.fetch(QUERIES["list_clock_calendars"], tenant)
    return [(row["policy_version"], row["calendar"]) for row in rows]


async def widen_memory(connection: Connection) -> None:
    """Give the present transaction the memory that a report's sums need."""
    await connection.execute(QUERIES["widen_memory"])


async def deadlines(
    connection: Connection,
    tenant: str,
    now: datetime,
    hours: Sequence[int],
    horizons: Iterable[Horizon],
    limit: int,
) -> list[Deadlines]:
    """Running clocks of calendars with horizons, by team and target; up to `limit`, those with the earliest due times."""
    columns = [list(column) for column in zip(*horizons, strict=True)] or [[], [], [], []]
    rows = await connection.fetch(QUERIES["forecast_deadlines"], tenant, now, *columns, limit)
    upcoming = await _next(connection, tenant, [row for row in rows if row["next_at"] is not None])
    return [_deadlines(row, hours, upcoming.get(_key(row))) for row in rows]


async def _next(connection: Connection, tenant: str, rows: Sequence[Record]) -> dict[tuple[str, str, str], NextDue]:
    """Which ticket is due at the `next_at` of each row."""
    asked = {_key(row): row["next_at"] for row in rows}
    names = ([row[name] for row in rows] for name in ("team", "pool", "target", "next_at"))
    found = await connection.fetch(QUERIES["next_deadlines"], tenant, *names) if rows else []
    return {
        _key(row): NextDue(
            ticket_id=UUID(int=row["ticket_id"].int),
            source=row["source"],
            external_id=row["external_id"],
            due_at=asked[_key(row)],
        )
        for row in found
    }


def _key(row: Record) -> tuple[str, str, str]:
    return row["team"], row["pool"], row["target"]


async def attainment(
    connection: Connection, tenant: str, since: datetime, until: datetime, by: Iterable[Dimension], limit: int
) -> list[Kept]:
    """Verdicts that fell in `[since, until)`; up to `limit` sorts of promises, those broken most often."""
    rows = await connection.fetch(QUERIES["report_attainment"], tenant, since, until, list(by), limit)
    return [_kept(row) for row in rows]


async def policies_in_force(connection: Connection, limit: int) -> list[InForce]:
    """The version of each tenant that has a policy or a key; up to `limit`."""
    rows = await connection.fetch(QUERIES["policies_in_force"], limit)
    return [InForce(row["tenant"], row["version"]) for row in rows]


def _deadlines(row: Record, hours: Sequence[int], upcoming: NextDue | None) -> Deadlines:
    places = dict(zip(row["places"], row["clocks"], strict=True))
    return Deadlines(
        team=row["team"],
        pool=row["pool"],
        target=TargetKind(row["target"]),
        clocks=sum(places.values()),
        due=due_within(hours, places),
        late=places.get(LATE, 0),
        paused=places.get(PAUSED, 0),
        next=upcoming,
    )


def _kept(row: Record) -> Kept:
    return Kept(
        target=None if row["target"] is None else TargetKind(row["target"]),
        channel=None if row["channel"] is None else Channel(row["channel"]),
        urgency=None if row["urgency"] is None else Urgency(row["urgency"]),
        team=row["team"],
        pool=row["pool"],
        matched=row["matched"],
        met=row["met"],
        breached=row["breached"],
        attainment=row["met"] / (row["met"] + row["breached"]),
        answered=row["answered"],
        open_seconds=_took(row["open_seconds"]),
        wall_seconds=_took(row["wall_seconds"]),
    )


def _took(percentiles: Sequence[float] | None) -> Took | None:
    return None if percentiles is None else Took(median=percentiles[0], p90=percentiles[1])
