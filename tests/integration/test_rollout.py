"""A new version of the policy and the tickets that are open already: planned, rolled out, resumed, and never in the way."""

import asyncio
import random
from collections import Counter
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from services.router import recording
from services.router.domain.effects import Counts, Tally
from services.router.domain.reach import Reach
from services.router.domain.untouched import Pair
from services.router.store import rollouts as rollouts_store
from services.router.store.rollouts import State
from services.router.versions import planning
from services.router.versions.rollout import Did
from shared.contract.events import Replied
from shared.contract.tickets import Author, ClockState, TargetKind, Urgency
from shared.postgres import time as database_time
from shared.postgres.pool import Pool
from shared.sla.clock import Clock
from tests.integration.rolling import START, TENANT, RollingDesk, a_life, event, opened

OPEN = Reach(is_for_open=True)
HOUR = timedelta(hours=1)
OFFICE = """
calendars:
  office: {timezone: Europe/Berlin, hours: {mon-fri: "09:00-17:00"}, closed: [%s]}
"""
FIRST = (
    OFFICE % ""
    + """
channels: {live_chat: {aliases: [chat]}}
urgency: [{name: down, urgency: urgent, when: {text: [is down]}}]
targets:
  - {name: urgent, when: {urgency: [urgent, high]}, calendar: always, first_response: 30m, next_response: 1h, resolution: 8h, warn: [50%]}
  - {name: chat, when: {channel: live_chat}, calendar: office, first_response: 10m, update: 2h, resolution: 1bd}
  - {name: rest, calendar: office, first_response: 4h, resolution: 16h, ownership: 2h}
"""
)
SECOND = FIRST.replace("first_response: 30m", "first_response: 20m").replace("resolution: 16h", "resolution: 12h")
THIRD = (
    OFFICE % '"2026-06-02 13:00-17:00"'
    + """
channels: {live_chat: {aliases: [chat, fax]}}
urgency: [{name: money, urgency: high, when: {text: [billing]}}]
targets:
  - {name: nothing for low, when: {urgency: low}, promise: nothing}
  - {name: urgent, when: {urgency: [urgent, high]}, calendar: always, first_response: 30m, resolution: 4h, on_change: {grace: 30m}}
  - {name: north, kind: internal, when: {team: north}, calendar: office, resolution: 5h}
  - {name: chat, when: {channel: live_chat}, calendar: office, next_response: 1h, update: 1h, resolution: 2bd, warn: [80%]}
  - {name: rest, calendar: office, first_response: 2h, resolution: 20h, on_change: restart}
"""
)


@pytest.fixture
async def desk(pool: Pool) -> RollingDesk:
    """Under the first version, on Monday at nine."""
    made = RollingDesk(pool)
    await made.at(START)
    await made.apply(FIRST)
    return made


def one(clocks: list[Clock], target: TargetKind) -> Clock:
    """The running clock of that target."""
    [found] = [clock for clock in clocks if clock.target is target and not clock.is_finished]
    return found


def by_key(found: dict[UUID, list[Clock]]) -> dict[UUID, dict[tuple[str, int], Clock]]:
    """Clocks in no order."""
    return {ticket_id: {(clock.target, clock.cycle): clock for clock in clocks} for ticket_id, clocks in found.items()}


async def fill(desk: RollingDesk, tickets: int, prefix: str, seed: int, since: timedelta, until: timedelta) -> None:
    """Tickets of all sorts."""
    rng = random.Random(seed)
    lives = [a_life(rng, f"{prefix}{n}", START + since, START + until) for n in range(tickets)]
    await desk.record([event for life in lives for event in life])


async def predicted(desk: RollingDesk, text: str, reach: Reach) -> tuple[dict[UUID, list[Clock]], Counts]:
    """What the dry run says of every clock, and in sum."""
    clocks: dict[UUID, list[Clock]] = {}
    tally = Tally()
    async with desk.pool.acquire() as connection:
        run = await planning.prepare(connection, TENANT, text, await database_time.now(connection), reach)
        async for chunk in run.chunks(connection):
            clocks |= {ticket_id: list(found) for ticket_id, found in chunk.clocks.items()}
            for outcome in chunk.outcomes:
                tally.add(outcome)
    assert run.tickets == tally.summary().counts.tickets
    return clocks, tally.summary().counts


@pytest.mark.parametrize(
    ("text", "reach"),
    [
        (THIRD, OPEN),
        (THIRD, Reach(opened_from=START + 5 * HOUR)),
        (SECOND.replace("closed: []", 'closed: ["2026-06-02 11:00-15:00"]'), OPEN),
        (SECOND.replace("closed: []", 'closed: ["2026-06-02 11:00-15:00"]'), Reach(opened_from=START + 2 * HOUR)),
        (SECOND, OPEN),
    ],
    ids=["everything", "everything since", "a closure", "a closure since", "the same again"],
)
async def test_a_plan_is_what_apply_does_to_the_row(desk: RollingDesk, text: str, reach: Reach) -> None:
    """300 tickets of all sorts and versions: every clock row is as predicted, and so are the sums."""
    await desk.at(20 * HOUR)
    await fill(desk, 120, "a", 1, timedelta(), 20 * HOUR)
    await desk.apply(SECOND)
    await desk.at(24 * HOUR)
    await fill(desk, 90, "b", 2, timedelta(), 24 * HOUR)
    await desk.apply(THIRD.replace("20h", "18h"), Reach(opened_from=START + 22 * HOUR))
    await desk.roll()
    await desk.apply(SECOND, Reach(opened_from=START + 23 * HOUR))
    await desk.roll()
    await fill(desk, 90, "c", 3, 5 * HOUR, 26 * HOUR - timedelta(hours=2))
    await desk.at(28 * HOUR)
    await desk.fire()
    before = await desk.clocks()

    expected, counts = await predicted(desk, text, reach)
    await desk.apply(text, reach)
    rollout = (await desk.roll())[0]
    after = await desk.clocks()

    assert by_key(expected) == by_key({ticket_id: after[ticket_id] for ticket_id in expected})
    assert {key: clocks for key, clocks in before.items() if key not in expected} == {
        key: clocks for key, clocks in after.items() if key not in expected
    }
    assert len(expected) > 40
    assert State.DONE is State(rollout.state)
    names = ("recomputed", "earlier", "later", "started", "cancelled", "breached", "retracted")
    assert {name: getattr(counts, name) for name in names} == {name: getattr(rollout, name) for name in names}
    assert (counts.tickets, rollout.total) == (rollout.done, rollout.done)


async def test_rule_55_what_is_kept_is_what_folding_it_would_come_to(
    desk: RollingDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closures here and there: tickets passed over stand as though their logs had been judged anew."""
    await desk.at(20 * HOUR)
    await fill(desk, 150, "a", 4, timedelta(), 20 * HOUR)
    await desk.apply_to_open(SECOND)
    await desk.at(26 * HOUR)
    await fill(desk, 50, "b", 5, 20 * HOUR, 26 * HOUR)
    await desk.fire()
    for closed in ("2026-06-02 10:00-11:00", "2026-06-03", "2026-06-02 16:00-17:00", "2026-06-01 10:00-12:00"):
        text = SECOND.replace("closed: []", f'closed: ["{closed}"]')
        for reach in (OPEN, Reach(opened_from=START)):
            expected, counts = await predicted(desk, text, reach)
            with monkeypatch.context() as all_folded:
                all_folded.setattr(Pair, "leaves_alone", lambda *_: False)
                folded, _ = await predicted(desk, text, reach)
            assert by_key(folded) == by_key(expected)
            assert 0 < counts.recomputed < counts.tickets


CLOSABLE = (
    OFFICE
    + """
targets: [{name: all, calendar: office, resolution: 20h}]
"""
)


async def test_rule_55_a_holiday_moves_only_clocks_whose_windows_touch_it(desk: RollingDesk) -> None:
    """10,000 open clocks: a holiday six months ahead is looked at for none, one on Thursday for the 500 that reach into it."""
    await desk.apply(CLOSABLE % "")
    await desk.at(30 * HOUR)
    await fill_alike(desk.pool, 9_500, "m", START + HOUR, START + 53 * HOUR)
    await fill_alike(desk.pool, 500, "t", START + 29 * HOUR, START + 97 * HOUR)
    worker = desk.new_worker(batch=1_000)

    await desk.apply(CLOSABLE % "'2026-12-01'", OPEN)
    [far] = await desk.roll(worker)
    assert (10_000, 0, 0) == (far.done, far.recomputed, far.later)
    of_version = "SELECT count(*) FROM ticket t JOIN clock c ON c.ticket_id = t.id WHERE (t.policy_version, c.policy_version) = ($1, $1)"
    assert 10_000 == await desk.pool.fetchval(of_version, far.version)
    await desk.apply(CLOSABLE % "'2026-12-01', '2026-06-04'", OPEN)
    near, _ = await desk.roll(worker)
    assert (10_000, 500, 500) == (near.done, near.recomputed, near.later)
    assert 10_000 == await desk.pool.fetchval(of_version, near.version)
    due = await desk.pool.fetch(
        "SELECT left(external_id, 1) AS of, due_at, count(*) FROM clock c JOIN ticket ON id = ticket_id GROUP BY 1, 2"
    )
    assert {("m", START + 53 * HOUR, 9_500), ("t", START + 169 * HOUR, 500)} == {tuple(row) for row in due}


async def fill_alike(pool: Pool, count: int, prefix: str, opened_at: datetime, due_at: datetime) -> None:
    """So many tickets as intake leaves them under the second version of `CLOSABLE`."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            """
            INSERT INTO ticket (id, tenant, source, external_id, status, opened_at, channel, urgency, theme, matched, policy_version)
            SELECT gen_random_uuid(), $1, 'desk', $2::text || n, 'open', $3, 'email', 'normal', 'unknown', 'all', 2
            FROM generate_series(1, $4::integer) n
            """,
            TENANT, prefix, opened_at, count,
        )  # fmt: skip
        await connection.execute(
            """
            INSERT INTO ticket_event (ticket_id, event_id, tenant, occurred_at, received_at, data)
            SELECT id, external_id, tenant, opened_at, opened_at, '{"kind": "opened", "channel": "email"}' FROM ticket
            WHERE external_id LIKE $1::text || '%'
            """,
            prefix,
        )
        await connection.execute(
            """
            INSERT INTO clock (ticket_id, target, cycle, tenant, matched, policy_version, calendar, state, started_at, due_at, next_fire_at)
            SELECT id, 'resolution', 1, tenant, 'all', 2, 'office', 'running', opened_at, $2, $2 FROM ticket
            WHERE external_id LIKE $1::text || '%'
            """,
            prefix, due_at,
        )  # fmt: skip


async def test_rule_55_a_past_holiday_leaves_finished_cycles_as_they_are(desk: RollingDesk) -> None:
    """Declared afterwards, even as though it had always held: only what still runs may move."""
    text = CLOSABLE.replace("20h", "20h, first_response: 4h")
    await desk.apply(text % "")
    await desk.at(30 * HOUR)
    await desk.record([opened("1", START), event("1", 1, START + 5 * HOUR, Replied(by=Author.AGENT))])
    [before] = (await desk.clocks()).values()
    rollout = await desk.apply(text % "'2026-06-01'", Reach(opened_from=START - HOUR))
    await desk.roll()
    [after] = (await desk.clocks()).values()
    assert rollout.rollout is not None
    assert before[0] == after[0]
    assert ("breached", 1) == (after[0].state, after[0].policy_version - 1)
    assert (before[1].due_at or START) + timedelta(days=1) == after[1].due_at


async def test_rule_53_a_promise_kept_stays_judged_by_the_version_it_was_kept_under(desk: RollingDesk) -> None:
    """Answered in 25 minutes under 30: not late under 20; the clock that runs goes on under the new version."""
    await desk.at(timedelta(hours=1))
    await desk.record(
        [
            opened("1", START, urgency=Urgency.HIGH),
            event("1", 1, START + timedelta(minutes=25), Replied(by=Author.AGENT)),
        ]
    )
    rollout = await desk.apply_to_open(SECOND)
    [(answered, resolution)] = (await desk.clocks()).values()
    assert (ClockState.MET, 1) == (answered.state, answered.policy_version)
    assert rollout.version == resolution.policy_version


async def test_rule_51_a_shorter_promise_is_late_from_the_change_on(desk: RollingDesk) -> None:
    """Not from a due time at which nobody could know; and whoever watches hears that the policy did it."""
    await desk.at(timedelta(minutes=25))
    await desk.record([opened("1", START, urgency=Urgency.HIGH)])
    rollout = await desk.apply_to_open(SECOND)
    await desk.at(timedelta(minutes=26))
    await desk.fire()
    [clocks] = (await desk.clocks()).values()
    clock = one(clocks, TargetKind.FIRST_RESPONSE)
    assert (1, rollout.at) == (rollout.breached, clock.breached_at)
    assert START + timedelta(minutes=20) == clock.due_at
    said = {each["type"]: each["data"] for each in desk.ears.heard}
    assert "policy_changed" == said["sla.clock.due_changed"]["reason"]
    assert said["sla.clock.breached"]["retroactive"]


async def test_rule_54_a_promise_withdrawn_is_cancelled_and_nobody_is_woken_for_it_any_more(desk: RollingDesk) -> None:
    """Broken ones too; their escalations are resolved."""
    text = FIRST + "escalations: {tell: {steps: [{page: [channel/console]}]}}\n"
    await desk.apply(text.replace("warn: [50%]", "escalate: tell"))
    await desk.at(timedelta(minutes=40))
    await desk.record([opened("1", START, urgency=Urgency.HIGH)])
    await desk.fire()
    assert "open" == await desk.pool.fetchval("SELECT state FROM escalation")
    rollout = await desk.apply_to_open("targets: [{name: nothing, promise: nothing}]")
    [clocks] = (await desk.clocks()).values()
    assert {ClockState.CANCELLED} == {clock.state for clock in clocks}
    assert len(clocks) == rollout.cancelled
    assert "resolved" == await desk.pool.fetchval("SELECT state FROM escalation")
    kinds = {each["type"] for each in desk.ears.heard}
    assert {"sla.clock.cancelled", "sla.escalation.resolved"} <= kinds


async def test_open_tickets_follow_in_the_order_of_versions_and_new_ones_have_the_newest(desk: RollingDesk) -> None:
    """Two versions applied one after the other, before either has come anywhere."""
    await desk.at(HOUR)
    await desk.record([opened(f"{n}", START) for n in range(5)])
    await desk.apply(SECOND, OPEN)
    await desk.apply(THIRD, OPEN)
    await desk.record([opened("new", START + HOUR)])
    third, second = await desk.roll()
    assert [(2, 5, 5), (3, 5, 5)] == [(each.version, each.total, each.done) for each in (second, third)]
    versions = await desk.pool.fetch("SELECT DISTINCT policy_version FROM ticket")
    assert [3] == [row["policy_version"] for row in versions]
    said = await desk.pool.fetch("SELECT data FROM ticket_event WHERE data ->> 'kind' = 'policy_changed'")
    assert 10 == len(said)


async def test_a_version_from_an_instant_to_come_waits_for_it(desk: RollingDesk) -> None:
    """And one applied meanwhile takes its place."""
    start = START + 2 * HOUR
    applied = await desk.apply(SECOND, Reach(holds_from=start))
    again = await desk.apply(SECOND, Reach(holds_from=start))
    assert (2, True, start, 2, False) == (
        applied.version,
        applied.is_new,
        applied.holds_from,
        again.version,
        again.is_new,
    )
    await desk.record([opened("before", START)])
    await desk.at(start)
    await desk.record([opened("after", start)])
    assert {"before": 1, "after": 2} == await versions_of(desk)
    await desk.apply(THIRD, Reach(holds_from=start + HOUR))
    await desk.apply(FIRST)
    await desk.at(start + 2 * HOUR)
    await desk.record([opened("last", start + HOUR)])
    assert 4 == (await versions_of(desk))["last"]


async def test_the_version_in_force_can_be_applied_to_open_tickets(desk: RollingDesk) -> None:
    """Applied to new ones first, to the others later; under way already, it doesn't set out again."""
    await desk.record([opened("1", START)])
    await desk.apply(SECOND)
    await desk.record([opened("2", START)])
    first, again = await desk.apply(SECOND, OPEN), await desk.apply(SECOND, OPEN)
    assert first.rollout is not None
    assert again.rollout is not None
    assert (2, False, first.rollout.id) == (first.version, first.is_new, again.rollout.id)
    [rollout] = await desk.roll()
    assert (2, 2) == (rollout.done, rollout.recomputed)
    assert {"1": 2, "2": 2} == await versions_of(desk)
    assert 1 == await desk.pool.fetchval("SELECT count(*) FROM ticket_event WHERE data ->> 'kind' = 'policy_changed'")


async def test_killed_between_batches_it_goes_on_where_it_was(
    desk: RollingDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a batch did and how far it came is one transaction: no ticket is told twice, none is left out."""
    await desk.record([opened(f"{n}", START) for n in range(30)])
    await desk.apply(SECOND, OPEN)
    dying = desk.new_worker(batch=7)
    for _ in range(4):  # it is seen, it begins, two batches
        await dying.step()
    with monkeypatch.context() as crash:
        crash.setattr(rollouts_store, "advance", fail)
        with pytest.raises(OSError, match="power cut"):
            await dying.step()
    assert 14 == await desk.pool.fetchval("SELECT count(*) FROM ticket WHERE policy_version = 2")
    [rollout] = await desk.roll()
    assert (30, 30, 0) == (rollout.done, rollout.total, rollout.failed)
    assert 30 == await desk.pool.fetchval("SELECT count(*) FROM ticket_event WHERE data ->> 'kind' = 'policy_changed'")


async def test_two_workers_share_a_rollout_without_doing_anything_twice(desk: RollingDesk) -> None:
    """Whoever comes second finds it taken."""
    await desk.record([opened(f"{n}", START) for n in range(60)])
    await desk.apply(SECOND, OPEN)
    workers = [desk.new_worker(batch=5) for _ in range(2)]
    await asyncio.gather(*(desk.roll(worker) for worker in workers))
    [rollout] = await desk.roll()
    assert (60, 60) == (rollout.done, rollout.recomputed)


async def test_it_does_not_wait_long_for_a_ticket_somebody_holds(desk: RollingDesk) -> None:
    """Nor does it lose its place."""
    await desk.record([opened(f"{n}", START) for n in range(3)])
    await desk.apply(SECOND, OPEN)
    async with desk.pool.acquire() as holder, holder.transaction():
        await holder.execute("SELECT FROM ticket WHERE external_id = '2' FOR NO KEY UPDATE")
        steps = [await desk.worker.step() for _ in range(20)]
        assert Did.WAITED in steps
        assert 0 == await desk.pool.fetchval("SELECT count(*) FROM ticket WHERE policy_version = 2")
    [rollout] = await desk.roll()
    assert 3 == rollout.done


async def test_a_ticket_that_cannot_be_judged_is_passed_over_and_named(
    desk: RollingDesk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others get the version; it keeps its own."""
    await desk.record([opened(f"{n}", START) for n in range(9)])
    bad = await desk.pool.fetchval("SELECT id FROM ticket WHERE external_id = '4'")
    fold = recording.fold_stored

    async def breaks(connection, shelf, tickets, arrived, now):
        if any(ticket.id == bad for ticket in tickets):
            raise ZeroDivisionError
        return await fold(connection, shelf, tickets, arrived, now)

    await desk.apply(SECOND, OPEN)
    monkeypatch.setattr(recording, "fold_stored", breaks)
    [rollout] = await desk.roll()
    assert (8, 1, State.DONE) == (rollout.done, rollout.failed, rollout.state)
    assert {1: 1, 2: 8} == Counter((await versions_of(desk)).values())


async def versions_of(desk: RollingDesk) -> dict[str, int]:
    """The version that judges each ticket."""
    rows = await desk.pool.fetch("SELECT external_id, policy_version FROM ticket")
    return {row["external_id"]: row["policy_version"] for row in rows}


async def fail(*_: object, **__: object) -> None:
    """The power goes."""
    raise OSError("power cut")
