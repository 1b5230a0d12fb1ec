"""The SQL of reports: what is due, what was kept, and which policies are in force."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

import msgspec
from msgspec import Struct

from services.router.domain.attainment import Dimension, Kept, Took
from services.router.domain.forecast import LATE, PAUSED, Deadlines, Horizon, NextDue, due_within
from services.router.domain.staffing import Arrived, Lack, Span, Waited
from services.router.domain.week import Offsets
from services.router.store import QUERIES
from shared import ids
from shared.contract.tickets import Channel, TargetKind, Urgency
from shared.postgres.pool import Connection, Record

_decode_needs = msgspec.json.Decoder(tuple[tuple[str, int], ...]).decode
_EARLY = timedelta(hours=1)
"""A ticket may say that it was opened a little after we heard of it; never so much."""
_HOLDS = 20_000
"""Assignments from which it is told how long somebody has a ticket."""


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


class Cohort(Struct, frozen=True, kw_only=True):
    """Tickets that a report of staff is about."""

    tenant: str
    since: datetime
    """Opened from then on."""
    until: datetime
    """Up to then; what waits yet has waited so long."""
    offsets: Offsets
    channel: Channel | None = None
    skill: str | None = None
    pool: str | None = None

    @property
    def parameters(self) -> tuple[object, ...]:
        """As the queries number them."""
        first_id = ids.first_at(self.since - _EARLY)
        return (
            self.tenant, self.since, self.until, first_id, self.channel, self.skill, self.pool,
            [-math.inf, *self.offsets.starts[1:]], list(self.offsets.seconds),
        )  # fmt: skip


class Waits(NamedTuple):
    """What became of those that waited."""

    waited: list[Waited]
    spans: list[Span]
    others: list[Arrived]
    """Tickets that waited as what they aren't now: they came as that, too."""


async def arrivals(connection: Connection, cohort: Cohort) -> list[Arrived]:
    """Tickets by channel and skills, as they are now, and the hour of the week of their opening."""
    rows = await connection.fetch(QUERIES["report_arrivals"], *cohort.parameters)
    return [
        Arrived(
            Channel(row["channel"]),
            _skills(row["needs"]),
            row["hour"],
            row["tickets"],
        )
        for row in rows
    ]


async def waits(connection: Connection, cohort: Cohort, held: Mapping[Channel, float]) -> Waits:
    """Those of them that waited for more than to be looked at; `held`: seconds that somebody has a ticket of a channel."""
    rows = await connection.fetch(QUERIES["report_waits"], *cohort.parameters, list(held), list(held.values()))
    found = Waits([], [], [])
    for kind, name, needs, why, place, tickets, waiting, unit_seconds in rows:
        channel = None if name is None else Channel(name)
        skills = () if needs is None else _skills(needs)
        reason = None if why is None else Lack(why)
        if kind == "hour":
            found.waited.append(Waited(channel, skills, reason, place, tickets, waiting, unit_seconds))
        elif kind == "span":
            found.spans.append(Span(channel, skills, reason, place, tickets))
        else:
            found.others.append(Arrived(channel or Channel.OTHER, skills, place, tickets))
    return found


@lru_cache(maxsize=4096)
def _skills(needs: bytes) -> tuple[str, ...]:
    return tuple(skill for skill, _ in _decode_needs(needs))


async def holds(connection: Connection, tenant: str, since: datetime) -> dict[Channel, float]:
    """Seconds that somebody has a ticket, by channel: the median of the last that were given since then and ended."""
    rows = await connection.fetch(QUERIES["report_holds"], tenant, ids.first_at(since), _HOLDS)
    return {Channel(row["channel"]): row["seconds"] for row in rows}


async def mean_capacity(connection: Connection, tenant: str) -> float | None:
    """Units of those who work tickets; None where nobody does."""
    capacity: float | None = await connection.fetchval(QUERIES["mean_capacity"], tenant)
    return capacity


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
