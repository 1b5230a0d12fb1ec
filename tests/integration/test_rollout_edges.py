"""What a new version does at the edges: promises that began late."""

from datetime import datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from services.router.domain.reach import Reach
from services.router.metrics.tickets import RouterMetrics
from services.router.versions import planning
from shared.contract.events import Assigned, Replied, Updated
from shared.contract.tickets import Author, TargetKind, Urgency
from shared.postgres import time as database_time
from shared.postgres.pool import Pool
from tests.integration.rolling import START, TENANT, RollingDesk, event, opened

HOUR = timedelta(hours=1)
LATE_PROMISE = """
calendars:
  office: {timezone: Europe/Berlin, hours: {mon-fri: "09:00-17:00"}, closed: [%s]}
targets:
  - {name: none, when: {urgency: low}, calendar: office, promise: nothing}
  - {name: rest, calendar: office, resolution: 8h}
"""


@pytest.fixture
async def desk(pool: Pool, clock_control) -> RollingDesk:  # type: ignore[no-untyped-def]
    """Monday, 09:00 in Berlin."""
    desk = RollingDesk(pool)
    await desk.at(timedelta())
    return desk


async def due(desk: RollingDesk) -> datetime | None:
    """When the only ticket's resolution is due."""
    (clocks,) = (await desk.clocks()).values()
    (clock,) = [clock for clock in clocks if clock.target is TargetKind.RESOLUTION]
    return clock.due_at


@pytest.mark.parametrize("reach", [Reach(is_for_open=True), Reach(opened_from=START)])
async def test_rule_55_a_promise_that_began_late_counts_from_the_opening_and_so_do_closures(
    desk: RollingDesk, reach: Reach
) -> None:
    """Nothing was promised until 12:00, then eight hours from 09:00; 10:00 to 11:00 turns out to have been closed."""
    await desk.apply(LATE_PROMISE % "")
    await desk.record([opened("1", START, urgency=Urgency.LOW)])
    await desk.at(3 * HOUR)
    await desk.record([event("1", 2, START + 3 * HOUR, Updated(urgency=Urgency.NORMAL))])
    assert START + 8 * HOUR == await due(desk)
    await desk.at(4 * HOUR)
    await desk.apply(LATE_PROMISE % '"2026-06-01 10:00-11:00"', reach)
    (rollout, *_) = await desk.roll()
    assert 1 == rollout.recomputed
    assert START + 25 * HOUR == await due(desk)


@pytest.mark.parametrize("closure", ["2026-06-01 10:00-11:00", "2026-12-24"])
async def test_a_plan_names_the_team_that_has_a_ticket_whether_it_is_judged_again_or_not(
    desk: RollingDesk, closure: str
) -> None:
    """The hand-off is dated before the opening, so it comes after it."""
    await desk.apply(LATE_PROMISE % "")
    await desk.record([opened("1", START, team="north"), event("1", 2, START - HOUR, Assigned(team="south"))])
    async with desk.pool.acquire() as connection:
        now = await database_time.now(connection)
        text = LATE_PROMISE % f'"{closure}"'
        told = await planning.forecast(connection, TENANT, text, now, Reach(is_for_open=True), seconds=10)
    assert ["south"] == [group.team for group in told.effects.groups]


async def test_a_promise_that_a_version_finds_kept_is_counted(desk: RollingDesk) -> None:
    """It begins and ends in the rollout; the metrics hear of it as they do of intake's."""
    await desk.apply("targets: [{name: all, calendar: always, resolution: 8h}]")
    await desk.record([opened("1", START), event("1", 2, START, Replied(by=Author.AGENT))])
    await desk.at(HOUR)
    await desk.apply(
        "targets: [{name: all, calendar: always, first_response: 1h, resolution: 8h}]", Reach(opened_from=START)
    )
    await desk.roll()
    metrics = RouterMetrics(CollectorRegistry())
    metrics.count_promises(desk.told)
    labels = {"target": "first_response", "channel": "email", "urgency": "normal"}
    assert [1.0] == [
        sample.value
        for family in metrics.outcomes.collect()
        for sample in family.samples
        if sample.name.endswith("_total") and sample.value and labels.items() <= sample.labels.items()
    ]
