"""Pages that are easily forgotten: a way that was dropped and is needed after all, an end that is for nobody, a poisoned row."""

import asyncio
import random
import string
from datetime import UTC, datetime, timedelta
from typing import Any

from services.escalation.answering import Wanted
from services.escalation.channels import Page
from services.escalation.channels.client import HttpClient
from services.escalation.channels.secrets import Secrets
from services.escalation.channels.webhook import Webhook
from services.escalation.domain.retry import Outcome, Result
from services.escalation.raising import NotNow, Raising, Seen
from services.escalation.store import receipts
from shared.policy import methods
from shared.policy.document import Answers, Contact, Ladder, Paging, Step
from tests.integration.escalation.conftest import Provider

START = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
DUE = START + timedelta(hours=1)
TEN = timedelta(minutes=10)
FIRST, SECOND = Contact(method="webhook", address="first"), Contact(method="second", address="second")
ACCEPTED, RETRYABLE, REJECTED = (
    Outcome(result=result) for result in (Result.ACCEPTED, Result.RETRYABLE, Result.REJECTED)
)


def ladder(*steps: Step, **options: Any) -> Ladder:
    return Ladder(name="wake the lead", steps=steps, **{"otherwise": ("person/head",), **options})


def step(*page: str, after: timedelta = timedelta(), **options: Any) -> Step:
    return Step(after=after, page=page, **options)


TWO = ladder(step("person/ana"), step("person/ben", after=TEN))


class OfAna(Provider):
    """Answers as set for Ana's address, and accepts all else."""

    async def send(self, page: Page) -> Outcome:
        """Note the page and answer."""
        self.sent.append(page)
        return self.answers.pop(0) if page.address in ("first", "second") and self.answers else ACCEPTED


async def broken(world: Any, clock_control: Any, by: Ladder, **options: Any) -> None:
    """A promise broke a second ago; Ana has two ways to be reached, the others one."""
    world.provider = world.channels["webhook"] = OfAna()
    world.second = world.channels["second"] = OfAna("second")
    await world.people("ana", contacts=(FIRST, SECOND))
    await world.people("ben", "head")
    world.use(by, **options)
    await world.ticket()
    await clock_control.freeze(DUE + timedelta(seconds=1))
    while await world.firing.run_once() + await world.stepping.run_once():
        pass


async def tried(world: Any, clock_control: Any) -> None:
    """The first way is tried at 0, 1, 3, 7, 15 and 31 seconds, and the second beside it from the 15th on."""
    for seconds in (0, 1, 2, 4, 8, 16):
        await clock_control.advance(seconds=seconds)
        await world.drain()


async def test_r3_the_next_step_is_hurried_when_the_first_way_fails_after_the_second(world, clock_control):
    """The second was begun beside the first, and refused before the first was."""
    await broken(world, clock_control, TWO)
    world.provider.answers = [*[RETRYABLE] * 5, REJECTED]
    world.second.answers = [REJECTED]
    await tried(world, clock_control)
    assert 1 == len(world.second.sent)
    assert ("page", "ben") in {(page.kind, page.person) for page in world.provider.sent}


async def test_r7_the_console_is_paged_when_the_first_way_fails_after_the_second(world, clock_control):
    """The same at the end of the ladder, where nobody else is left."""
    await broken(world, clock_control, Ladder(name="wake the lead", steps=(), otherwise=("person/ana",)))
    world.provider.answers = [*[RETRYABLE] * 5, REJECTED]
    world.second.answers = [REJECTED]
    await tried(world, clock_control)
    assert 1 == len(world.second.sent)
    assert "PAGE" in world.printed.getvalue()


async def test_r37_another_way_that_was_dropped_is_taken_up_when_the_first_turns_out_lost(world, clock_control):
    """The first was accepted in the last moment, so the second was not sent; then a receipt says that the first is lost."""
    await broken(world, clock_control, TWO)
    world.provider.answers = [RETRYABLE]
    await world.delivery.run_once()
    await world.pool.execute("UPDATE page SET fallback_at = next_attempt_at")
    await clock_control.advance(seconds=2)
    await world.delivery._sending.begin_fallbacks()
    await world.pool.execute(
        "UPDATE page SET next_attempt_at = next_attempt_at + interval '1 h' WHERE method = 'second'"
    )
    await world.delivery.run_once()
    assert {"webhook": "accepted", "second": "cancelled"} == {p["method"]: p["state"] for p in await world.pages()}
    [page] = [page for page in await world.pages() if page["state"] == "accepted"]
    async with world.pool.acquire() as connection, connection.transaction():
        assert await receipts.save_loss(connection, page["id"], page["attempts"], REJECTED, page["accepted_at"])
    await world.drain()
    assert ["ana"] == [page.person for page in world.second.sent]


async def test_r7_the_end_of_a_ladder_is_never_for_those_alone_who_have_answered(world, clock_control):
    """Ana answered for herself and Ben never did: the catch-all is Ana, so the console hears it."""
    both = ladder(step("person/ana", "person/ben", answers=Answers.ALL), otherwise=("person/ana",))
    await broken(world, clock_control, both)
    await world.drain()
    [escalation] = await world.escalations()
    answer = await world.answering.by_key("default", escalation["id"], "ana")
    assert ("ben",) == answer.waits_for
    await clock_control.advance(minutes=10)
    await world.drain()
    assert "exhausted" == (await world.escalations())[0]["state"]
    assert "PAGE" in world.printed.getvalue()


async def test_r24_a_page_that_waits_for_the_morning_does_not_stand_for_the_last_level(world, clock_control):
    """Ana is asleep and both levels are hers: the last one is never held back."""
    again = ladder(step("person/ana"), step("person/ana", after=TEN))
    world.use(again)
    await world.people("ana", "head")
    await world.pool.execute("UPDATE agent SET timezone = 'Etc/UTC', quiet_hours = '22:00-12:00'")
    await world.ticket()
    await world.pool.execute("UPDATE ticket SET urgency = 'low'")
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.drain()
    assert [] == world.provider.sent
    await clock_control.freeze(DUE + TEN)
    await world.drain()
    assert ["ana"] == [page.person for page in world.provider.sent]


async def test_r29_an_address_longer_than_an_index_takes_holds_up_nobody_else(world, clock_control):
    """A roster can't name such a host; one that has it already pages like any other."""
    letters = random.Random(1).choices(string.ascii_lowercase + string.digits, k=6_000)
    address = f"https://{''.join(letters)}/"
    assert not methods.is_url(address)
    world.channels["webhook"] = Webhook(HttpClient(frozenset(), concurrency=1), Secrets(), concurrency=1)
    await world.people("ana", contacts=(Contact(method="webhook", address=address),))
    world.use(TWO)
    await world.ticket()
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.firing.run_once()
    assert 1 == await world.stepping.run_once()


async def storm(world: Any, clock_control: Any, count: int, by: Ladder = TWO) -> None:
    """So many promises to Ana's customers broke a second ago, and are told together."""
    await broken(world, clock_control, by, paging=Paging())
    for number in range(1, count):
        await world.ticket(str(number))
    while await world.firing.run_once() + await world.stepping.run_once():
        pass


async def test_r3_a_summary_that_one_way_refused_hurries_nobody_while_another_is_open(world, clock_control):
    """The other may still get through: then those it names have their time to answer."""
    await storm(world, clock_control, 3)
    await world.delivery.run_once()
    await clock_control.advance(seconds=5)
    world.provider.answers = [RETRYABLE] * 5
    world.second.answers = [REJECTED]
    for seconds in (0, 1, 2, 4, 8):
        await clock_control.advance(seconds=seconds)
        await world.drain()
    assert 1 == len(world.second.sent)
    assert {"ana", "head"} == {page.person for page in world.provider.sent}
    await clock_control.advance(seconds=16)
    await world.drain()
    assert {"accepted"} == {page["state"] for page in await world.pages() if page["kind"] == "page"}
    assert {"ana", "head"} == {page.person for page in world.provider.sent}


async def test_r35_those_of_a_summary_that_turns_out_lost_go_up(world, clock_control):
    """It was accepted, and a receipt says that it will not arrive; no other way is left."""
    await storm(world, clock_control, 3)
    await world.pool.execute("UPDATE page SET evidence = evidence - 'fallback'")
    await world.delivery.run_once()
    await clock_control.advance(seconds=5)
    await world.drain()
    [summary] = [page for page in await world.pages() if page["kind"] == "summary"]
    async with world.pool.acquire() as connection, connection.transaction():
        assert await receipts.save_loss(connection, summary["id"], 1, REJECTED, summary["accepted_at"])
    await world.drain()
    await clock_control.advance(seconds=5)
    await world.drain()
    assert [("page", 1), ("summary", 1)] == [
        (page.kind, page.facts.roundup.count if page.facts.roundup else 1)
        for page in world.provider.sent
        if page.person == "ben"
    ]


async def test_r28_who_joins_while_a_group_is_taken_over_is_told_whatever_version_was_said(world, clock_control):
    """An answer that claims to have seen more than there was takes over what was there."""
    await storm(world, clock_control, 2)
    await world.delivery.run_once()
    token = world.provider.sent[0].link.rpartition("/")[2]
    decide = world.answering._decide

    async def while_another_joins(*given: Any) -> Any:
        await world.ticket("late")
        while await world.firing.run_once() + await world.stepping.run_once():
            pass
        return await decide(*given)

    world.answering._decide = while_another_joins
    answer = await world.answering.by_token(token, Wanted(version=1_000_000))
    assert 2 == answer.tickets
    await clock_control.advance(seconds=61)
    await world.drain()
    assert ["page", "summary"] == [page.kind for page in world.provider.sent]


async def test_r35_one_page_that_cant_be_concluded_keeps_no_other_from_being_taken_back(world, clock_control, caplog):
    """Their senders died; what becomes of the first can't be stored."""
    await broken(world, clock_control, ladder(step("person/ana", "person/ben")))
    dead = world.another_delivery(lease_for=timedelta())
    await dead._sending.claim()
    conclude = world.delivery._concluding.conclude
    poisoned = (await world.pages())[0]["id"]

    async def fails_for_one(page: Any, *given: Any) -> Any:
        if page.id == poisoned:
            raise ValueError("poisoned")
        return await conclude(page, *given)

    world.delivery._concluding.conclude = fails_for_one
    assert 1 == await world.delivery.recover()
    assert ["pending", "sending"] == sorted(page["state"] for page in await world.pages())


async def test_r27_one_group_that_cant_be_told_of_keeps_no_other_from_it(world, clock_control):
    """Whatever is wrong with a row of one tenant."""
    await storm(world, clock_control, 3, ladder(step("person/ana", "person/ben")))
    await world.pool.execute("UPDATE page SET body = '{}' WHERE state = 'grouped' AND person = 'ana'")
    await clock_control.advance(seconds=5)
    await world.grouping.run_once()
    assert ["ben"] == [page["person"] for page in await world.pages() if page["kind"] == "summary"]


async def test_r31_breaches_and_an_answer_to_their_warnings_take_locks_in_one_order(world, clock_control):
    """Promises that break in another order than they warned, while their group is answered: nobody is turned away."""
    await world.people("ana")
    world.use(ladder(step("person/ana"), on_warning=("person/ana",)), paging=Paging())
    first = await world.ticket("first", due_in=timedelta(minutes=21), warn_in=[timedelta(minutes=10)])
    second = await world.ticket("second", due_in=timedelta(minutes=20), warn_in=[timedelta(minutes=11)])
    for minutes in (10, 11):
        await clock_control.freeze(START + timedelta(minutes=minutes, seconds=1))
        await world.firing.run_once()
    before = {row["ticket_id"]: row["id"] for row in await world.escalations()}
    low, high = sorted(before.values())
    assert (low, high) == (before[first], before[second])
    await clock_control.freeze(START + timedelta(minutes=31))
    async with world.pool.acquire() as connection, connection.transaction():
        query = "SELECT id FROM escalation WHERE id = $1 FOR NO KEY UPDATE"
        await connection.execute(query, low)
        firing = asyncio.create_task(world.firing.run_once())
        waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        async with world.pool.acquire() as watcher:
            while not await watcher.fetchval(waits):
                pass
        await connection.execute(query, high)
    assert 2 == await firing


async def test_r34_a_page_of_an_older_generation_is_not_sent_beside_its_successor(world, clock_control):
    """Somebody sent it up again while the catch-all's page waited for its provider: its link would be worth nothing."""
    await broken(world, clock_control, ladder(step("person/ben"), otherwise=("person/ana",)))
    await clock_control.advance(minutes=10)
    world.provider.answers = [RETRYABLE]
    await world.drain()
    [one] = await world.escalations()
    assert "exhausted" == one["state"]
    seen = Seen(generation=one["generation"], loop=one["loop"], step=one["step"])
    raising = Raising(world.pool, world.shelf, world.relay, world.metrics)
    assert not isinstance(await raising.send_up("default", one["id"], seen, by="cleo"), NotNow)
    sent = len(world.provider.sent)
    await clock_control.advance(seconds=2)
    await world.stepping.run_once()
    await world.delivery.run_once()
    await world.tidying.run_once()
    await world.drain()
    assert ["ben"] == [page.person for page in world.provider.sent[sent:]]
    assert "cancelled" in {page["state"] for page in await world.pages() if page["person"] == "ana"}


async def test_r3_the_next_step_is_hurried_though_its_plan_changed_meanwhile(world, clock_control):
    """Nobody of the first step can be reached: the new plan puts the second off no more than the old one."""
    await broken(world, clock_control, TWO)
    world.provider.answers, world.second.answers = [REJECTED], [REJECTED]
    await world.pool.execute("UPDATE escalation SET is_replanned = true, next_step_at = deskclock_now()")
    await world.delivery.run_once()
    await world.delivery.run_once()
    await world.drain()
    assert "ben" in {page.person for page in world.provider.sent}


async def test_r34_a_summary_names_nothing_that_has_begun_anew(world, clock_control):
    """One that had joined was sent up by hand before the summary: it pages by itself, and its older page is nobody's."""
    await storm(world, clock_control, 3, Ladder(name="wake the lead", steps=(), otherwise=("person/ana",)))
    [one, *_] = [row for row in await world.pages() if row["state"] == "grouped"]
    await world.pool.execute("UPDATE escalation SET generation = 2 WHERE id = $1", one["escalation_id"])
    await clock_control.advance(seconds=5)
    await world.grouping.run_once()
    [summary] = [page for page in await world.pages() if page["kind"] == "summary"]
    assert b'"count":1' in summary["body"].replace(b" ", b"")


async def test_r7_at_the_end_of_a_ladder_the_console_is_paged_after_twenty_seconds(world, clock_control):
    """Its provider says again and again that it can't now: it is tried on for an hour, and somebody hears of it meanwhile."""
    await broken(world, clock_control, Ladder(name="wake the lead", steps=(), otherwise=("person/ana",)))
    await world.pool.execute("UPDATE page SET evidence = evidence - 'fallback'")
    world.provider.answers = [RETRYABLE] * 6
    for seconds in (0, 1, 2, 4):
        await clock_control.advance(seconds=seconds)
        await world.drain()
    assert not world.printed.getvalue()
    await clock_control.advance(seconds=8)
    await world.drain()
    assert 1 == world.printed.getvalue().count("PAGE")
    await clock_control.advance(minutes=1)
    await world.drain()
    await clock_control.advance(minutes=1)
    await world.drain()
    assert 1 == world.printed.getvalue().count("PAGE")
    assert "accepted" in {page["state"] for page in await world.pages() if page["person"] == "ana"}


async def test_r7_at_the_end_of_a_ladder_a_broken_account_lets_the_console_be_paged_at_once(world, clock_control):
    """Its breaker is open, and there is no other contact: the page waits for its account, but somebody hears of it."""
    await broken(world, clock_control, Ladder(name="wake the lead", steps=(), otherwise=("person/head",)))
    await world.pool.execute(
        """INSERT INTO sending_account (tenant, account, method, tokens, refilled_at, failures, opened_at, probe_at)
           VALUES ('default', 'webhook x', 'webhook', 5, deskclock_now(), 9, deskclock_now(), deskclock_now() + interval '5 min')
           ON CONFLICT (tenant, account) DO UPDATE SET (failures, opened_at, probe_at) = (9, excluded.opened_at, excluded.probe_at)"""
    )
    await world.drain()
    await world.drain()
    assert 1 == world.printed.getvalue().count("PAGE")
    assert {"breaker"} == {page["deferred_for"] for page in await world.pages() if page["person"] == "head"}
    await clock_control.advance(minutes=5)
    await world.drain()
    assert ["head"] == [page.person for page in world.provider.sent]
    assert 1 == world.printed.getvalue().count("PAGE")
