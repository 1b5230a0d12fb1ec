"""Who is there by status, shift and lease, and what becomes of the work of those who have gone."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from services.router import absence, policies, presence
from services.router.agents import HEARTBEAT, LEASE, Agents
from services.router.assignment import Assignment
from services.router.domain.reach import Reach
from services.router.presence import PresenceLoop
from services.router.presence_metrics import PresenceMetrics
from services.router.store import presence as presence_store
from services.router.store.agents import AgentStatus, AgentView
from services.router.tenure_metrics import TenureMetrics
from shared.contract.tickets import Channel
from shared.ledger.policies import PolicyShelf
from shared.policy.errors import PolicyErrors
from shared.postgres.pool import Pool
from tests.effort import examples
from tests.integration.desk import (
    NOW,
    Ears,
    drift,
    give,
    hire,
    load,
    make,
    owners,
    people,
    put,
    reasons,
    waiting,
)

POLICY = """
calendars:
  early: {timezone: UTC, hours: {mon-fri: "06:00-14:00"}}
  late: {timezone: UTC, hours: {mon-fri: "14:00-22:00"}}
targets: [{name: all, calendar: always, first_response: 1h}]
"""
MOMENT = timedelta(microseconds=1)
GRACE = timedelta(seconds=60)
MINUTE = timedelta(minutes=1)


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
def ears() -> Ears:
    """Hears what the loop says."""
    return Ears()


@pytest.fixture
def loop(pool: Pool, assignment: Assignment, registry: CollectorRegistry, ears: Ears) -> PresenceLoop:
    """One router's."""
    return looping(pool, assignment, registry, ears)


def looping(
    pool: Pool, assignment: Assignment, registry: CollectorRegistry | None = None, ears: Ears | None = None
) -> PresenceLoop:
    """A loop of a router of its own."""
    registry = registry or CollectorRegistry()
    metrics = PresenceMetrics(registry, TenureMetrics(registry))
    return PresenceLoop(pool, PolicyShelf(), assignment, ears or Ears(), metrics)  # type: ignore[arg-type]


async def roster(pool: Pool, now: datetime = NOW, **persons: str) -> None:
    """Apply a roster of people who take everything; each with more fields as YAML."""
    usual = "skills: {a: 3}, channels: [phone, live_chat, email, social]"
    text = "people:\n" + "".join(f"  {key}: {{{usual}{more and ', '}{more}}}\n" for key, more in persons.items())
    async with pool.acquire() as connection:
        await policies.apply_roster(connection, "default", text, "lead", now)


async def apply(pool: Pool, text: str = POLICY, now: datetime = NOW, reach: Reach | None = None) -> None:
    """Apply a policy."""
    async with pool.acquire() as connection:
        if reach is None:
            await policies.apply_policy(connection, "default", text, "lead", now)
        else:
            await policies.put_in_force(connection, "default", text, "lead", now, reach)


async def view(agents: Agents, key: str = "ana") -> AgentView:
    """How somebody is seen."""
    found = await agents.find("default", key)
    assert found is not None
    return found


async def gone_at(pool: Pool, key: str = "ana") -> datetime | None:
    """Since when somebody has gone."""
    found: datetime | None = await pool.fetchval("SELECT gone_at FROM agent WHERE key = $1", key)
    return found


async def touch(pool: Pool, *ticket_ids: UUID) -> None:
    """Their agents do something with these."""
    await pool.execute("UPDATE assignment SET touched_at = $2 WHERE ticket_id = ANY($1::uuid[])", ticket_ids, NOW)


async def promise(pool: Pool, ticket_id: UUID, target: str, due_at: datetime) -> None:
    """A clock of a ticket."""
    await pool.execute(
        "INSERT INTO clock (ticket_id, target, cycle, tenant, matched, policy_version, calendar, state, started_at, due_at)"
        " VALUES ($1, $2, 1, 'default', 'all', 0, 'always', 'running', $3, $4)",
        ticket_id,
        target,
        NOW,
        due_at,
    )


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


# Channels.


async def test_a_closed_channel_brings_nothing(assignment: Assignment, agents: Agents, pool: Pool) -> None:
    """Other work comes all the same, and it comes when it is opened."""
    await roster(pool, ana="")
    chat, mail = waiting(Channel.LIVE_CHAT), waiting()
    await put(pool, chat, mail)

    await agents.set_status("default", "ana", AgentStatus.ONLINE, [Channel.LIVE_CHAT])
    assert ({mail.ticket_id: "ana"}, {chat.ticket_id: "offline"}) == (await owners(pool), await reasons(pool))
    await agents.set_status("default", "ana", AgentStatus.AWAY)
    await agents.set_status("default", "ana", AgentStatus.ONLINE)
    assert [Channel.LIVE_CHAT] == (await view(agents)).closed_channels
    await agents.set_status("default", "ana", AgentStatus.ONLINE, [])

    assert {mail.ticket_id: "ana", chat.ticket_id: "ana"} == await owners(pool)


@pytest.mark.parametrize(
    ("policy", "person", "expected"),
    [("", "", 3), ("at_most: 2", "", 2), ("at_most: 2", "at_most: {live_chat: 1}", 1), ("", "at_most: {live_chat: 0}", 0),
     ("at_most: 1", "at_most: {live_chat: 3}", 3), ("", "at_most: {email: 0}", 3)],
)  # fmt: skip
async def test_ceilings_bound_the_tickets_of_a_channel(
    assignment: Assignment, agents: Agents, pool: Pool, policy: str, person: str, expected: int
) -> None:
    """The roster's word goes before the policy's; other channels don't count."""
    await apply(pool, f"{POLICY}channels: {{live_chat: {{units: 4, {policy}}}}}\n")
    await roster(pool, ana=person)
    chats = [waiting(Channel.LIVE_CHAT) for _ in range(5)]
    await put(pool, *chats)

    await agents.set_status("default", "ana", AgentStatus.ONLINE)
    await assignment.sweep()

    assert expected == len(await owners(pool))
    assert {Channel.LIVE_CHAT: expected} == ((await view(agents)).held or {Channel.LIVE_CHAT: 0})
    assert {"full"} == set((await reasons(pool)).values())


async def test_what_is_parked_is_no_chat_and_what_is_given_by_hand_is_obeyed(
    assignment: Assignment, agents: Agents, pool: Pool
) -> None:
    """Ceilings count what somebody works on; the helpdesk may go beyond."""
    await roster(pool, ana="at_most: {live_chat: 1}")
    first, second, third, fourth = [waiting(Channel.LIVE_CHAT) for _ in range(4)]
    await put(pool, first, second)
    await agents.set_status("default", "ana", AgentStatus.ONLINE)
    assert {first.ticket_id: "ana"} == await owners(pool)

    await pool.execute("UPDATE assignment SET state = 'parked'")
    await pool.execute("UPDATE agent SET primary_used = 0")
    await assignment.sweep()
    assert {first.ticket_id: "ana", second.ticket_id: "ana"} == await owners(pool)
    await put(pool, third, fourth)
    await give(pool, [third], "ana")
    await assignment.sweep()

    assert {Channel.LIVE_CHAT: 2} == (await view(agents)).held
    assert {fourth.ticket_id: "full"} == await reasons(pool)
    assert (8, 0, 0, False) == await load(pool, "ana")


# Who has gone.


async def test_what_cant_wait_goes_to_somebody_else_after_the_grace(
    assignment: Assignment,
    agents: Agents,
    loop: PresenceLoop,
    pool: Pool,
    ears: Ears,
    registry: CollectorRegistry,
    clock_control,
) -> None:  # type: ignore[no-untyped-def]
    """Chats and what was not touched, with the age they have; what was begun waits, and so does what was given by hand."""
    await roster(pool, ana="", zoe="")
    chat, fresh, begun, by_hand = (
        waiting(Channel.LIVE_CHAT),
        waiting(),
        waiting(Channel.SOCIAL),
        waiting(Channel.SOCIAL),
    )
    await put(pool, chat, fresh, begun, by_hand)
    await give(pool, [by_hand], "ana")
    await agents.set_status("default", "ana", AgentStatus.ONLINE)
    assert {"ana"} == set((await owners(pool)).values())
    await touch(pool, chat.ticket_id, begun.ticket_id)
    await pool.execute("UPDATE ticket SET status = 'pending_customer' WHERE id = $1", begun.ticket_id)
    await agents.set_status("default", "ana", AgentStatus.OFFLINE)
    await clock_control.advance(GRACE - MOMENT)
    assert (0, 4) == (await loop.sweep(), len(await owners(pool)))

    await clock_control.advance(MOMENT)
    assert (2, 0) == (await loop.sweep(), await loop.sweep())

    assert {begun.ticket_id: "ana", by_hand.ticket_id: "ana"} == await owners(pool)
    rows = {row["ticket_id"]: row for row in await pool.fetch("SELECT * FROM queued")}
    assert {chat.ticket_id, fresh.ticket_id} == set(rows)
    assert {(NOW, "ana")} == {(row["queued_at"], row["previous_owner"]) for row in rows.values()}
    said = [event["data"] for event in ears.heard if event["type"] == "sla.ticket.unassigned"]
    assert [
        {"source": "shop", "ticket": str(ticket.ticket_id), "owner": "ana", "reason": "offline"}
        for ticket in (chat, fresh)
    ] == sorted(said, key=lambda data: [str(chat.ticket_id), str(fresh.ticket_id)].index(data["ticket"]))  # type: ignore[index]
    assert 2 == registry.get_sample_value("sla_tickets_of_absent_total")
    assert 0 == await drift(pool)
    await agents.set_status("default", "zoe", AgentStatus.ONLINE)
    assert {"zoe", "ana"} == set((await owners(pool)).values())


async def test_who_is_back_in_time_keeps_everything(
    agents: Agents, loop: PresenceLoop, pool: Pool, clock_control
) -> None:  # type: ignore[no-untyped-def]
    """And who is away only takes a break."""
    await roster(pool, ana="")
    chat = waiting(Channel.LIVE_CHAT)
    await put(pool, chat)
    await agents.set_status("default", "ana", AgentStatus.ONLINE)
    await agents.set_status("default", "ana", AgentStatus.OFFLINE)
    await clock_control.advance(seconds=59)
    await agents.set_status("default", "ana", AgentStatus.AWAY)
    await clock_control.advance(hours=3)

    assert (0, None) == (await loop.sweep(), await gone_at(pool))
    assert {chat.ticket_id: "ana"} == await owners(pool)


async def test_the_policy_says_how_long_the_grace_is(
    agents: Agents, loop: PresenceLoop, pool: Pool, clock_control
) -> None:  # type: ignore[no-untyped-def]
    """`routing.grace`."""
    await apply(pool, POLICY + "routing: {grace: 5m}\n")
    await roster(pool, ana="")
    await put(pool, waiting(Channel.LIVE_CHAT))
    await agents.set_status("default", "ana", AgentStatus.ONLINE)
    await agents.set_status("default", "ana", AgentStatus.OFFLINE)

    await clock_control.advance(5 * MINUTE - MOMENT)
    assert 0 == await loop.sweep()
    await clock_control.advance(MOMENT)
    assert 1 == await loop.sweep()


async def test_a_customer_who_writes_to_somebody_absent_is_seen(
    agents: Agents, loop: PresenceLoop, pool: Pool, clock_control
) -> None:  # type: ignore[no-untyped-def]
    """By the response they are owed; or, where none is promised, by who wrote last. An open ticket alone is no reason."""
    await roster(pool, ana="")
    owed, silent, said = waiting(Channel.SOCIAL), waiting(Channel.SOCIAL), waiting(Channel.SOCIAL)
    await put(pool, owed, silent, said)
    await agents.set_status("default", "ana", AgentStatus.ONLINE)
    await touch(pool, owed.ticket_id, silent.ticket_id, said.ticket_id)
    for ticket in (owed, silent, said):
        await write(pool, ticket.ticket_id, "agent", NOW)
    await agents.set_status("default", "ana", AgentStatus.OFFLINE)
    await clock_control.advance(hours=1)
    assert 0 == await loop.sweep()

    await promise(pool, owed.ticket_id, "next_response", NOW + timedelta(days=5))
    await write(pool, said.ticket_id, "customer", NOW + MINUTE)
    await write(pool, silent.ticket_id, "customer", NOW + MINUTE, public=False)
    assert 2 == await loop.sweep()

    assert {silent.ticket_id: "ana"} == await owners(pool)


async def test_work_that_has_to_be_begun_before_the_next_shift_goes_on(
    agents: Agents, loop: PresenceLoop, pool: Pool, clock_control
) -> None:  # type: ignore[no-untyped-def]
    """What can wait for the one who knows it waits, though the customer does too."""
    await apply(pool)
    await roster(pool, ana="presence: shift, calendar: early")
    soon, later = waiting(Channel.SOCIAL), waiting(Channel.SOCIAL)
    await put(pool, soon, later)
    await loop.advance()
    await agents.set_status("default", "ana", AgentStatus.ONLINE)
    await touch(pool, soon.ticket_id, later.ticket_id)
    morning = NOW.replace(day=2, hour=6)
    await promise(pool, soon.ticket_id, "next_response", morning + timedelta(minutes=8) - MOMENT)
    await promise(pool, later.ticket_id, "next_response", morning + timedelta(minutes=8))
    await clock_control.freeze(NOW.replace(hour=14, minute=1))
    await loop.advance()

    assert 1 == await loop.sweep()

    assert {later.ticket_id: "ana"} == await owners(pool)


async def test_offers_to_who_goes_are_offered_to_somebody_else_at_once(
    assignment: Assignment, agents: Agents, loop: PresenceLoop, pool: Pool, clock_control
) -> None:  # type: ignore[no-untyped-def]
    """Gone, away, or the channel closed: whoever is there may get it, and they themselves when they are back."""
    await apply(pool, POLICY + "channels: {live_chat: {units: 4, offer: 30s}}\n")
    await roster(pool, ana="", zoe="presence: lease")
    chat = waiting(Channel.LIVE_CHAT)
    await put(pool, chat)
    await agents.set_status("default", "ana", AgentStatus.ONLINE)
    assert {chat.ticket_id: "ana"} == await owners(pool)

    await agents.beat("default", "zoe")
    await agents.set_status("default", "ana", AgentStatus.AWAY)
    assert {chat.ticket_id: "zoe"} == await owners(pool)
    await agents.set_status("default", "ana", AgentStatus.ONLINE)
    await agents.set_status("default", "zoe", AgentStatus.ONLINE, [Channel.LIVE_CHAT])
    assert {chat.ticket_id: "ana"} == await owners(pool)
    await agents.set_status("default", "zoe", AgentStatus.ONLINE, [])
    await agents.set_status("default", "ana", AgentStatus.OFFLINE)
    assert {chat.ticket_id: "zoe"} == await owners(pool)
    await clock_control.advance(LEASE)
    assert 2 == await loop.advance()

    assert {chat.ticket_id: "offline"} == await reasons(pool)
    assert [[]] == [row["excluded"] for row in await pool.fetch("SELECT excluded FROM queued")]
    assert (0, 0) == (await drift(pool), await loop.advance())


async def test_an_offer_that_is_answered_meanwhile_is_not_withdrawn(agents: Agents, pool: Pool, clock_control) -> None:  # type: ignore[no-untyped-def]
    """What was seen before the ticket was held doesn't count: they are back, or have accepted."""
    await apply(pool, POLICY + "channels: {live_chat: {units: 4, offer: 30s}}\n")
    await roster(pool, ana="", ben="")
    back, accepted, held = (waiting(Channel.LIVE_CHAT) for _ in range(3))
    await put(pool, back, accepted, held)
    await agents.set_status("default", "ana", AgentStatus.ONLINE)
    await pool.execute(
        "UPDATE assignment SET state = 'active', offered_until = NULL, accepted_at = $2 WHERE ticket_id = $1",
        accepted.ticket_id,
        NOW,
    )
    await pool.execute("UPDATE agent SET closed_channels = '{live_chat}'")
    async with pool.acquire() as connection, pool.acquire() as other, other.transaction():
        offered = (await presence_store.offers_of_absent(connection, 10))["default"]
        assert {back.ticket_id, held.ticket_id} == set(offered)
        await other.execute("SELECT FROM ticket WHERE id = $1 FOR UPDATE", held.ticket_id)
        first = await absence.withdraw_offers(connection, PolicyShelf(), [accepted.ticket_id, held.ticket_id])
        await pool.execute("UPDATE agent SET closed_channels = '{}'")
        second = await absence.withdraw_offers(connection, PolicyShelf(), offered)

    assert (0, 0) == (first.tickets, second.tickets)
    assert 3 == len(await owners(pool))


async def test_a_long_list_of_work_is_looked_at_in_turns(
    agents: Agents, loop: PresenceLoop, pool: Pool, clock_control, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    """Tickets that wait for their agent hide none behind them, and the next look goes on where one ended."""
    monkeypatch.setattr(presence, "AT_ONCE", 2)
    monkeypatch.setattr(presence, "_PAGES", 2)
    monkeypatch.setattr(absence, "AT_ONCE", 1)
    await roster(pool, **{f"a{n}": "" for n in range(4)})
    tickets = [waiting(Channel.SOCIAL) for _ in range(12)]
    await put(pool, *tickets)
    for n in range(4):
        await agents.set_status("default", f"a{n}", AgentStatus.ONLINE)
    await touch(pool, *(ticket.ticket_id for ticket in tickets[:-2]))
    await pool.execute("UPDATE ticket SET status = 'on_hold'")
    for n in range(4):
        await agents.set_status("default", f"a{n}", AgentStatus.OFFLINE)
    await clock_control.advance(GRACE)

    assert [0, 0, 2, 0] == [await loop.sweep() for _ in range(4)]

    assert {ticket.ticket_id for ticket in tickets[-2:]} == set(await reasons(pool))


async def test_p3_several_sweeps_and_agents_who_work_at_once(
    assignment: Assignment, agents: Agents, pool: Pool, clock_control
) -> None:  # type: ignore[no-untyped-def]
    """A ticket goes back once, or was touched before and stays; nobody's load drifts."""
    for round_number in range(examples(4)):
        random = Random(round_number)
        await pool.execute("TRUNCATE ticket, queued, assignment, agent, outbox")
        keys = [f"a{n}" for n in range(6)]
        await roster(pool, **dict.fromkeys(keys, f"capacity: {12 + round_number}"))
        tickets = [waiting(random.choice((Channel.EMAIL, Channel.SOCIAL))) for _ in range(18)]
        await put(pool, *tickets)
        for key in keys:
            await agents.set_status("default", key, AgentStatus.ONLINE)
        had = await owners(pool)
        for key in keys:
            await agents.set_status("default", key, AgentStatus.OFFLINE)
        await clock_control.advance(GRACE)
        working = random.sample(sorted(had), len(had) // 2)
        touched: set[UUID] = set()

        await asyncio.gather(
            *(looping(pool, assignment).sweep() for _ in range(3)),
            *(work(pool, ticket_id, touched) for ticket_id in working),
            agents.set_status("default", keys[0], AgentStatus.ONLINE),
        )

        ended = [
            row["ticket_id"] for row in await pool.fetch("SELECT ticket_id FROM assignment WHERE ended_at IS NOT NULL")
        ]
        assert len(ended) == len(set(ended))
        assert not touched & set(ended)
        assert set(had) - touched - {t for t, key in had.items() if key == keys[0]} <= set(ended)
        waits = set(await reasons(pool))
        assert {ticket.ticket_id for ticket in tickets} == waits | set(await owners(pool))
        assert not waits & set(await owners(pool))
        assert 0 == await drift(pool)


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


async def write(pool: Pool, ticket_id: UUID, by: str, at: datetime, *, public: bool = True) -> None:
    """Somebody writes; the helpdesk sends no statuses."""
    data = {"kind": "replied", "by": by, **({} if public else {"public": False})}
    await pool.execute(
        "INSERT INTO ticket_event (ticket_id, event_id, tenant, occurred_at, received_at, data)"
        " VALUES ($1, $2, 'default', $3, $3, $4)",
        ticket_id,
        f"{ticket_id}-{by}",
        at,
        msgspec.json.encode(data),
    )


async def work(pool: Pool, ticket_id: UUID, touched: set[UUID]) -> None:
    """An agent who has gone does something with a ticket all the same, as intake writes it."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM ticket WHERE id = $1 FOR NO KEY UPDATE", ticket_id)
        rows: Sequence[object] = await connection.fetch(
            "UPDATE assignment SET touched_at = $2 WHERE ticket_id = $1 AND ended_at IS NULL AND agent <> 'a0' RETURNING 1",
            ticket_id,
            NOW,
        )
        await connection.execute("UPDATE ticket SET status = 'pending_customer' WHERE id = $1", ticket_id)
    if rows:
        touched.add(ticket_id)
