"""Metrics of firing: promises broken, warnings, and how late we noticed."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.contract.judges import JudgedBy
from shared.contract.tickets import Channel, TargetKind, Urgency

FIRING_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600)


class ClockMetrics:
    """Clocks that fired."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.outcomes = Counter(
            "sla_target_outcomes_total",
            "Promises kept or broken; broken ones are counted at the deadline.",
            ["target", "channel", "urgency", "outcome", "policy"],
            registry=registry,
        )
        self.warnings = Counter(
            "sla_warnings_total", "Clocks that warned.", ["target", "channel", "urgency"], registry=registry
        )
        self.warnings_skipped = Counter(
            "sla_warnings_skipped_total",
            "Warnings that nobody was told of, because a later one or the breach was due already.",
            ["target", "channel", "urgency"],
            registry=registry,
        )
        self.firing_lag = Histogram(
            "sla_firing_lag_seconds",
            "From the instant a clock was due to our noticing it.",
            buckets=FIRING_BUCKETS,
            registry=registry,
        )
        self.time_jump = Gauge(
            "sla_database_time_jump_seconds",
            "How far the database's clock has jumped against this host's; over 60 firing halts.",
            registry=registry,
        )
        for channel in Channel:
            for urgency in Urgency:
                for target in TargetKind:
                    self.outcomes.labels(target, channel, urgency, "breached", JudgedBy.LIVE)
