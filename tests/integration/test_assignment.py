"""Matching runs on a real database: who owns what afterwards, why the rest waits, and what many workers at once do."""

import asyncio
from datetime import timedelta
from random import Random

import asyncpg
import msgspec
import pytest
from prometheus_client import CollectorRegistry

from services.router.assignment import Assignment
from services.router.domain.queue import Reason
from services.router.metrics.assignment import AssignmentMetrics
from services.router.store import pools as pools_store
from services.router.store import queue as queue_store
from services.router.store.agents import AgentStatus
from services.router.store.pools import Terms
from shared.contract.tickets import Channel, Urgency
from shared.ledger.policies import PolicyShelf
from shared.policy.document import Bind, ChannelRule, Policy
from shared.postgres import queries
from shared.postgres.pool import Connection, Pool
from tests.integration.desk import (
    NOW,
    RULES,
    Ears,
    drift,
    finish,
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


class ShelfOnArrival(PolicyShelf):
    """The built-in policy, but e-mail gets an owner at once."""

    async def current(self, connection: Connection, tenant: str) -> Policy:
        """The only version."""
        policy = await super().current(connection, tenant)
        rule = ChannelRule(units=6, interruptible=True, bind=Bind.ON_ARRIVAL)
        return msgspec.structs.replace(policy, channels={**policy.channels, Channel.EMAIL: rule})


@pytest.fixture
def ears() -> Ears:
    """What was said."""
    return Ears()


@pytest.fixture
async def assignment(pool: Pool, ears: Ears, clock_control) -> Assignment:  # type: ignore[no-untyped-def]
    """On a Monday at noon."""
    await clock_control.freeze(NOW)
    return make(pool, ears)


async def test_every_query_can_be_prepared(pool: Pool) -> None:
    """No statement of the router names a table or a column that isn't there."""
    async with pool.acquire() as connection:
        for text in queries.load("services.router.sql").values():
            await connection.prepare(text)


async def test_ticket_gets_an_owner_and_the_world_hears_of_it(assignment: Assignment, pool: Pool, ears: Ears) -> None:
    """Out of the queue, into an assignment, onto the agent's load, onto the wire."""
    await hire(pool, "ana")
    ticket = waiting()
    await put(pool, ticket)

    result = await assignment.run("default", "default")

    assert (1, False) == (result.assigned, result.is_busy)
    assert {ticket.ticket_id: "ana"} == await owners(pool)
    assert {} == await reasons(pool)
    assert (0, 6, 0, False) == await load(pool, "ana")
    [event] = ears.heard
    assert ("sla.ticket.assigned", str(ticket.ticket_id)) == (event["type"], event["subject"])
    assert {
        "source": "shop",
        "ticket": str(ticket.ticket_id),
        "owner": "ana",
        "channel": "email",
        "skills": [["a", 1]],
        "prefers": [],
        "reasons": ["free"],
        "pool": "default",
    } == event["data"]


async def test_queue_drains_in_order_when_capacity_frees(assignment: Assignment, pool: Pool) -> None:
    """Who finishes one gets the next by due time."""
    await hire(pool, "ana")
    later, sooner, soonest, last = (waiting(due=timedelta(minutes=m)) for m in (50, 40, 30, 60))
    await put(pool, later, sooner, soonest, last)
    await assignment.run("default", "default")
    assert {soonest.ticket_id, sooner.ticket_id} == (await owners(pool)).keys()
    assert {later.ticket_id: "full", last.ticket_id: "full"} == await reasons(pool)

    await finish(pool, sooner.ticket_id)
    await assignment.run("default", "default")

    assert {soonest.ticket_id, later.ticket_id} == (await owners(pool)).keys()
    assert (0, 12, 0, False) == await load(pool, "ana")


async def test_queue_drains_when_an_agent_comes(assignment: Assignment, pool: Pool) -> None:
    """Presence alone is enough; the answer shows the new load."""
    await hire(pool, "ana", status="offline")
    ticket = waiting()
    await put(pool, ticket)
    await assignment.run("default", "default")
    assert {ticket.ticket_id: "offline"} == await reasons(pool)

    view = await people(pool, assignment).set_status("default", "ana", AgentStatus.ONLINE)

    assert view is not None
    assert (AgentStatus.ONLINE, 6) == (view.status, view.interruptible_units)
    assert {ticket.ticket_id: "ana"} == await owners(pool)


async def test_who_goes_keeps_what_they_have_and_gets_nothing_more(assignment: Assignment, pool: Pool) -> None:
    """Away is not online."""
    await hire(pool, "ana")
    first, second = waiting(), waiting()
    await put(pool, first)
    await assignment.run("default", "default")
    await people(pool, assignment).set_status("default", "ana", AgentStatus.AWAY)
    await put(pool, second)

    await assignment.run("default", "default")

    assert {first.ticket_id: "ana"} == await owners(pool)
    assert {second.ticket_id: "offline"} == await reasons(pool)


async def test_presence_of_somebody_unknown_is_nobody(assignment: Assignment, pool: Pool) -> None:
    """Not on the roster, or of another tenant."""
    await hire(pool, "ana", tenant="other")

    assert await people(pool, assignment).set_status("default", "ana", AgentStatus.ONLINE) is None
    assert await people(pool, assignment).find("default", "ana") is None
    assert [] == await people(pool, assignment).list("default")


async def test_reasons_are_stored_and_unroutable_is_said_once(assignment: Assignment, pool: Pool, ears: Ears) -> None:
    """Each waiting ticket says why; what nobody can ever take is announced, and not again."""
    await hire(pool, "ana", "a")
    await hire(pool, "ben", "b", status="offline")
    await hire(pool, "eva", "e", [Channel.LIVE_CHAT, Channel.PHONE])
    await hire(pool, "eli", "e", [Channel.LIVE_CHAT, Channel.PHONE])
    await pool.execute("UPDATE agent SET primary_used = 4 WHERE key IN ('eva', 'eli')")
    call = waiting(Channel.PHONE, "e")
    off, lost, declined = waiting(skill="b"), waiting(skill="z"), waiting(excluded=("ana",))
    mails = [waiting() for _ in range(3)]
    await put(pool, call, off, lost, declined, *mails)
    await pool.execute("UPDATE queued SET was_cleared = true WHERE excluded <> '{}'")  # all were asked a second time

    for _ in range(3):
        await assignment.run("default", "default")

    assert {
        call.ticket_id: "fragmented",
        off.ticket_id: "offline",
        lost.ticket_id: "no_skill",
        declined.ticket_id: "excluded",
        mails[2].ticket_id: "full",
    } == await reasons(pool)
    assert [str(lost.ticket_id)] == [e["subject"] for e in ears.heard if e["type"] == "sla.ticket.unroutable"]


async def test_reason_changes_with_the_world(assignment: Assignment, pool: Pool) -> None:
    """The sweep brings reasons up to date, deep in the queue too."""
    await hire(pool, "ana", capacity=6)
    entries = [waiting() for _ in range(80)]
    await put(pool, *entries)
    await assignment.run("default", "default")
    assert ["full"] * 79 == list((await reasons(pool)).values())

    await pool.execute("UPDATE agent SET status = 'offline'")
    for _ in range(10):
        assert 0 == await assignment.sweep()

    assert ["offline"] * 79 == list((await reasons(pool)).values())


async def test_sweep_visits_every_pool_of_every_tenant(assignment: Assignment, pool: Pool) -> None:
    """Nobody waits because of another's queue, and agents only get what is their tenant's."""
    await hire(pool, "ana")
    await hire(pool, "ana", tenant="other")
    await put(pool, waiting(), waiting(pool="second"), waiting(tenant="other", pool="third"))

    assert 3 == await assignment.sweep()
    assert 0 == await assignment.sweep()
    assert (2, 1) == tuple(
        await pool.fetchrow(
            "SELECT count(*) FILTER (WHERE tenant = 'default'), count(*) FILTER (WHERE tenant = 'other') FROM assignment"
        )
    )


async def test_ticket_becomes_late_and_then_is_rescued(assignment: Assignment, pool: Pool, clock_control) -> None:  # type: ignore[no-untyped-def]
    """Two instants move it between the bands, and nothing else has to be rescored."""
    await hire(pool, "ana", status="offline")
    await put(pool, waiting())
    bands = []
    for hours in (0, 1, 6):
        await clock_control.advance(hours=hours)
        await assignment.sweep()
        bands.append(tuple(await pool.fetchrow("SELECT band, order_rank, order_at FROM queued")))

    due_at = NOW + timedelta(hours=1)
    start_by = due_at - timedelta(minutes=14)
    assert [(1, 0, start_by), (2, Urgency.NORMAL.rank, due_at), (0, 0, start_by + timedelta(hours=6))] == bands


async def test_backlog_larger_than_a_batch_is_given_in_one_call(assignment: Assignment, pool: Pool) -> None:
    """The run goes round until nothing more can be given."""
    for number in range(200):
        await hire(pool, f"agent-{number:03}", "abcd"[number % 4], capacity=24)
    await put(pool, *(waiting(Channel.SOCIAL, "abcd"[number % 4]) for number in range(1700)))

    result = await assignment.run("default", "default")

    assert 1600 == result.assigned
    assert 100 == len(await reasons(pool))
    assert {(0, 24)} == {tuple(r) for r in await pool.fetch("SELECT primary_used, interruptible_used FROM agent")}
    assert 0 == await drift(pool)


async def test_order_of_the_queue_is_exact_over_many_kinds(assignment: Assignment, pool: Pool) -> None:
    """With one agent for all kinds, the best keys get the room, however deep each kind's line is."""
    await hire(pool, "ana", "abcde", capacity=6 * 60)
    random = Random(7)
    entries = [
        waiting(
            skill="abcde"[min(int(random.expovariate(0.8)), 4)], due=timedelta(seconds=600 + random.randrange(9000))
        )
        for _ in range(400)
    ]
    await put(pool, *entries)

    await assignment.run("default", "default")

    expected = {entry.ticket_id for entry in sorted(entries, key=lambda entry: entry.key)[:60]}
    assert expected == (await owners(pool)).keys()


async def test_declined_tickets_do_not_hide_those_behind_them(assignment: Assignment, pool: Pool) -> None:
    """The only agent online may not have the first hundred; the next one is found all the same."""
    await hire(pool, "ana")
    await hire(pool, "ben", status="offline")
    declined = [waiting(excluded=("ana",)) for _ in range(100)]
    behind = waiting(due=timedelta(hours=2))
    await put(pool, *declined, behind)

    await assignment.run("default", "default")

    assert {behind.ticket_id: "ana"} == await owners(pool)


async def test_on_arrival_gives_an_owner_beyond_free_capacity(pool: Pool, clock_control) -> None:  # type: ignore[no-untyped-def]
    """Up to twice the capacity, the least loaded first; then it waits like any other."""
    await clock_control.freeze(NOW)
    assignment = make(pool, shelf=ShelfOnArrival())
    await hire(pool, "ana")
    await hire(pool, "ben")
    await put(pool, *(waiting() for _ in range(9)))

    result = await assignment.run("default", "default")

    assert (8, ["full"]) == (result.assigned, list((await reasons(pool)).values()))
    assert ((0, 24, 0, False), (0, 24, 0, False)) == (await load(pool, "ana"), await load(pool, "ben"))


async def test_helpdesk_is_obeyed_beyond_capacity(assignment: Assignment, pool: Pool) -> None:
    """By hand means by hand: the load is counted and marked, and new work waits until it is gone."""
    await hire(pool, "ana")
    tickets = [waiting(Channel.LIVE_CHAT) for _ in range(4)]
    await put(pool, *tickets)

    await give(pool, tickets, "ana")

    assert (16, 0, 0, True) == await load(pool, "ana")
    assert 0 == await drift(pool)
    await finish(pool, tickets[0].ticket_id)
    assert (12, 0, 0, False) == await load(pool, "ana")


async def test_reassigning_by_hand_moves_the_load(assignment: Assignment, pool: Pool) -> None:
    """From one to the other; saying it again changes nothing; a stranger has no load to grow."""
    await hire(pool, "ana")
    await hire(pool, "ben", status="offline")
    ticket = waiting(Channel.PHONE)
    await put(pool, ticket)
    await assignment.run("default", "default")
    assert (12, 0, 1, False) == await load(pool, "ana")

    assert [ticket.ticket_id] == await give(pool, [ticket], "ben")
    assert [] == await give(pool, [ticket], "ben")
    assert ((0, 0, 0, False), (12, 0, 1, False)) == (await load(pool, "ana"), await load(pool, "ben"))

    await give(pool, [ticket], "stranger")
    assert {ticket.ticket_id: "stranger"} == await owners(pool)
    assert (0, 0, 0, False) == await load(pool, "ben")
    assert ["reassigned", "reassigned"] == [
        row["end_reason"] for row in await pool.fetch("SELECT end_reason FROM assignment WHERE ended_at IS NOT NULL")
    ]


async def test_nobody_on_the_phone_gets_new_work(assignment: Assignment, pool: Pool) -> None:
    """Whatever their capacity, until the call has ended."""
    await hire(pool, "ana", capacity=24)
    call, chat = waiting(Channel.PHONE), waiting(Channel.LIVE_CHAT, due=timedelta(hours=2))
    await put(pool, call, chat)
    await assignment.run("default", "default")
    assert {call.ticket_id: "ana"} == await owners(pool)

    await finish(pool, call.ticket_id)
    await assignment.sweep()

    assert {chat.ticket_id: "ana"} == await owners(pool)


async def test_moved_ticket_keeps_its_age_and_its_exclusions(assignment: Assignment, pool: Pool) -> None:
    """Its place is new, the rest stays."""
    entry = waiting(excluded=("ana",))
    await put(pool, entry)
    moved = msgspec.structs.replace(
        entry, order_at=NOW, queued_at=NOW + timedelta(hours=1), excluded=(), prefers=("x",)
    )

    async with pool.acquire() as connection, connection.transaction():
        await queue_store.enqueue(connection, [moved])

    row = await pool.fetchrow("SELECT order_at, queued_at, excluded, prefers, reason FROM queued")
    assert (NOW, NOW, ["ana"], ["x"], "new") == tuple(row)


async def test_ticket_that_somebody_has_is_not_queued_again(assignment: Assignment, pool: Pool) -> None:
    """However late the news of it comes."""
    await hire(pool, "ana")
    entry = waiting()
    await put(pool, entry)
    await assignment.run("default", "default")

    async with pool.acquire() as connection, connection.transaction():
        await queue_store.enqueue(connection, [entry])

    assert {} == await reasons(pool)


async def test_stale_queue_row_of_an_owned_ticket_is_dropped(assignment: Assignment, pool: Pool) -> None:
    """Should one ever be left behind, it gives nobody a second owner."""
    await hire(pool, "ana")
    entry = waiting()
    await put(pool, entry)
    await assignment.run("default", "default")
    async with pool.acquire() as connection:
        await queue_store.enqueue_new(connection, [entry])

    await assignment.run("default", "default")

    assert ({entry.ticket_id: "ana"}, {}) == (await owners(pool), await reasons(pool))
    assert (0, 6, 0, False) == await load(pool, "ana")


async def test_ticket_that_intake_is_changing_is_passed_over(assignment: Assignment, pool: Pool) -> None:
    """The run neither waits for it nor gives it away as it was."""
    await hire(pool, "ana")
    held, free = waiting(), waiting()
    await put(pool, held, free)
    async with pool.acquire() as connection, connection.transaction():
        await queue_store.hold(connection, [held.ticket_id])

        await assignment.run("default", "default")

        assert {free.ticket_id: "ana"} == await owners(pool)
    await assignment.run("default", "default")
    assert {held.ticket_id, free.ticket_id} == (await owners(pool)).keys()


async def test_call_for_a_locked_pool_leaves_a_mark_and_returns(assignment: Assignment, pool: Pool) -> None:
    """It does not wait; the mark sends the holder round again."""
    await put(pool, waiting())
    async with pool.acquire() as connection, connection.transaction():
        opening = await pools_store.open_run(connection, "default", "default", Terms())

        result = await assignment.run("default", "default")

        assert (True, 0, True) == (opening.is_mine, result.assigned, result.is_busy)
        assert opening.dirty + 1 == await pools_store.load_dirty(connection, "default", "default")


async def test_queue_is_measured_by_reason(pool: Pool, clock_control) -> None:  # type: ignore[no-untyped-def]
    """Depth and age for each reason; what is gone falls back to 0."""
    await clock_control.freeze(NOW)
    registry = CollectorRegistry()
    assignment = Assignment(pool, PolicyShelf(), AssignmentMetrics(registry), Ears())  # type: ignore[arg-type]
    entries = [waiting(), waiting()]
    await put(pool, *entries)
    await assignment.run("default", "default")
    await clock_control.advance(minutes=5)
    labels = {"pool": "default", "reason": Reason.NO_SKILL}

    assert 2 == await assignment.measure()
    assert 2 == registry.get_sample_value("sla_queue_depth", labels)
    assert 300 == registry.get_sample_value("sla_queue_oldest_seconds", labels)
    assert 2 == registry.get_sample_value("sla_assignments_total", {"pool": "default", "outcome": "unroutable"})
    await finish(pool, *(entry.ticket_id for entry in entries))
    assert 0 == await assignment.measure()
    assert 0 == registry.get_sample_value("sla_queue_depth", labels)


@pytest.mark.parametrize("workers", [8])
async def test_many_workers_at_once_break_nothing(pool: Pool, clock_control, workers: int) -> None:  # type: ignore[no-untyped-def]
    """P1, P3, P5, P15 under load: tickets come, are finished, are given by hand, agents come and go, all at once."""
    await clock_control.freeze(NOW)
    for number in range(30):
        await hire(pool, f"agent-{number:02}", "ab"[number % 2])
    over: list[asyncpg.Record] = []

    async def work(seed: int) -> None:
        random = Random(seed)
        assignment = make(pool)
        agents = people(pool, assignment)
        for _ in range(25):
            match random.randrange(6):
                case 0 | 1:
                    channels = random.choices(list(RULES), k=random.randrange(1, 20))
                    await put(pool, *(waiting(channel, random.choice("ab")) for channel in channels))
                    await assignment.run("default", "default")
                case 2 | 3:
                    mine = sorted(await owners(pool))
                    await finish(pool, *sorted(random.sample(mine, min(len(mine), 8))))
                    await assignment.run("default", "default")
                case 4:
                    status = random.choice([AgentStatus.ONLINE, AgentStatus.ONLINE, AgentStatus.OFFLINE])
                    await agents.set_status("default", f"agent-{random.randrange(30):02}", status)
                case _:
                    await assignment.sweep()
            over.extend(
                await pool.fetch(
                    "SELECT key FROM agent WHERE primary_used > capacity OR primary_used + interruptible_used > 2 * capacity"
                    " OR over_capacity OR calls > 1"
                )
            )

    async with asyncio.TaskGroup() as group:
        for seed in range(workers):
            group.create_task(work(seed))
    await make(pool).sweep()

    assert [] == over
    assert 0 == await drift(pool)
    assert 0 == await pool.fetchval(
        "SELECT count(*) FROM queued JOIN assignment USING (ticket_id) WHERE ended_at IS NULL"
    )
    tickets, known = await pool.fetchrow(
        "SELECT (SELECT count(*) FROM ticket), (SELECT count(*) FROM queued) + (SELECT count(DISTINCT ticket_id) FROM assignment)"
    )
    assert tickets == known
    assert 0 == await make(pool).sweep()
