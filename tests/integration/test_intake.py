"""Intake on a real database: what is stored, said and owned after a batch."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from prometheus_client import CollectorRegistry

from services.router.assignment import Assignment
from services.router.intake import Intake
from services.router.metrics.assignment import AssignmentMetrics
from services.router.metrics.tickets import RouterMetrics
from shared import timesource
from shared.contract.events import Assigned, Opened, Replied, StatusChanged, TicketEvent, Updated
from shared.contract.tickets import Author, Status, Urgency
from shared.jetstream.publish import open_publisher
from shared.jetstream.relay import Relay
from shared.ledger.policies import PolicyShelf
from shared.postgres.pool import Pool

MONDAY = datetime(2026, 6, 1, 9, tzinfo=UTC)


def opened(ticket: str = "881", at: datetime = MONDAY, **fields: object) -> TicketEvent:
    """A ticket comes into being."""
    data = Opened(**{"channel": "email", "subject": "Charged twice", **fields})
    return TicketEvent(tenant="acme", id=f"{ticket}-opened", source="zendesk", ticket=ticket, occurred_at=at, data=data)


def event(data: object, n: int, ticket: str = "881", *, minutes: float = 10) -> TicketEvent:
    """Something happens to it later."""
    return TicketEvent(
        tenant="acme", id=f"{ticket}-{n}", source="zendesk", ticket=ticket,
        occurred_at=MONDAY + timedelta(minutes=minutes), data=data,
    )  # fmt: skip


@pytest.fixture
async def intake(pool: Pool, nats_client: Client, jetstream: JetStreamContext, clock_control) -> Intake:
    """An intake as the router has it, on Monday morning."""
    await clock_control.freeze(MONDAY + timedelta(minutes=30))
    registry = CollectorRegistry()
    relay = Relay(await open_publisher(nats_client), pool)
    shelf = PolicyShelf()
    assignment = Assignment(pool, shelf, AssignmentMetrics(registry), relay)
    return Intake(pool, shelf, assignment, relay, RouterMetrics(registry))


async def test_a_ticket_gets_its_channel_urgency_clocks_and_a_place_in_the_queue(intake: Intake, pool: Pool) -> None:
    """One event is enough for everything that a ticket needs."""
    (receipt,) = await intake.process([opened(subject="hello")])
    assert receipt.is_new_ticket
    row = await pool.fetchrow("SELECT * FROM ticket")
    assert ("email", "normal", "open") == (row["channel"], row["urgency"], row["status"])
    targets = [clock["target"] for clock in await pool.fetch("SELECT target FROM clock ORDER BY target")]
    assert "first_response" in targets
    assert "resolution" in targets
    assert 1 == await pool.fetchval("SELECT count(*) FROM queued")


async def test_the_same_event_again_is_a_no_op(intake: Intake, pool: Pool) -> None:
    """Redelivery neither stores nor says anything twice."""
    (first,) = await intake.process([opened()])
    said = await pool.fetchval("SELECT coalesce(sum(cardinality(subjects)), 0) FROM outbox")
    twice, again = await intake.process([opened(), opened()])
    assert twice.is_duplicate
    assert again.is_duplicate
    assert first.ticket_id == twice.ticket_id == again.ticket_id
    assert 1 == await pool.fetchval("SELECT count(*) FROM ticket_event")
    assert said == await pool.fetchval("SELECT coalesce(sum(cardinality(subjects)), 0) FROM outbox")


async def test_events_may_come_before_the_ticket_is_opened(intake: Intake, pool: Pool) -> None:
    """What arrives first waits in the log; the end is the same as in order."""
    reply = event(Replied(by=Author.AGENT), 1)
    await intake.process([reply])
    assert await pool.fetchval("SELECT opened_at FROM ticket") is None
    await intake.process([opened()])
    states = dict(await pool.fetch("SELECT target, state FROM clock_finished"))
    assert "met" == states["first_response"]
    assert 1 == await pool.fetchval("SELECT count(*) FROM queued")


async def test_an_event_id_of_another_ticket_is_refused_not_swallowed(intake: Intake, pool: Pool) -> None:
    """A sender that numbers its events from 1 for each ticket loses nothing silently."""
    other = TicketEvent(
        tenant="acme", id="881-opened", source="zendesk", ticket="882", occurred_at=MONDAY, data=Opened(channel="email")
    )
    _, refused = await intake.process([opened(), other])
    assert refused.rejected is not None
    assert "invalid" == refused.rejected.reason
    assert 1 == await pool.fetchval("SELECT count(*) FROM ticket")


async def test_an_event_of_the_future_is_refused(intake: Intake, pool: Pool) -> None:
    """Over five minutes ahead is a wrong clock, and is said."""
    early, future = await intake.process(
        [opened("1", at=MONDAY + timedelta(minutes=34)), opened("2", at=MONDAY + timedelta(minutes=36))]
    )
    assert early.rejected is None
    assert future.rejected is not None
    assert "future" == future.rejected.reason
    assert 1 == await pool.fetchval("SELECT count(*) FROM ticket")


async def test_an_event_over_thirty_days_old_is_taken_and_flagged(intake: Intake) -> None:
    """An import of old tickets works, and can be told from live traffic."""
    (receipt,) = await intake.process([opened(at=MONDAY - timedelta(days=31))])
    assert receipt.is_late


async def test_what_the_database_refuses_holds_up_nothing_else(intake: Intake, pool: Pool) -> None:
    """One event that can't be stored is found by halving; its neighbours are stored."""
    poison = opened("bad", subject="nul \0 in it")
    receipts = await intake.process([opened("1"), opened("2"), poison, opened("3")])
    assert [None, None, "unstorable", None] == [r.rejected and r.rejected.reason for r in receipts]
    assert 3 == await pool.fetchval("SELECT count(*) FROM ticket")


async def test_a_reply_keeps_the_promise_and_ends_its_escalation(intake: Intake, pool: Pool) -> None:
    """The transaction that stores the reply also stops whoever would be paged."""
    (receipt,) = await intake.process([opened()])
    await pool.execute(
        "UPDATE clock SET warned = 1, warned_at = deskclock_now(), escalate = 'wake the lead' WHERE target = 'first_response'"
    )
    await pool.execute(
        """INSERT INTO escalation (id, tenant, ticket_id, target, cycle, policy_version, ladder, reason, state, opened_at,
                                   anchor_at, next_step_at)
           VALUES (gen_random_uuid(), 'acme', $1, 'first_response', 1, 0, 'wake the lead', 'warned', 'open', deskclock_now(),
                   deskclock_now(), deskclock_now())""",
        receipt.ticket_id,
    )
    await intake.process([event(Replied(by=Author.AGENT), 1)])
    row = await pool.fetchrow("SELECT state, next_step_at, resolution FROM escalation")
    assert ("resolved", None, "answered") == (row["state"], row["next_step_at"], row["resolution"])


async def test_solving_ends_the_assignment_and_frees_the_agent(intake: Intake, pool: Pool) -> None:
    """Capacity comes back with the transaction that says the ticket is solved."""
    await pool.execute(
        """INSERT INTO agent (tenant, key, name, channels, status) VALUES ('acme', 'ana', 'Ana', '{email}', 'online')"""
    )
    await intake.process([opened()])
    assert "ana" == await pool.fetchval("SELECT agent FROM assignment WHERE ended_at IS NULL")
    assert 0 < await pool.fetchval("SELECT primary_used + interruptible_used FROM agent")
    await intake.process([event(StatusChanged(status=Status.SOLVED), 1)])
    assert await pool.fetchval("SELECT agent FROM assignment WHERE ended_at IS NULL") is None
    assert 0 == await pool.fetchval("SELECT primary_used + interruptible_used FROM agent")
    assert 0 == await pool.fetchval("SELECT count(*) FROM clock")


async def test_a_reopened_ticket_goes_back_to_who_had_it(intake: Intake, pool: Pool) -> None:
    """Affinity: the previous owner knows the story."""
    for key in ("ana", "ben"):
        await pool.execute(
            "INSERT INTO agent (tenant, key, name, channels, status) VALUES ('acme', $1, $1, '{email}', 'online')", key
        )
    await intake.process([opened()])
    first = await pool.fetchval("SELECT agent FROM assignment WHERE ended_at IS NULL")
    await intake.process([event(StatusChanged(status=Status.SOLVED), 1)])
    await intake.process([event(StatusChanged(status=Status.OPEN), 2, minutes=20)])
    assert first == await pool.fetchval("SELECT agent FROM assignment WHERE ended_at IS NULL")


async def test_the_helpdesk_may_assign_by_hand_and_take_back(intake: Intake, pool: Pool) -> None:
    """What a person decides is obeyed, also beyond capacity."""
    await pool.execute(
        "INSERT INTO agent (tenant, key, name, channels, capacity) VALUES ('acme', 'ana', 'Ana', '{email}', 1)"
    )
    await intake.process([opened()])
    await intake.process([event(Assigned(agent="ana"), 1)])
    assert "ana" == await pool.fetchval("SELECT agent FROM assignment WHERE ended_at IS NULL")
    assert 0 == await pool.fetchval("SELECT count(*) FROM queued")
    await intake.process([event(Assigned(agent=None), 2, minutes=20)])
    assert await pool.fetchval("SELECT agent FROM assignment WHERE ended_at IS NULL") is None
    assert 1 == await pool.fetchval("SELECT count(*) FROM queued")


async def test_a_change_of_urgency_moves_the_ticket_in_the_queue(intake: Intake, pool: Pool) -> None:
    """A waiting ticket is ordered by the promise it has now."""
    await intake.process([opened(subject="hello")])
    before = await pool.fetchrow("SELECT due_at, urgency_rank FROM queued")
    await intake.process([event(Updated(urgency=Urgency.URGENT), 1)])
    after = await pool.fetchrow("SELECT due_at, urgency_rank FROM queued")
    assert after["due_at"] < before["due_at"]
    assert 0 == after["urgency_rank"]


async def test_tenants_do_not_meet(intake: Intake, pool: Pool) -> None:
    """The same ids in two tenants are two tickets."""
    mine = opened()
    theirs = TicketEvent(
        tenant="globex",
        id=mine.id,
        source=mine.source,
        ticket=mine.ticket,
        occurred_at=mine.occurred_at,
        data=mine.data,
    )
    receipts = await intake.process([mine, theirs])
    assert 2 == len({receipt.ticket_id for receipt in receipts})
    assert {"acme", "globex"} == {row["tenant"] for row in await pool.fetch("SELECT tenant FROM ticket")}


async def test_two_intakes_with_the_same_events_store_each_once(intake: Intake, pool: Pool) -> None:
    """Redelivery to another replica at the same moment is a race that ends well."""
    batches = [[opened(str(n)) for n in range(40)], [opened(str(n)) for n in reversed(range(40))]] * 2
    await asyncio.gather(*(intake.process(batch) for batch in batches))
    assert 40 == await pool.fetchval("SELECT count(*) FROM ticket")
    assert 40 == await pool.fetchval("SELECT count(*) FROM ticket_event")
    assert 40 == await pool.fetchval("SELECT count(*) FROM queued")


async def test_callers_over_http_share_a_transaction(intake: Intake, pool: Pool) -> None:
    """Group commit: many callers at once, few transactions, each with its own receipt."""
    stop = asyncio.Event()
    serving = asyncio.create_task(intake.run(stop))
    receipts = await asyncio.gather(*(intake.submit([opened(str(n))]) for n in range(60)))
    stop.set()
    await serving
    assert 60 == len({receipt.ticket_id for (receipt,) in receipts})
    assert 10 > await pool.fetchval("SELECT count(DISTINCT xmin::text) FROM ticket")


async def test_a_breach_noticed_while_the_batch_waited_for_its_lock_stands(
    intake: Intake, pool: Pool, clock_control
) -> None:
    """An internal note that arrives together with the breach neither retracts it nor lets it fire again."""
    await intake.process([opened(subject="hello")])
    due_at = await pool.fetchval("SELECT due_at FROM clock WHERE target = 'first_response'")
    await clock_control.freeze(due_at + timedelta(seconds=1))
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM ticket FOR NO KEY UPDATE")
        noting = asyncio.create_task(intake.process([event(Replied(by=Author.AGENT, public=False), 1)]))
        while not await pool.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
            await timesource.pause(0.01)
        await clock_control.freeze(due_at + timedelta(seconds=2))
        await connection.execute(
            """UPDATE clock SET state = 'breached', breached_at = due_at, detected_at = deskclock_now(),
                      warned = cardinality(warn_at), next_fire_at = NULL WHERE target = 'first_response'"""
        )
    await noting
    row = await pool.fetchrow("SELECT state, next_fire_at FROM clock WHERE target = 'first_response'")
    assert ("breached", None) == (row["state"], row["next_fire_at"])


async def test_a_ticket_that_comes_with_its_assignment_taken_back_is_queued(intake: Intake, pool: Pool) -> None:
    """Opened and unassigned in one batch: somebody still has to take it."""
    await intake.process([opened(), event(Assigned(agent=None), 1)])
    assert 1 == await pool.fetchval("SELECT count(*) FROM queued")


async def test_a_reply_ends_an_escalation_whose_clock_is_calm_again(intake: Intake, pool: Pool) -> None:
    """A warning opened it; then the urgency was lowered and nothing is near any more. The answer still ends it."""
    (receipt,) = await intake.process([opened(subject="hello")])
    await pool.execute(
        """INSERT INTO escalation (id, tenant, ticket_id, target, cycle, policy_version, ladder, reason, state, opened_at,
                                   anchor_at)
           VALUES (gen_random_uuid(), 'acme', $1, 'first_response', 1, 0, 'x', 'warned', 'open', deskclock_now(),
                   deskclock_now())""",
        receipt.ticket_id,
    )
    await intake.process([event(Replied(by=Author.AGENT), 1)])
    assert "resolved" == await pool.fetchval("SELECT state FROM escalation")


async def test_a_loop_on_one_ticket_is_ended_and_the_ticket_can_still_be_closed(intake: Intake, pool: Pool) -> None:
    """Ten thousand events are enough for one ticket; moving it stays possible."""
    (receipt,) = await intake.process([opened()])
    await pool.execute(
        """INSERT INTO ticket_event (ticket_id, event_id, tenant, occurred_at, received_at, data)
           SELECT $1, 'loop-' || n, 'acme', deskclock_now(), deskclock_now(), '{"kind": "feedback", "score": 1}'
           FROM generate_series(1, 10000) n""",
        receipt.ticket_id,
    )
    reply, solve = await intake.process(
        [event(Replied(by=Author.CUSTOMER), 1), event(StatusChanged(status=Status.SOLVED), 2)]
    )
    assert reply.rejected is not None
    assert "looks like a loop" in str(reply.rejected)
    assert solve.rejected is None
    assert "solved" == await pool.fetchval("SELECT status FROM ticket")
