"""What becomes of the work of those who have gone, and of what is offered to them."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from random import Random
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from services.router import absence, presence
from services.router.agents import LEASE, Agents
from services.router.assignment import Assignment
from services.router.domain.queue import REPLY_EFFORT
from services.router.presence import PresenceLoop
from services.router.store import presence as presence_store
from services.router.store.agents import AgentStatus
from shared.contract.tickets import Channel
from shared.ledger.policies import PolicyShelf
from shared.postgres.pool import Pool
from tests.effort import examples
from tests.integration.desk import NOW, Ears, drift, give, make, owners, people, put, reasons, waiting
from tests.integration.on_duty import (
    GRACE,
    MINUTE,
    MOMENT,
    POLICY,
    apply,
    gone_at,
    looping,
    promise,
    roster,
    touch,
    write,
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
def ears() -> Ears:
    """Hears what the loop says."""
    return Ears()


@pytest.fixture
def loop(pool: Pool, assignment: Assignment, registry: CollectorRegistry, ears: Ears) -> PresenceLoop:
    """One router's."""
    return looping(pool, assignment, registry, ears)


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
    effort = REPLY_EFFORT[Channel.SOCIAL]
    await promise(pool, soon.ticket_id, "next_response", morning + effort - MOMENT)
    await promise(pool, later.ticket_id, "next_response", morning + effort)
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
