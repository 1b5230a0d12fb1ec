"""What every process of ours tells Prometheus of itself: its version, and when each loop last succeeded."""

from collections.abc import Iterator
from importlib import metadata

from prometheus_client import CollectorRegistry, Info
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.runtime.periodic import Health

VERSION = metadata.version("deskclock")


class _Loops(Collector):
    def __init__(self, health: Health) -> None:
        self._health = health

    def collect(self) -> Iterator[Metric]:
        """One sample a loop; 0 where it has not succeeded yet."""
        family = GaugeMetricFamily(
            "sla_loop_last_success_timestamp_seconds", "When each loop last succeeded.", labels=["loop"]
        )
        for name, seconds in self._health.last_success().items():
            family.add_metric([name], seconds)
        yield family


def register(registry: CollectorRegistry, health: Health) -> None:
    """Add the vital signs to a process's registry."""
    registry.register(_Loops(health))
    Info("sla_build", "Which Deskclock this is.", registry=registry).info({"version": VERSION})
