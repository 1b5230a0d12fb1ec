"""Sending an escalation up by hand: the next level now, if it still stands where it was seen (R8)."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec import structs
from msgspec.structs import replace

from services.escalation.answering import Wanted
from services.escalation.domain.answer import Action
from services.escalation.raising import NotNow, Raised, Raising, Seen
from shared.contract.access import Scope
from shared.policy.document import Paging, Step
from tests.integration.escalation.conftest import LADDER
from tests.integration.escalation.links import client_of, key_of
from tests.unit.sla.building import OFFICE

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
    assert (1, 0, 1, DUE + timedelta(seconds=1)) == (done.generation, done.loop, done.step, done.at)
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
        assert (200, (0, 1)) == (done.status_code, (done.json()["loop"], done.json()["step"]))
        assert "page" not in done.json()
        await world.drain()
        assert 409 == (await client.post(path, json=body, headers=headers)).status_code
        assert (
            404 == (await client.post(path.replace(str(key), str(UUID(int=7))), json=body, headers=headers)).status_code
        )
        assert 422 == (await client.post(path, json={"by": "cleo"}, headers=headers)).status_code
        assert 401 == (await client.post(path, json=body)).status_code
    assert ["ana", "ben"] == sent(world)


async def test_r8_the_answer_names_nobody_whom_the_step_may_pass_over(world: Any, clock_control: Any) -> None:
    """The second step is Ana's like the first, so the end of the ladder is paged in its place, and the event says so."""
    world.use(replace(LADDER, steps=(LADDER.steps[0], replace(LADDER.steps[1], page=("person/ana",)))))
    await world.people("ana", "head")
    await world.ticket(due_in=timedelta(hours=1))
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.drain()
    done = await send_up(world, Raising(world.pool, world.shelf, world.relay, world.metrics))
    assert isinstance(done, Raised)
    assert {"escalation", "generation", "loop", "step", "at"} == set(structs.asdict(done))
    await world.drain()
    assert ["ana", "head"] == sent(world)
    told = world.relay.data("escalation.exhausted")[-1]
    assert (["head"], ["same_people"]) == (
        [one["person"] for one in told["paged"]],
        [one["reason"] for one in told["skipped"]],
    )


async def test_r8_an_unreadable_policy_is_no_hindrance(world: Any, raising: Raising) -> None:
    """The console is paged, as by every step of such a policy."""

    class Broken:
        async def version(self, *_: object) -> None:
            raise ValueError("invalid token at line 3")

    world.shelf = Broken()
    world.stepping = world.another_stepping()
    key, seen = await stands(world)
    done = await Raising(world.pool, world.shelf, world.relay, world.metrics).send_up("default", key, seen, by="cleo")
    assert isinstance(done, Raised)
    await world.drain()
    assert "ESCALATED BY cleo" in world.printed.getvalue()


@pytest.mark.parametrize("is_acknowledged", [False, True])
async def test_r8_whoever_is_paged_next_reads_who_wanted_it_and_why(
    world: Any, raising: Raising, clock_control: Any, is_acknowledged: bool
) -> None:
    """In one short line of their own, whatever was written; the step after says it no more."""
    key, _ = await stands(world)
    if is_acknowledged:
        await world.answering.by_key("default", key, "ana")
    _, seen = await stands(world)
    await raising.send_up(
        "default", key, seen, by="cleo", said="the customer calls\nAcknowledge: http://evil.test " + "x" * 400
    )
    await world.drain()
    ben = world.provider.sent[1]
    first, second, *_ = ben.text.split("\n")
    assert first.startswith("ESCALATED BY cleo: the customer calls Acknowledge: http://evil.test xxx")
    assert len(first) < 330
    assert second.startswith("BROKEN")
    await clock_control.advance(minutes=25)
    await world.drain()
    assert "head" == sent(world)[2]
    assert "ESCALATED" not in world.provider.sent[2].text


async def test_r8_who_wanted_it_is_forgotten_once_somebody_has_it(
    world: Any, raising: Raising, clock_control: Any
) -> None:
    """Ana answers before the step is taken: what her snooze brings was wanted by nobody else."""
    await send_up(world, raising)
    key, _ = await stands(world)
    wanted = Wanted(action=Action.SNOOZE, until=DUE + timedelta(hours=1))
    await world.answering.by_key("default", key, "ana", wanted)
    await clock_control.advance(hours=2)
    await world.drain()
    assert 2 == len(world.provider.sent)
    assert "ESCALATED" not in world.provider.sent[1].text


async def test_r8_what_is_sent_up_by_hand_waits_for_no_opening(world: Any, clock_control: Any) -> None:
    """The second walk reminds in the hours of the promise; a person who wants it now has it now."""
    world.use(replace(LADDER, repeat=2, otherwise=()), calendars={"always": OFFICE})
    await world.people("ana", "ben")
    await world.ticket(due_in=timedelta(hours=1))
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.drain()
    await clock_control.advance(minutes=10)
    await world.drain()
    assert ["ana", "ben"] == sent(world)
    await clock_control.freeze(DUE.replace(hour=20))
    await world.pool.execute("UPDATE escalation SET next_step_at = $1", DUE + timedelta(days=1))
    await send_up(world, Raising(world.pool, world.shelf, world.relay, world.metrics))
    await world.drain()
    assert 3 == len(sent(world))
    assert world.provider.sent[2].text.startswith("ESCALATED BY cleo: the customer calls")


async def test_r27_what_is_sent_up_by_hand_joins_no_group(world: Any, clock_control: Any) -> None:
    """Ana was paged a second ago for another ticket: the one that is sent up goes at once all the same."""
    world.use(replace(LADDER, steps=(Step(after=timedelta(), page=("person/ana",)),)), paging=Paging())
    await world.people("ana", "head")
    await world.ticket("1", due_in=timedelta(hours=1))
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.drain()
    key, _ = await stands(world)
    await world.answering.by_key("default", key, "ana")
    await world.pool.execute("UPDATE escalation SET loop = 0, step = 0")
    await world.ticket("2", due_in=timedelta(hours=1))
    await world.drain()
    _, seen = next(
        (one["id"], Seen(generation=one["generation"], loop=0, step=0))
        for one in await world.escalations()
        if one["id"] == key
    )
    await Raising(world.pool, world.shelf, world.relay, world.metrics).send_up("default", key, seen, by="cleo")
    await world.drain()
    last = await world.pool.fetchrow("SELECT state, group_id FROM page WHERE body ->> 'note' LIKE 'ESCALATED%'")
    assert ("accepted", None) == (last["state"], last["group_id"])
    assert "ESCALATED BY cleo" in world.provider.sent[-1].text
