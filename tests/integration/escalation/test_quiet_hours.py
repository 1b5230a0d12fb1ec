"""Quiet hours: what is of low urgency waits for somebody's morning, and holds up nobody else (R24)."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.contract.access import Scope
from shared.policy.document import Ladder, Paging, Step
from tests.integration.escalation.links import DUE, client_of, key_of

MORNING = datetime(2026, 6, 1, 12, tzinfo=UTC)
LONG = Ladder(
    name="wake the lead",
    steps=(
        Step(after=timedelta(), page=("person/ana",)),
        Step(after=timedelta(hours=2, minutes=59), page=("person/ben",)),
        Step(after=timedelta(minutes=1), page=("person/head",)),
        Step(after=timedelta(hours=9), page=("person/ana",)),
    ),
)


@pytest.fixture
async def night(world, clock_control):
    """Everybody sleeps until noon, and a promise of low urgency broke at nine."""
    world.use(LONG)
    await world.people("ana", "ben", "head")
    await world.pool.execute("UPDATE agent SET timezone = 'Etc/UTC', quiet_hours = '22:00-12:00'")
    await world.ticket()
    await world.pool.execute("UPDATE ticket SET urgency = 'low'")
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.drain()
    return world


async def test_r24_a_page_of_low_urgency_waits_and_says_until_when(night, clock_control):
    """Nothing is sent, by no other way either; the ledger shows until when and why; then it goes."""
    assert [] == night.provider.sent
    reader = await key_of(night, Scope.TICKETS_READ)
    async with client_of(night) as client:
        [page] = (await client.get("/v1/pages", headers=reader)).json()["pages"]
    assert ("pending", "2026-06-01T12:00:00Z", "quiet_hours") == (
        page["state"],
        page["deferred_until"],
        page["deferred_for"],
    )
    await clock_control.freeze(MORNING - timedelta(seconds=1))
    await night.delivery.run_once()
    assert [] == night.provider.sent
    await clock_control.freeze(MORNING)
    await night.delivery.run_once()
    assert ["ana"] == [page.person for page in night.provider.sent]


async def test_r24_what_waits_delays_no_next_level(night, clock_control):
    """Ben's and the head's pages are due by plan, one of them just after Ana's was sent and taken."""
    await clock_control.freeze(DUE + timedelta(hours=2, minutes=59))
    await night.stepping.run_once()
    [escalation] = await night.escalations()
    assert MORNING == escalation["next_step_at"]
    await clock_control.freeze(MORNING)
    await night.delivery.run_once()
    assert {"ana", "ben"} == {page.person for page in night.provider.sent}
    [escalation] = await night.escalations()
    assert MORNING == escalation["next_step_at"]


async def test_r24_the_last_level_never_waits(night, clock_control):
    """At nine in the evening it is still day; an hour later nobody would be paged after Ana, so she is at once."""
    for hours in (2, 3, 4):
        await clock_control.freeze(DUE + timedelta(hours=hours))
        await night.drain()
    before = len(night.provider.sent)
    await night.pool.execute("UPDATE agent SET quiet_hours = '20:00-12:00'")
    await clock_control.freeze(DUE + timedelta(hours=12, minutes=5))
    await night.drain()
    assert ["ana"] == [page.person for page in night.provider.sent[before:]]


async def test_r24_what_is_moot_by_the_morning_is_never_sent(night, clock_control):
    """An answer in the night takes it back."""
    [escalation] = await night.escalations()
    await night.answering.by_key("default", escalation["id"], "ben")
    assert ["cancelled"] == [page["state"] for page in await night.pages()]
    await clock_control.freeze(MORNING)
    await night.drain()
    assert [] == night.provider.sent


async def test_r24_urgent_things_wake_people(world, clock_control):
    """The same night, a ticket of high urgency."""
    world.use(LONG)
    await world.people("ana", "ben", "head")
    await world.pool.execute("UPDATE agent SET timezone = 'Etc/UTC', quiet_hours = '22:00-12:00'")
    await world.ticket()
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.drain()
    assert ["ana"] == [page.person for page in world.provider.sent]


async def test_r24_r30_what_a_night_has_gathered_is_told_in_one_digest(world, clock_control):
    """Not in a page for each at the stroke of the morning."""
    world.use(LONG, paging=Paging())
    await world.people("ana", "ben", "head")
    await world.pool.execute("UPDATE agent SET timezone = 'Etc/UTC', quiet_hours = '22:00-12:00'")
    for number in range(5):
        await world.ticket(str(number))
    await world.pool.execute("UPDATE ticket SET urgency = 'low'")
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.drain()
    assert [] == world.provider.sent
    await clock_control.freeze(MORNING)
    for _ in range(3):
        await world.grouping.run_once()
        await world.delivery.run_once()
        await clock_control.advance(seconds=10)
    assert ["digest"] == [page.kind for page in world.provider.sent]
    said = world.provider.sent[0].text
    assert "3 h 0 min ago, held for quiet hours; the worst first" in said.splitlines()[0]


async def test_r24_a_digest_of_the_morning_says_what_follows_from_now_on(world, clock_control):
    """Not what followed in the evening: Ben's step is past by then, and the head's is an hour ahead."""
    steps = (*LONG.steps[:2], Step(after=timedelta(hours=2), page=("person/head",)), LONG.steps[3])
    world.use(Ladder(name=LONG.name, steps=steps), paging=Paging())
    await world.people("ana", "ben", "head")
    await world.pool.execute("UPDATE agent SET timezone = 'Etc/UTC', quiet_hours = '22:00-12:00' WHERE key = 'ana'")
    await world.ticket()
    await world.pool.execute("UPDATE ticket SET urgency = 'low'")
    for at in (
        DUE + timedelta(seconds=1),
        DUE + timedelta(hours=2, minutes=59),
        MORNING,
        MORNING + timedelta(seconds=10),
    ):
        await clock_control.freeze(at)
        await world.drain()
    [digest] = [page for page in world.provider.sent if page.kind == "digest"]
    [escalation] = await world.escalations()
    assert digest.facts.at < escalation["next_step_at"] == digest.facts.next_step_at
    assert f"Next: the next level at {escalation['next_step_at']:%Y-%m-%d %H:%M:%S} UTC" in digest.text
    assert "; the worst first" not in digest.text
