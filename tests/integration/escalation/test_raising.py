"""Sending an escalation up by hand: the next level now, if it still stands where it was seen (R8)."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.escalation.raising import NotNow, Raised, Raising, Seen
from shared.contract.access import Scope
from tests.integration.escalation.conftest import LADDER
from tests.integration.escalation.links import client_of, key_of

START = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
DUE = START + timedelta(hours=1)


@pytest.fixture
async def raising(world: Any, clock_control: Any) -> Raising:
    """A ticket that broke its promise, of which Ana was told."""
    await world.people("ana", "ben", "head")
    await world.ticket(due_in=timedelta(hours=1))
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.drain()
    return Raising(world.pool, world.shelf, world.relay, world.metrics)


async def stands(world: Any) -> tuple[UUID, Seen]:
    [one] = await world.escalations()
    return one["id"], Seen(generation=one["generation"], loop=one["loop"], step=one["step"])


async def send_up(world: Any, raising: Raising, seen: Seen | None = None) -> Raised | NotNow | None:
    key, now = await stands(world)
    return await raising.send_up("default", key, seen or now, by="cleo", said="the customer calls")


def sent(world: Any) -> list[str]:
    return [page.person for page in world.provider.sent]


async def test_r8_an_open_one_takes_its_next_step_now_and_the_plan_stands(world: Any, raising: Raising) -> None:
    """Ben is paged nine minutes early; the end comes when it would have."""
    done = await send_up(world, raising)
    assert isinstance(done, Raised)
    assert (1, ("person/ben",)) == (done.generation, done.page)
    await world.drain()
    assert ["ana", "ben"] == sent(world)
    [one] = await world.escalations()
    assert DUE + timedelta(minutes=20) == one["next_step_at"]
    [told] = world.relay.data("escalation.raised")
    assert ("open", "cleo", "the customer calls") == (told["was"], told["by"], told["said"])


async def test_r8_what_went_on_since_it_was_seen_is_left_alone(world: Any, raising: Raising) -> None:
    """The second of two who ask at once changes nothing."""
    _, seen = await stands(world)
    await send_up(world, raising, seen)
    await world.drain()
    before = await world.escalations()
    late = await send_up(world, raising, seen)
    assert isinstance(late, NotNow)
    assert "not at generation 1, loop 0, step 1 any more (generation 1, loop 1, step 0)" in late.detail
    await world.drain()
    assert before == await world.escalations()
    assert ["ana", "ben"] == sent(world)


async def test_r8_an_acknowledged_one_goes_on_at_its_next_level(
    world: Any, raising: Raising, clock_control: Any
) -> None:
    """As a generation of its own, at once."""
    key, _ = await stands(world)
    await world.answering.by_key("default", key, "ana")
    await clock_control.advance(hours=3)
    done = await send_up(world, raising)
    assert isinstance(done, Raised)
    assert (2, 0, 1) == (done.generation, done.loop, done.step)
    await world.drain()
    assert ["ana", "ben"] == sent(world)
    [one] = await world.escalations()
    assert ("open", None) == (one["state"], one["acknowledged_by"])


async def test_r8_one_at_the_end_of_its_ladder_begins_anew(world: Any, raising: Raising, clock_control: Any) -> None:
    """Nobody answered: everybody is asked again."""
    for _ in range(3):
        await clock_control.advance(minutes=11)
        await world.drain()
    assert ["ana", "ben", "head"] == sent(world)
    await send_up(world, raising)
    await world.drain()
    assert ["ana", "ben", "head", "ana"] == sent(world)


async def test_r8_a_warning_is_sent_up_the_ladder(world: Any, clock_control: Any) -> None:
    """It climbs no further by itself."""
    await world.people("ana", "ben", "head")
    await world.ticket(due_in=timedelta(hours=2), warn_in=[timedelta(hours=1)])
    await clock_control.freeze(START + timedelta(minutes=61))
    await world.drain()
    raising = Raising(world.pool, world.shelf, world.relay, world.metrics)
    await send_up(world, raising)
    await world.drain()
    assert ["warning", "page"] == [page.kind.value for page in world.provider.sent]
    await clock_control.advance(LADDER.steps[1].after)
    await world.drain()
    assert "ben" == sent(world)[-1]


async def test_r8_over_http(world: Any, raising: Raising) -> None:
    """200, 409 where it is stale or over, 404 where there is none, 422 where something is missing."""
    key, seen = await stands(world)
    headers = await key_of(world, Scope.TICKETS_WRITE)
    body = {"by": "cleo", "seen": {"generation": seen.generation, "loop": seen.loop, "step": seen.step}}
    async with client_of(world) as client:
        path = f"/v1/escalations/{key}/escalate"
        done = await client.post(path, json=body, headers=headers)
        assert (200, ["person/ben"]) == (done.status_code, done.json()["page"])
        await world.drain()
        assert 409 == (await client.post(path, json=body, headers=headers)).status_code
        assert (
            404 == (await client.post(path.replace(str(key), str(UUID(int=7))), json=body, headers=headers)).status_code
        )
        assert 422 == (await client.post(path, json={"by": "cleo"}, headers=headers)).status_code
        assert 401 == (await client.post(path, json=body)).status_code
    assert ["ana", "ben"] == sent(world)
