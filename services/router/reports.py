"""Reports: what is due in the next open hours, and what was kept and broken.

Each is one set-based query over one tenant, of one instant. The calendars answer for open time, no sum is done twice.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from services.router.domain import attainment as attainment_rules
from services.router.domain import forecast
from services.router.domain.attainment import Dimension, Kept
from services.router.domain.forecast import Forecast, Horizon
from services.router.store import reports as reports_store
from shared.ledger.policies import PolicyShelf
from shared.postgres import time as database_time
from shared.postgres.pool import Connection
from shared.sla.calendar import Calendar

MOST_LINES = 2_000


class Attainment(Struct, frozen=True, kw_only=True):
    """Promises on which the verdict fell in a stretch of time."""

    since: datetime
    """The first instant."""
    until: datetime
    """The first instant after it."""
    by: tuple[Dimension, ...]
    met: int
    breached: int
    attainment: float | None
    """Met of both, from 0 to 1; null where no verdict fell."""
    lines: tuple[Kept, ...]
    is_complete: bool
    """False where there are more sorts than are listed; those broken most often are, and the sums are theirs."""


async def deadlines(connection: Connection, shelf: PolicyShelf, tenant: str, hours: Sequence[int]) -> Forecast:
    """What is due within the next `hours` (ascending), each in open time of a clock's own calendar."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await reports_store.widen_memory(connection)
        now = await database_time.now(connection)
        calendars: dict[tuple[int, str], Calendar] = {}
        for version, name in await reports_store.clock_calendars(connection, tenant):
            policy = await shelf.version(connection, tenant, version)
            calendars[version, name] = policy.sla.calendars[name]
        ends: list[Horizon] = await asyncio.to_thread(lambda: list(forecast.horizons(calendars, hours, now)))
        lines = await reports_store.deadlines(connection, tenant, now, hours, ends, MOST_LINES + 1)
    return Forecast(
        now=now,
        hours=tuple(hours),
        lines=forecast.in_order(lines[:MOST_LINES]),
        is_complete=len(lines) <= MOST_LINES,
    )


async def attainment(
    connection: Connection,
    tenant: str,
    by: Sequence[Dimension],
    since: datetime | None = None,
    until: datetime | None = None,
) -> Attainment:
    """Verdicts of `[since, until)`, else of the last seven days: kept when it was, broken at the deadline.

    What was cancelled without having been broken has none. Raises UnclearQuestion.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await reports_store.widen_memory(connection)
        first, end = attainment_rules.span(since, until, await database_time.now(connection))
        lines = await reports_store.attainment(connection, tenant, first, end, by, MOST_LINES + 1)
    shown = lines[:MOST_LINES]
    met, breached = sum(line.met for line in shown), sum(line.breached for line in shown)
    return Attainment(
        since=first,
        until=end,
        by=tuple(by),
        met=met,
        breached=breached,
        attainment=met / (met + breached) if met + breached else None,
        lines=attainment_rules.in_order(shown),
        is_complete=len(lines) <= MOST_LINES,
    )
