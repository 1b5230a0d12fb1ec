"""Metrics of pages: what became of attempts, and how long each stage of a page took."""

from prometheus_client import CollectorRegistry, Counter, Histogram

PAGE_BUCKETS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2, 5, 10, 30, 60),
    *(120, 300, 600, 900, 1800, 3600, 7200, 14400),
)
PAGE_STAGES = (
    "due_to_commit",
    "commit_to_attempt",
    "due_to_attempt",
    "attempt_to_accept",
    "accept_to_delivered",
    "accept_to_acknowledged",
)
PAGE_OUTCOMES = ("accepted", "rejected", "retryable", "unknown", "failed")


class PageMetrics:
    """Pages sent."""

    def __init__(self, registry: CollectorRegistry, transports: tuple[str, ...]) -> None:
        self.outcomes = Counter(
            "sla_pages_total",
            "Attempts to page, and to say that a page is moot, by their outcome; `failed` counts those given up.",
            ["transport", "outcome"],
            registry=registry,
        )
        self.lag = Histogram(
            "sla_page_lag_seconds",
            "What a page took, by stage; each is observed once, by the process that stores its end.",
            ["stage"],
            buckets=PAGE_BUCKETS,
            registry=registry,
        )
        for stage in PAGE_STAGES:
            self.lag.labels(stage)
        for transport in transports:
            for outcome in PAGE_OUTCOMES:
                self.outcomes.labels(transport, outcome)
