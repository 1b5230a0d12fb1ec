"""Sweeps and runs when something is in the way: a policy that can't be read, a cut, many kinds, agents that change."""

import asyncio
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from services.router.assignment import Assignment, RunResult
from services.router.metrics.assignment import AssignmentMetrics
from services.router.store.agents import AgentStatus
from shared.contract.tickets import Channel
from shared.ledger.policies import PolicyShelf
from shared.postgres.pool import Pool
from tests.integration.desk import NOW, Ears, hire, make, owners, people, put, reasons, waiting

FAILURES = "sla_matching_failures_total"


@pytest.fixture
def registry() -> CollectorRegistry:
    """What Prometheus sees."""
    return CollectorRegistry()


@pytest.fixture
async def assignment(pool: Pool, registry: CollectorRegistry, clock_control) -> Assignment:  # type: ignore[no-untyped-def]
    """On a Monday at noon."""
    await clock_control.freeze(NOW)
    return Assignment(pool, PolicyShelf(), AssignmentMetrics(registry), Ears())  # type: ignore[arg-type]


async def spoil(pool: Pool, tenant: str) -> None:
    """Let the tenant's policy be one that no longer compiles."""
    await pool.execute(
        "INSERT INTO policy_version (tenant, version, source, document, applied_at, applied_by)"
        " VALUES ($1, 1, '', $2, $3, 'x')",
        tenant,
        b'{"targets": 7}',
        NOW,
    )


async def until_blocked(pool: Pool) -> None:
    """Return once somebody waits for a lock in this database."""
    async with asyncio.timeout(10):
        while not await pool.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ):
            pass


async def test_a_policy_that_cant_be_read_holds_up_no_other_tenant(
    assignment: Assignment, pool: Pool, registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted each time and said once; once the policy is mended the tickets have owners."""
    for tenant in ("a", "b", "c"):
        await hire(pool, "ana", tenant=tenant)
        await put(pool, waiting(tenant=tenant))
    await spoil(pool, "b")

    assert [2, 0] == [await assignment.sweep(), await assignment.sweep()]

    assert 2 == registry.get_sample_value(FAILURES)
    said = [record for record in caplog.records if getattr(record, "event", "") == "matching_failed"]
    assert [{"tenant": "b", "pool": "default"}] == [getattr(record, "fields", None) for record in said]
    await pool.execute("DELETE FROM policy_version")
    assert 1 == await assignment.sweep()


async def test_presence_is_stored_where_the_policy_cant_be_read(
    assignment: Assignment, pool: Pool, registry: CollectorRegistry
) -> None:
    """Whoever comes is told that they are there; the tickets wait."""
    await hire(pool, "ana", status="offline")
    await put(pool, waiting())
    await spoil(pool, "default")

    view = await people(pool, assignment).set_status("default", "ana", AgentStatus.ONLINE)

    assert view is not None
    assert AgentStatus.ONLINE == view.status
    assert 1 == registry.get_sample_value(FAILURES)


async def test_a_sweep_that_was_cut_is_followed_by_one_that_goes_on_after_it(
    assignment: Assignment, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pool that takes all the time there is keeps the others waiting for a round, not for ever."""
    await put(pool, *(waiting(pool=name) for name in "abcd"))
    visited: list[str] = []

    async def run(_: Assignment, __: str, name: str, *, refresh: bool = False) -> RunResult:
        visited.append(name + "!" * refresh)
        if name == "b":
            raise TimeoutError
        return RunResult()

    monkeypatch.setattr(Assignment, "run", run)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await assignment.sweep()

    assert ["a", "b", "c", "d", "a", "b", "c", "d", "a", "b"] == visited


async def test_a_run_takes_many_kinds_of_work_in_turns(pool: Pool, clock_control) -> None:  # type: ignore[no-untyped-def]
    """One transaction reads two kinds, the run all nine; whoever is free gets something whatever its kind."""
    await clock_control.freeze(NOW)
    assignment = Assignment(pool, PolicyShelf(), AssignmentMetrics(CollectorRegistry()), Ears(), signatures=2)  # type: ignore[arg-type]
    for skill in "abcdefghi":
        await hire(pool, skill, skill)
    tickets = {skill: waiting(skill=skill) for skill in "abcdefghi"}
    await put(pool, *tickets.values())

    result = await assignment.run("default", "default")

    assert 9 == result.assigned
    assert {ticket.ticket_id: skill for skill, ticket in tickets.items()} == await owners(pool)


async def test_kinds_for_which_there_is_no_room_hide_no_other(pool: Pool, clock_control) -> None:  # type: ignore[no-untyped-def]
    """Nobody has room for e-mail, somebody has room for a chat: it is found behind all the kinds of e-mail."""
    await clock_control.freeze(NOW)
    assignment = Assignment(pool, PolicyShelf(), AssignmentMetrics(CollectorRegistry()), Ears(), signatures=2)  # type: ignore[arg-type]
    await hire(pool, "ana", "abcdefgh")
    await pool.execute("UPDATE agent SET interruptible_used = 12")
    mails = [waiting(skill=skill) for skill in "abcdefgh"]
    chats = [waiting(Channel.LIVE_CHAT, skill) for skill in "abc"]
    await put(pool, *mails, *chats)

    await assignment.run("default", "default")

    assert {chat.ticket_id for chat in chats} == (await owners(pool)).keys()
    for _ in range(10):
        await assignment.sweep()
    assert {mail.ticket_id: "full" for mail in mails} == await reasons(pool)


async def test_no_kind_of_work_is_always_the_last_to_be_served(pool: Pool, clock_control) -> None:  # type: ignore[no-untyped-def]
    """One place becomes free at a time, and a transaction reads one kind: each has its turn."""
    await clock_control.freeze(NOW)
    assignment = Assignment(pool, PolicyShelf(), AssignmentMetrics(CollectorRegistry()), Ears(), signatures=1)  # type: ignore[arg-type]
    await hire(pool, "ana", "abcdef", capacity=6)
    skills = {}
    for skill in "abcdef":
        tickets = [waiting(skill=skill) for _ in range(12)]
        await put(pool, *tickets)
        skills |= {ticket.ticket_id: skill for ticket in tickets}

    served = []
    for _ in range(6):
        await assignment.run("default", "default")
        [ticket_id] = await owners(pool)
        served.append(skills[ticket_id])
        await pool.execute("UPDATE assignment SET ended_at = $1, end_reason = 'solved' WHERE ended_at IS NULL", NOW)
        await pool.execute("UPDATE agent SET interruptible_used = 0")

    assert list("abcdef") == sorted(served)


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ("capacity = 2", "full"),
        ("skills = '{\"b\": 3}'", "no_skill"),
        ("channels = '{email}'", "no_skill"),
        ("status = 'away'", "full"),
        ("active = false", "full"),
    ],
)
async def test_p2_what_changed_while_the_run_waited_for_an_agent_counts(
    assignment: Assignment, pool: Pool, change: str, left: str
) -> None:
    """The roster is applied just then: nobody gets what they may no longer have, and nothing breaks."""
    await hire(pool, "ana")
    chat = waiting(Channel.LIVE_CHAT)
    await put(pool, chat)
    async with pool.acquire() as connection:
        async with connection.transaction():
            await connection.execute(f"UPDATE agent SET {change}")
            run = asyncio.create_task(assignment.run("default", "default"))
            await until_blocked(pool)
        assert 0 == (await run).assigned

    assert ({}, {chat.ticket_id: left}) == (await owners(pool), await reasons(pool))


async def test_a_pool_that_nobody_waits_in_any_more_is_forgotten(assignment: Assignment, pool: Pool) -> None:
    """What failed there is said again should it come back."""
    await put(pool, waiting())
    await spoil(pool, "default")
    await assignment.sweep()
    assert {("default", "default")} == assignment._failing
    await pool.execute("DELETE FROM queued")

    await assignment.sweep()

    assert set() == assignment._failing


async def test_a_database_that_is_away_ends_the_sweep(
    pool: Pool, clock_control, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    """The loop waits, instead of asking for each pool."""
    await clock_control.freeze(NOW + timedelta(minutes=1))
    assignment = make(pool)
    await put(pool, *(waiting(pool=name) for name in "abc"))
    asked = []

    async def go_away(_: object, tenant: str, pool_name: str, **__: object) -> RunResult:
        asked.append((tenant, pool_name))
        raise ConnectionResetError

    monkeypatch.setattr(Assignment, "run", go_away)
    with pytest.raises(ConnectionResetError):
        await assignment.sweep()

    assert [("default", "a")] == asked
