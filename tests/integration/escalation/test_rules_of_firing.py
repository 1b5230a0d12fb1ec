"""Rules F that need a database and nothing else: wake-ups that are out of date, and whose clock decides."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from shared.ledger import clocks
from tests.integration.escalation.conftest import clock_row, ticket

START = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


async def test_rule_62_a_wake_up_for_a_due_time_that_moved_does_nothing(world, clock_control):
    """The loop meant to wake at 09:00; by then the promise is due at 11:00, and breaks after that."""
    ticket_id = await world.ticket(due_in=HOUR, escalate=None)
    row = replace(clock_row(ticket("881"), HOUR, (), None), ticket_id=ticket_id)
    assert START + HOUR == (await world.firing.pulse()).due_at
    moved = row.clock.due_at + 2 * HOUR
    async with world.pool.acquire() as connection, connection.transaction():
        await clocks.delete(connection, [row])
        await clocks.insert(connection, [replace(row, clock=replace(row.clock, due_at=moved))])
        await clock_control.advance(hours=2)
        assert 0 == await world.firing.run_once()
    assert 0 == await world.firing.run_once()
    assert moved == (await world.firing.pulse()).due_at
    await clock_control.advance(hours=2)
    assert 1 == await world.firing.run_once()
    [told] = world.relay.data("clock.breached")
    assert "2026-06-01T11:00:00Z" == told["at"]


async def test_rule_64_a_clock_of_this_host_that_jumps_back_fires_nothing_twice(world, clock_control, monkeypatch):
    """The database's clock decides: what fired has fired, and what falls due goes on firing."""
    host = 1_000.0
    monkeypatch.setattr("shared.timesource.unix_time", lambda: host)
    await world.ticket("881", due_in=HOUR)
    await world.ticket("882", due_in=3 * HOUR)
    await clock_control.advance(hours=2)
    await world.firing.pulse()
    assert 1 == await world.firing.run_once()
    host -= 300.0
    await world.firing.pulse()
    assert world.firing.halted is None
    assert 0 == await world.firing.run_once()
    await clock_control.advance(hours=2)
    assert 1 == await world.firing.run_once()
    assert ["881", "882"] == [one["ticket"] for one in world.relay.data("clock.breached")]


async def test_rule_64_what_falls_due_within_one_tick_is_not_lost(world, clock_control):
    """Fifty promises within a millisecond, and a look between them: all of them break, in due order."""
    for number in range(50):
        await world.ticket(str(number), due_in=HOUR + timedelta(microseconds=20 * number))
    await clock_control.freeze(START + HOUR + timedelta(microseconds=500))
    first = await world.firing.run_once()
    await clock_control.advance(hours=1)
    assert (25, 25) == (first, await world.firing.run_once())
    assert [str(number) for number in range(50)] == [one["ticket"] for one in world.relay.data("clock.breached")]
