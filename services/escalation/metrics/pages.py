"""Metrics of pages: what became of attempts, and how long each stage of a page took."""

from collections.abc import Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.escalation.domain.promptness import Stage
from services.escalation.domain.sharing import Reason

PAGE_BUCKETS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2, 5, 10, 30, 60),
    *(120, 300, 600, 900, 1800, 3600, 7200, 14400),
)
PAGE_OUTCOMES = ("accepted", "rejected", "retryable", "unknown", "failed")
RECEIPT_OUTCOMES = ("arrived", "lost", "forged")
RECEIPTED = frozenset({"sms", "voice"})
"""Transports whose provider says later what became of a page."""


class PageMetrics:
    """Pages sent."""

    def __init__(self, registry: CollectorRegistry, transports: tuple[str, ...]) -> None:
        self._seen = set(transports)
        self.rate = 1.0
        """Seconds of the time that decides which pass in a real one, as the loops saw it last."""
        self.outcomes = Counter(
            "sla_pages_total",
            "Attempts to page, and to say that a page is moot, by their outcome; `failed` counts those given up.",
            ["transport", "outcome"],
            registry=registry,
        )
        self._lag = Histogram(
            "sla_page_lag_seconds",
            "What a page took, by stage; each is observed once, by the process that stores its end.",
            ["stage"],
            buckets=PAGE_BUCKETS,
            registry=registry,
        )
        self.unverified = Counter(
            "sla_pages_unverified_total",
            "Pages that a provider accepted, and of which no receipt came in time.",
            ["transport"],
            registry=registry,
        )
        self.receipts = Counter(
            "sla_page_receipts_total",
            "What providers said of pages that they had accepted: `arrived`, `lost`, or `forged`: not signed by them.",
            ["transport", "outcome"],
            registry=registry,
        )
        self.deferred = Gauge(
            "sla_pages_deferred", "Pages that are held back, by what they wait for.", ["reason"], registry=registry
        )
        self.broken = Gauge(
            "sla_breaker_open",
            "Accounts of providers that fail again and again, whose pages go another way.",
            ["transport"],
            registry=registry,
        )
        for reason in Reason:
            self.deferred.labels(reason)
        for stage in Stage:
            self._lag.labels(stage)
        for transport in transports:
            self.broken.labels(transport)
            for outcome in PAGE_OUTCOMES:
                self.outcomes.labels(transport, outcome)
        for transport in RECEIPTED & set(transports):
            self.unverified.labels(transport)
            for outcome in RECEIPT_OUTCOMES:
                self.receipts.labels(transport, outcome)

    def held_back(self, deferred: Mapping[str, int], broken: Mapping[str, int]) -> None:
        """How many pages wait, by why (R30), and how many accounts are broken, by transport (R38)."""
        for reason in Reason:
            self.deferred.labels(reason).set(deferred.get(reason, 0))
        self._seen |= broken.keys()
        for transport in self._seen:
            self.broken.labels(transport).set(broken.get(transport, 0))

    def committed(self, due_at: datetime, at: datetime) -> None:
        """A page was stored that is due since then."""
        self._observe(Stage.DUE_TO_COMMIT, due_at, at)

    def attempted(self, due_at: datetime | None, committed_at: datetime, at: datetime) -> None:
        """The first attempt of a page was stored.

        `due_at` is None where that says nothing of our speed: another way after one that failed, or held back by others.
        """
        self._observe(Stage.COMMIT_TO_ATTEMPT, committed_at, at)
        if due_at is not None:
            self._observe(Stage.DUE_TO_ATTEMPT, due_at, at)

    def accepted(self, attempted_at: datetime, at: datetime) -> None:
        """A provider took a page that was first tried then."""
        self._observe(Stage.ATTEMPT_TO_ACCEPT, attempted_at, at)

    def delivered(self, accepted_at: datetime, at: datetime) -> None:
        """A receipt says that an accepted page has arrived."""
        self._observe(Stage.ACCEPT_TO_DELIVERED, accepted_at, at)

    def acknowledged(self, accepted_at: datetime, at: datetime) -> None:
        """Somebody took over, by the time that decides: a person's time is not ours to scale."""
        self._lag.labels(Stage.ACCEPT_TO_ACKNOWLEDGED).observe(max((at - accepted_at).total_seconds(), 0.0))

    def _observe(self, stage: Stage, begun_at: datetime, ended_at: datetime) -> None:
        seconds = max((ended_at - begun_at).total_seconds(), 0.0)
        self._lag.labels(stage).observe(seconds / (self.rate if self.rate > 0 else 1.0))
