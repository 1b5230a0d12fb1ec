"""What escalation tells Prometheus; names and labels are those of the interface, closed sets only.

Lags are in real seconds: where a test or the demo lets time run faster, they are divided by its rate.
"""

from prometheus_client import CollectorRegistry

from services.escalation.metrics.clocks import ClockMetrics
from services.escalation.metrics.ladders import LadderMetrics
from services.escalation.metrics.on_call import OnCallMetrics
from services.escalation.metrics.pages import PageMetrics
from services.escalation.metrics.watch import WatchMetrics


class EscalationMetrics:
    """The service's own metrics, by what they are about; HTTP brings its own."""

    def __init__(self, registry: CollectorRegistry, transports: tuple[str, ...] = ()) -> None:
        self.clocks = ClockMetrics(registry)
        self.ladders = LadderMetrics(registry)
        self.on_call = OnCallMetrics(registry)
        self.pages = PageMetrics(registry, transports)
        self.watch = WatchMetrics(registry)
