"""What presence tells Prometheus."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

from services.router.holding import Happened
from services.router.metrics.tenure import TenureMetrics
from services.router.requeueing import Requeued
from services.router.store.presence import AgentCount
from shared.policy.document import Presence

_STATES = ("there", "away", "gone")


class PresenceMetrics:
    """Who is there, and what those who have gone left behind."""

    def __init__(self, registry: CollectorRegistry, tenures: TenureMetrics) -> None:
        """`tenures` counts the offers among what is taken back."""
        self._tenures = tenures
        self.agents = Gauge(
            "sla_agents",
            "People who work tickets, by how we know whether they are there (`manual`, `shift`, `lease`) and whether they are "
            "(`there`, `away`, `gone`).",
            ["presence", "state"],
            registry=registry,
        )
        self.requeued = Counter(
            "sla_tickets_of_absent_total",
            "Tickets, and offers, taken from people who have gone, and queued again.",
            registry=registry,
        )
        self.failures = Counter(
            "sla_presence_failures_total",
            "Times that presence could not be kept true in a tenant for a reason of its own, as a policy that can't be read; "
            "other tenants went on.",
            registry=registry,
        )
        self.show_agents(())

    def count(self, requeued: Requeued) -> None:
        """Count what was taken from people who have gone, once it is committed."""
        self.requeued.inc(requeued.tickets)
        self._tenures.count(Happened(offers=requeued.offers))

    def show_agents(self, counts: Iterable[AgentCount]) -> int:
        """Set the gauge; what isn't given is 0. Returns how many are there."""
        agents = {(count.presence, count.state): count.agents for count in counts}
        for presence in Presence:
            for state in _STATES:
                self.agents.labels(presence, state).set(agents.get((presence, state), 0))
        return sum(n for (_, state), n in agents.items() if state == "there")
