"""Metrics of the service itself: what it has not got rid of."""

from prometheus_client import CollectorRegistry, Gauge


class WatchMetrics:
    """What is measured every few seconds."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.outbox_oldest = Gauge(
            "sla_outbox_oldest_seconds", "Age of the oldest event of ours that is not published.", registry=registry
        )
