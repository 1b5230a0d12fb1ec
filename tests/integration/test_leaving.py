"""Who comes onto the roster brings what they have; who leaves it leaves no ticket behind."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from random import Random

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from services.router.assignment import Assignment
from services.router.metrics.assignment import AssignmentMetrics
from services.router.reconciling import Reconciling
from services.router.versions import policies
from shared.contract.tickets import Channel
from shared.ledger.policies import PolicyShelf
from shared.postgres.pool import Pool
from tests.integration.desk import NOW, Ears, drift, finish, give, hire, load, make, owners, put, reasons, waiting


@pytest.fixture
async def assignment(pool: Pool, clock_control) -> Assignment:  # type: ignore[no-untyped-def]
    """On a Monday at noon."""
    await clock_control.freeze(NOW)
    return make(pool)


def reconciling(pool: Pool, ears: Ears | None = None) -> Reconciling:
    """What the router does every minute."""
    return Reconciling(pool, PolicyShelf(), AssignmentMetrics(CollectorRegistry()), ears or Ears())  # type: ignore[arg-type]


async def apply(pool: Pool, *keys: str) -> None:
    """Make these the roster: all can do everything."""
    person = {"skills": {"a": 3, "b": 3}, "channels": ["phone", "live_chat", "email", "social"]}
    text = msgspec.json.encode({"people": dict.fromkeys(keys, person)}).decode()
    async with pool.acquire() as connection:
        await policies.apply_roster(connection, "default", text, "lead", NOW)


async def events(pool: Pool) -> list[dict[str, object]]:
    """What waits in the outbox to be published."""
    rows: Sequence[Sequence[bytes]] = [row["payloads"] for row in await pool.fetch("SELECT payloads FROM outbox")]
    return [msgspec.json.decode(payload) for payloads in rows for payload in payloads]


async def test_p15_work_given_by_hand_before_somebody_was_on_the_roster_is_counted(
    assignment: Assignment, pool: Pool
) -> None:
    """The helpdesk knew them before we did: their room is what is left."""
    calls = [waiting(Channel.LIVE_CHAT) for _ in range(5)]
    await put(pool, *calls)
    await give(pool, calls[:4], "ana")

    await apply(pool, "ana")

    assert (16, 0, 0, True) == await load(pool, "ana")
    assert 0 == await drift(pool)


async def test_p15_work_given_by_hand_to_somebody_who_had_left_is_counted_when_they_come_back(
    assignment: Assignment, pool: Pool
) -> None:
    """Even where the counter was wrong."""
    await apply(pool, "ana", "ben")
    await apply(pool, "ben")
    ticket = waiting(Channel.LIVE_CHAT)
    await put(pool, ticket)
    await give(pool, [ticket], "ana")
    await pool.execute("UPDATE agent SET primary_used = 0 WHERE key = 'ana'")

    await apply(pool, "ana", "ben")

    assert (4, 0, 0, False) == await load(pool, "ana")
    assert {ticket.ticket_id: "ana"} == await owners(pool)


async def test_tickets_of_whoever_left_the_roster_go_to_somebody_else(
    assignment: Assignment, pool: Pool, clock_control
) -> None:  # type: ignore[no-untyped-def]
    """They wait with the age they have, in the place they had, and the world hears that nobody has them."""
    await apply(pool, "ana", "zoe")
    mail, chat, kept = waiting(), waiting(Channel.LIVE_CHAT), waiting()
    await put(pool, mail, chat, kept)
    await pool.execute("UPDATE ticket SET needs = $1, urgency = 'high'", b'[["a",1]]')
    await give(pool, [mail, chat], "ana")
    await give(pool, [kept], "zoe")
    await clock_control.advance(minutes=30)

    await apply(pool, "zoe")

    assert {kept.ticket_id: "zoe"} == await owners(pool)
    assert {mail.ticket_id: "new", chat.ticket_id: "new"} == await reasons(pool)
    rows = {row["ticket_id"]: row for row in await pool.fetch("SELECT * FROM queued")}
    for ticket in (mail, chat):
        row = rows[ticket.ticket_id]
        assert (ticket.channel, ticket.units, ticket.interruptible, ticket.signature, NOW) == tuple(
            row[name] for name in ("channel", "units", "interruptible", "signature", "queued_at")
        )
    assert (0, 0, 0, False) == await load(pool, "ana")
    assert {"left_roster"} == {
        r["end_reason"] for r in await pool.fetch("SELECT * FROM assignment WHERE agent = 'ana'")
    }
    expected = [
        {"source": "shop", "ticket": str(ticket.ticket_id), "owner": "ana", "reason": "left_roster"}
        for ticket in (mail, chat)
    ]
    assert expected == sorted(
        (event["data"] for event in await events(pool)),
        key=lambda data: str(data["ticket"]),  # type: ignore[index]
    )
    await pool.execute("UPDATE agent SET status = 'online' WHERE key = 'zoe'")
    assert 2 == await assignment.sweep()
    assert {"zoe"} == set((await owners(pool)).values())


async def test_a_ticket_comes_back_with_the_due_time_of_its_promise(assignment: Assignment, pool: Pool) -> None:
    """The response still owed orders it."""
    await apply(pool, "ana")
    ticket = waiting()
    await put(pool, ticket)
    due_at = NOW + timedelta(hours=3)
    await pool.execute(
        "INSERT INTO clock (ticket_id, target, cycle, tenant, matched, policy_version, calendar, state, started_at, due_at)"
        " VALUES ($1, 'first_response', 1, 'default', 'all', 0, 'always', 'running', $2, $3)",
        ticket.ticket_id,
        NOW,
        due_at,
    )
    await give(pool, [ticket], "ana")

    await apply(pool)

    assert due_at == await pool.fetchval("SELECT due_at FROM queued")


async def test_what_is_over_is_not_queued_again(assignment: Assignment, pool: Pool) -> None:
    """Nor is what another tenant's agent of the same name has."""
    await apply(pool, "ana")
    await hire(pool, "ana", tenant="other")
    over, theirs = waiting(), waiting(tenant="other")
    await put(pool, over, theirs)
    await give(pool, [over], "ana")
    await give(pool, [theirs], "ana")
    await pool.execute("UPDATE ticket SET status = 'solved' WHERE id = $1", over.ticket_id)

    await apply(pool)

    assert {} == await reasons(pool)
    assert theirs.ticket_id in await owners(pool)


async def test_what_slipped_through_is_found_within_a_minute(assignment: Assignment, pool: Pool) -> None:
    """A ticket that somebody was changing while the roster was applied; what is given by hand afterwards is obeyed."""
    await hire(pool, "ana")
    slipped, obeyed = waiting(), waiting()
    await put(pool, slipped)
    await assignment.run("default", "default")
    await pool.execute("UPDATE agent SET active = false, status = 'offline'")
    await put(pool, obeyed)
    await give(pool, [obeyed], "ana")
    ears = Ears()

    assert [1, 0] == [await reconciling(pool, ears).run_once(), await reconciling(pool, ears).run_once()]

    assert {obeyed.ticket_id: "ana"} == await owners(pool)
    assert [slipped.ticket_id] == list(await reasons(pool))
    assert ["sla.ticket.unassigned"] == [event["type"] for event in ears.heard]


async def test_a_ticket_that_somebody_is_changing_is_waited_for(assignment: Assignment, pool: Pool) -> None:
    """It is solved while the roster is applied: it is over, and stays so."""
    await apply(pool, "ana", "ben")
    ticket = waiting()
    await put(pool, ticket)
    await give(pool, [ticket], "ana")
    async with pool.acquire() as connection:
        async with connection.transaction():
            await connection.execute("UPDATE ticket SET status = 'solved'")
            applying = asyncio.create_task(apply(pool, "ben"))
            async with asyncio.timeout(10):
                while not await pool.fetchval(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
                ):
                    pass
            await connection.execute("UPDATE assignment SET ended_at = $1, end_reason = 'solved'", NOW)
            await connection.execute("UPDATE agent SET interruptible_used = 0 WHERE key = 'ana'")
        await applying

    assert ({}, {}) == (await owners(pool), await reasons(pool))
    assert 0 == await drift(pool)


async def test_p3_people_come_and_go_while_tickets_are_given_and_finished(pool: Pool, clock_control) -> None:  # type: ignore[no-untyped-def]
    """All at once: no ticket is lost or has two owners, no counter drifts, nobody who is gone has anything."""
    await clock_control.freeze(NOW)
    keys = [f"agent-{number}" for number in range(8)]
    await apply(pool, *keys)

    async def work(seed: int) -> None:
        random = Random(seed)
        assignment = make(pool)
        for _ in range(15):
            match random.randrange(4):
                case 0 | 1:
                    await put(pool, *(waiting(random.choice([Channel.EMAIL, Channel.SOCIAL])) for _ in range(4)))
                    await assignment.run("default", "default")
                case 2:
                    mine = sorted(await owners(pool))
                    await finish(pool, *sorted(random.sample(mine, min(len(mine), 3))))
                    await assignment.run("default", "default")
                case _:
                    await apply(pool, *random.sample(keys, 5))
                    await pool.execute("UPDATE agent SET status = 'online' WHERE active AND status <> 'online'")

    async with asyncio.TaskGroup() as group:
        for seed in range(6):
            group.create_task(work(seed))
    await reconciling(pool).requeue_left()

    assert 0 == await drift(pool)
    assert 0 == await pool.fetchval(
        "SELECT count(*) FROM assignment a JOIN agent g USING (tenant) WHERE g.key = a.agent AND NOT g.active AND ended_at IS NULL"
    )
    assert 0 == await pool.fetchval(
        "SELECT count(*) FROM queued JOIN assignment USING (ticket_id) WHERE ended_at IS NULL"
    )
    assert 0 == await reconciling(pool).find_stranded()
