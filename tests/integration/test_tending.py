"""Timers and answers at the same moment, several routers at once, connections that die: each assignment ends once."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from random import Random
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from services.router.assignment import Assignment
from services.router.intake import Intake
from services.router.metrics.assignment import AssignmentMetrics
from services.router.metrics.presence import PresenceMetrics
from services.router.metrics.tenure import TenureMetrics
from services.router.metrics.tickets import RouterMetrics
from services.router.presence import PresenceLoop
from services.router.store import QUERIES
from services.router.store import agents as agents_store
from services.router.store.agents import AgentStatus
from services.router.tending import Tending
from services.router.versions import policies
from shared import timesource
from shared.contract.events import (
    Accepted,
    Assigned,
    Data,
    Declined,
    Opened,
    Released,
    Replied,
    StatusChanged,
    TicketEvent,
    Updated,
)
from shared.contract.tickets import Author, Status, Urgency
from shared.jetstream.relay import Relay
from shared.ledger.policies import PolicyShelf
from shared.postgres import failures
from shared.postgres.pool import Pool
from tests.effort import examples
from tests.integration.desk import NOW, Ears

TENANT = "acme"
POLICY = """
channels:
  live_chat: {units: 4, offer: 30s, park: 1m}
  email: {units: 6, interruptible: true}
targets: [{name: all, calendar: always, first_response: 4m, ownership: 3m, resolution: 8h}]
routing: {parked_at_most: 2}
"""
PEOPLE = tuple(f"p{n}" for n in range(4))
OFFER = timedelta(seconds=30)
RACES = examples(20)
"""So often each race is run; what went wrong once in fifty would be seen."""


class Floor:
    """Tickets, agents and as many routers as a test wants."""

    def __init__(self, pool: Pool, clock: Any) -> None:
        self.pool = pool
        self.clock = clock
        self.ears = Ears()
        self._serial = 0
        self.intake, self.tending = self.router()

    def router(self, *, batch: int = 200) -> tuple[Intake, Tending]:
        """Another process."""
        shelf, registry, relay = PolicyShelf(), CollectorRegistry(), cast("Relay", self.ears)
        assignment = Assignment(self.pool, shelf, AssignmentMetrics(registry), relay)
        metrics = RouterMetrics(registry)
        intake = Intake(self.pool, shelf, assignment, relay, metrics)
        return intake, Tending(self.pool, shelf, assignment, metrics.tenures, relay, batch=batch)

    def presence(self) -> PresenceLoop:
        """Its loops that follow who is there."""
        shelf, registry, relay = PolicyShelf(), CollectorRegistry(), cast("Relay", self.ears)
        assignment = Assignment(self.pool, shelf, AssignmentMetrics(registry), relay)
        metrics = PresenceMetrics(registry, TenureMetrics(registry))
        return PresenceLoop(self.pool, shelf, assignment, relay, metrics)

    async def set_up(self, *, online: Sequence[str] = PEOPLE) -> None:
        """The policy and people of this file, on a Monday at noon."""
        await self.clock.freeze(NOW)
        roster = "people: {" + ", ".join(f"{key}: {{name: x, channels: [live_chat, email]}}" for key in PEOPLE) + "}"
        async with self.pool.acquire() as connection:
            await policies.apply_roster(connection, TENANT, roster, "test", NOW)
            await policies.apply_policy(connection, TENANT, POLICY, "test", NOW)
        await self.pool.execute("UPDATE agent SET status = 'online' WHERE key = ANY($1::text[])", online)

    async def event(self, ticket: str, data: Data) -> TicketEvent:
        """Something that happens now."""
        self._serial += 1
        return TicketEvent(
            tenant=TENANT,
            id=f"e{self._serial}",
            source="desk",
            ticket=ticket,
            occurred_at=await self.clock.now(),
            data=data,
        )

    async def tell(self, ticket: str, data: Data, intake: Intake | None = None) -> bool:
        """Tell the router of it; returns whether it meant nothing."""
        [receipt] = await (intake or self.intake).process([await self.event(ticket, data)])
        assert receipt.rejected is None
        return receipt.is_moot

    async def check(self) -> None:
        """P1, P3 and P15, what an assignment says of itself, and that no ticket is lost."""
        assert [] == await self.pool.fetch(QUERIES["list_drifted"])
        assert [] == await self.pool.fetch(QUERIES["list_stranded"], 10)
        assert [] == await self.pool.fetch(
            "SELECT FROM queued q JOIN assignment a ON a.ticket_id = q.ticket_id AND a.ended_at IS NULL"
        )
        assert [] == await self.pool.fetch(
            "SELECT FROM assignment a JOIN ticket t ON t.id = a.ticket_id"
            " WHERE a.ended_at IS NULL AND t.status NOT IN ('open', 'pending_customer', 'on_hold')"
        )
        await self.check_capacity()

    async def check_capacity(self) -> None:
        """P1, at any time."""
        assert [] == await self.pool.fetch(
            "SELECT FROM agent WHERE NOT over_capacity AND (primary_used > capacity"
            " OR primary_used + interruptible_used > 2 * capacity)"
        )

    async def ended(self) -> Counter[str]:
        """Why assignments ended."""
        return Counter(row["end_reason"] for row in await self.pool.fetch("SELECT end_reason FROM assignment"))

    def said(self, kind: str, field: str) -> Counter[str]:
        """How often a field of our events of one kind said what."""
        heard = [cast("dict[str, Any]", event) for event in self.ears.heard]
        return Counter(event["data"][field] for event in heard if event["type"] == f"sla.{kind}")


@pytest.fixture
async def floor(pool: Pool, clock_control) -> Floor:  # type: ignore[no-untyped-def]
    """With everybody online."""
    floor = Floor(pool, clock_control)
    await floor.set_up()
    return floor


@pytest.mark.parametrize("seed", range(RACES))
async def test_an_offer_is_accepted_or_lapses_and_never_both(floor: Floor, seed: int) -> None:
    """The answer comes in the milliseconds in which the lease ends."""
    rng = Random(seed)
    await floor.tell("1", Opened(channel="live_chat"))
    agent = await floor.pool.fetchval("SELECT agent FROM assignment")
    await floor.pool.execute("UPDATE agent SET status = 'offline' WHERE key <> $1", agent)
    await floor.clock.run(to=NOW + OFFER - timedelta(milliseconds=rng.uniform(0, 12)))
    is_moot, _ = await asyncio.gather(floor.tell("1", Accepted(agent=agent)), floor.tending.run_once())
    await floor.tending.run_once()
    row = await floor.pool.fetchrow("SELECT state, ended_at IS NULL AS is_theirs, end_reason FROM assignment")
    assert row is not None
    if row["is_theirs"] and row["state"] == "offered":  # neither had happened yet
        assert is_moot is False or await floor.pool.fetchval("SELECT deskclock_now()") < NOW + OFFER
    else:
        assert (not is_moot) is row["is_theirs"]
        assert (
            (1, 0)
            if row["is_theirs"]
            else (0, 1)
            == (
                floor.said("ticket.assigned", "owner").total(),
                floor.said("ticket.offer_ended", "outcome")["expired"],
            )
        )
    await floor.check()


@pytest.mark.parametrize("seed", range(RACES))
async def test_a_ticket_is_declined_or_solved_and_never_queued_when_it_is_over(floor: Floor, seed: int) -> None:
    """Two routers hear of them at once."""
    other, _ = floor.router()
    await floor.tell("1", Opened(channel="live_chat"))
    agent = await floor.pool.fetchval("SELECT agent FROM assignment")
    calls: list[Awaitable[bool]] = [
        floor.tell("1", Declined(agent=agent)),
        floor.tell("1", StatusChanged(status=Status.SOLVED), other),
    ]
    Random(seed).shuffle(calls)
    await asyncio.gather(*calls)
    assert 0 == await floor.pool.fetchval("SELECT count(*) FROM queued")
    assert 0 == await floor.pool.fetchval("SELECT count(*) FROM assignment WHERE ended_at IS NULL")
    await floor.check()


async def test_two_routers_end_each_offer_once(floor: Floor) -> None:
    """Eighty-eight offers lapse at once; each is said once, whoever notices."""
    await floor.pool.execute("UPDATE agent SET capacity = 90")
    await floor.intake.process([await floor.event(f"{n}", Opened(channel="live_chat")) for n in range(88)])
    assert 88 == await floor.pool.fetchval("SELECT count(*) FROM assignment WHERE state = 'offered'")
    await floor.pool.execute("UPDATE agent SET status = 'offline'")
    await floor.clock.advance(OFFER)
    _, first = floor.router(batch=7)
    _, second = floor.router(batch=11)
    await asyncio.gather(_drain(first), _drain(second))
    assert Counter(expired=88) == await floor.ended()
    assert Counter(expired=88) == floor.said("ticket.offer_ended", "outcome")
    assert 88 == await floor.pool.fetchval("SELECT count(*) FROM queued WHERE cardinality(excluded) = 1")
    await floor.check()


async def test_a_router_that_dies_half_way_ends_nothing_twice(floor: Floor) -> None:
    """Its connections are cut again and again; what it had not committed the next one does."""
    await floor.pool.execute("UPDATE agent SET capacity = 90")
    await floor.intake.process([await floor.event(f"{n}", Opened(channel="live_chat")) for n in range(88)])
    await floor.pool.execute("UPDATE agent SET status = 'offline'")
    await floor.clock.advance(OFFER)
    _, doomed = floor.router(batch=5)
    done = asyncio.Event()

    async def cut() -> None:
        while not done.is_set():
            await floor.pool.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
            )
            await timesource.pause(0)

    cutting = asyncio.create_task(cut())
    try:
        for _ in range(40):
            try:
                await doomed.run_once()
            except failures.UNAVAILABLE:
                continue
    finally:
        done.set()
        await asyncio.gather(cutting, return_exceptions=True)
    _, heir = floor.router()
    await _drain(heir)
    assert Counter(expired=88) == await floor.ended()
    assert 88 == sum(
        1
        for row in await floor.pool.fetch("SELECT payloads FROM outbox")
        for payload in row["payloads"]
        if b"offer_ended" in payload
    )
    await floor.check()


async def test_an_assignment_that_fails_holds_up_no_other(floor: Floor) -> None:
    """Its policy is gone; it is counted, and tried again by the next process."""
    await floor.intake.process([await floor.event(f"{n}", Opened(channel="live_chat")) for n in range(3)])
    await floor.pool.execute("UPDATE agent SET status = 'offline'")
    await floor.pool.execute("UPDATE ticket SET policy_version = 99 WHERE external_id = '0'")
    await floor.clock.advance(OFFER)
    registry = CollectorRegistry()
    shelf, relay = PolicyShelf(), cast("Relay", floor.ears)
    assignment = Assignment(floor.pool, shelf, AssignmentMetrics(registry), relay)
    tending = Tending(floor.pool, shelf, assignment, TenureMetrics(registry), relay)
    await _drain(tending)
    assert 2 == await floor.pool.fetchval("SELECT count(*) FROM queued")
    assert 1 == registry.get_sample_value("sla_tending_failures_total")
    await floor.pool.execute("UPDATE ticket SET policy_version = 1")
    _, heir = floor.router()
    await _drain(heir)
    assert 3 == await floor.pool.fetchval("SELECT count(*) FROM queued")


async def test_nobody_is_told_any_more_of_a_ticket_that_is_accepted_whoever_else_answers(floor: Floor) -> None:
    """Somebody whose offer lapsed answers in the same batch, and before."""
    await floor.tell("1", Opened(channel="live_chat"))
    [(ticket_id, agent)] = await floor.pool.fetch("SELECT ticket_id, agent FROM assignment")
    await floor.pool.execute(
        "INSERT INTO escalation_request (id, tenant, ticket_id, reason, due_at, about)"
        " VALUES (gen_random_uuid(), $1, $2, 'unroutable', $3, '{}')",
        TENANT,
        ticket_id,
        NOW + OFFER,
    )
    other = next(key for key in PEOPLE if key != agent)
    receipts = await floor.intake.process([await floor.event("1", Accepted(agent=key)) for key in (other, agent)])

    assert [True, False] == [receipt.is_moot for receipt in receipts]
    assert 0 == await floor.pool.fetchval("SELECT count(*) FROM escalation_request")


async def test_a_helpdesk_that_repeats_who_has_a_ticket_changes_nothing(floor: Floor) -> None:
    """It heard it from us: the ticket is not given by hand by that, and still goes to others when nothing is done with it."""
    read = "SELECT by_hand, act_by, accepted_at, park_at FROM assignment WHERE ended_at IS NULL"
    await floor.tell("1", Opened(channel="email"))
    [before] = await floor.pool.fetch(read)
    agent = await floor.pool.fetchval("SELECT agent FROM assignment")
    await floor.tell("1", Assigned(agent=agent))

    assert [before] == await floor.pool.fetch(read)
    assert (False, True) == (before["by_hand"], before["act_by"] is not None)


@pytest.mark.parametrize(("channel", "agent"), [("phone", "p0"), ("email", "p0")])
async def test_what_cannot_be_parked_is_not_even_where_the_policy_says_so(
    floor: Floor, channel: str, agent: str
) -> None:
    """A call given by hand, and an e-mail that is a chat when it is confirmed: loads stay what they are."""
    await floor.pool.execute("UPDATE agent SET status = 'offline' WHERE key <> $1", agent)
    async with floor.pool.acquire() as connection:
        policy = POLICY.replace("channels:", "channels:\n  phone: {park: 1m}").replace("true}", "true, offer: 10m}", 1)
        await policies.apply_policy(connection, TENANT, policy, "test", await floor.clock.now())
    await floor.tell("1", Opened(channel=channel))
    if channel == "email":
        await floor.tell("1", Updated(channel="live_chat"))
    await floor.tell("1", Assigned(agent=agent))
    await floor.clock.advance(3 * OFFER)
    await _drain(floor.tending)

    assert "active" == await floor.pool.fetchval("SELECT state FROM assignment WHERE ended_at IS NULL")
    await floor.check()


@pytest.mark.parametrize("seed", range(examples(4)))
async def test_p1_p3_p15_hold_whatever_happens_to_assignments_at_once(floor: Floor, seed: int) -> None:
    """Two routers, everything that may be said of tickets, all timers, agents who come and go; no deadlock is heard of."""
    routers = [floor.router(batch=5), floor.router(batch=50)]
    await floor.clock.run(to=NOW, rate=120)
    tickets = [f"{n}" for n in range(24)]
    everybody = [*PEOPLE, "stranger"]

    async def talk(rng: Random, intake: Intake) -> None:
        for _ in range(60):
            agent = rng.choice(everybody)
            data = rng.choice(
                (
                    Opened(channel=rng.choice(("live_chat", "email"))), Accepted(agent=agent), Accepted(agent=agent),
                    Declined(agent=agent), Released(agent=agent), Replied(by=Author.AGENT), Replied(by=Author.CUSTOMER),
                    StatusChanged(status=rng.choice((Status.OPEN, Status.SOLVED, Status.PENDING_CUSTOMER))),
                    Updated(urgency=rng.choice(tuple(Urgency))), Assigned(agent=rng.choice((agent, agent, None))),
                )
            )  # fmt: skip
            await floor.tell(rng.choice(tickets), data, intake)

    async def tend(tending: Tending) -> None:
        for _ in range(60):
            await tending.run_once()

    async def come_and_go(rng: Random) -> None:
        for _ in range(60):
            status, agent = rng.choice(("online", "online", "away", "offline")), rng.choice(PEOPLE)
            async with floor.pool.acquire() as connection:
                await agents_store.save_status(connection, TENANT, agent, AgentStatus(status), None)
            await floor.check_capacity()

    async def watch(presence: PresenceLoop) -> None:
        for _ in range(60):
            await presence.advance()
            await presence.sweep()

    await asyncio.gather(
        *(talk(Random(f"{seed} {n}"), intake) for n, (intake, _) in enumerate(routers * 2)),
        *(tend(tending) for _, tending in routers),
        *(watch(floor.presence()) for _ in range(2)),
        come_and_go(Random(seed)),
    )
    await floor.check()


async def _drain(tending: Tending) -> None:
    while await tending.run_once():
        pass
