"""What assignment tells Prometheus of pools, whose names tenants choose."""

from prometheus_client import CollectorRegistry

from services.router.domain.match import Because
from services.router.domain.queue import Reason
from services.router.metrics.assignment import MOST_POOLS, OTHER_POOLS, AssignmentMetrics
from services.router.store.pools import QueueGauge


def test_many_pools_share_one_series() -> None:
    """So that the number of series is bounded, whatever tenants call theirs."""
    registry = CollectorRegistry()
    metrics = AssignmentMetrics(registry)
    names = [f"pool {n}" for n in range(MOST_POOLS + 50)]
    for name in names:
        metrics.count(name, Because.FREE, 2)
    metrics.show_queue(QueueGauge(name, Reason.FULL, 3, float(n)) for n, name in enumerate(names))

    def value(metric: str, pool: str, **labels: str) -> float | None:
        return registry.get_sample_value(metric, {"pool": pool, **labels})

    assert 2 == value("sla_assignments_total", "pool 0", outcome="free")
    assert 3 == value("sla_queue_depth", "pool 0", reason="full")
    others = len(names) - (MOST_POOLS - 1)
    assert 2 * others == value("sla_assignments_total", OTHER_POOLS, outcome="free")
    assert 3 * others == value("sla_queue_depth", OTHER_POOLS, reason="full")
    assert len(names) - 1 == value("sla_queue_oldest_seconds", OTHER_POOLS, reason="full")
    assert value("sla_queue_depth", names[-1], reason="full") is None
