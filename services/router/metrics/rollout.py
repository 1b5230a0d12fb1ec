"""What rollouts of policy versions tell Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from services.router.domain.effects import Counts, Effect

_OUTCOMES = ("recomputed", "kept", "failed")


class RolloutMetrics:
    """Counters of tickets and clocks that rollouts reached, and what they have left."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._tickets = Counter(
            "sla_policy_rollout_tickets_total",
            "Open tickets that got another policy version; `kept`: no clock of theirs could move.",
            ["outcome"],
            registry=registry,
        )
        self._clocks = Counter(
            "sla_policy_rollout_clocks_total",
            "What became of running clocks under another policy version.",
            ["effect"],
            registry=registry,
        )
        self.put_off = Counter(
            "sla_policy_rollout_put_off_total",
            "Batches of rollouts put off because somebody else held their tickets.",
            registry=registry,
        )
        self.remaining = Gauge(
            "sla_policy_rollout_remaining", "Open tickets that rollouts have before them.", registry=registry
        )
        for outcome in _OUTCOMES:
            self._tickets.labels(outcome)
        for effect in Effect:
            self._clocks.labels(effect)

    @property
    def failed(self) -> Counter:
        """Tickets that kept their version because of a fault."""
        return self._tickets.labels("failed")

    def count(self, counts: Counts) -> None:
        """Count a committed batch."""
        self._tickets.labels("recomputed").inc(counts.recomputed)
        self._tickets.labels("kept").inc(counts.tickets - counts.recomputed)
        for effect in Effect:
            self._clocks.labels(effect).inc(getattr(counts, effect.value))
