"""Escalations follow their tickets: pauses, deadlines that move, other teams, other urgencies, tickets that come back."""

from datetime import timedelta
from typing import Any

import pytest

from services.escalation.answering import Wanted
from services.escalation.domain.answer import Action
from shared.contract.events import Assigned, DeadlineSet, TicketEvent, Updated
from shared.contract.tickets import TargetKind, Urgency
from tests.integration.escalation.whole_desk import OPEN, PENDING, SOLVED, START, Desk

POLICY = """
calendars: {always: {hours: always}}
targets:
  - {name: urgent, when: {urgency: urgent}, calendar: always, resolution: 1h, escalate: fast}
  - {name: all, calendar: always, resolution: 1h, escalate: wake}
escalations:
  wake:
    steps: [{after: 0m, page: [person/ana]}, {after: 30m, page: [person/ben]}, {after: 30m, page: [person/ana]}]
    otherwise: [person/ben]
    flap_window: 5m
  fast:
    steps: [{after: 0m, page: [person/ana]}, {after: 15m, page: [person/ben]}]
    otherwise: [person/ana]
"""


def minutes(count: float) -> Any:
    return START + timedelta(minutes=count)


async def newest(world: Any) -> dict[str, Any]:
    """The escalation that was opened last."""
    return dict((await world.escalations())[-1])


@pytest.fixture
async def broke(desk: Desk) -> Desk:
    """A ticket that broke its promise at 60 minutes, and Ana was paged at 61."""
    await desk.apply(POLICY)
    await desk.opens()
    await desk.broke(minutes=61)
    return desk


async def test_r15_while_its_promise_is_paused_the_rest_of_a_delay_is_kept(broke: Desk, world: Any) -> None:
    """Ben's step was due in 20 minutes when the ticket began to wait; it goes on two hours later, and pages in 20."""
    await broke.world_at(70)
    await broke.happens("881", PENDING, 70)
    one = await newest(world)
    assert ("open", None, timedelta(minutes=20)) == (one["state"], one["next_step_at"], one["held_for"])
    await broke.broke(minutes=150)
    assert [("page", "ana")] == broke.sent()
    await broke.world_at(190)
    await broke.happens("881", OPEN, 190)
    one = await newest(world)
    assert (None, minutes(210)) == (one["held_for"], one["next_step_at"])
    await broke.broke(minutes=209)
    assert 1 == len(broke.sent())
    await broke.broke(minutes=210)
    assert [("page", "ana"), ("page", "ben")] == broke.sent()
    assert minutes(240) == (await newest(world))["next_step_at"]


async def test_r15_what_is_planned_anew_while_it_begins_to_wait_keeps_the_rest_of_its_delay(
    broke: Desk, world: Any
) -> None:
    """One message made it urgent and let it wait for the customer: Ben is not paged as soon as it goes on."""
    await broke.world_at(70)
    events = [
        TicketEvent(
            tenant="default", id=f"both-{n}", source="zendesk", ticket="881", occurred_at=minutes(70), data=data
        )
        for n, data in enumerate((Updated(urgency=Urgency.URGENT), PENDING))
    ]
    await broke.arrives(*events)
    await broke.broke(minutes=150)
    await broke.happens("881", OPEN, 150)
    await world.drain()
    assert [("page", "ana")] == broke.sent()
    await broke.broke(minutes=154)
    assert [("page", "ana")] == broke.sent()
    await broke.broke(minutes=170)
    assert [("page", "ana"), ("page", "ben")] == broke.sent()


async def test_r15_a_snooze_lasts_while_its_promise_is_paused(broke: Desk, world: Any) -> None:
    """Nobody is woken for a ticket that waits for its customer, nor where it was snoozed while it did."""
    one = await newest(world)
    snooze = Wanted(action=Action.SNOOZE, until=minutes(100))
    await world.answering.by_key("default", one["id"], "ana", snooze)
    await broke.world_at(90)
    await broke.happens("881", PENDING, 90)
    await broke.broke(minutes=130)
    assert 1 == len(broke.sent())
    await broke.happens("881", OPEN, 130)
    await broke.broke(minutes=139)
    assert 1 == len(broke.sent())
    await broke.broke(minutes=140)
    assert [("page", "ana")] * 2 == broke.sent()


async def test_r15_what_was_snoozed_while_paused_wakes_when_it_goes_on(broke: Desk, world: Any) -> None:
    """Its time came and went meanwhile."""
    await broke.happens("881", PENDING, 61)
    one = await newest(world)
    await world.answering.by_key("default", one["id"], "ana", Wanted(action=Action.SNOOZE, until=minutes(80)))
    await broke.broke(minutes=120)
    assert 1 == len(broke.sent())
    await broke.happens("881", OPEN, 120)
    await broke.broke(minutes=120)
    assert [("page", "ana")] * 2 == broke.sent()


async def test_r15_a_deadline_that_moved_later_withdraws_it_and_is_no_breach(broke: Desk, world: Any) -> None:
    """Those paged hear it; it breaks again at the new one."""
    await broke.happens("881", DeadlineSet(target=TargetKind.RESOLUTION, due_at=minutes(120)), 50)
    await world.drain()
    assert [("page", "ana"), ("resolve", "ana")] == broke.sent()
    assert "withdrawn" == (await newest(world))["resolution"]
    assert 1 == len(world.relay.data("clock.breach_retracted"))
    await broke.broke(minutes=121)
    assert ("page", "ana") == broke.sent()[-1]
    assert minutes(120) == (await newest(world))["anchor_at"]


async def test_r15_a_deadline_that_moved_earlier_re_times_the_next_step_and_takes_back_no_page(
    broke: Desk, world: Any
) -> None:
    """Due 45 minutes in, not 60: Ben's step comes at 75, not at 90; Ana keeps her page."""
    await broke.world_at(65)
    await broke.happens("881", DeadlineSet(target=TargetKind.RESOLUTION, due_at=minutes(45)), 40)
    await broke.broke(minutes=65)
    one = await newest(world)
    assert (1, minutes(45), minutes(75)) == (one["step"], one["anchor_at"], one["next_step_at"])
    await broke.broke(minutes=74)
    assert [("page", "ana")] == broke.sent()
    await broke.broke(minutes=75)
    assert [("page", "ana"), ("page", "ben")] == broke.sent()


async def test_r15_a_step_that_is_re_timed_into_the_past_leaves_the_time_to_answer(broke: Desk, world: Any) -> None:
    """Ana was paged at 61; Ben's step would have been at 35, so that it is due two minutes after her page (R3)."""
    await broke.happens("881", DeadlineSet(target=TargetKind.RESOLUTION, due_at=minutes(5)), 4)
    await broke.broke(minutes=62)
    assert [("page", "ana")] == broke.sent()
    await broke.broke(minutes=63)
    assert [("page", "ana"), ("page", "ben")] == broke.sent()


async def test_r15_a_warning_of_a_deadline_that_moved_later_is_withdrawn(desk: Desk, world: Any) -> None:
    """Whoever was told that it is at risk hears that it is not yet."""
    await desk.apply(POLICY.replace("resolution: 1h, escalate: wake", "resolution: 1h, warn: [50%], escalate: wake"))
    await desk.opens()
    await desk.broke(minutes=31)
    assert [("warning", "ana")] == desk.sent()
    await desk.happens("881", DeadlineSet(target=TargetKind.RESOLUTION, due_at=minutes(200)), 31)
    await desk.broke(minutes=32)
    assert [("warning", "ana"), ("resolve", "ana")] == desk.sent()
    await desk.broke(minutes=101)
    assert ("warning", "ana") == desk.sent()[-1]


async def test_r15_a_warning_that_is_snoozed_is_withdrawn_too_and_one_that_somebody_has_is_theirs(
    desk: Desk, world: Any
) -> None:
    """Nobody is woken for what is not at risk any more; who took it hears nothing new."""
    await desk.apply(POLICY.replace("resolution: 1h, escalate: wake", "resolution: 1h, warn: [50%], escalate: wake"))
    for ticket in ("881", "882"):
        await desk.opens(ticket)
    await desk.broke(minutes=31)
    first, second = await world.escalations()
    await world.answering.by_key("default", first["id"], "ana", Wanted(action=Action.SNOOZE, until=minutes(50)))
    await world.answering.by_key("default", second["id"], "ana")
    for ticket in ("881", "882"):
        await desk.happens(ticket, DeadlineSet(target=TargetKind.RESOLUTION, due_at=minutes(200)), 31)
    await desk.broke(minutes=51)
    states = {one["id"]: one["state"] for one in await world.escalations()}
    assert {first["id"]: "resolved", second["id"]: "acknowledged"} == states


async def test_r16_a_higher_priority_ends_a_snooze(broke: Desk, world: Any) -> None:
    """And so does nothing else that changes."""
    one = await newest(world)
    await world.answering.by_key("default", one["id"], "ana", Wanted(action=Action.SNOOZE, until=minutes(300)))
    await broke.happens("881", Updated(urgency=Urgency.LOW), 61)
    await broke.broke(minutes=62)
    assert 1 == len(broke.sent())
    await broke.happens("881", Updated(urgency=Urgency.HIGH), 62)
    await broke.broke(minutes=62)
    assert [("page", "ana")] * 2 == broke.sent()


async def test_r16_a_resolution_ends_a_snooze(broke: Desk, world: Any) -> None:
    """Nobody is woken for what is over."""
    one = await newest(world)
    await world.answering.by_key("default", one["id"], "ana", Wanted(action=Action.SNOOZE, until=minutes(100)))
    await broke.world_at(70)
    await broke.happens("881", SOLVED, 70)
    await broke.broke(minutes=101)
    assert [("page", "ana"), ("resolve", "ana")] == broke.sent()


async def test_r17_another_team_is_called_from_the_first_level_and_the_one_before_hears_it(
    desk: Desk, world: Any
) -> None:
    """It is broken already: the page goes now, whoever had acknowledged."""
    await desk.apply(POLICY)
    await desk.opens()
    await desk.happens("881", Assigned(team="blue"), 1)
    await desk.broke(minutes=61)
    await desk.broke(minutes=91)
    [one] = await world.escalations()
    await world.answering.by_key("default", one["id"], "ben")
    await desk.happens("881", Assigned(team="red"), 91)
    await desk.broke(minutes=92)
    old, new = await world.escalations()
    assert ("resolved", "superseded") == (old["state"], old["resolution"])
    assert ("open", 1, minutes(91)) == (new["state"], new["step"], new["anchor_at"])
    told = desk.sent()
    assert {("page", "ana"), ("page", "ben")} == set(told[:2])
    assert {("resolve", "ana"), ("resolve", "ben"), ("page", "ana")} == set(told[2:])
    assert 5 == len(told)
    assert "another team has the ticket now" in next(
        page.text for page in world.provider.sent if page.kind.value == "resolve"
    )
    assert ["escalation.opened", "escalation.opened"] == [k for k in world.relay.kinds() if k == "escalation.opened"]


async def test_r17_inside_the_team_nothing_begins_anew(desk: Desk, world: Any) -> None:
    """Another of the same people has it."""
    await desk.apply(POLICY)
    await desk.opens()
    await desk.happens("881", Assigned(team="blue"), 1)
    await desk.broke(minutes=61)
    before = await world.escalations()
    await desk.happens("881", Assigned(team="blue", agent="ben"), 62)
    await desk.broke(minutes=62)
    assert before == await world.escalations()
    assert 1 == len(desk.sent())


async def test_r17_a_team_that_gets_it_first_supersedes_nobody(broke: Desk, world: Any) -> None:
    """It was nobody's before."""
    await broke.happens("881", Assigned(team="blue"), 62)
    await broke.broke(minutes=62)
    assert 1 == len(await world.escalations())


async def test_r17_a_higher_priority_has_its_own_ladder_from_the_same_level_on(broke: Desk, world: Any) -> None:
    """Ben's step comes after 15 minutes, not 30; the first is not taken again."""
    await broke.happens("881", Updated(urgency=Urgency.URGENT), 61)
    await broke.broke(minutes=61)
    one = await newest(world)
    assert ("fast", 1, 1, minutes(75)) == (one["ladder"], one["generation"], one["step"], one["next_step_at"])
    await broke.broke(minutes=75)
    assert [("page", "ana"), ("page", "ben")] == broke.sent()


async def test_r17_the_level_never_goes_down(broke: Desk, world: Any) -> None:
    """The second of three was taken; the other ladder has two, so that its end is next."""
    await broke.broke(minutes=91)
    assert [("page", "ana"), ("page", "ben")] == broke.sent()
    await broke.happens("881", Updated(urgency=Urgency.URGENT), 92)
    await broke.broke(minutes=92)
    assert 2 == (await newest(world))["step"]
    await broke.broke(minutes=94)
    assert "exhausted" == (await newest(world))["state"]
    assert 3 == len(broke.sent())


async def test_r18_a_ticket_opened_again_after_a_while_is_called_for_anew(broke: Desk, world: Any) -> None:
    """Another escalation, with pages of its own; the old link says that it is over."""
    await broke.happens("881", SOLVED, 62)
    await broke.broke(minutes=62)
    link = world.provider.sent[0].link.rpartition("/")[2]
    await broke.world_at(80)
    await broke.happens("881", OPEN, 80)
    await broke.broke(minutes=81)
    old, new = await world.escalations()
    assert ("resolved", "open") == (old["state"], new["state"])
    assert [("page", "ana"), ("resolve", "ana"), ("page", "ana")] == broke.sent()
    assert 3 == len({page.id for page in world.provider.sent})
    answer = await world.answering.by_token(link, Wanted())
    assert "resolved" == answer.standing
    assert "open" == (await newest(world))["state"]


async def test_r18_opened_again_at_once_it_goes_on_without_a_second_page_and_says_so(broke: Desk, world: Any) -> None:
    """A copy tells Ana; Ben's step comes after its wait."""
    await broke.happens("881", SOLVED, 62)
    await broke.broke(minutes=62)
    await broke.happens("881", OPEN, 63)
    await broke.broke(minutes=64)
    assert [("page", "ana"), ("resolve", "ana"), ("copy", "ana")] == broke.sent()
    assert world.provider.sent[-1].text.startswith("OPEN AGAIN: it was over, and is not")
    assert "" == world.provider.sent[-1].link
    old, new = await world.escalations()
    assert ("open", 1, minutes(94)) == (new["state"], new["step"], new["next_step_at"])
    [told] = world.relay.data("escalation.resumed")
    assert str(old["id"]) == told["before"]
    await broke.broke(minutes=94)
    assert ("page", "ben") == broke.sent()[-1]


async def test_r18_opened_again_at_once_it_is_still_whose_it_was(broke: Desk, world: Any) -> None:
    """Ana had acknowledged: she has it, and nobody is paged."""
    one = await newest(world)
    await world.answering.by_key("default", one["id"], "ana")
    await broke.happens("881", SOLVED, 62)
    await broke.broke(minutes=62)
    await broke.happens("881", OPEN, 63)
    await broke.broke(minutes=200)
    one = await newest(world)
    assert ("acknowledged", "ana") == (one["state"], one["acknowledged_by"])
    assert [("page", "ana"), ("resolve", "ana"), ("copy", "ana")] == broke.sent()
