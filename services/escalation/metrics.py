"""What escalation tells Prometheus; names and labels are those of the interface, closed sets only.

Lags are in real seconds: where a test or the demo lets time run faster, they are divided by its rate.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.escalation.domain.ladder import Reason
from shared.contract.judges import JudgedBy
from shared.contract.tickets import Channel, TargetKind, Urgency

LAG_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600)
ANSWER_BUCKETS = (15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
PAGE_STAGES = ("due_to_commit", "commit_to_attempt", "attempt_to_accept", "due_to_accept")
HELP_OUTCOMES = ("opened", "again", "live", "unheard")
LIVE_STATES = ("open", "acknowledged", "exhausted")
PAGE_OUTCOMES = ("accepted", "rejected", "retryable", "unknown", "failed")


class EscalationMetrics:
    """The service's own counters; HTTP brings its own."""

    def __init__(self, registry: CollectorRegistry, transports: tuple[str, ...] = ()) -> None:
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
        self.escalations = Counter(
            "sla_escalations_total",
            "Steps taken of escalations, by the ticket's channel: `warning`, `1`, `2`, ..., `exhausted`.",
            ["channel", "step", "reason"],
            registry=registry,
        )
        self.help_requests = Counter(
            "sla_help_requests_total",
            "Tickets that need somebody, by what was done: `opened` an escalation, one is `live` already, sent it up `again`, "
            "or `unheard`: the policy has none.",
            ["reason", "outcome"],
            registry=registry,
        )
        self.pages = Counter(
            "sla_pages_total",
            "Attempts to page, and to say that a page is moot, by their outcome; `failed` counts those given up.",
            ["transport", "outcome"],
            registry=registry,
        )
        self.firing_lag = Histogram(
            "sla_firing_lag_seconds",
            "From the instant a clock was due to our noticing it.",
            buckets=LAG_BUCKETS,
            registry=registry,
        )
        self.page_lag = Histogram(
            "sla_page_lag_seconds", "What a page took, by stage.", ["stage"], buckets=LAG_BUCKETS, registry=registry
        )
        self.answer = Histogram(
            "sla_page_answer_seconds",
            "From a page's acceptance to its acknowledgement, by the time that decides.",
            buckets=ANSWER_BUCKETS,
            registry=registry,
        )
        self.oldest_due = Gauge(
            "sla_oldest_due_seconds", "How long the oldest due clock has waited for us.", registry=registry
        )
        self.time_jump = Gauge(
            "sla_database_time_jump_seconds",
            "How far the database's clock has jumped against this host's; over 60 firing halts.",
            registry=registry,
        )
        self.outbox_oldest = Gauge(
            "sla_outbox_oldest_seconds", "Age of the oldest event of ours that is not published.", registry=registry
        )
        self.live = Gauge("sla_escalations_live", "Escalations that are not resolved.", ["state"], registry=registry)
        for stage in PAGE_STAGES:
            self.page_lag.labels(stage)
        for transport in transports:
            for outcome in PAGE_OUTCOMES:
                self.pages.labels(transport, outcome)
        for reason in (Reason.UNROUTABLE, Reason.MANUAL):
            for outcome in HELP_OUTCOMES:
                self.help_requests.labels(reason, outcome)
            for channel in Channel:
                self.escalations.labels(channel, "1", reason)
                self.escalations.labels(channel, "exhausted", reason)
        for channel in Channel:
            self.escalations.labels(channel, "warning", Reason.WARNED)
            self.escalations.labels(channel, "1", Reason.BREACHED)
            self.escalations.labels(channel, "exhausted", Reason.BREACHED)
            for urgency in Urgency:
                for target in TargetKind:
                    self.outcomes.labels(target, channel, urgency, "breached", JudgedBy.LIVE)
