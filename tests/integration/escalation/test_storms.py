"""Storms: pages to one recipient are told together, late ones as a digest, and nobody is forgotten (R3, R4, R14, R27, R30)."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec import structs

from services.escalation.channels import Page
from services.escalation.domain.ladder import Kind
from services.escalation.domain.retry import Outcome, Result
from shared.ledger import pages as ledger_pages
from shared.policy.document import Contact, Ladder, Paging, Step

START = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
DUE = START + timedelta(hours=1)
TOGETHER = Paging()
LADDER = Ladder(
    name="wake the lead",
    steps=(
        Step(after=timedelta(), page=("person/ana",)),
        Step(after=timedelta(minutes=10), page=("person/ben",)),
    ),
    otherwise=("person/head",),
)


async def storm(world: Any, clock_control: Any, count: int, *, first: int = 0, contacts: Any = None) -> None:
    """So many promises to Ana's customers broke a second ago."""
    if not first:
        await world.people("ana", contacts=contacts or [Contact(method="webhook", address="ana")])
        await world.people("ben", "head")
        world.use(LADDER, paging=TOGETHER)
    for number in range(first, first + count):
        await world.ticket(str(number), due_in=timedelta(hours=1))
    if not first:
        await clock_control.freeze(DUE + timedelta(seconds=1))
    await paged(world)


async def paged(world: Any) -> None:
    """What is due now is fired and stepped."""
    while await world.firing.run_once() + await world.stepping.run_once():
        pass


async def told(world: Any) -> list[tuple[str, str | None, int]]:
    """What was sent: kind, whom, how many it tells of; in order."""
    return [(page.kind.value, page.person, _tells(page)) for page in world.provider.sent]


def _tells(page: Page) -> int:
    return page.facts.roundup.count if page.facts.roundup else 1


async def states(world: Any) -> dict[tuple[str, str], int]:
    """Pages by kind and state."""
    rows = await world.pool.fetch("SELECT kind, state, count(*) AS n FROM page GROUP BY kind, state")
    return {(row["kind"], row["state"]): row["n"] for row in rows}


async def test_r27_500_breaches_in_a_second_are_one_page_and_one_summary(world, clock_control):
    """To one lead, through two steppers; each of the 500 timelines names the group."""
    await world.people("ana", "ben", "head")
    world.use(LADDER, paging=TOGETHER)
    first = await world.ticket("0", due_in=timedelta(hours=1))
    await world.pool.execute(
        """INSERT INTO ticket SELECT r.* FROM ticket t, generate_series(1, 499) n, LATERAL jsonb_populate_record(
               t, jsonb_build_object('id', gen_random_uuid(), 'external_id', n::text)) r WHERE t.id = $1""",
        first,
    )
    await world.pool.execute(
        """INSERT INTO clock SELECT r.* FROM clock c, ticket t, LATERAL jsonb_populate_record(
               c, jsonb_build_object('ticket_id', t.id)) r WHERE c.ticket_id = $1 AND t.id <> $1""",
        first,
    )
    await clock_control.freeze(DUE + timedelta(seconds=1))
    while await world.firing.run_once():
        pass
    workers = [world.another_stepping(), world.another_stepping()]
    for worker in workers:
        worker._batch = 90

    async def work(worker) -> None:
        while await worker.run_once():
            pass

    await asyncio.gather(*(work(worker) for worker in workers))
    await world.delivery.run_once()
    assert [("page", "ana", 1)] == await told(world)
    await clock_control.advance(seconds=5)
    await world.drain()
    assert [("page", "ana", 1), ("summary", "ana", 499)] == await told(world)
    await clock_control.advance(seconds=60)
    await world.drain()
    assert 2 == len(world.provider.sent)
    assert {("page", "accepted"): 500, ("summary", "accepted"): 1} == await states(world)
    [group] = await world.pool.fetch(
        "SELECT count(DISTINCT escalation_id) AS n FROM page WHERE kind = 'page' GROUP BY group_id"
    )
    assert 500 == group["n"]
    summary = world.provider.sent[1]
    assert 20 == len(summary.facts.roundup.named)
    assert "- and 479 more" in summary.text
    assert summary.text.startswith(
        "ALSO: 499 more pages since 2026-06-01 09:00:00 UTC, after 1 before; the worst first\n"
    )
    assert summary.text.endswith(f"Acknowledge all 499: {summary.link}")
    assert "Next: person/ben at 2026-06-01 09:10:00 UTC" in summary.text


async def test_r27_who_joins_after_the_summary_is_told_at_the_end_of_the_window(world, clock_control):
    """At most one summary a window; the next group begins with one, and what comes after that window is a page."""
    await storm(world, clock_control, 3)
    await clock_control.advance(seconds=5)
    await world.drain()
    await storm(world, clock_control, 2, first=10)
    await clock_control.advance(seconds=50)
    await world.drain()
    assert [("page", "ana", 1), ("summary", "ana", 2)] == await told(world)
    await clock_control.advance(seconds=5)
    await world.drain()
    assert ("summary", "ana", 2) == (await told(world))[-1]
    await storm(world, clock_control, 1, first=20)
    await clock_control.advance(seconds=59)
    await world.drain()
    assert 3 == len(world.provider.sent)
    await clock_control.advance(seconds=1)
    await world.drain()
    assert ("summary", "ana", 1) == (await told(world))[-1]
    await clock_control.advance(seconds=61)
    await storm(world, clock_control, 1, first=30)
    await world.drain()
    assert ("page", "ana", 1) == (await told(world))[-1]
    assert 5 == len(world.provider.sent)


async def test_r27_a_lonely_page_is_followed_by_nothing(world, clock_control):
    """No summary of nobody."""
    await storm(world, clock_control, 1)
    await world.drain()
    for _ in range(3):
        await clock_control.advance(seconds=31)
        await world.drain()
    assert [("page", "ana", 1)] == await told(world)


async def test_r27_another_urgency_or_step_pages_at_once(world, clock_control):
    """Each is a group of its own."""
    await storm(world, clock_control, 2)
    urgent = await world.ticket("urgent", due_in=timedelta(hours=1))
    await world.pool.execute("UPDATE ticket SET urgency = 'urgent' WHERE id = $1", urgent)
    await paged(world)
    await world.delivery.run_once()
    assert {"high", "urgent"} == {page.urgency for page in world.provider.sent if page.kind is Kind.PAGE}
    await clock_control.advance(minutes=10)
    await paged(world)
    await world.delivery.run_once()
    assert ["ben", "ben"] == [page.person for page in world.provider.sent[2:]]


async def test_r27_only_those_that_are_still_wanted_are_named(world, clock_control):
    """Two of four joined and are answered before the summary; where all are, there is none."""
    await storm(world, clock_control, 5)
    await world.delivery.run_once()
    grouped = await world.pool.fetch("SELECT escalation_id FROM page WHERE state = 'grouped' ORDER BY group_version")
    for row in grouped[:2]:
        await world.answering.by_key("default", row["escalation_id"], "ben")
    await clock_control.advance(seconds=5)
    await world.drain()
    assert ("summary", "ana", 2) == (await told(world))[-1]
    assert {("page", "accepted"): 3, ("page", "cancelled"): 2, ("summary", "accepted"): 1} == await states(world)


async def test_r27_a_summary_is_not_sent_when_all_of_it_was_answered(world, clock_control):
    """R9 for a page about several: answered after it was made, before it was claimed."""
    await storm(world, clock_control, 2)
    await world.delivery.run_once()
    await clock_control.advance(seconds=5)
    await world.grouping.run_once()
    [row] = await world.pool.fetch("SELECT escalation_id FROM page WHERE state = 'grouped'")
    await world.answering.by_key("default", row["escalation_id"], "ben")
    assert 0 == await world.delivery.run_once()
    await world.tidying.run_once()
    assert 1 == (await states(world))["summary", "cancelled"]
    assert [("page", "ana", 1)] == await told(world)


async def test_r3_whoever_is_told_by_a_summary_has_time_to_answer(world, clock_control):
    """The next step of a member waits for two minutes after the summary was accepted."""
    fast = Ladder(name=LADDER.name, steps=(LADDER.steps[0], Step(after=timedelta(minutes=1), page=("person/ben",))))
    await world.people("ana", "ben", "head")
    world.use(fast, paging=TOGETHER)
    for number in range(3):
        await world.ticket(str(number), due_in=timedelta(hours=1))
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await paged(world)
    await world.delivery.run_once()
    await clock_control.advance(seconds=5)
    await world.drain()
    assert [DUE + timedelta(minutes=2, seconds=1), *[DUE + timedelta(minutes=2, seconds=6)] * 2] == sorted(
        row["next_step_at"] for row in await world.escalations()
    )


async def test_r3_members_of_a_summary_that_reaches_nobody_go_up_at_once(world, clock_control):
    """Ana can't be reached: Ben is told of all of them, now."""
    await storm(world, clock_control, 4)
    await world.delivery.run_once()
    await clock_control.advance(seconds=5)
    world.provider.answers = [Outcome(result=Result.REJECTED, detail="HTTP 404")]
    await world.drain()
    sent = [one for one in await told(world) if one[1] == "ben"]
    assert [("page", "ben", 1)] == sent
    await clock_control.advance(seconds=5)
    await world.drain()
    assert ("summary", "ben", 2) == (await told(world))[-1]
    assert 3 == (await states(world))["page", "failed"]


async def test_r37_a_summary_goes_by_the_next_contact_too(world, clock_control):
    """Whatever a page may do; its members are accepted by the way that gets through."""
    await storm(world, clock_control, 3, contacts=[Contact(method="webhook", address="x"), Contact(method="console")])
    await world.delivery.run_once()
    await clock_control.advance(seconds=5)
    world.provider.answers = [Outcome(result=Result.REJECTED)]
    await world.drain()
    assert "ALSO: 2 more pages" in world.printed.getvalue()
    assert {
        ("page", "accepted"): 3, ("summary", "failed"): 1, ("summary", "accepted"): 1,
    } == await states(world)  # fmt: skip


async def test_r27_two_workers_open_one_group(world, clock_control):
    """Whoever is first: one page goes at once, and the numbers of the members are 1 to 40."""
    await world.people("ana", "ben", "head")
    world.use(LADDER, paging=TOGETHER)
    for number in range(40):
        await world.ticket(str(number), due_in=timedelta(hours=1))
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.firing.run_once()
    workers = [world.another_stepping() for _ in range(4)]
    for worker in workers:
        worker._batch = 10
    await asyncio.gather(*(worker.run_once() for worker in workers))
    await paged(world)
    rows = await world.pool.fetch("SELECT group_id, group_version, state FROM page ORDER BY group_version")
    assert 1 == len({row["group_id"] for row in rows})
    assert list(range(1, 41)) == [row["group_version"] for row in rows]
    assert ["pending"] + ["grouped"] * 39 == [row["state"] for row in rows]


async def end(world: Any, *escalations: UUID) -> None:
    """These are over, in one transaction."""
    async with world.pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "UPDATE escalation SET state = 'resolved', resolved_at = deskclock_now(), resolution = 'answered', "
            "next_step_at = NULL WHERE id IN (SELECT id FROM escalation WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE)",
            escalations,
        )
        now = await connection.fetchval("SELECT deskclock_now()")
        await ledger_pages.resolve(connection, escalations, now)


async def members(world: Any) -> list[UUID]:
    """The escalations that a summary tells of."""
    rows = await world.pool.fetch(
        "SELECT escalation_id FROM page WHERE told_by IS NOT NULL AND escalation_id IS NOT NULL ORDER BY group_version"
    )
    return [row["escalation_id"] for row in rows]


async def test_r14_a_summary_is_taken_back_when_its_last_member_is_over(world, clock_control):
    """Not before, and once; a member alone was never sent, so nothing is taken back for it. `closes` names what was sent."""
    await storm(world, clock_control, 3)
    await clock_control.advance(seconds=5)
    await world.drain()
    one, two = await members(world)
    summary = world.provider.sent[1]
    await end(world, one)
    await world.drain()
    assert 2 == len(world.provider.sent)
    await end(world, two)
    await world.drain()
    await world.drain()
    assert [("resolve", "ana", 2)] == (await told(world))[2:]
    resolve = world.provider.sent[2]
    assert (summary.id,) == resolve.facts.resolves == tuple(closed.id for closed in resolve.closes)
    names = " and ".join(named.ticket for named in summary.facts.roundup.named)
    assert resolve.text.startswith(f"OVER: 2 pages that were told together: tickets {names}\n")


async def test_r14_two_members_that_end_at_once_take_the_summary_back_once(world, clock_control):
    """Neither sees the other's end: the group's row makes one of them the last."""
    await storm(world, clock_control, 3)
    await clock_control.advance(seconds=5)
    await world.drain()
    await asyncio.gather(*(end(world, one) for one in await members(world)))
    await world.drain()
    assert [("resolve", "ana", 2)] == (await told(world))[2:]


async def test_r14_a_summary_in_flight_when_its_last_member_ended_is_taken_back_when_it_has_arrived(
    world, clock_control
):
    """The resolve never overtakes it."""
    await storm(world, clock_control, 2)
    await world.delivery.run_once()
    await clock_control.advance(seconds=5)
    await world.grouping.run_once()
    [leased] = await world.delivery._claim()
    await end(world, *await members(world))
    assert 0 == await world.delivery.run_once()
    await world.delivery._conclude(leased, Outcome(result=Result.ACCEPTED, provider_id="abc"))
    await world.drain()
    resolve = world.provider.sent[-1]
    assert (Kind.RESOLVE, [(leased.id, "abc")]) == (resolve.kind, [(one.id, one.provider_id) for one in resolve.closes])
    [attempt] = await world.pool.fetch("SELECT detail FROM page_attempt WHERE page_id = $1", leased.id)
    assert "it was in flight when its escalation was resolved" in attempt["detail"]


async def test_r4_after_an_outage_of_three_hours_each_recipient_gets_one_digest(world, clock_control):
    """It says since when, how many, and the worst first; the current level only, the others are skipped as late."""
    await world.people("ana", "ben", "head")
    world.use(LADDER, paging=TOGETHER)
    for number in range(30):
        await world.ticket(str(number), due_in=timedelta(hours=1, minutes=number))
    await clock_control.freeze(DUE + timedelta(hours=3))
    await world.drain()
    assert [] == await told(world)
    await clock_control.advance(seconds=5)
    await world.drain()
    assert [("digest", "ben", 30)] == await told(world)
    text = world.provider.sent[0].text
    assert text.startswith("LATE: 30 pages since 2026-06-01 09:00:00 UTC, 3 h 0 min ago, when they could not be told")
    assert "ticket 0 " in text.splitlines()[1]
    skipped = [skip for event in world.relay.data("escalation.stepped") for skip in event["skipped"]]
    assert {"late"} == {skip["reason"] for skip in skipped}
    assert {("digest", "accepted"): 1, ("page", "accepted"): 30} == await states(world)


async def test_r4_a_digest_of_warnings_says_that_nothing_is_paged_yet(world, clock_control):
    """Not that theirs was the last step of a ladder that has not begun."""
    await world.people("ana", "ben", "head")
    world.use(structs.replace(LADDER, on_warning=("person/ana",)), paging=TOGETHER)
    for number in range(2):
        await world.ticket(str(number), due_in=timedelta(hours=9), warn_in=[timedelta(hours=1)])
    await clock_control.freeze(DUE + timedelta(hours=3))
    await world.drain()
    await clock_control.advance(seconds=5)
    await world.drain()
    [digest] = world.provider.sent
    assert digest.text.startswith("LATE: 2 promises at risk since")
    assert "Next: nothing yet; this is a warning" in digest.text


async def test_r30_what_was_never_tried_and_is_old_is_told_in_a_digest_instead(world, clock_control):
    """Pages that were stored before we were away for a quarter of an hour: one digest, not the old page as if it were new."""
    await storm(world, clock_control, 1)
    other = await world.ticket("urgent", due_in=timedelta(hours=1))
    await world.pool.execute("UPDATE ticket SET urgency = 'urgent' WHERE id = $1", other)
    await world.firing.run_once()
    await world.stepping.run_once()
    await world.pool.execute("UPDATE escalation SET next_step_at = $1", DUE + timedelta(days=1))
    await clock_control.advance(minutes=15)
    await world.drain()
    assert [] == await told(world)
    await clock_control.advance(seconds=5)
    await world.drain()
    assert [("digest", "ana", 2)] == await told(world)
    assert world.provider.sent[0].text.splitlines()[1].count("urgent")


async def test_r30_a_page_that_was_tried_before_is_tried_again_however_old(world, clock_control):
    """It may have arrived: the same page under the same id, not a digest."""
    await storm(world, clock_control, 1)
    await world.pool.execute("UPDATE escalation SET next_step_at = $1", DUE + timedelta(days=1))
    world.provider.answers = [Outcome(result=Result.RETRYABLE)]
    await world.delivery.run_once()
    await clock_control.advance(minutes=15)
    await world.drain()
    assert [("page", "ana", 1)] * 2 == await told(world)


@pytest.mark.parametrize("is_told", [True, False])
async def test_r28_after_a_group_was_taken_over_who_joins_later_pages_again(world, clock_control, is_told):
    """Its first page was acknowledged: those that had joined are told, and the next one is a page."""
    await storm(world, clock_control, 2 if is_told else 1)
    await world.delivery.run_once()
    token = world.provider.sent[0].link.rpartition("/")[2]
    await world.answering.by_token(token)
    await clock_control.advance(seconds=1)
    await world.drain()
    await storm(world, clock_control, 1, first=10)
    await world.drain()
    if is_told:
        assert [("page", "ana", 1), ("summary", "ana", 1)] == await told(world)
    else:
        assert [("page", "ana", 1), ("page", "ana", 1)] == await told(world)
