"""Who is there by status, shift and lease."""

import asyncio
from datetime import timedelta
from random import Random

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from services.router.agents import HEARTBEAT, LEASE, Agents
from services.router.assignment import Assignment
from services.router.domain.reach import Reach
from services.router.presence import PresenceLoop
from services.router.store.agents import AgentStatus
from shared.contract.tickets import Channel
from shared.policy.errors import PolicyErrors
from shared.postgres.pool import Pool
from tests.effort import examples
from tests.integration.desk import NOW, hire, make, owners, people, put, reasons, waiting
from tests.integration.on_duty import (
    MOMENT,
    POLICY,
    apply,
    gone_at,
    looping,
    roster,
    view,
)


@pytest.fixture
async def assignment(pool: Pool, clock_control) -> Assignment:  # type: ignore[no-untyped-def]
    """On a Monday at noon."""
    await clock_control.freeze(NOW)
    return make(pool)


@pytest.fixture
def agents(pool: Pool, assignment: Assignment) -> Agents:
    """What people say comes in here."""
    return people(pool, assignment)


@pytest.fixture
def registry() -> CollectorRegistry:
    """The metrics of the loop."""
    return CollectorRegistry()


@pytest.fixture
def loop(pool: Pool, assignment: Assignment, registry: CollectorRegistry) -> PresenceLoop:
    """One router's."""
    return looping(pool, assignment, registry)


# Leases.


async def test_who_has_a_lease_is_there_for_45_seconds_after_a_heartbeat(
    assignment: Assignment, agents: Agents, pool: Pool, clock_control
) -> None:  # type: ignore[no-untyped-def]
    """P7: not an instant longer, though no loop has noticed; and what waits is there for who comes."""
    await roster(pool, ana="presence: lease")
    first, second = waiting(), waiting()
    await put(pool, first)
    await assignment.sweep()
    assert {first.ticket_id: "offline"} == await reasons(pool)
    assert (AgentStatus.ONLINE, False) == ((await view(agents)).status, (await view(agents)).is_there)

    beat = await agents.beat("default", "ana")

    assert beat is not None
    assert NOW + LEASE == beat.present_until
    assert {first.ticket_id: "ana"} == await owners(pool)
    await clock_control.advance(LEASE)
    await put(pool, second)
    assert 0 == await assignment.sweep()
    assert {second.ticket_id: "offline"} == await reasons(pool)
    assert not (await view(agents)).is_there
    await agents.beat("default", "ana")
    assert {first.ticket_id: "ana", second.ticket_id: "ana"} == await owners(pool)


async def test_a_heartbeat_that_comes_in_time_keeps_a_lease_alive(
    agents: Agents, loop: PresenceLoop, pool: Pool, clock_control
) -> None:  # type: ignore[no-untyped-def]
    """Every 15 seconds; two may be lost on the way."""
    await roster(pool, ana="presence: lease")
    for _ in range(10):
        await agents.beat("default", "ana")
        await clock_control.advance(3 * HEARTBEAT - MOMENT)
        assert 0 == await loop.advance()
        assert (await view(agents)).is_there

    await clock_control.advance(MOMENT)

    assert (1, 0) == (await loop.advance(), await loop.advance())
    assert (await view(agents)).present_until == await gone_at(pool)


async def test_a_heartbeat_says_nothing_of_what_somebody_says(
    assignment: Assignment, agents: Agents, pool: Pool
) -> None:
    """An application in the background of a phone neither fetches nor sends away."""
    await roster(pool, ana="presence: lease")
    for status in (AgentStatus.AWAY, AgentStatus.OFFLINE):
        await agents.set_status("default", "ana", status)
        beat = await agents.beat("default", "ana")
        assert beat is not None
        assert (status, False) == (beat.status, (await view(agents)).is_there)
    assert NOW == await gone_at(pool)

    await agents.set_status("default", "ana", AgentStatus.ONLINE)

    assert ((await view(agents)).is_there, await gone_at(pool)) == (True, None)


@pytest.mark.parametrize("person", ["", "presence: shift, calendar: early"])
async def test_a_heartbeat_of_somebody_else_does_nothing(
    assignment: Assignment, agents: Agents, pool: Pool, person: str
) -> None:
    """Who is known in another way, or not at all."""
    await roster(pool, ana=person)
    before = await view(agents)

    beat = await agents.beat("default", "ana")

    assert beat is not None
    assert (before, None) == (await view(agents), beat.present_until)
    assert await agents.beat("default", "zoe") is None


async def test_a_lease_is_never_shortened(agents: Agents, pool: Pool, clock_control) -> None:  # type: ignore[no-untyped-def]
    """A clock that was set back takes nobody off."""
    await roster(pool, ana="presence: lease")
    await agents.beat("default", "ana")
    await clock_control.advance(seconds=-30)

    beat = await agents.beat("default", "ana")

    assert beat is not None
    assert NOW + LEASE == beat.present_until


async def test_heartbeats_and_expiry_at_once_agree(
    agents: Agents, pool: Pool, assignment: Assignment, clock_control
) -> None:  # type: ignore[no-untyped-def]
    """Whoever's lease is alive has not gone, whichever of them came first."""
    keys = [f"a{n}" for n in range(8)]
    await roster(pool, **dict.fromkeys(keys, "presence: lease"))
    for round_number in range(examples(6)):
        random = Random(round_number)
        for key in keys:
            await agents.beat("default", key)
        await clock_control.advance(LEASE + timedelta(seconds=random.randrange(2)) - timedelta(seconds=1))
        beating = random.sample(keys, 4)
        loops = [looping(pool, assignment) for _ in range(2)]
        await asyncio.gather(*(agents.beat("default", key) for key in beating), *(loop.advance() for loop in loops))
        await loops[0].advance()

        rows = await pool.fetch("SELECT key, gone_at, present_until FROM agent")
        now = await clock_control.now()
        assert {row["key"] for row in rows if row["gone_at"] is not None} == {
            row["key"] for row in rows if row["present_until"] <= now
        }
        assert not {row["key"] for row in rows if row["gone_at"] is not None} & set(beating)


@pytest.mark.parametrize("is_written", [False, True])
async def test_p7_a_lease_that_ends_while_a_run_waits_for_its_agent_brings_nothing(
    assignment: Assignment, agents: Agents, pool: Pool, clock_control, is_written: bool
) -> None:  # type: ignore[no-untyped-def]
    """What counts is the instant at which the run has everybody still."""
    await roster(pool, ana="presence: lease")
    await agents.beat("default", "ana")
    ticket = waiting()
    await put(pool, ticket)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM agent FOR UPDATE")
        run = asyncio.create_task(assignment.run("default", "default"))
        waiting_for_us = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        while not await pool.fetchval(waiting_for_us):
            await asyncio.wait([run], timeout=0.01)
        await clock_control.advance(LEASE)
        if is_written:
            await connection.execute("UPDATE agent SET last_assigned_at = NULL")

    assert 0 == (await run).assigned

    assert {ticket.ticket_id: "offline"} == await reasons(pool)


# Shifts.


async def test_a_shift_begins_and_ends_by_the_policys_calendar(
    assignment: Assignment, agents: Agents, loop: PresenceLoop, pool: Pool, clock_control
) -> None:  # type: ignore[no-untyped-def]
    """At its instants: who works is given what waits in the order of the queue, and nothing after the end."""
    await apply(pool)
    await roster(pool, ana="presence: shift, calendar: early", ben="presence: shift, calendar: late")
    ana, ben = await view(agents), await view(agents, "ben")
    assert (True, NOW.replace(hour=14), NOW.replace(day=2, hour=6)) == (
        ana.is_there,
        ana.present_until,
        ana.next_present_at,
    )
    assert (False, None, NOW.replace(hour=14)) == (ben.is_there, ben.present_until, ben.next_present_at)
    mails = [waiting(due=timedelta(hours=9 - n)) for n in range(5)]
    await clock_control.freeze(NOW.replace(hour=14) - MOMENT)
    assert 0 == await loop.advance()

    await clock_control.freeze(NOW.replace(hour=14))
    await put(pool, *mails)
    assert 0 == await assignment.sweep()
    assert 2 == await loop.advance()

    assert dict.fromkeys((mail.ticket_id for mail in mails[3:]), "ben") == await owners(pool)
    assert NOW.replace(hour=14) == await gone_at(pool)
    assert ((await view(agents)).is_there, (await view(agents, "ben")).is_there) == (False, True)
    assert NOW.replace(hour=22) == (await view(agents, "ben")).present_until
    assert 0 == await loop.advance() + await loop.set_shifts()


async def test_what_somebody_says_holds_until_their_next_shift(
    agents: Agents, loop: PresenceLoop, pool: Pool, clock_control
) -> None:  # type: ignore[no-untyped-def]
    """Who went home early is back in the morning; what they closed is open again."""
    await apply(pool)
    await roster(pool, ana="presence: shift, calendar: early")
    await agents.set_status("default", "ana", AgentStatus.OFFLINE, [Channel.LIVE_CHAT])
    assert (NOW, False) == (await gone_at(pool), (await view(agents)).is_there)
    await clock_control.freeze(NOW.replace(hour=20))
    assert 0 == await loop.advance() + await loop.set_shifts()
    assert NOW == await gone_at(pool)
    await agents.set_status("default", "ana", AgentStatus.OFFLINE)

    await clock_control.freeze(NOW.replace(day=2, hour=6))
    assert 1 == await loop.advance()

    ana = await view(agents)
    assert (AgentStatus.ONLINE, [], True, None) == (ana.status, ana.closed_channels, ana.is_there, await gone_at(pool))


async def test_a_router_that_was_away_for_days_finds_everybody_where_they_are(
    agents: Agents, loop: PresenceLoop, pool: Pool, clock_control
) -> None:  # type: ignore[no-untyped-def]
    """No instant has to be lived through."""
    await apply(pool)
    await roster(pool, ana="presence: shift, calendar: early", ben="presence: shift, calendar: late")

    await clock_control.freeze(NOW.replace(day=5, hour=15))
    await loop.advance()

    ana, ben = await view(agents), await view(agents, "ben")
    assert (False, NOW.replace(day=8, hour=6)) == (ana.is_there, ana.next_present_at)
    assert (True, NOW.replace(day=5, hour=22)) == (ben.is_there, ben.present_until)
    assert (NOW.replace(hour=14), None) == (await gone_at(pool), await gone_at(pool, "ben"))


async def test_a_policy_that_moves_the_hours_moves_the_shifts(
    agents: Agents, loop: PresenceLoop, pool: Pool, clock_control
) -> None:  # type: ignore[no-untyped-def]
    """At once, or when its time has come; who works on says no more than before."""
    await apply(pool)
    await roster(pool, ana="presence: shift, calendar: early")
    await agents.set_status("default", "ana", AgentStatus.AWAY)

    await apply(pool, POLICY.replace("06:00-14:00", "06:00-13:00"))
    assert (NOW.replace(hour=13), AgentStatus.AWAY) == ((await view(agents)).present_until, (await view(agents)).status)
    await apply(pool, POLICY.replace("06:00-14:00", "06:00-11:00"))
    assert (NOW, False) == ((await view(agents)).present_until, (await view(agents)).is_there)
    assert NOW == await gone_at(pool)
    ahead = NOW + timedelta(hours=1)
    await apply(pool, POLICY.replace("06:00-14:00", "08:00-18:00"), reach=Reach(holds_from=ahead))
    assert NOW.replace(day=2, hour=6) == (await view(agents)).next_present_at
    assert 0 == await loop.set_shifts()
    await clock_control.freeze(ahead)

    assert (1, 0) == (await loop.set_shifts(), await loop.set_shifts())

    ana = await view(agents)
    assert (True, NOW.replace(hour=18), None) == (ana.is_there, ana.present_until, await gone_at(pool))


async def test_shifts_are_by_calendars_that_there_are(pool: Pool, assignment: Assignment) -> None:
    """Neither file leaves the other without; before the first policy the roster may name what it will bring."""
    await roster(pool, ana="presence: shift, calendar: early")
    with pytest.raises(PolicyErrors) as lacking:
        await apply(pool, POLICY.replace("early", "eearly"))
    await apply(pool)
    with pytest.raises(PolicyErrors) as unknown:
        await roster(pool, ana="presence: shift, calendar: early", ben="presence: shift, calendar: lat")
    with pytest.raises(PolicyErrors) as dropped:
        await apply(pool, POLICY.replace("early", "dawn"))

    [error] = lacking.value.errors
    assert ("/calendars", 2) == (error.pointer, error.line)
    assert "`early` (of `ana`)" in error.problem
    assert "did you mean `eearly`?; or change the roster first" == error.remedy
    [error] = unknown.value.errors
    assert ("/people/ben/calendar", 3) == (error.pointer, error.line)
    assert "policy version 1 has no calendar `lat`" == error.problem
    assert "did you mean `late`?; or apply a policy that has it first" == error.remedy
    assert ["/calendars"] == [error.pointer for error in dropped.value.errors]


async def test_a_new_way_of_knowing_begins_anew(agents: Agents, pool: Pool, assignment: Assignment) -> None:
    """By shift and lease nothing speaks against people; by hand they are there only if they were."""
    await apply(pool)
    await roster(pool, ana="", ben="presence: lease", chi="presence: lease", dan="presence: shift, calendar: late")
    await agents.beat("default", "ben")

    await roster(pool, ana="presence: shift, calendar: early", ben="", chi="", dan="presence: lease")

    seen = {key: await view(agents, key) for key in ("ana", "ben", "chi", "dan")}
    assert {"ana": True, "ben": True, "chi": False, "dan": False} == {key: one.is_there for key, one in seen.items()}
    assert {"ana": "online", "ben": "online", "chi": "offline", "dan": "online"} == {
        key: one.status for key, one in seen.items()
    }
    assert {"ana"} == {key for key, one in seen.items() if one.present_until or one.next_present_at}
    assert [None, None, NOW, NOW] == [await gone_at(pool, key) for key in seen]
    await roster(pool, ana="presence: shift, calendar: early")
    assert (NOW, None) == (await gone_at(pool, "dan"), (await view(agents, "dan")).next_present_at)
    await roster(pool, ana="presence: shift, calendar: early", dan="presence: shift, calendar: early")
    assert (await view(agents, "dan")).is_there
    await roster(pool, ana="presence: shift, calendar: early")
    dan = await view(agents, "dan")
    assert (False, None, None) == (dan.is_there, dan.present_until, dan.next_present_at)


async def test_a_roster_applied_again_leaves_people_as_they_are(
    agents: Agents, pool: Pool, assignment: Assignment
) -> None:
    """Other fields are no reason to begin anew."""
    await apply(pool)
    await roster(pool, ana="presence: shift, calendar: early", ben="presence: lease", chi="")
    await agents.beat("default", "ben")
    await agents.set_status("default", "ana", AgentStatus.AWAY, [Channel.PHONE])
    await agents.set_status("default", "chi", AgentStatus.ONLINE)
    before = [await view(agents, key) for key in ("ana", "ben", "chi")]

    await roster(pool, ana="presence: shift, calendar: early, capacity: 11", ben="presence: lease", chi="")

    assert [msgspec.structs.replace(before[0], capacity=11), *before[1:]] == [
        await view(agents, key) for key in ("ana", "ben", "chi")
    ]


async def test_one_tenants_trouble_is_no_others(
    agents: Agents,
    loop: PresenceLoop,
    registry: CollectorRegistry,
    pool: Pool,
    clock_control,
    caplog: pytest.LogCaptureFixture,
) -> None:  # type: ignore[no-untyped-def]
    """A policy that can't be read keeps one tenant's shifts from beginning; said once, counted always."""
    await apply(pool)
    await roster(pool, ana="presence: shift, calendar: late")
    await hire(pool, "zoe", tenant="a")
    await pool.execute(
        "UPDATE agent SET presence = 'shift', calendar = 'x', next_present_at = $1 WHERE tenant = 'a'", NOW
    )
    await pool.execute(
        "INSERT INTO policy_version (tenant, version, source, document, applied_at, applied_by)"
        " VALUES ('a', 1, '', '[]', $1, 'x')",
        NOW,
    )
    await clock_control.freeze(NOW.replace(hour=14))

    assert (1, 0) == (await loop.advance(), await loop.advance())

    assert (await view(agents)).is_there
    assert 2 == registry.get_sample_value("sla_presence_failures_total")
    assert 1 == len([record for record in caplog.records if getattr(record, "event", "") == "presence_failed"])


async def test_who_is_there_is_counted(
    agents: Agents, loop: PresenceLoop, registry: CollectorRegistry, pool: Pool
) -> None:
    """By how we know it; people who are only paged don't count."""
    await apply(pool)
    await roster(pool, ana="", ben="", chi="presence: shift, calendar: early", dan="presence: lease", eve="")
    await pool.execute("UPDATE agent SET channels = '{}' WHERE key = 'eve'")
    await agents.set_status("default", "ben", AgentStatus.AWAY)

    assert 1 == await loop.measure()

    found = {
        (way, state): registry.get_sample_value("sla_agents", {"presence": way, "state": state})
        for way in ("manual", "shift", "lease")
        for state in ("there", "away", "gone")
    }
    assert {("manual", "gone"): 1, ("manual", "away"): 1, ("shift", "there"): 1, ("lease", "gone"): 1} == {
        key: n for key, n in found.items() if n
    }
