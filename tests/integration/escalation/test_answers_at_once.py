"""Answers that come at once, and while groups grow and are sent (R9, R10, R28)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from services.escalation.answering import Wanted
from services.escalation.domain.retry import Outcome, Result
from shared.policy.document import Contact, Paging
from tests.integration.escalation.links import (
    HTML,
    LADDER,
    NOW,
    client_of,
    paged,
    path_of,
)


@pytest.fixture
async def client(world) -> AsyncIterator[httpx.AsyncClient]:
    """The HTTP surface, without a key."""
    async with client_of(world) as made:
        yield made


async def test_r10_of_many_answers_at_once_one_is_the_first(world, clock_control, client):
    """Twenty people press at the same instant."""
    await paged(world, clock_control)
    [one] = await world.escalations()
    met = await asyncio.gather(*(world.answering.by_key("default", one["id"], f"p{n}") for n in range(20)))
    assert ["acknowledged"] + ["acknowledged_before"] * 19 == sorted(answer.standing for answer in met)
    assert 1 == len({answer.acknowledged_by for answer in met})
    assert 1 == world.relay.kinds().count("escalation.acknowledged")


async def test_r28_whoever_joined_between_the_look_and_the_answer_pages_again(world, clock_control):
    """Three were shown; the fourth joined before the button was pressed: it is told by a page of its own, at once."""
    world.use(LADDER, paging=Paging())
    await world.people("ana", "ben", "head")
    for number in range(3):
        await world.ticket(str(number), due_in=timedelta(hours=1))
    await world.ticket("late", due_in=timedelta(hours=1, seconds=2))
    await clock_control.freeze(NOW)
    await world.drain()
    [first] = world.provider.sent
    async with client_of(world) as made:
        assert "name='version' value='3'" in (await made.get(path_of(first.link), headers=HTML)).text
        await clock_control.advance(seconds=2)
        await world.drain()
        assert 1 == len(world.provider.sent)
        done = (await made.post(path_of(first.link), data={"version": "3"})).json()
        assert 3 == done["tickets"]
        for _ in range(3):
            await world.grouping.run_once()
            await world.drain()
        [again] = world.provider.sent[1:]
        assert ("late", True) == (again.facts.ticket, "late" in again.text)
        assert 1 == (await made.post(path_of(again.link))).json()["tickets"]
    assert {"acknowledged"} == {one["state"] for one in await world.escalations()}


async def test_r28_r9_a_group_is_taken_over_while_others_join_and_are_sent(world, clock_control):
    """Whatever the order: what was taken over is never sent, and what wasn't is told."""
    world.use(LADDER, paging=Paging())
    await world.people("ana", "ben", "head")
    for number in range(10):
        await world.ticket(str(number), due_in=timedelta(hours=1, seconds=number % 2))
    await clock_control.freeze(NOW - timedelta(seconds=1) + timedelta(milliseconds=500))
    await world.drain()
    [first] = world.provider.sent
    await clock_control.advance(seconds=6)
    token = path_of(first.link).rpartition("/")[2]
    await asyncio.gather(
        world.firing.run_once(),
        world.stepping.run_once(),
        world.grouping.run_once(),
        world.delivery.run_once(),
        world.answering.by_token(token, Wanted(version=5)),
    )
    for _ in range(5):
        await clock_control.advance(seconds=30)
        await world.grouping.run_once()
        await world.drain()
    states = [one["state"] for one in await world.escalations()]
    assert (5, 5) == (states.count("acknowledged"), states.count("open"))
    told = await world.pool.fetch(
        "SELECT p.state, e.state AS escalation, EXISTS (SELECT FROM page s WHERE s.id = p.told_by AND s.state = 'accepted') "
        "AS is_told FROM page p JOIN escalation e ON e.id = p.escalation_id WHERE p.kind = 'page' AND e.state = 'open'"
    )
    assert 5 == len(told)
    assert all(row["state"] == "accepted" or row["is_told"] for row in told)


async def test_r9_nothing_that_was_to_follow_a_cancelled_page_comes_of_it(world, clock_control, client):
    """A page that waits for its next attempt, and for another way, is taken back with both."""
    await world.people("ana", contacts=(Contact(method="webhook", address="x"), Contact(method="console")))
    await world.people("ben", "head")
    await world.ticket()
    await clock_control.freeze(NOW)
    await world.firing.run_once()
    await world.stepping.run_once()
    world.provider.answers = [Outcome(result=Result.RETRYABLE)]
    await world.delivery.run_once()
    [one] = await world.escalations()
    [page] = await world.pages()
    assert ("pending", True) == (page["state"], page["fallback_at"] is not None)
    await world.answering.by_key("default", one["id"], "ben")
    await clock_control.advance(minutes=5)
    await world.drain()
    assert ["cancelled"] == [made["state"] for made in await world.pages()]
    assert 1 == len(world.provider.sent)
    assert "" == world.printed.getvalue()
