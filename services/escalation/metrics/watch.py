"""Metrics of the service itself: what it has not got rid of, what must hold, and its heartbeat."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from services.escalation.domain.invariants import WAITING, Invariant

BEATS = ("sent", "failed", "withheld")


class WatchMetrics:
    """What the auditor sees, and what is measured every few seconds."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.oldest_due = Gauge(
            "sla_oldest_due_seconds",
            "How long the oldest row whose time has come has waited for us, in real seconds, as the auditor sees it.",
            ["waiting"],
            registry=registry,
        )
        self.outbox_oldest = Gauge(
            "sla_outbox_oldest_seconds", "Age of the oldest event of ours that is not published.", registry=registry
        )
        self.held = Gauge(
            "sla_invariant_held",
            "Whether each of the invariants of paging held when the auditor last looked.",
            ["invariant"],
            registry=registry,
        )
        self.beat_at = Gauge(
            "sla_heartbeat_timestamp_seconds",
            "When all invariants last held at a heartbeat, and the outside check, if there is one, had taken it.",
            registry=registry,
        )
        self.beats = Counter(
            "sla_heartbeats_total",
            "Heartbeats that were due: `sent`, `failed` to reach the outside check, or `withheld` as something did not hold.",
            ["outcome"],
            registry=registry,
        )
        for waiting in WAITING:
            self.oldest_due.labels(waiting)
        for invariant in Invariant:
            self.held.labels(invariant)
        for outcome in BEATS:
            self.beats.labels(outcome)
