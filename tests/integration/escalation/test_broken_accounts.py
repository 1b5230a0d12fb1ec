"""Accounts that count as broken, and pages that are given up: another way, a probe, an alarm (R36, R38, R39)."""

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

from services.escalation.domain.ladder import Kind
from services.escalation.domain.retry import Outcome, Result
from shared.policy.document import Contact, Ladder, Step
from tests.integration.escalation.waiting_pages import START, broken, canary, deferred, put, sample, slow

FAILS = Outcome(result=Result.RETRYABLE, detail="HTTP 503")


async def break_it(world: Any, clock_control: Any) -> None:
    """Five failures in a row of the account `webhook a`."""
    world.provider.answers = [FAILS] * 5
    await put(world, *(canary(n) for n in range(5)))
    await world.delivery.run_once()
    await world.pool.execute("UPDATE page SET state = 'cancelled', next_attempt_at = NULL WHERE state = 'pending'")
    await world.tidying.measure()


async def test_r38_a_broken_account_is_passed_over_and_its_pages_go_the_other_way_at_once(world, clock_control):
    """Nothing is sent by it, the console gets the page, and the metric names no account."""
    await broken(world, clock_control, Contact(method="webhook", address="a"), Contact(method="console"))
    await world.pool.execute("UPDATE page SET next_attempt_at = next_attempt_at + interval '1 s'")
    await break_it(world, clock_control)
    assert 1.0 == sample(world, "sla_breaker_open", transport="webhook")
    await world.pool.execute("UPDATE page SET state = 'pending', next_attempt_at = deskclock_now() WHERE kind = 'page'")
    calls = len(world.provider.sent)
    await world.delivery.run_once()
    await world.delivery.run_once()
    assert calls == len(world.provider.sent)
    assert "BROKEN" in world.printed.getvalue()
    rows = await world.pool.fetch("SELECT method, state FROM page WHERE kind = 'page' ORDER BY method")
    assert [("console", "accepted"), ("webhook", "cancelled")] == [(row["method"], row["state"]) for row in rows]


async def test_r38_without_another_way_pages_wait_for_one_probe_and_go_when_it_got_through(world, clock_control):
    """Fifteen seconds later one page tries it, whoever asks; then all go."""
    await break_it(world, clock_control)
    await put(world, *(canary(n) for n in range(10, 16)))
    assert 0 == await world.delivery.run_once()
    assert [("breaker", START + timedelta(seconds=15))] * 6 == await deferred(world)
    await clock_control.advance(seconds=15)
    workers = [world.delivery, world.another_delivery(), world.another_delivery()]
    assert 1 == sum(await asyncio.gather(*(worker.run_once() for worker in workers)))
    assert 5 == await world.delivery.run_once()
    await world.tidying.measure()
    assert 0.0 == sample(world, "sla_breaker_open", transport="webhook")
    assert 0.0 == sample(world, "sla_pages_deferred", reason="breaker")


async def test_r38_a_probe_that_fails_doubles_the_wait_and_loses_nothing(world, clock_control):
    """Fifteen seconds, then as long as it has been broken, up to five minutes."""
    await break_it(world, clock_control)
    await put(world, canary(10), canary(11))
    waits = []
    for _ in range(6):
        await world.delivery.run_once()
        account = await world.pool.fetchrow("SELECT probe_at, deskclock_now() AS now FROM sending_account")
        waits.append((account["probe_at"] - account["now"]).total_seconds())
        world.provider.answers = [FAILS]
        await clock_control.advance(seconds=waits[-1])
    assert [15.0, 15.0, 30.0, 60.0, 120.0, 240.0] == waits
    rows = await world.pool.fetch("SELECT state FROM page WHERE id = ANY($1::uuid[])", [UUID(int=11), UUID(int=12)])
    assert ["pending", "pending"] == [row["state"] for row in rows]


async def test_r38_an_answer_that_refuses_a_page_keeps_the_account_well(world, clock_control):
    """A wrong address is no broken provider."""
    for first, answers in ((0, [FAILS] * 4), (10, [Outcome(result=Result.REJECTED)]), (20, [FAILS] * 4)):
        world.provider.answers = list(answers)
        await put(world, *(canary(first + n) for n in range(len(answers))))
        await world.delivery.run_once()
    assert [None] == [row["opened_at"] for row in await world.pool.fetch("SELECT opened_at FROM sending_account")]


async def test_r38_a_sender_that_died_says_nothing_of_the_provider(world, clock_control):
    """Six pages in the hands of a process that was killed go again at once: nobody's account is broken by it."""
    await put(world, *(canary(n) for n in range(6)))
    assert 6 == len(await world.another_delivery(lease_for=timedelta(0))._claim())
    assert 6 == await world.delivery.recover()
    await clock_control.advance(seconds=2)
    assert 6 == await world.delivery.run_once()


async def test_r39_a_page_that_was_given_up_alarms_through_the_catch_all_once_for_an_account(world, clock_control):
    """Two pages to people who can't be reached: the head hears of the first; both rows stay, with their reason."""
    both = Ladder(
        name="wake the lead",
        steps=(
            Step(after=timedelta(), page=("person/ana", "person/chi")),
            Step(after=timedelta(minutes=10), page=("person/ben",)),
        ),
        otherwise=("person/head",),
    )
    world.provider.account = lambda _contact: "webhook"
    await world.people("chi", contacts=[Contact(method="webhook", address="c")])
    world.provider.answers = [Outcome(result=Result.REJECTED, detail="HTTP 404")] * 2
    await broken(world, clock_control, ladder=both)
    await world.drain()
    alarms = [page for page in world.provider.sent if page.kind is Kind.ALARM]
    assert ["head"] == [page.person for page in alarms]
    assert alarms[0].text.startswith("A PAGE WAS GIVEN UP: ")
    assert "(HTTP 404)" in alarms[0].text
    assert "deskclock page replay" in alarms[0].text
    dead = await world.pool.fetch("SELECT body, state FROM page WHERE state = 'failed'")
    assert 2 == len(dead)
    assert {"881"} == {json.loads(row["body"])["ticket"] for row in dead}
    assert 2 == await world.pool.fetchval("SELECT count(*) FROM page_attempt WHERE detail = 'HTTP 404'")


async def test_r39_an_alarm_that_reaches_nobody_is_printed_on_the_console(world, clock_control, monkeypatch):
    """The head can't be reached either."""
    send = world.provider.send

    async def refuse(page: Any) -> Outcome:
        return await send(page) if page.person == "ben" else Outcome(result=Result.REJECTED)

    monkeypatch.setattr(world.provider, "send", refuse)
    await broken(world, clock_control)
    await world.drain()
    assert "A PAGE WAS GIVEN UP" in world.printed.getvalue()


async def test_r36_a_copy_is_tried_once_whatever_comes_of_it(world, clock_control):
    """Nobody need answer it; nothing follows."""
    world.provider.answers = [FAILS, FAILS]
    await put(world, canary(0, kind=Kind.COPY, fallback=(Contact(method="console"),)))
    await world.delivery.run_once()
    await clock_control.advance(minutes=1)
    assert 0 == await world.delivery.run_once()
    assert ["failed"] == [page["state"] for page in await world.pages()]


async def test_r36_a_summary_that_may_have_arrived_is_not_sent_twice_by_an_unkeyed_channel(world, clock_control):
    """An alarm, as every page, is: a duplicate beats a loss."""
    slow(world, is_keyed=False)
    for kind, times in ((Kind.COPY, 1), (Kind.ALARM, 2)):
        world.provider.answers = [Outcome(result=Result.UNKNOWN)] * 3
        world.provider.sent.clear()
        await put(world, canary(times * 10, kind=kind))
        for _ in range(4):
            await world.delivery.run_once()
            await clock_control.advance(seconds=10)
        assert times == len(world.provider.sent)
