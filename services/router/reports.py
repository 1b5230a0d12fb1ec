"""Reports: what is due in the next open hours, what was kept and broken, and who is missing.

Each is one set-based query over one tenant, of one instant. The calendars answer for open time, no sum is done twice.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from services.router.domain import attainment as attainment_rules
from services.router.domain import forecast, week
from services.router.domain import staffing as staffing_rules
from services.router.domain.attainment import Dimension, Kept
from services.router.domain.forecast import Forecast, Horizon
from services.router.domain.staffing import Findings, Scale, Staffing
from services.router.store import reports as reports_store
from services.router.store.reports import Cohort
from shared.contract import questions
from shared.contract.questions import UnclearQuestion
from shared.contract.tickets import Channel
from shared.ledger.policies import PolicyShelf
from shared.policy import calendars as policy_calendars
from shared.policy.reading import Unreadable
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
        first, end = questions.span(since, until, await database_time.now(connection))
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


class StaffingQuestion(Struct, frozen=True, kw_only=True):
    """Of which tickets, and by which clock."""

    weeks: int = staffing_rules.WEEKS
    """Not more than `staffing.MOST_WEEKS`: older waits are gone."""
    timezone: str | None = None
    """An IANA name; that of the policy's calendars, where it is one, else UTC."""
    channel: Channel | None = None
    skill: str | None = None
    pool: str | None = None


async def staffing(connection: Connection, shelf: PolicyShelf, tenant: str, question: StaffingQuestion) -> Staffing:
    """What the tickets of the last weeks lacked to find an owner at once, and in which hours. Raises UnclearQuestion."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await reports_store.widen_memory(connection)
        zone = _zone(question.timezone) if question.timezone else await _policy_zone(connection, shelf, tenant)
        now = await database_time.now(connection)
        since = now - timedelta(weeks=question.weeks)
        offsets = await asyncio.to_thread(week.offsets, zone, since, now)
        cohort = Cohort(
            tenant=tenant,
            since=since,
            until=now,
            offsets=offsets,
            channel=question.channel,
            skill=question.skill,
            pool=question.pool,
        )
        arrived = await reports_store.arrivals(connection, cohort)
        held = await reports_store.holds(connection, tenant, since)
        waits = await reports_store.waits(connection, cohort, staffing_rules.holds(held))
        capacity = await reports_store.mean_capacity(connection, tenant)
    scale = Scale(
        occurrences=week.occurrences(offsets, since, now),
        weeks=question.weeks,
        capacity=capacity or staffing_rules.CAPACITY,
    )
    findings = Findings(arrived=arrived, others=waits.others, waited=waits.waited, spans=waits.spans)
    lines, skills = await asyncio.to_thread(staffing_rules.tables, findings, scale)
    return Staffing(
        since=since,
        until=now,
        timezone=zone.key,
        capacity=scale.capacity,
        held_minutes={channel: round(seconds / 60, 1) for channel, seconds in held.items()},
        hours=week.by_day(scale.occurrences),
        total=staffing_rules.total(findings, scale),
        lines=tuple(lines[: staffing_rules.MOST_LINES]),
        skills=tuple(skills[: staffing_rules.MOST_LINES]),
        is_complete=max(len(lines), len(skills)) <= staffing_rules.MOST_LINES,
    )


def _zone(name: str) -> ZoneInfo:
    try:
        return policy_calendars.zone_named(name)
    except Unreadable as error:
        raise UnclearQuestion("timezone", f"{error.problem}: {error.remedy}".replace("`", "")) from None


async def _policy_zone(connection: Connection, shelf: PolicyShelf, tenant: str) -> ZoneInfo:
    """Where the people are, as far as a policy tells: the zone of all its calendars that have hours, if they are of one."""
    calendars = (await shelf.current(connection, tenant)).sla.calendars.values()
    zones = {calendar.spec.zone.key: calendar.spec.zone for calendar in calendars if not calendar.spec.always}
    return zones.popitem()[1] if len(zones) == 1 else ZoneInfo("UTC")
