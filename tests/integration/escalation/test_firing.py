"""Due clocks fire once, in due order, and somebody hears of it."""

import asyncio
import contextlib
from collections import Counter
from datetime import UTC, datetime, timedelta

from services.escalation.firing import Firing
from services.escalation.store import QUERIES
from shared.policy.document import Ladder, Step
from shared.postgres.pool import Pool

START = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)


async def test_nothing_fires_before_it_is_due_nor_at_the_due_instant(world, clock_control):
    """A clock that is due exactly now is still in time (rule 47)."""
    await world.ticket(due_in=timedelta(hours=1))
    assert 0 == await world.firing.run_once()
    await clock_control.freeze(START + timedelta(hours=1))
    assert 0 == await world.firing.run_once()


async def test_rule_60_a_breach_happens_at_its_due_time_however_late_it_is_noticed(world, clock_control):
    """What an outage hid is told with the due time, and the time of noticing beside it."""
    await world.ticket(due_in=timedelta(hours=1))
    now = await clock_control.advance(hours=3)
    assert 1 == await world.firing.run_once()
    [row] = await world.pool.fetch("SELECT * FROM clock")
    assert ("breached", START + timedelta(hours=1), now) == (row["state"], row["breached_at"], row["detected_at"])
    [told] = world.relay.data("clock.breached")
    assert "2026-06-01T09:00:00Z" == told["at"]
    [escalation] = await world.escalations()
    assert START + timedelta(hours=1) == escalation["anchor_at"] == escalation["next_step_at"]


async def test_rule_59_two_replicas_fire_each_clock_once(world, clock_control):
    """300 clocks, two workers at once: 300 breaches, 300 escalations."""
    for number in range(300):
        await world.ticket(str(number), due_in=timedelta(minutes=1))
    await clock_control.advance(hours=1)
    workers = [Firing(world.pool, world.relay, world.metrics, batch=20) for _ in range(2)]

    async def drain(worker: Firing) -> int:
        total = 0
        while done := await worker.run_once():
            total += done
        return total

    assert 300 == sum(await asyncio.gather(*(drain(worker) for worker in workers)))
    told = Counter(str(one["ticket"]) for one in world.relay.data("clock.breached"))
    assert {str(number): 1 for number in range(300)} == dict(told)
    assert 300 == len(await world.escalations())


async def test_r31_a_crash_before_the_commit_leaves_the_clock_due(world, clock_control, monkeypatch):
    """Everything of a firing is one transaction: what did not commit fires again, once."""
    await world.ticket(due_in=timedelta(minutes=1))
    await clock_control.advance(hours=1)

    async def crash(*_: object) -> None:
        raise ConnectionError("the server went away")

    with monkeypatch.context() as patch:
        patch.setattr("services.escalation.store.escalations.open_or_reopen", crash)
        with contextlib.suppress(ConnectionError):
            await world.firing.run_once()
    assert [] == await world.escalations()
    assert [] == world.relay.batches
    assert 1 == await world.firing.run_once()
    assert 1 == len(world.relay.data("clock.breached"))


async def test_rule_61_of_an_overdue_warning_and_breach_only_the_breach_is_told(world, clock_control):
    """The warning counts as passed, nobody is told of it any more."""
    await world.ticket(due_in=timedelta(hours=2), warn_in=[timedelta(hours=1)])
    await clock_control.advance(hours=5)
    await world.firing.run_once()
    assert ["clock.breached", "escalation.opened"] == world.relay.kinds()
    [row] = await world.pool.fetch("SELECT warned, warned_at FROM clock")
    assert (1, None) == (row["warned"], row["warned_at"])
    [escalation] = await world.escalations()
    assert "breached" == escalation["reason"]


async def test_r1_each_warning_and_the_breach_share_one_escalation(world, clock_control):
    """Two warnings and the breach of one clock never make a second live escalation."""
    await world.ticket(due_in=timedelta(hours=3), warn_in=[timedelta(hours=1), timedelta(hours=2)])
    for reason, step in (("warned", 0), ("warned", 1), ("breached", 0)):
        await clock_control.advance(minutes=61)
        await world.firing.run_once()
        [escalation] = await world.escalations()
        assert (reason, step) == (escalation["reason"], escalation["step"])


async def test_a_breach_reopens_an_escalation_whose_warning_was_acknowledged(world, clock_control):
    """Somebody who saw the warning is no excuse once the promise breaks."""
    await world.people("ana", "ben", "head")
    await world.ticket(due_in=timedelta(hours=2), warn_in=[timedelta(hours=1)])
    await clock_control.advance(minutes=61)
    await world.drain()
    [escalation] = await world.escalations()
    await world.answering.by_key("default", escalation["id"], "ana")
    await clock_control.advance(hours=1)
    await world.firing.run_once()
    [escalation] = await world.escalations()
    assert ("open", "breached", 2, None) == (
        escalation["state"],
        escalation["reason"],
        escalation["generation"],
        escalation["acknowledged_by"],
    )


async def test_a_clock_without_a_ladder_breaks_without_an_escalation(world, clock_control):
    """The breach is told; nobody is paged, because the policy says nobody."""
    await world.ticket(due_in=timedelta(hours=1), escalate=None)
    await clock_control.advance(hours=2)
    await world.firing.run_once()
    assert ["clock.breached"] == world.relay.kinds()
    assert [] == await world.escalations()


async def test_breaches_are_counted_at_the_deadline_and_their_lag_measured(world, clock_control):
    """One breach: one outcome, one lag."""
    await world.ticket(due_in=timedelta(hours=1))
    await clock_control.advance(hours=2)
    await world.firing.run_once()
    labels = {
        "target": "first_response", "channel": "email", "urgency": "high", "outcome": "breached", "policy": "live",
    }  # fmt: skip
    assert 1.0 == world.registry.get_sample_value("sla_target_outcomes_total", labels)
    assert 3600.0 == world.registry.get_sample_value("sla_firing_lag_seconds_sum")


async def test_the_pulse_says_when_the_next_clock_is_due(world):
    """The loop sleeps until then."""
    assert (await world.firing.pulse()).due_at is None
    await world.ticket(due_in=timedelta(hours=1))
    assert START + timedelta(hours=1) == (await world.firing.pulse()).due_at


async def test_r33_warped_time_halts_nothing(world, clock_control):
    """Only the server's own clock is watched: a test that moves the time by hours is no jump."""
    await world.ticket(due_in=timedelta(hours=1))
    await world.firing.pulse()
    await clock_control.advance(hours=10)
    assert (await world.firing.pulse()).due_at is not None
    assert world.firing.halted is None


async def test_r33_a_jump_of_the_servers_clock_halts_firing_until_it_is_back(world, clock_control, monkeypatch):
    """Over a minute ahead of both clocks of this host: nothing fires, readiness says why."""
    await world.ticket(due_in=timedelta(hours=1))
    await clock_control.advance(hours=2)
    now = 1_000.0
    monkeypatch.setattr("shared.timesource.monotonic", lambda: now)
    monkeypatch.setattr("shared.timesource.unix_time", lambda: now)
    await world.firing.pulse()
    now = 1_000.0 - 61.0
    assert (await world.firing.pulse()).due_at is None
    assert "set it right" in (world.firing.halted or "")
    now = 1_000.0
    assert (await world.firing.pulse()).due_at is not None
    assert world.firing.halted is None


async def test_the_idle_poll_is_one_probe_of_the_index(world, pool: Pool):
    """Whatever the number of clocks, no table is read through."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        plan = "\n".join(row[0] for row in await connection.fetch("EXPLAIN " + QUERIES["pulse_clock"]))
    assert "clock_due" in plan


async def move(world, minutes: int, *, warned: int = 0, ladder: str = "wake the lead") -> None:
    """The due time moves, so that the clock warns again so many minutes after its start, if it has not `warned`."""
    warns_at = START + timedelta(minutes=minutes)
    await world.pool.execute(
        "UPDATE clock SET due_at = $1, warn_at = $2, warned = $3, escalate = $4, next_fire_at = $5",
        START + timedelta(hours=9), [warns_at], warned, ladder, warns_at,
    )  # fmt: skip


async def test_r34_a_warning_of_a_due_time_that_moved_pages_again(world, clock_control):
    """Each is a generation of its own: whoever the event says was paged, was."""
    await world.people("ana", "ben", "head")
    await world.ticket(due_in=timedelta(hours=2), warn_in=[timedelta(hours=1)])
    await clock_control.freeze(START + timedelta(minutes=61))
    await world.drain()
    for minutes in (180, 240):
        await move(world, minutes)
        await clock_control.freeze(START + timedelta(minutes=minutes + 1))
        await world.drain()

    assert [1, 2, 3] == [one["generation"] for one in world.relay.data("escalation.opened")]
    told = [paged["page"] for one in world.relay.data("escalation.stepped") for paged in one["paged"]]
    sent = [str(page["id"]) for page in await world.pages() if page["state"] == "accepted"]
    assert 3 == len(set(told))
    assert told == sent
    assert 1 == len(await world.escalations())


async def test_r1_a_warning_that_fired_already_pages_nobody_again_and_says_nothing(world, clock_control):
    """The due time moves away and back: the same warning is no news."""
    await world.people("ana", "ben", "head")
    await world.ticket(due_in=timedelta(hours=2), warn_in=[timedelta(hours=1)])
    await clock_control.freeze(START + timedelta(minutes=61))
    await world.drain()
    said = [one for one in world.relay.kinds() if one.startswith("escalation.")]
    await move(world, 60)

    await world.drain()

    assert said == [one for one in world.relay.kinds() if one.startswith("escalation.")]
    assert 1 == len(await world.pages())


async def test_r17_the_same_warning_on_another_ladder_tells_those_of_that_ladder(world, clock_control):
    """The terms changed: others have to know."""
    await world.people("ana", "ben", "head")
    await world.ticket(due_in=timedelta(hours=2), warn_in=[timedelta(hours=1)])
    await clock_control.freeze(START + timedelta(minutes=61))
    await world.drain()
    world.use(Ladder(name="vip", steps=(Step(after=timedelta(), page=("person/head",)),)))
    await move(world, 60, ladder="vip")

    await world.drain()

    assert ["ana", "head"] == [page["person"] for page in await world.pages()]


async def test_r1_the_warnings_that_were_planned_are_one_generation(world, clock_control):
    """The second says more than the first, and both are sent."""
    await world.people("ana", "ben", "head")
    await world.ticket(due_in=timedelta(hours=3), warn_in=[timedelta(hours=1), timedelta(hours=2)])
    for _ in range(2):
        await clock_control.advance(minutes=61)
        await world.drain()

    assert [1, 1] == [one["generation"] for one in world.relay.data("escalation.opened")]
    assert [0, 1] == [page["step"] for page in await world.pages()]


async def test_r9_a_warning_that_was_answered_stays_quiet_when_the_due_time_moves(world, clock_control):
    """Somebody has taken responsibility; only the breach calls again."""
    await world.people("ana", "ben", "head")
    await world.ticket(due_in=timedelta(hours=2), warn_in=[timedelta(hours=1)])
    await clock_control.freeze(START + timedelta(minutes=61))
    await world.drain()
    [escalation] = await world.escalations()
    await world.answering.by_key("default", escalation["id"], "ana")
    await move(world, 180)
    await clock_control.freeze(START + timedelta(minutes=181))

    await world.drain()

    [escalation] = await world.escalations()
    assert ("acknowledged", 1) == (escalation["state"], escalation["generation"])
    assert 1 == len(await world.pages())


async def test_r17_a_warning_leaves_a_broken_promise_at_its_step(world, clock_control):
    """A level never goes down."""
    await world.people("ana", "ben", "head")
    await world.ticket(due_in=timedelta(hours=1))
    await clock_control.freeze(START + timedelta(minutes=61))
    await world.drain()
    [before] = await world.escalations()
    await world.pool.execute("UPDATE clock SET state = 'running', breached_at = NULL")
    await move(world, 60)

    await world.firing.run_once()

    assert [before] == await world.escalations()
