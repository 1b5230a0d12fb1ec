"""Clocks of ownership follow who really has a ticket: what a helpdesk's clock says of its own events does not matter."""

from datetime import timedelta
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from services.router import leaving, owning
from services.router.assignment import Assignment
from services.router.metrics.assignment import AssignmentMetrics
from services.router.metrics.tickets import RouterMetrics
from shared.contract.events import Assigned, StatusChanged
from shared.contract.tickets import ClockState, Status, TargetKind
from shared.jetstream.relay import Relay
from shared.ledger.policies import PolicyShelf
from shared.postgres.pool import Pool
from shared.sla.clock import Clock
from tests.integration.desk import Ears, hire
from tests.integration.rolling import START, TENANT, RollingDesk, event, opened

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
OWNED = "targets: [{name: all, calendar: always, ownership: 30m, resolution: 8h}]"
TEAM = "targets: [{name: team, kind: internal, calendar: always, ownership: 30m}]"


class Owning(RollingDesk):
    """Tickets, one agent, and who hears of promises that were kept."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self.registry = CollectorRegistry()
        metrics = RouterMetrics(self.registry)
        matching, ears = AssignmentMetrics(self.registry), cast("Relay", self.ears)
        self.assignment = Assignment(pool, self.shelf, matching, ears, tell=metrics.count_promises)

    async def match(self) -> int:
        """One matching run; returns assignments made."""
        return (await self.assignment.run(TENANT, "default")).assigned

    async def ownership(self, target: TargetKind = TargetKind.OWNERSHIP) -> list[Clock]:
        """The clocks of the only ticket."""
        (clocks,) = (await self.clocks()).values()
        return [clock for clock in clocks if clock.target is target]

    def kept(self) -> float:
        """How many promises of ownership Prometheus was told were kept."""
        labels = {"target": "ownership", "channel": "email", "urgency": "normal", "outcome": "met", "policy": "live"}
        return self.registry.get_sample_value("sla_target_outcomes_total", labels) or 0.0


@pytest.fixture
async def desk(pool: Pool, clock_control) -> Owning:  # type: ignore[no-untyped-def]
    """At the start, with somebody who can take tickets."""
    desk = Owning(pool)
    await desk.at(timedelta())
    await hire(pool, "ana", tenant=TENANT)
    return desk


async def test_a_promise_kept_by_the_matching_run_is_counted(desk: Owning) -> None:
    """Once, where broken ones are counted too; settling again counts nothing."""
    await desk.apply(OWNED)
    await desk.record([opened("1", START)])
    await desk.at(SECOND)
    assert 1 == await desk.match()
    async with desk.pool.acquire() as connection:
        assert 0 == await owning.settle_given(connection, desk.shelf, desk.ears)  # type: ignore[arg-type]
    assert 1 == desk.kept()


async def test_a_matching_run_settles_what_it_gave_and_the_minute_all_the_rest(desk: Owning) -> None:
    """Two were given, and a crash came before their clocks heard of it."""
    await desk.apply(OWNED)
    await desk.record([opened("1", START), opened("2", START)])
    await desk.at(SECOND)
    await desk.pool.execute(
        "INSERT INTO assignment (id, tenant, ticket_id, agent, pool, units, interruptible, assigned_at, accepted_at)"
        " SELECT gen_random_uuid(), tenant, id, 'ana', pool, 6, true, deskclock_now(), deskclock_now() FROM ticket"
    )
    first = await desk.pool.fetchval("SELECT id FROM ticket LIMIT 1")
    async with desk.pool.acquire() as connection:
        one = await owning.settle_these(connection, desk.shelf, desk.ears, [first])  # type: ignore[arg-type]
        rest = await owning.settle_given(connection, desk.shelf, desk.ears)  # type: ignore[arg-type]
    assert (1, 1) == (one, rest)


@pytest.mark.parametrize("ahead", [SECOND, 3 * MINUTE])
async def test_rule_42_a_ticket_reopened_by_a_clock_that_is_ahead_has_the_owner_it_was_given_to(
    desk: Owning, ahead: timedelta
) -> None:
    """The matching run gives it away before the instant at which it is said to be reopened: nobody is waited for."""
    await desk.apply(OWNED)
    await desk.record([opened("1", START)])
    await desk.record([event("1", 2, START, StatusChanged(status=Status.SOLVED))])
    await desk.at(MINUTE)
    await desk.record([event("1", 3, START + MINUTE + ahead, StatusChanged(status=Status.OPEN))])
    await desk.at(MINUTE + timedelta(milliseconds=5))
    assert 1 == await desk.match()
    assert ClockState.MET is (await desk.ownership())[-1].state
    await desk.at(timedelta(hours=3))
    await desk.fire()
    assert [] == [clock for clock in await desk.ownership() if clock.breached_at is not None]


async def test_rule_42_a_ticket_taken_back_by_a_clock_that_is_ahead_has_the_owner_it_was_given_to(desk: Owning) -> None:
    """The same, where the helpdesk takes it from an agent of its own."""
    await desk.apply(OWNED)
    await desk.record([opened("1", START), event("1", 2, START, Assigned(agent="bob"))])
    await desk.at(MINUTE)
    await desk.record([event("1", 3, 2 * MINUTE + START, Assigned(agent=None))])
    await desk.at(MINUTE + timedelta(milliseconds=5))
    assert 1 == await desk.match()
    assert ClockState.MET is (await desk.ownership())[-1].state


@pytest.mark.parametrize("is_one_batch", [True, False])
async def test_an_agent_named_while_a_ticket_is_over_has_it_when_it_comes_back(
    desk: Owning, *, is_one_batch: bool
) -> None:
    """Told in one batch or in three: they own it, the promise of an owner is kept, nobody waits in the queue."""
    await desk.apply(OWNED)
    await desk.record([opened("1", START)])
    await desk.match()
    later = [
        event("1", 2, START + SECOND, StatusChanged(status=Status.SOLVED)),
        event("1", 3, START + 2 * SECOND, Assigned(agent="bob")),
        event("1", 4, START + 3 * SECOND, StatusChanged(status=Status.OPEN)),
    ]
    for batch in [later] if is_one_batch else [[one] for one in later]:
        await desk.record(batch)
    assert "bob" == await desk.pool.fetchval("SELECT agent FROM assignment WHERE ended_at IS NULL")
    assert 0 == await desk.pool.fetchval("SELECT count(*) FROM queued")
    assert ClockState.MET is (await desk.ownership())[-1].state


@pytest.mark.parametrize("is_one_batch", [True, False])
async def test_whoever_had_a_ticket_that_was_over_for_a_moment_is_its_previous_owner(
    desk: Owning, *, is_one_batch: bool
) -> None:
    """Solved and reopened, told in one batch or in two: it waits again, for them first, and so does the promise."""
    await desk.apply(OWNED)
    await desk.record([opened("1", START)])
    await desk.match()
    later = [
        event("1", 2, START + SECOND, StatusChanged(status=Status.SOLVED)),
        event("1", 3, START + 2 * SECOND, StatusChanged(status=Status.OPEN)),
    ]
    for batch in [later] if is_one_batch else [[one] for one in later]:
        await desk.record(batch)
    assert "ana" == await desk.pool.fetchval("SELECT previous_owner FROM queued")
    assert ["solved"] == [row["end_reason"] for row in await desk.pool.fetch("SELECT end_reason FROM assignment")]
    assert ClockState.RUNNING is (await desk.ownership())[-1].state


@pytest.mark.parametrize("is_one_batch", [True, False])
async def test_whoever_was_named_before_a_ticket_was_over_for_a_moment_had_it_last(
    desk: Owning, *, is_one_batch: bool
) -> None:
    """Given to bob, solved and reopened: it is for bob first."""
    await desk.apply(OWNED)
    await desk.record([opened("1", START)])
    later = [
        event("1", 2, START + SECOND, Assigned(agent="bob")),
        event("1", 3, START + 2 * SECOND, StatusChanged(status=Status.SOLVED)),
        event("1", 4, START + 3 * SECOND, StatusChanged(status=Status.OPEN)),
    ]
    for batch in [later] if is_one_batch else [[one] for one in later]:
        await desk.record(batch)
    assert "bob" == await desk.pool.fetchval("SELECT previous_owner FROM queued")


async def test_a_team_waits_for_an_owner_again_when_its_agent_leaves(desk: Owning) -> None:
    """Where only the team promises one, too."""
    await desk.apply(TEAM)
    await desk.record([opened("1", START)])
    await desk.at(SECOND)
    assert 1 == await desk.match()
    now = await desk.at(MINUTE)
    await desk.pool.execute("UPDATE agent SET active = false")
    async with desk.pool.acquire() as connection:
        async with connection.transaction():
            await leaving.requeue_all(connection, PolicyShelf(), now)
        await owning.settle_released(connection, PolicyShelf(), Ears())  # type: ignore[arg-type]
    met, running = await desk.ownership(TargetKind.INTERNAL_OWNERSHIP)
    assert (ClockState.MET, ClockState.RUNNING) == (met.state, running.state)
    assert now == running.started_at
