"""Metrics of on call: when nobody would be paged, and how old what was imported is."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge

NEVER = float("inf")
"""The age of a calendar that was never read."""


class OnCallMetrics:
    """Measured about every minute; a rotation that is gone from the policy is gone here, too."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.gap = Gauge(
            "sla_on_call_gap_seconds",
            "For how long in the next 7 days nobody would be paged by a rotation, over all tenants that have one of this name.",
            ["rotation"],
            registry=registry,
        )
        self.feed_age = Gauge(
            "sla_on_call_feed_age_seconds",
            "Age of the copy of a calendar that is imported, the oldest where several tenants have one; +Inf: never read.",
            ["rotation"],
            registry=registry,
        )

    def show(self, gaps: Mapping[str, float], ages: Mapping[str, float]) -> None:
        """Put these, in seconds by rotation, in place of what was shown before."""
        for gauge, values in ((self.gap, gaps), (self.feed_age, ages)):
            gauge.clear()
            for rotation, seconds in values.items():
                gauge.labels(rotation).set(seconds)
