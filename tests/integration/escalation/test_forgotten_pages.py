"""Pages that are easily forgotten: a way that was dropped and is needed after all, an end that is for nobody, a poisoned row."""

import random
import string
from datetime import UTC, datetime, timedelta
from typing import Any

from services.escalation.channels import Page
from services.escalation.channels.client import HttpClient
from services.escalation.channels.secrets import Secrets
from services.escalation.channels.webhook import Webhook
from services.escalation.domain.retry import Outcome, Result
from services.escalation.store import receipts
from shared.policy import methods
from shared.policy.document import Answers, Contact, Ladder, Step
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
