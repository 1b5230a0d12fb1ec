"""What assignment tells Prometheus."""

from collections import Counter as Counts
from collections.abc import Iterable
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.router.domain.match import Because
from services.router.domain.queue import Reason
from services.router.helping import FALLBACK
from services.router.store.pools import QueueGauge

UNROUTABLE = "unroutable"
MOST_POOLS = 200
"""Pools that have series of their own; names come from the policies of all tenants."""
OTHER_POOLS = "(other pools)"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class AssignmentMetrics:
    """Counters of matching runs, and the queue as it was last measured."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.assignments = Counter(
            "sla_assignments_total",
            "Tickets given to an agent, by what decided; `unroutable`: nobody on the roster can take them.",
            ["pool", "outcome"],
            registry=registry,
        )
        self.depth = Gauge(
            "sla_queue_depth", "Tickets that wait for an owner, by reason.", ["pool", "reason"], registry=registry
        )
        self.oldest = Gauge(
            "sla_queue_oldest_seconds",
            "How long the oldest ticket has waited for an owner, by reason.",
            ["pool", "reason"],
            registry=registry,
        )
        self.run_seconds = Histogram(
            "sla_matching_seconds", "How long one matching transaction took.", buckets=_SECONDS, registry=registry
        )
        self.retries = Counter(
            "sla_matching_retries_total", "Matching transactions begun again after a deadlock.", registry=registry
        )
        self.drift = Counter(
            "sla_load_drift_units_total",
            "Units by which agents' loads were not the sum of their assignments; above 0 is a fault.",
            registry=registry,
        )
        self.failures = Counter(
            "sla_matching_failures_total",
            "Matching runs that failed for a reason of their own, as a policy that can't be read; other pools went on.",
            registry=registry,
        )
        self.stranded = Gauge(
            "sla_tickets_stranded",
            "Open tickets that neither wait for an owner nor have one, up to 1000; above 0 is a fault.",
            registry=registry,
        )
        self._pools: set[str] = set()
        self.know_pool("default")

    def know_pool(self, pool: str) -> str:
        """Begin a pool's series at 0; returns the name it goes by, which is `OTHER_POOLS` once there are many."""
        if pool in self._pools:
            return pool
        if len(self._pools) >= MOST_POOLS:
            pool = OTHER_POOLS
        self._pools.add(pool)
        for outcome in (*Because, FALLBACK, UNROUTABLE):
            self.assignments.labels(pool, outcome)
        for reason in Reason:
            self.depth.labels(pool, reason)
            self.oldest.labels(pool, reason)
        return pool

    def count(self, pool: str, outcome: str, tickets: int) -> None:
        """So many tickets of a pool found an owner by this, or nobody."""
        self.assignments.labels(self.know_pool(pool), outcome).inc(tickets)

    def show_queue(self, gauges: Iterable[QueueGauge]) -> None:
        """Set the gauges; what isn't given is 0."""
        depth: Counts[tuple[str, Reason]] = Counts()
        oldest: dict[tuple[str, Reason], float] = {}
        for gauge in gauges:
            place = (self.know_pool(gauge.pool), gauge.reason)
            depth[place] += gauge.depth
            oldest[place] = max(oldest.get(place, 0), gauge.oldest_seconds)
        for place in product(self._pools, Reason):
            self.depth.labels(*place).set(depth[place])
            self.oldest.labels(*place).set(oldest.get(place, 0))
