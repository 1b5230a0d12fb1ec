"""Metrics of escalations: steps taken, help asked for, how many are live."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from services.escalation.domain.ladder import Reason
from shared.contract.tickets import Channel

HELP_OUTCOMES = ("opened", "again", "live", "unheard")
LIVE_STATES = ("open", "acknowledged", "exhausted")


class LadderMetrics:
    """Escalations that went up."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.steps = Counter(
            "sla_escalations_total",
            "Steps taken of escalations, by the ticket's channel: `warning`, `1`, `2`, ..., `exhausted`; and what befell them: "
            "`raised`, `woken`, `handed_over`, `resumed`, `expired`.",
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
        self.answers = Counter(
            "sla_answers_total",
            "Answers to pages, by what was wanted (`acknowledge`, `snooze`, `hand_back`), by `link` or `key`, and what they met.",
            ["action", "way", "standing"],
            registry=registry,
        )
        self.live = Gauge("sla_escalations_live", "Escalations that are not resolved.", ["state"], registry=registry)
        for reason in (Reason.UNROUTABLE, Reason.MANUAL):
            for outcome in HELP_OUTCOMES:
                self.help_requests.labels(reason, outcome)
            for channel in Channel:
                self.steps.labels(channel, "1", reason)
                self.steps.labels(channel, "exhausted", reason)
        for channel in Channel:
            self.steps.labels(channel, "warning", Reason.WARNED)
            self.steps.labels(channel, "1", Reason.BREACHED)
            self.steps.labels(channel, "exhausted", Reason.BREACHED)
            self.steps.labels(channel, "expired", Reason.BREACHED)
