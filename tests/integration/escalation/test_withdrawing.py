"""A promise that is kept, withdrawn or never broke: nobody is paged any more, and whoever was hears why (R14, rule 41)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext

from services.escalation.channels import Page
from services.escalation.domain.ladder import Kind
from services.escalation.domain.retry import Outcome, Result
from shared.contract.events import Data, StatusChanged
from shared.contract.tickets import Status
from shared.jetstream.publish import open_publisher
from shared.jetstream.relay import Relay
from tests.integration.escalation.whole_desk import OPEN, PENDING, SOLVED, Desk


async def test_rule_41_the_page_of_a_breach_that_did_not_happen_is_taken_back(desk: Desk, world: Any) -> None:
    """Due 09:00, paged 09:03; then comes `pending at 08:50`: a correction, and Ana hears that it is withdrawn and why."""
    await desk.opens()
    await desk.broke()
    assert [("page", "ana")] == desk.sent()

    await desk.happens("881", PENDING, 50)

    [page, resolve] = await world.pages()
    assert ("resolve", "pending", page["address"], page["person"], None) == (
        resolve["kind"], resolve["state"], resolve["address"], resolve["person"], resolve["token_hash"],
    )  # fmt: skip
    assert 1 == len(world.relay.data("clock.breach_retracted"))
    [told] = world.relay.data("escalation.resolved")
    assert ("withdrawn", "2026-06-01T09:03:00Z", None) == (told["resolution"], told["at"], told["acknowledged_by"])
    await world.drain()
    message = world.provider.sent[-1]
    assert (Kind.RESOLVE, (page["id"],)) == (message.kind, message.facts.resolves)
    assert message.text.startswith(
        "WITHDRAWN: resolution of ticket 881 (zendesk, email, normal): not broken: it is paused"
    )
    assert "" == message.link
    await desk.broke(minutes=600)
    assert 2 == len(desk.sent())


async def test_rule_41_a_deadline_that_moved_is_told_with_both_instants(desk: Desk, world: Any) -> None:
    """Pending 08:10 to 08:40 comes late: due 09:30, not 09:00; the clock breaks then, by an escalation of its own."""
    await desk.opens()
    await desk.broke()
    await desk.happens("881", PENDING, 10)
    await desk.happens("881", OPEN, 40)
    await world.drain()
    assert "paused" in world.provider.sent[-1].text
    due = world.relay.data("clock.due_changed")[-1]
    assert "2026-06-01T09:30:00Z" == due["due_at"]
    await desk.broke(minutes=91)
    assert [("page", "ana"), ("resolve", "ana"), ("page", "ana")] == desk.sent()
    assert [1, 1] == [row["generation"] for row in await world.escalations()]
    assert 2 == len(world.relay.data("clock.breached"))


async def test_r14_a_page_that_nobody_began_to_send_is_cancelled_in_the_same_transaction(
    desk: Desk, world: Any
) -> None:
    """If the trigger was never sent, neither is its resolve."""
    await desk.opens()
    await desk.world_at(63)
    await world.firing.run_once()
    await world.stepping.run_once()
    await desk.happens("881", PENDING, 50)
    assert {"page": ["cancelled"]} == await desk.states()
    await world.drain()
    assert [] == desk.sent()


@pytest.mark.parametrize(
    ("data", "minutes", "resolution", "said"),
    [
        (SOLVED, 62, "answered", "ANSWERED: resolution of ticket 881 (zendesk, email, normal): kept 2026-06-01 09:02:00 UTC, 2 min late"),
        (SOLVED, 59, "answered", "kept in time, 2026-06-01 08:59:00 UTC"),
        (StatusChanged(status=Status.SPAM), 62, "cancelled", "CANCELLED: resolution of ticket 881"),
    ],
)  # fmt: skip
async def test_r14_every_resolution_is_told_to_whoever_was_paged(
    desk: Desk, world: Any, data: Data, minutes: float, resolution: str, said: str
) -> None:
    """Answered late, answered in time as it turns out, or nobody's business any more."""
    await desk.opens()
    await desk.broke()
    await desk.happens("881", data, minutes)
    await world.drain()
    [escalation] = await world.escalations()
    assert ("resolved", resolution) == (escalation["state"], escalation["resolution"])
    assert [("page", "ana"), ("resolve", "ana")] == desk.sent()
    assert said in world.provider.sent[-1].text


async def test_r14_an_escalation_that_was_acknowledged_is_resolved_too(desk: Desk, world: Any) -> None:
    """Everybody who was paged hears it, and who had taken it."""
    await desk.opens()
    await desk.broke()
    await desk.broke(minutes=71)
    [escalation] = await world.escalations()
    await world.answering.by_key("default", escalation["id"], "ben")
    await desk.happens("881", PENDING, 50)
    await world.drain()
    assert [("page", "ana"), ("page", "ben")] == desk.sent()[:2]
    assert [("resolve", "ana"), ("resolve", "ben")] == sorted(desk.sent()[2:])
    assert "Acknowledged by: ben" in world.provider.sent[-1].text
    [told] = world.relay.data("escalation.resolved")
    assert "ben" == told["acknowledged_by"]


async def test_r14_somebody_paged_twice_hears_it_once(desk: Desk, world: Any) -> None:
    """Ana was the first and the last of the ladder: one message names both pages."""
    await desk.opens()
    for minutes in (61, 71, 82, 95):
        await desk.broke(minutes=minutes)
    assert [("page", "ana"), ("page", "ben"), ("page", "ana")] == desk.sent()
    mine = {page.id for page in world.provider.sent if page.person == "ana"}
    await desk.happens("881", PENDING, 50)
    await world.drain()
    told = {page.person: set(page.facts.resolves) for page in world.provider.sent if page.kind is Kind.RESOLVE}
    assert mine == told["ana"]
    assert {("resolve", "ana"), ("resolve", "ben")} == set(desk.sent()[3:])
    assert 5 == len(desk.sent())


async def test_r14_a_page_that_was_being_sent_is_resolved_when_it_has_arrived(desk: Desk, world: Any) -> None:
    """A resolve never overtakes its trigger."""
    await desk.opens()
    await desk.world_at(63)
    await world.firing.run_once()
    await world.stepping.run_once()
    [leased] = await world.delivery._claim()
    await desk.happens("881", PENDING, 50)
    assert {"page": ["sending"]} == await desk.states()
    assert 0 == await world.another_delivery().run_once()
    await world.delivery._conclude(leased, await world.delivery._send(leased))
    await world.drain()
    assert [("page", "ana"), ("resolve", "ana")] == desk.sent()


async def test_r14_a_page_whose_sender_died_meanwhile_may_have_arrived_and_is_resolved(desk: Desk, world: Any) -> None:
    """Nobody knows; a resolve too many is better than an alarm that stays open."""
    await desk.opens()
    await desk.world_at(63)
    await world.firing.run_once()
    await world.stepping.run_once()
    await world.another_delivery(lease_for=timedelta(0))._claim()
    await desk.happens("881", PENDING, 50)
    await world.delivery.recover()
    await world.drain()
    assert [("resolve", "ana")] == desk.sent()
    assert {"page": ["cancelled"], "resolve": ["accepted"]} == await desk.states()


async def test_r14_a_page_that_was_refused_before_it_became_moot_is_not_resolved(desk: Desk, world: Any) -> None:
    """It opened nothing anywhere."""
    world.provider.answers = [Outcome(result=Result.RETRYABLE)]
    await desk.opens()
    await desk.world_at(63)
    await world.drain()
    await desk.happens("881", PENDING, 50)
    await world.drain()
    assert {"page": ["cancelled"]} == await desk.states()


async def test_r36_a_resolve_is_tried_again_but_not_where_it_may_have_arrived_twice(desk: Desk, world: Any) -> None:
    """A provider that keeps no ids gets an unknown one once; one that refuses for now gets it again."""
    world.provider.capabilities = msgspec.structs.replace(world.provider.capabilities, is_keyed=False)
    await desk.opens()
    await desk.broke()
    await desk.happens("881", PENDING, 50)
    world.provider.answers = [Outcome(result=Result.RETRYABLE), Outcome(result=Result.UNKNOWN)]
    for minutes in (63.0, 63.1, 63.3):
        await desk.broke(minutes=minutes)
    assert [("page", "ana"), ("resolve", "ana"), ("resolve", "ana")] == desk.sent()
    assert {"page": ["accepted"], "resolve": ["failed"]} == await desk.states()


async def test_r14_the_console_prints_it_too(desk: Desk, world: Any) -> None:
    """As RESOLVED, to whom it was printed."""
    await world.pool.execute("""UPDATE agent SET contacts = '[{"method": "console"}]'""")
    await desk.opens()
    await desk.broke()
    await desk.happens("881", PENDING, 50)
    await world.drain()
    assert "RESOLVED" in world.printed.getvalue()
    assert "WITHDRAWN: resolution of ticket 881" in world.printed.getvalue()


async def test_nothing_pages_after_a_resolution_whoever_runs_beside_it(
    desk: Desk, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steppers, two senders and the correction at once: every page that got through is resolved after it, once."""
    tickets = [str(number) for number in range(12)]
    for ticket in tickets:
        await desk.opens(ticket)
    await desk.world_at(63)
    await world.firing.run_once()
    steppers = [world.another_stepping() for _ in range(2)]
    for stepper in steppers:
        stepper._batch = 3
    await steppers[0].run_once()
    senders = [world.another_delivery() for _ in range(2)]
    half_corrected, corrected = asyncio.Event(), asyncio.Event()
    send = world.provider.send

    async def slowly(page: Page) -> Outcome:
        """The provider takes its time, so that pages are in flight when their escalation ends."""
        outcome: Outcome = await send(page)
        if page.kind is Kind.PAGE and len(world.provider.sent) % 3:
            await half_corrected.wait()
        return outcome

    monkeypatch.setattr(world.provider, "send", slowly)

    async def correct() -> None:
        for number, ticket in enumerate(tickets):
            if number == len(tickets) // 2:
                half_corrected.set()
            await desk.happens(ticket, PENDING if number % 2 else SOLVED, 50)
        corrected.set()

    async def work(run_once: Callable[[], Awaitable[int]]) -> None:
        while not corrected.is_set():
            await run_once()

    await asyncio.gather(*(work(worker.run_once) for worker in (*senders, *steppers)), correct())
    await desk.broke(minutes=600)

    assert {"resolved"} == {str(row["state"]) for row in await world.escalations()}
    states = await desk.states()
    assert {"accepted", "cancelled"} >= set(states.get("page", []))
    assert {"accepted"} >= set(states.get("resolve", []))
    triggered: set[object] = set()
    resolved: list[object] = []
    for page in world.provider.sent:
        if page.kind is Kind.RESOLVE:
            assert triggered >= set(page.facts.resolves)
            resolved += page.facts.resolves
        else:
            assert page.id not in resolved
            triggered.add(page.id)
    assert sorted(map(str, triggered)) == sorted(map(str, resolved))


@pytest.fixture
async def relay(world: Any, nats_client: Client, jetstream: JetStreamContext) -> AsyncIterator[Relay]:
    """A real one, to a real NATS."""
    relay = Relay(await open_publisher(nats_client), world.pool)
    stop = asyncio.Event()
    running = asyncio.create_task(relay.run(stop))
    yield relay
    stop.set()
    await running


async def test_rule_41_the_correction_is_heard_outside(
    desk: Desk, world: Any, relay: Relay, jetstream: JetStreamContext
) -> None:
    """A subscriber of the stream hears the breach, its retraction, the new due time, and that the pages are moot."""
    outside = Desk(world, relay)
    world.firing._relay = relay
    await outside.opens()
    await outside.broke()
    await outside.happens("881", PENDING, 10)
    await outside.happens("881", OPEN, 40)
    await relay.flush()

    subscription = await jetstream.subscribe("sla.default.>", ordered_consumer=True)
    heard = []
    async with asyncio.timeout(10):
        while "clock.due_changed" not in [kind for kind, _ in heard]:
            message = await subscription.next_msg(timeout=5)
            event = msgspec.json.decode(message.data)
            heard.append((event["type"].removeprefix("sla."), event["data"]))
    await subscription.unsubscribe()
    kinds = [kind for kind, _ in heard]
    wanted = ["clock.breached", "clock.breach_retracted", "escalation.resolved", "clock.due_changed"]
    assert wanted == [kind for kind in kinds if kind in wanted]
    assert "2026-06-01T09:30:00Z" == dict(heard)["clock.due_changed"]["due_at"]
