"""Escalations climb their ladders: the right people, at the planned instants, never silence."""

import asyncio
from datetime import UTC, datetime, time, timedelta

import msgspec
import pytest

from shared.ledger.policies import PolicyShelf
from shared.policy.document import Contact, Ladder, Step
from tests.turns import daily, rotation

START = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
DUE = START + timedelta(hours=1)
TEN = timedelta(minutes=10)


async def broken(world, clock_control, after: timedelta = timedelta(seconds=1)) -> None:
    """A ticket whose promise broke so long ago."""
    await world.people("ana", "ben", "head")
    await world.ticket(due_in=timedelta(hours=1))
    await clock_control.freeze(DUE + after)
    await world.firing.run_once()


def whom(pages: list[dict[str, object]]) -> list[object]:
    """The people of the pages, in order."""
    return [page["person"] for page in pages]


async def test_a_breach_pages_whoever_is_on_call_and_then_the_next_step(world, clock_control):
    """Ana at once, Ben ten minutes after the promise broke."""
    await broken(world, clock_control)
    await world.drain()
    assert ["ana"] == whom(await world.pages())
    await clock_control.freeze(DUE + TEN - timedelta(seconds=1))
    await world.drain()
    assert ["ana"] == whom(await world.pages())
    await clock_control.freeze(DUE + TEN)
    await world.drain()
    assert ["ana", "ben"] == whom(await world.pages())


async def test_r1_two_replicas_take_each_step_once(world, clock_control):
    """60 due steps, two workers at once: one page each."""
    await world.people("ana", "ben", "head")
    for number in range(60):
        await world.ticket(str(number), due_in=timedelta(minutes=1))
    await clock_control.freeze(START + timedelta(minutes=2))
    await world.firing.run_once()
    workers = [world.another_stepping(), world.another_stepping()]
    for worker in workers:
        worker._batch = 7

    async def drain(worker) -> int:
        total = 0
        while done := await worker.run_once():
            total += done
        return total

    assert 60 == sum(await asyncio.gather(*(drain(worker) for worker in workers)))
    assert 60 == len(await world.pages())
    assert 60 == world.relay.kinds().count("escalation.stepped")


async def test_r2_steps_are_planned_from_the_anchor(world, clock_control):
    """A stall of five minutes moves no later step."""
    await broken(world, clock_control, after=timedelta(minutes=5))
    await world.stepping.run_once()
    [escalation] = await world.escalations()
    assert DUE + TEN == escalation["next_step_at"]


async def test_r3_whoever_was_paged_has_two_minutes_to_answer(world, clock_control):
    """Accepted nine minutes after the due time: the step planned for ten waits until eleven."""
    await broken(world, clock_control, after=timedelta(minutes=9))
    await world.drain()
    [escalation] = await world.escalations()
    assert DUE + timedelta(minutes=11) == escalation["next_step_at"]


async def test_r4_after_an_outage_only_the_current_step_pages(world, clock_control):
    """Three hours late: Ben is paged, the step before is told as late, nobody gets a backlog."""
    await broken(world, clock_control, after=timedelta(hours=3))
    await world.drain()
    assert ["ben"] == whom(await world.pages())
    [stepped] = world.relay.data("escalation.stepped")
    assert [{"loop": 0, "step": 0, "reason": "late"}] == stepped["skipped"]


async def test_r6_recipients_of_one_step_are_paged_together_and_once(world, clock_control):
    """Three names, two people: two pages."""
    world.use(
        Ladder(
            name="wake the lead", steps=(Step(after=timedelta(), page=("on-call/support", "person/ana", "person/ben")),)
        )
    )
    await broken(world, clock_control)
    await world.stepping.run_once()
    assert ["ana", "ben"] == sorted(whom(await world.pages()))


async def test_r7_after_the_last_step_the_catch_all_is_paged_and_it_is_exhausted(world, clock_control):
    """Nobody answered: the head is told, and an event says so."""
    await broken(world, clock_control)
    for _ in range(3):
        await world.drain()
        await clock_control.advance(TEN)
    await world.drain()
    assert ["ana", "ben", "head"] == whom(await world.pages())
    [escalation] = await world.escalations()
    assert ("exhausted", None) == (escalation["state"], escalation["next_step_at"])
    assert 1 == world.relay.kinds().count("escalation.exhausted")


async def test_r7_the_ladder_is_walked_as_often_as_the_policy_says(world, clock_control):
    """Two loops of one step, then the end; each page has an id of its own."""
    world.use(Ladder(name="wake the lead", steps=(Step(after=timedelta(), page=("on-call/support",)),), repeat=2))
    await broken(world, clock_control)
    for _ in range(4):
        await world.drain()
        await clock_control.advance(minutes=5)
    assert [(0, "ana"), (1, "ana"), (2, None)] == [(page["loop"], page["person"]) for page in await world.pages()]
    assert "channel/console" == (await world.pages())[-1]["recipient"]


async def test_r19_recipients_are_resolved_at_the_instant_of_the_step_with_evidence(world, clock_control):
    """The step after the hand-off pages the incoming person; the page keeps the shift's bounds."""
    turns = rotation(
        daily("ana", "ben", at=time(11, 5)), zone="Europe/Berlin"
    )  # 09:05 UTC, five minutes after the promise breaks
    ladder = Ladder(
        name="wake the lead",
        steps=(Step(after=timedelta(), page=("on-call/support",)), Step(after=TEN, page=("on-call/support",))),
    )
    world.use(ladder, {"support": turns})
    await broken(world, clock_control)
    await world.drain()
    await clock_control.freeze(DUE + TEN)
    await world.drain()
    first, second = await world.pages()
    assert {"ana", "ben"} == {first["person"], second["person"]}
    handoff = "2026-06-01T09:05:00Z"
    assert handoff == msgspec.json.decode(first["evidence"])["shift_ends_at"]
    assert handoff == msgspec.json.decode(second["evidence"])["shift_starts_at"]


async def test_r22_a_gap_is_skipped_at_once_and_told(world, clock_control):
    """Nobody is on call: Ben is paged now, not in ten minutes."""
    await world.people("ben", "head")
    await world.ticket(due_in=timedelta(hours=1))
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.firing.run_once()
    await world.stepping.run_once()
    assert ["ben"] == whom(await world.pages())
    [stepped] = world.relay.data("escalation.stepped")
    assert [{"loop": 0, "step": 0, "reason": "gap"}] == stepped["skipped"]


async def test_r22_where_nobody_can_be_paged_the_console_is(world, clock_control):
    """An empty roster is no silence."""
    await world.ticket(due_in=timedelta(hours=1))
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.drain()
    [page] = await world.pages()
    assert ("channel/console", "accepted") == (page["recipient"], page["state"])
    assert "BROKEN: first response of ticket 881" in world.printed.getvalue()


async def test_r22_the_same_person_on_consecutive_steps_is_not_paged_twice(world, clock_control):
    """Ana on call and Ana by name: the step after is due at once instead."""
    steps = tuple(
        Step(after=after, page=(who,))
        for after, who in ((timedelta(), "on-call/support"), (TEN, "person/ana"), (TEN, "person/ben"))
    )
    world.use(Ladder(name="wake the lead", steps=steps))
    await broken(world, clock_control)
    await world.drain()
    await clock_control.freeze(DUE + TEN)
    await world.drain()
    assert ["ana", "ben"] == whom(await world.pages())


async def test_r23_nobody_is_paged_by_a_method_this_installation_does_not_have(world, clock_control):
    """A contact without a channel is a gap, not a page that is never sent."""
    await world.people("ana", contacts=[Contact(method="pigeon", address="roof")])
    await world.people("ben", "head")
    await world.ticket(due_in=timedelta(hours=1))
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.firing.run_once()
    await world.stepping.run_once()
    assert ["ben"] == whom(await world.pages())


async def test_a_warning_tells_the_owner_and_climbs_no_further(world, clock_control):
    """The one who has the ticket hears of it; no step follows until the promise breaks."""
    await world.people("ana", "ben", "head", "olga")
    ticket_id = await world.ticket(due_in=timedelta(hours=2), warn_in=[timedelta(hours=1)])
    await world.pool.execute(
        "INSERT INTO assignment (id, tenant, ticket_id, agent, pool, units, interruptible, assigned_at, accepted_at)"
        " VALUES (gen_random_uuid(), 'default', $1, 'olga', 'default', 1, false, $2, $2)",
        ticket_id,
        START,
    )
    await clock_control.freeze(START + timedelta(minutes=61))
    await world.drain()
    [page] = await world.pages()
    assert ("warning", "olga", "accepted") == (page["kind"], page["person"], page["state"])
    [escalation] = await world.escalations()
    assert ("open", None) == (escalation["state"], escalation["next_step_at"])


async def test_a_warning_of_a_ticket_nobody_owns_tells_the_first_step(world, clock_control):
    """Whoever is on call hears of it."""
    await world.people("ana", "ben", "head")
    await world.ticket(due_in=timedelta(hours=2), warn_in=[timedelta(hours=1)])
    await clock_control.freeze(START + timedelta(minutes=61))
    await world.drain()
    assert [("warning", "ana")] == [(page["kind"], page["person"]) for page in await world.pages()]


async def test_r34_a_pages_id_is_the_same_whoever_computes_it(world, clock_control):
    """Lost before the commit and taken again: the same id, so the provider knows it."""
    await broken(world, clock_control)
    [due] = await world.pool.fetch("SELECT * FROM escalation")
    await world.stepping.run_once()
    [first] = await world.pages()
    await world.pool.execute("DELETE FROM page")
    await world.pool.execute(
        "UPDATE escalation SET step = $2, loop = $3, next_step_at = $4 WHERE id = $1",
        due["id"], due["step"], due["loop"], due["next_step_at"],
    )  # fmt: skip
    await world.stepping.run_once()
    [second] = await world.pages()
    assert first["id"] == second["id"]


async def test_an_escalation_that_was_resolved_takes_no_step(world, clock_control):
    """The promise was kept late, before anybody was paged: nobody is."""
    await broken(world, clock_control)
    await world.pool.execute(
        "UPDATE escalation SET state = 'resolved', resolved_at = $1, resolution = 'met', next_step_at = NULL", DUE
    )
    assert 0 == await world.stepping.run_once()
    assert [] == await world.pages()


async def test_r7_a_policy_that_breaks_its_reader_pages_the_console(world, clock_control, monkeypatch):
    """A fault of ours, with one stored version: it must not hold up every escalation there is."""
    await broken(world, clock_control)

    async def crash(*_: object) -> None:
        raise TypeError

    monkeypatch.setattr(world.shelf, "version", crash)

    assert 1 == await world.stepping.run_once()
    assert ["console"] == [page["method"] for page in await world.pages()]


async def test_a_lost_connection_is_no_reason_to_page_the_console(world, clock_control, monkeypatch):
    """The step stays due, and is taken when the database is back."""
    await broken(world, clock_control)

    async def go_away(*_: object) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr(world.shelf, "version", go_away)
        with pytest.raises(ConnectionResetError):
            await world.stepping.run_once()

    assert 1 == await world.stepping.run_once()
    assert ["ana"] == whom(await world.pages())


@pytest.mark.parametrize("document", [b'{"targets": 7}', b"[]", b"null", None])
async def test_r7_where_the_policy_cant_be_read_the_console_is_paged_and_nobody_else_waits(
    world, clock_control, pool, document
):
    """One tenant's stored version no longer compiles, or is gone: another's escalation goes on in the same batch."""
    await broken(world, clock_control)
    shelf = PolicyShelf()
    if document is not None:
        await pool.execute(
            "INSERT INTO policy_version (tenant, version, source, document, applied_at, applied_by)"
            " VALUES ('default', 1, '', $1, $2, 'x')",
            document,
            START,
        )
    await world.ticket("882", due_in=timedelta(minutes=1))
    await pool.execute("UPDATE clock SET tenant = 'other' WHERE state = 'running'")
    await pool.execute("UPDATE ticket SET tenant = 'other' WHERE external_id = '882'")
    await pool.execute('INSERT INTO agent SELECT (jsonb_populate_record(g, \'{"tenant": "other"}\')).* FROM agent g')
    await world.firing.run_once()
    good = world.shelf

    class Shelf(PolicyShelf):
        async def version(self, connection, tenant, number):
            return await (good if tenant == "other" else shelf).version(connection, tenant, number)

    world.shelf = Shelf()
    assert 2 == await world.another_stepping().run_once()

    states = dict(await pool.fetch("SELECT tenant, state FROM escalation"))
    assert {"default": "exhausted", "other": "open"} == states
    methods = await pool.fetch("SELECT method FROM page WHERE tenant = 'default'")
    assert ["console"] == [row["method"] for row in methods]
