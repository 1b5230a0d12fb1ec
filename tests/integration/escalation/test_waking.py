"""What comes after an acknowledgement: snoozes end, silences begin anew, hard ends alarm, shifts hand over."""

import asyncio
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from services.escalation.answering import Wanted
from services.escalation.domain.answer import Action
from services.escalation.domain.ladder import Kind
from services.escalation.store import QUERIES
from shared.contract.tickets import Urgency
from shared.policy.document import Cadence, Handoff, Ladder, Layer, Rotation, Step

START = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
DUE = START + timedelta(hours=1)
TEN = timedelta(minutes=10)
HOUR = timedelta(hours=1)
LADDER = Ladder(
    name="wake the lead",
    steps=(
        Step(after=timedelta(), page=("on-call/support",)),
        Step(after=TEN, page=("person/ben",)),
        Step(after=TEN, page=("person/cleo",)),
    ),
    otherwise=("person/head",),
    silence={Urgency.HIGH: timedelta(minutes=30)},
)
AT_NINE_O_FIVE = Rotation(
    name="support",
    zone=ZoneInfo("Europe/Berlin"),
    layers=(Layer(cadence=Cadence.DAILY, handoff_time=time(11, 5), people=("ana", "ben")),),  # 09:05 UTC
)


async def broken(world: Any, clock_control: Any, ladder: Ladder = LADDER, **options: Any) -> None:
    """A ticket whose promise broke a second ago, and whoever is on call has been paged."""
    world.use(ladder, **options)
    await world.people("ana", "ben", "cleo", "head")
    await world.ticket(due_in=HOUR)
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.drain()


async def escalation(world: Any) -> dict[str, Any]:
    [found] = await world.escalations()
    return dict(found)


async def acknowledges(world: Any, by: str, until: datetime | None = None) -> None:
    """Somebody has it, or has it for a while."""
    action = Action.SNOOZE if until else Action.ACKNOWLEDGE
    one = await escalation(world)
    await world.answering.by_key("default", one["id"], by, Wanted(action=action, until=until))


def sent(world: Any, since: int = 0) -> list[tuple[str, str]]:
    return [(page.kind.value, page.person) for page in world.provider.sent[since:]]


async def test_r12_an_acknowledgement_without_an_end_begins_anew_with_the_acker_and_whoever_is_on_call(
    world: Any, clock_control: Any
) -> None:
    """Ben took it at the second level; half an hour later Ana and Ben are paged, as a generation of its own."""
    await broken(world, clock_control)
    await clock_control.freeze(DUE + TEN)
    await world.drain()
    await acknowledges(world, "ben")
    before = len(world.provider.sent)
    await clock_control.freeze(DUE + TEN + timedelta(minutes=29))
    await world.drain()
    assert [] == sent(world, before)
    await clock_control.freeze(DUE + TEN + timedelta(minutes=30))
    await world.drain()
    assert {("page", "ana"), ("page", "ben")} == set(sent(world, before))
    one = await escalation(world)
    assert ("open", 2, 1, None) == (one["state"], one["generation"], one["step"], one["acknowledged_by"])
    assert DUE + TEN + timedelta(minutes=40) == one["next_step_at"]
    [woken] = world.relay.data("escalation.woken")
    assert ("silence", "ben", 2) == (woken["wakes_for"], woken["acknowledged_by"], woken["generation"])
    labels = {"channel": "email", "step": "woken", "reason": "breached"}
    assert 1 == world.registry.get_sample_value("sla_escalations_total", labels)


async def test_r12_whoever_is_on_call_is_paged_though_the_first_step_names_somebody_else(
    world: Any, clock_control: Any
) -> None:
    """The ladder begins with Cleo and has the rotation as its second step."""
    steps = (Step(after=timedelta(), page=("person/cleo",)), Step(after=TEN, page=("on-call/support",)))
    await broken(world, clock_control, replace(LADDER, steps=steps))
    await acknowledges(world, "ben")
    before = len(world.provider.sent)
    await clock_control.advance(timedelta(minutes=30))
    await world.drain()
    assert {"cleo", "ben", "ana"} == {person for _, person in sent(world, before)}


async def test_r12_without_a_silence_an_acknowledgement_lasts(world: Any, clock_control: Any) -> None:
    """Nobody said when it should wake."""
    await broken(world, clock_control, replace(LADDER, silence={}))
    await acknowledges(world, "ana")
    await clock_control.advance(timedelta(days=3))
    await world.drain()
    assert [("page", "ana")] == sent(world)


async def test_r12_what_nobody_ends_ends_by_itself_and_alarms(world: Any, clock_control: Any) -> None:
    """After a week: those paged hear that it is over, the catch-all is alarmed, an event and a metric say so."""
    await broken(world, clock_control, replace(LADDER, silence={}))
    await acknowledges(world, "ana")
    await clock_control.freeze(DUE + timedelta(days=7))
    await world.drain()
    assert "acknowledged" == (await escalation(world))["state"]
    await clock_control.advance(seconds=2)
    await world.drain()
    assert [("page", "ana"), ("alarm", "head"), ("resolve", "ana")] == sorted(
        sent(world), key=[("page", "ana"), ("alarm", "head"), ("resolve", "ana")].index
    )
    one = await escalation(world)
    assert ("resolved", "expired", None) == (one["state"], one["resolution"], one["next_step_at"])
    [expired] = world.relay.data("escalation.expired")
    assert ("ana", ["head"]) == (expired["acknowledged_by"], [paged["person"] for paged in expired["alarmed"]])
    assert 1 == len(world.relay.data("escalation.resolved"))
    labels = {"channel": "email", "step": "expired", "reason": "breached"}
    assert 1 == world.registry.get_sample_value("sla_escalations_total", labels)
    [alarm] = [page for page in world.provider.sent if page.kind is Kind.ALARM]
    assert alarm.text.startswith("NOBODY ENDED IT: it began 2026-06-01 09:00 UTC, ana acknowledged it")
    await clock_control.advance(days=9)
    await world.drain()
    assert 3 == len(sent(world))


async def test_r12_a_dozen_that_nobody_ends_are_one_alarm_to_each(world: Any, clock_control: Any) -> None:
    """It names how many and which; each has its events, and what ends within ten minutes of it is one more."""
    await world.people("ana", "ben", "head")
    world.use(replace(LADDER, silence={}, ends_after=HOUR))
    for number in range(12):
        await world.ticket(f"t{number}", due_in=HOUR)
    for name in ("soon", "soon after"):
        await world.ticket(name, due_in=HOUR + timedelta(minutes=1))
    await world.ticket("later", due_in=HOUR + timedelta(minutes=30))
    first = DUE + timedelta(seconds=1)
    told, alarms = [], []
    for when in (0, 1, 30, 60, 61, 70, 90):
        await clock_control.freeze(first + timedelta(minutes=when))
        await world.drain()
        for one in await world.escalations():
            if one["state"] == "open":
                await world.answering.by_key("default", one["id"], "ana")
        alarms = [page for page in world.provider.sent if page.kind is Kind.ALARM]
        told.append((when, len(alarms), len(world.relay.data("escalation.expired"))))
    assert [(0, 0, 0), (1, 0, 0), (30, 0, 0), (60, 1, 12), (61, 1, 14), (70, 2, 14), (90, 3, 15)] == told
    assert alarms[0].text.startswith("NOBODY ENDED THEM: 12 escalations, the oldest since 2026-06-01 09:00 UTC")
    assert all(f"t{number}" in alarms[0].text for number in range(12))
    stands_for = [one["alarmed"][0]["page"] for one in world.relay.data("escalation.expired")]
    assert [str(alarms[0].id)] * 14 + [str(alarms[2].id)] == stands_for
    assert alarms[1].text.startswith("MORE ENDED BY THEMSELVES before 2026-06-01 10:10 UTC")


async def test_r12_the_end_of_one_that_has_no_catch_all_alarms_on_the_console(world: Any, clock_control: Any) -> None:
    """Never silence."""
    await broken(world, clock_control, replace(LADDER, otherwise=(), ends_after=HOUR))
    await acknowledges(world, "ana")
    await clock_control.advance(hours=3)
    await world.drain()
    assert "NOBODY ENDED IT" in world.printed.getvalue()


async def test_r16_a_snooze_that_is_over_pages_the_same_level_with_whoever_is_on_call_then(
    world: Any, clock_control: Any
) -> None:
    """Ana snoozes at 09:00; by 09:20 Ben is on call, and the step after keeps its distance."""
    await broken(world, clock_control, rotations={"support": AT_NINE_O_FIVE})
    first = world.provider.sent[0].person
    other = {"ana": "ben", "ben": "ana"}[first]
    until = DUE + timedelta(minutes=20)
    await acknowledges(world, first, until)
    await clock_control.freeze(until - timedelta(seconds=1))
    await world.drain()
    assert [("page", first)] == sent(world)
    await clock_control.freeze(until)
    await world.drain()
    assert [("page", first), ("page", other)] == sent(world)
    one = await escalation(world)
    assert ("open", 2, 1, until + TEN) == (one["state"], one["generation"], one["step"], one["next_step_at"])
    assert 2 == len({page.id for page in world.provider.sent})


async def test_r16_a_snooze_of_the_second_level_wakes_the_second_level(world: Any, clock_control: Any) -> None:
    """Not the first, and not the third."""
    await broken(world, clock_control)
    await clock_control.freeze(DUE + TEN)
    await world.drain()
    await acknowledges(world, "ben", DUE + HOUR)
    await clock_control.freeze(DUE + HOUR)
    await world.drain()
    assert [("page", "ana"), ("page", "ben"), ("page", "ben")] == sent(world)
    await clock_control.freeze(DUE + HOUR + TEN)
    await world.drain()
    assert ("page", "cleo") == sent(world)[-1]


async def test_r16_a_snooze_after_the_end_of_the_ladder_wakes_the_catch_all(world: Any, clock_control: Any) -> None:
    """That was the newest level."""
    await broken(world, clock_control, replace(LADDER, steps=LADDER.steps[:1]))
    await clock_control.advance(TEN)
    await world.drain()
    assert "exhausted" == (await escalation(world))["state"]
    await acknowledges(world, "head", DUE + HOUR)
    await clock_control.freeze(DUE + HOUR)
    await world.drain()
    assert [("page", "ana"), ("page", "head"), ("page", "head")] == sent(world)


async def test_r16_what_is_over_does_not_wake(world: Any, clock_control: Any) -> None:
    """Its promise was kept during the snooze."""
    await broken(world, clock_control)
    await acknowledges(world, "ana", DUE + HOUR)
    await world.pool.execute(
        "UPDATE escalation SET state = 'resolved', resolved_at = $1, resolution = 'answered', wakes_at = NULL, wakes_for = NULL",
        DUE,
    )
    await clock_control.freeze(DUE + 2 * HOUR)
    assert 0 == await world.waking.run_once()


async def test_r16_four_workers_wake_each_one_once(world: Any, clock_control: Any) -> None:
    """40 snoozes that end at once."""
    await world.people("ana", "ben", "cleo", "head")
    for number in range(40):
        await world.ticket(str(number), due_in=HOUR)
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.firing.run_once()
    await world.stepping.run_once()
    for one in await world.escalations():
        await world.answering.by_key("default", one["id"], "ana", Wanted(action=Action.SNOOZE, until=DUE + HOUR))
    await clock_control.freeze(DUE + HOUR)
    workers = [world.another_waking() for _ in range(4)]
    for worker in workers:
        worker._batch = 7

    async def drain(worker: Any) -> int:
        total = 0
        while done := await worker.run_once():
            total += done
        return total

    assert 40 == sum(await asyncio.gather(*(drain(worker) for worker in workers)))
    assert 40 == len(world.relay.data("escalation.woken"))
    assert {2} == {one["generation"] for one in await world.escalations()}


async def test_r16_a_crash_before_the_commit_leaves_it_asleep(world: Any, clock_control: Any, monkeypatch: Any) -> None:
    """Waking is one transaction (R31)."""
    await broken(world, clock_control)
    await acknowledges(world, "ana", DUE + HOUR)
    await clock_control.freeze(DUE + HOUR)

    async def crash(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr("shared.postgres.outbox.Outbox.save", crash)
        with pytest.raises(ConnectionError):
            await world.waking.run_once()
    assert "acknowledged" == (await escalation(world))["state"]
    assert 1 == await world.waking.run_once()


async def test_r13_at_the_end_of_a_shift_what_is_not_acknowledged_goes_to_whoever_comes(
    world: Any, clock_control: Any
) -> None:
    """At the same step, with the time to answer; the ladder goes on after."""
    ladder = replace(LADDER, handoff=Handoff.HAND_OVER)
    steps = (ladder.steps[0], Step(after=timedelta(minutes=6), page=("person/cleo",)))
    await broken(world, clock_control, replace(ladder, steps=steps), rotations={"support": AT_NINE_O_FIVE})
    first = world.provider.sent[0].person
    other = {"ana": "ben", "ben": "ana"}[first]
    await clock_control.freeze(DUE + timedelta(minutes=5))
    await world.drain()
    assert [("page", first), ("page", other)] == sent(world)
    assert f"HANDED OVER: the shift of {first} is over" in world.provider.sent[-1].text
    [told] = world.relay.data("escalation.handed_over")
    assert ([first], [other]) == (told["left"], [paged["person"] for paged in told["paged"]])
    one = await escalation(world)
    assert (1, DUE + timedelta(minutes=7)) == (one["generation"], one["next_step_at"])
    await world.drain()
    assert 2 == len(sent(world))


async def test_r13_the_policy_may_keep_pages_where_they_are(world: Any, clock_control: Any) -> None:
    """By default."""
    await broken(world, clock_control, rotations={"support": AT_NINE_O_FIVE})
    await clock_control.freeze(DUE + timedelta(minutes=6))
    await world.drain()
    assert 1 == len(sent(world))


async def test_r13_of_what_is_acknowledged_both_are_asked_to_hand_it_over(world: Any, clock_control: Any) -> None:
    """Nobody is paged; it stays with whoever has it until they hand it on."""
    ladder = replace(LADDER, handoff=Handoff.HAND_OVER, silence={})
    await broken(world, clock_control, ladder, rotations={"support": AT_NINE_O_FIVE})
    first = world.provider.sent[0].person
    other = {"ana": "ben", "ben": "ana"}[first]
    await acknowledges(world, first)
    await clock_control.freeze(DUE + timedelta(minutes=5))
    await world.drain()
    await world.tidying.run_once()
    assert {("copy", first), ("copy", other)} == set(sent(world, 1))
    assert f"HAND IT OVER? {first} acknowledged it" in world.provider.sent[-1].text
    one = await escalation(world)
    assert ("acknowledged", first) == (one["state"], one["acknowledged_by"])


async def test_r33_while_the_databases_clock_has_jumped_nothing_wakes(world: Any, clock_control: Any) -> None:
    """As with everything that time brings."""
    await broken(world, clock_control)
    await acknowledges(world, "ana", DUE + HOUR)
    assert DUE + timedelta(hours=1) == (await world.waking.pulse()).due_at
    world.waking._is_halted = lambda: True
    assert (await world.waking.pulse()).due_at is None
    world.stepping._is_halted = lambda: True
    assert (await world.stepping.pulse()).due_at is None


async def test_the_idle_poll_is_one_probe_of_each_index(world: Any) -> None:
    """However many escalations there are."""
    async with world.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        plan = "\n".join(row[0] for row in await connection.fetch("EXPLAIN " + QUERIES["pulse_waking"]))
    assert all(index in plan for index in ("escalation_wakes", "escalation_ends", "escalation_hands_over"))
    assert "Seq Scan on escalation" not in plan
