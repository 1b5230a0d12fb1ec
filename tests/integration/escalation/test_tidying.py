"""What is measured and tidied without being asked."""

from datetime import UTC, datetime, timedelta

DUE = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)


async def test_live_escalations_are_counted_by_state(world, clock_control):
    """Two open, one answered; the resolved one is not live."""
    await world.people("ana")
    for number in range(4):
        await world.ticket(str(number), due_in=timedelta(hours=1))
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.firing.run_once()
    first, second, *_ = await world.escalations()
    await world.answering.by_key("default", first["id"], "ana")
    await world.pool.execute(
        "UPDATE escalation SET state = 'resolved', resolved_at = $1, next_step_at = NULL WHERE id = $2",
        DUE,
        second["id"],
    )
    assert 3 == await world.tidying.measure()
    live = {
        state: world.registry.get_sample_value("sla_escalations_live", {"state": state})
        for state in ("open", "acknowledged", "exhausted")
    }
    assert {"open": 2.0, "acknowledged": 1.0, "exhausted": 0.0} == live
    assert world.registry.get_sample_value("sla_outbox_oldest_seconds") > 0
