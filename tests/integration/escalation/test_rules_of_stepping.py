"""Rules of the steps of an escalation on a real database: once, by the plan, to those whom it concerns, or not at all."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from services.escalation.channels import Channel
from services.escalation.firing import Firing
from shared import timesource
from shared.contract.events import Opened, Replied, TicketEvent
from shared.contract.tickets import Author
from shared.policy.document import Answers, Contact, Counts, Ladder, Step
from shared.sla.calendar import Calendar
from shared.sla.hours import CalendarSpec
from tests.integration.escalation.conftest import Provider
from tests.integration.escalation.whole_desk import Desk
from tests.unit.sla.building import OFFICE

START = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
DUE = START + timedelta(hours=1)
TEN = timedelta(minutes=10)


def ladder(*steps: Step, **options: Any) -> Ladder:
    return Ladder(name="wake the lead", steps=steps, **{"otherwise": ("person/head",), **options})


def step(*page: str, after: timedelta = timedelta(), **options: Any) -> Step:
    return Step(after=after, page=page, **options)


async def broken(world: Any, clock_control: Any, after: timedelta = timedelta(seconds=1)) -> None:
    """A ticket whose promise broke so long ago."""
    await world.people("ana", "ben", "cleo", "head")
    await world.ticket(due_in=timedelta(hours=1))
    await clock_control.freeze(DUE + after)
    await world.drain()


def sent(world: Any) -> list[tuple[str, str]]:
    return [(page.kind.value, page.person) for page in world.provider.sent]


async def test_r1_the_same_events_a_thousand_times_from_four_workers_page_once(desk: Desk, world: Any) -> None:
    """In any order, while four replicas fire, step and send: one escalation, one page to each recipient."""
    log = [
        TicketEvent(tenant="default", id=f"{n}", source="zendesk", ticket="881", occurred_at=START, data=data)
        for n, data in enumerate((Opened(channel="email"), Replied(by=Author.AGENT), Replied(by=Author.CUSTOMER)))
    ]
    await desk.arrives(*log)
    again = random.Random(1).choices(log, k=1_000)
    await desk.world_at(63)

    async def replica(batches: list[list[TicketEvent]]) -> None:
        workers = (Firing(world.pool, world.relay, world.metrics), world.another_stepping(), world.another_delivery())
        for batch in batches:
            await desk.arrives(*batch)
            for worker in workers:
                await worker.run_once()

    shares = [again[number::4] for number in range(4)]
    await asyncio.gather(*(replica([share[at : at + 50] for at in range(0, 250, 50)]) for share in shares))
    await world.drain()
    assert 1 == len(await world.escalations())
    assert [("page", "ana")] == desk.sent()
    assert 1 == world.relay.kinds().count("escalation.opened")
    assert 1 == world.relay.kinds().count("escalation.stepped")


async def test_r2_a_stall_between_steps_moves_no_later_step(world: Any, clock_control: Any) -> None:
    """The second is taken 40 s late, the third is planned as ever."""
    world.use(ladder(step("person/ana"), step("person/ben", after=TEN), step("person/cleo", after=TEN)))
    await broken(world, clock_control)
    await clock_control.freeze(DUE + TEN + timedelta(seconds=40))
    await world.stepping.run_once()
    [one] = await world.escalations()
    assert DUE + 2 * TEN == one["next_step_at"]


async def test_r4_skipped_steps_are_told_as_late_and_what_is_paged_says_when_it_was_due(
    world: Any, clock_control: Any
) -> None:
    """Three hours down: one page, and its due time is that of the first step missed, by which digests are made."""
    world.use(ladder(step("person/ana"), step("person/ben", after=TEN), step("person/cleo", after=timedelta(hours=9))))
    await broken(world, clock_control, after=timedelta(hours=3))
    [stepped] = world.relay.data("escalation.stepped")
    assert [{"loop": 0, "step": 0, "reason": "late"}] == stepped["skipped"]
    pages = [page for page in await world.pages() if page["kind"] == "page"]
    assert [("ben", DUE)] == [(page["person"], page["due_at"]) for page in pages]
    assert ["ben"] == [person for _, person in sent(world)]


async def test_r5_a_step_waits_for_open_time_of_the_promises_calendar_where_it_says_so(
    world: Any, clock_control: Any
) -> None:
    """Broken an hour before the office closes: two open hours later is an hour into the next morning."""
    steps = (step("person/ana"), step("person/ben", after=timedelta(hours=2), counts=Counts.OPEN))
    world.use(ladder(*steps, step("person/cleo", after=TEN)), calendars={"always": OFFICE})
    await world.people("ana", "ben", "cleo", "head")
    await world.ticket(due_in=timedelta(hours=6))  # 14:00 UTC, 16:00 in Berlin, open until 17:00
    await clock_control.freeze(START + timedelta(hours=6, seconds=1))
    await world.drain()
    assert [("page", "ana")] == sent(world)
    [one] = await world.escalations()
    morning = datetime(2026, 6, 2, 10, tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)
    assert morning == one["next_step_at"]
    await clock_control.freeze(morning)
    await world.drain()
    [one] = await world.escalations()
    assert morning + TEN == one["next_step_at"]
    assert ("page", "ben") == sent(world)[-1]


async def test_r5_elapsed_time_passes_at_night(world: Any, clock_control: Any) -> None:
    """Which is what a step counts that says nothing."""
    closed = Calendar(CalendarSpec(name="never"))
    world.use(ladder(step("person/ana"), step("person/ben", after=TEN)), calendars={"always": closed})
    await broken(world, clock_control)
    [one] = await world.escalations()
    assert DUE + TEN == one["next_step_at"]


async def test_r6_who_has_answered_is_not_paged_again_and_the_others_are(world: Any, clock_control: Any) -> None:
    """All must answer: Ana did; the second walk pages Ben alone, and his answer ends it."""
    world.use(ladder(step("person/ana", "person/ben", answers=Answers.ALL), repeat=3))
    await broken(world, clock_control)
    [one] = await world.escalations()
    answer = await world.answering.by_key("default", one["id"], "ana")
    assert ("ben",) == answer.waits_for
    before = len(world.provider.sent)
    await clock_control.freeze(DUE + timedelta(minutes=3))
    await world.drain()
    assert [("page", "ben")] == sent(world)[before:]
    await world.answering.by_key("default", one["id"], "ben")
    [one] = await world.escalations()
    assert ("acknowledged", ["ana", "ben"]) == (one["state"], sorted([*one["answered"], "ben"]))
    await clock_control.advance(hours=1)
    await world.drain()
    assert before + 1 == len(sent(world))


async def test_r6_a_step_that_everybody_has_answered_is_passed_over(world: Any, clock_control: Any) -> None:
    """Ana answered for herself: her next step is not hers to take again, Cleo's is due at once."""
    world.use(
        ladder(
            step("person/ana", "person/ben", answers=Answers.ALL),
            step("person/ana", after=TEN),
            step("person/cleo", after=TEN),
        )
    )
    await broken(world, clock_control)
    [one] = await world.escalations()
    await world.answering.by_key("default", one["id"], "ana")
    await clock_control.freeze(DUE + TEN)
    await world.drain()
    assert ("page", "cleo") == sent(world)[-1]
    assert [{"loop": 0, "step": 1, "reason": "answered"}] == world.relay.data("escalation.stepped")[-1]["skipped"]


async def test_r7_the_end_of_a_ladder_is_counted_and_said(world: Any, clock_control: Any) -> None:
    """A metric and an event beside the page."""
    world.use(ladder(step("person/ana")))
    await broken(world, clock_control)
    await clock_control.advance(TEN)
    await world.drain()
    labels = {"channel": "email", "step": "exhausted", "reason": "breached"}
    assert 1 == world.registry.get_sample_value("sla_escalations_total", labels)
    assert 1 == len(world.relay.data("escalation.exhausted"))
    assert [("page", "ana"), ("page", "head")] == sent(world)


async def test_copies_go_with_each_step_and_count_as_nobody_reached(world: Any, clock_control: Any) -> None:
    """Cleo reads along, by a link-less page of her own; where nobody else can be paged the console is."""
    world.use(ladder(step("person/ana"), step("person/gone", after=TEN), copy=("person/cleo",), otherwise=()))
    await broken(world, clock_control)
    assert {("page", "ana"), ("copy", "cleo")} == set(sent(world))
    [copy] = [page for page in world.provider.sent if page.kind.value == "copy"]
    assert ("", True) == (copy.link, "For your information" in copy.text)
    await clock_control.freeze(DUE + TEN)
    await world.drain()
    assert [("copy", "cleo")] == sent(world)[2:]
    assert "BROKEN" in world.printed.getvalue()
    told = [paged["person"] for one in world.relay.data("escalation.stepped") for paged in one["paged"]]
    assert ["ana"] == told


async def test_a_copy_that_cant_be_delivered_hurries_nobody(world: Any, clock_control: Any) -> None:
    """Whoever was paged keeps the time to answer."""
    await world.people("cleo", contacts=[Contact(method="pigeon", address="roof")])
    await world.people("ana", "ben", "head")
    world.use(ladder(step("person/ana"), step("person/ben", after=TEN), copy=("person/cleo", "channel/console")))
    await world.ticket(due_in=timedelta(hours=1))
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.drain()
    [one] = await world.escalations()
    assert ("open", DUE + TEN) == (one["state"], one["next_step_at"])


async def test_r22_a_channel_that_only_informs_never_pages_anybody(world: Any, clock_control: Any) -> None:
    """Ana's first contact is one: she is paged by her second; Ben has no other, and is a gap; a copy may go by it."""
    informing = Provider("gossip")
    informing.capabilities = msgspec.structs.replace(informing.capabilities, is_informational=True)
    channels: dict[str, Channel] = world.channels
    channels["gossip"] = informing
    gossip = Contact(method="gossip", address="wall")
    await world.people("ana", contacts=[gossip, Contact(method="webhook", address="x")])
    await world.people("ben", contacts=[gossip])
    await world.people("head")
    world.use(ladder(step("person/ben"), step("person/ana", after=TEN), copy=("person/ben",)))
    world.delivery = world.another_delivery()
    await world.ticket(due_in=timedelta(hours=1))
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.drain()
    assert [("page", "ana")] == sent(world)
    assert [("copy", "ben")] == [(page.kind.value, page.person) for page in informing.sent]
    [page] = [page for page in await world.pages() if page["kind"] == "page"]
    assert [] == msgspec.json.decode(page["evidence"]).get("fallback", [])


async def test_r31_a_crash_before_the_commit_of_a_step_leaves_it_due(
    world: Any, clock_control: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step, pages and event are one transaction: nothing of it is seen, and then all of it, once."""
    world.use(ladder(step("person/ana"), step("person/ben", after=TEN)))
    await world.people("ana", "ben", "head")
    await world.ticket(due_in=timedelta(hours=1))
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.firing.run_once()
    before = len(world.relay.batches)

    async def crash(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr("shared.postgres.outbox.Outbox.save", crash)
        with pytest.raises(ConnectionError):
            await world.stepping.run_once()
    assert ([], before) == (await world.pages(), len(world.relay.batches))
    [one] = await world.escalations()
    assert (0, DUE) == (one["step"], one["next_step_at"])
    assert 1 == await world.stepping.run_once()
    assert 1 == len(await world.pages())


async def test_r33_only_the_databases_clock_decides_over_steps(
    world: Any, clock_control: Any, monkeypatch: Any
) -> None:
    """This host is ten minutes ahead, then behind: the step is taken when the database says so."""
    world.use(ladder(step("person/ana"), step("person/ben", after=TEN)))
    await broken(world, clock_control)
    for seconds in (600.0, -600.0):
        real = timesource.unix_time
        with monkeypatch.context() as patch:
            patch.setattr("shared.timesource.unix_time", lambda real=real, seconds=seconds: real() + seconds)
            assert 0 == await world.stepping.run_once()
    await clock_control.freeze(DUE + TEN)
    assert 1 == await world.stepping.run_once()


async def test_r33_time_that_jumps_back_takes_no_step_back_and_none_twice(world: Any, clock_control: Any) -> None:
    """A failover to a server five minutes behind."""
    world.use(ladder(step("person/ana"), step("person/ben", after=TEN), step("person/cleo", after=TEN)))
    await broken(world, clock_control)
    await clock_control.freeze(DUE + TEN)
    await world.drain()
    said = world.relay.kinds()
    await clock_control.freeze(DUE + timedelta(minutes=5))
    await world.drain()
    await clock_control.freeze(DUE + TEN)
    await world.drain()
    assert said == world.relay.kinds()
    assert [("page", "ana"), ("page", "ben")] == sent(world)
