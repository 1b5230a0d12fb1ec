"""What the life of assignments tells Prometheus."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

from services.router.domain.tenure import Ended, OfferOutcome, State
from services.router.holding import Happened
from services.router.store.assignments import TenureGauge

_GIVEN_BACK = (Ended.RELEASED, Ended.UNTOUCHED, Ended.WOKEN)


class TenureMetrics:
    """Offers, what goes back into the queue, and how agents have what they have."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.offers = Counter(
            "sla_offers_total", "Offers to agents, by how they ended.", ["pool", "outcome"], registry=registry
        )
        self.given_back = Counter(
            "sla_assignments_given_back_total",
            "Tickets that went from their owner back into the queue: given back by the agent, not touched in time, or "
            "woken without room for them.",
            ["pool", "reason"],
            registry=registry,
        )
        self.by_hand = Counter(
            "sla_assignments_by_hand_total", "Tickets that the helpdesk gave to an agent.", ["pool"], registry=registry
        )
        self.away = Counter(
            "sla_agents_set_away_total", "Agents who let too many offers lapse in a row.", registry=registry
        )
        self.refused = Counter(
            "sla_parking_refused_total",
            "Silent work that kept its room, because its agent had parked as much as the policy allows.",
            registry=registry,
        )
        self.standing = Gauge(
            "sla_assignments_held", "What agents have, and what they are offered.", ["pool", "state"], registry=registry
        )
        self.failures = Counter(
            "sla_tending_failures_total",
            "Assignments whose timers could not be acted upon for a reason of their own; others were.",
            registry=registry,
        )
        self._pools: set[str] = set()
        self.know_pool("default")

    def know_pool(self, pool: str) -> None:
        """Begin a pool's series at 0."""
        if pool in self._pools:
            return
        self._pools.add(pool)
        for outcome in OfferOutcome:
            self.offers.labels(pool, outcome)
        for reason in _GIVEN_BACK:
            self.given_back.labels(pool, reason)
        for state in State:
            self.standing.labels(pool, state)
        self.by_hand.labels(pool)

    def count(self, happened: Happened) -> None:
        """Count what was committed."""
        for (pool, outcome), n in happened.offers.items():
            self.know_pool(pool)
            self.offers.labels(pool, outcome).inc(n)
        for (pool, reason), n in happened.ended.items():
            self.know_pool(pool)
            self.given_back.labels(pool, reason).inc(n)
        for pool, n in happened.by_hand.items():
            self.know_pool(pool)
            self.by_hand.labels(pool).inc(n)
        self.away.inc(len(happened.away))
        self.refused.inc(happened.overflown)

    def show(self, gauges: Iterable[TenureGauge]) -> None:
        """Set the gauge; what isn't given is 0."""
        measured = {(gauge.pool, gauge.state): gauge.n for gauge in gauges}
        for pool, _ in measured:
            self.know_pool(pool)
        for pool in self._pools:
            for state in State:
                self.standing.labels(pool, state).set(measured.get((pool, state), 0))
