"""Every minute: loads that drifted are set right, tickets that got lost are found."""

import pytest
from prometheus_client import CollectorRegistry

from services.router.assignment import Assignment
from services.router.metrics.assignment import AssignmentMetrics
from services.router.reconciling import Reconciling
from shared.contract.tickets import Channel
from shared.ledger.policies import PolicyShelf
from shared.postgres.pool import Pool
from tests.integration.desk import NOW, Ears, hire, load, make, put, waiting


@pytest.fixture
async def assignment(pool: Pool, clock_control) -> Assignment:  # type: ignore[no-untyped-def]
    """On a Monday at noon."""
    await clock_control.freeze(NOW)
    return make(pool)


@pytest.fixture
def registry() -> CollectorRegistry:
    """What Prometheus sees."""
    return CollectorRegistry()


@pytest.fixture
def reconciling(pool: Pool, registry: CollectorRegistry) -> Reconciling:
    """What the router does every minute."""
    return Reconciling(pool, PolicyShelf(), AssignmentMetrics(registry), Ears())  # type: ignore[arg-type]


async def test_drift_is_repaired_and_counted(assignment: Assignment, reconciling: Reconciling, pool: Pool) -> None:
    """Loads are set to what the active assignments add up to."""
    await hire(pool, "ana")
    await hire(pool, "ben")
    await put(pool, waiting(), waiting(Channel.LIVE_CHAT))
    await assignment.run("default", "default")
    before = {key: await load(pool, key) for key in ("ana", "ben")}
    assert 0 == await reconciling.reconcile_counters()
    await pool.execute("UPDATE agent SET primary_used = 7 WHERE key = 'ana'")
    await pool.execute("UPDATE agent SET interruptible_used = 1, calls = 1 WHERE key = 'ben'")

    assert 0 < await reconciling.reconcile_counters()

    assert before == {key: await load(pool, key) for key in ("ana", "ben")}


async def test_open_tickets_that_nobody_has_and_that_dont_wait_are_found(
    assignment: Assignment,
    reconciling: Reconciling,
    pool: Pool,
    registry: CollectorRegistry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever lost them: they are counted and named, until somebody has them again."""
    await hire(pool, "ana")
    given, waits, lost, paused, over, unopened = (waiting() for _ in range(6))
    await put(pool, given)
    await assignment.run("default", "default")
    await put(pool, waits, lost, paused, over, unopened)
    assert (0, 0) == (await reconciling.run_once(), registry.get_sample_value("sla_tickets_stranded"))

    gone = [ticket.ticket_id for ticket in (lost, paused, over, unopened)]
    await pool.execute("DELETE FROM queued WHERE ticket_id = ANY($1)", gone)
    await pool.execute("UPDATE ticket SET status = 'on_hold' WHERE id = $1", paused.ticket_id)
    await pool.execute("UPDATE ticket SET status = 'solved' WHERE id = $1", over.ticket_id)
    await pool.execute("UPDATE ticket SET opened_at = NULL WHERE id = $1", unopened.ticket_id)

    assert (2, 2) == (await reconciling.run_once(), registry.get_sample_value("sla_tickets_stranded"))
    [said] = [record for record in caplog.records if getattr(record, "event", "") == "tickets_stranded"]
    names = {f"default/shop/{ticket.ticket_id}" for ticket in (lost, paused)}
    assert names == set(said.fields["first"])  # type: ignore[attr-defined]
    await pool.execute("UPDATE ticket SET status = 'solved'")
    assert (0, 0) == (await reconciling.run_once(), registry.get_sample_value("sla_tickets_stranded"))
