"""What the router tells Prometheus; names and labels are those of the interface, closed sets only."""

from collections import Counter as Tally
from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.router.domain.standing import Touched
from services.router.metrics.tenure import TenureMetrics
from services.router.recording import Recorded
from shared.contract.judges import JudgedBy
from shared.contract.ledger import Ticket
from shared.contract.tickets import Channel, ClockState, TargetKind, Urgency
from shared.sla.clock import Change

_SOURCES = 20
"""So many helpdesks get a label of their own; more are `other`."""
RESPONSE_BUCKETS = (30, 60, 120, 300, 900, 1800, 3600, 7200, 14400, 28800, 57600, 86400, 172800, 432000, 864000)
HANDLING_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class RouterMetrics:
    """The router's own counters; assignment and HTTP bring theirs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.received = Counter(
            "sla_tickets_received_total", "Tickets opened.", ["source", "channel"], registry=registry
        )
        self.rejected = Counter(
            "sla_tickets_rejected_total", "Events that could not be used, by reason.", ["reason"], registry=registry
        )
        self.duplicates = Counter("sla_events_duplicate_total", "Events that were known already.", registry=registry)
        self.classified = Counter(
            "sla_tickets_classified_total",
            "Tickets opened, once for each rule that hit (`none` where none did).",
            ["channel", "urgency", "rule"],
            registry=registry,
        )
        self.outcomes = Counter(
            "sla_target_outcomes_total",
            "Promises kept or broken; broken ones are counted at the deadline.",
            ["target", "channel", "urgency", "outcome", "policy"],
            registry=registry,
        )
        self.response = Histogram(
            "sla_response_seconds",
            "Open time a promise took.",
            ["target", "channel", "urgency"],
            buckets=RESPONSE_BUCKETS,
            registry=registry,
        )
        self.no_target = Counter(
            "sla_tickets_without_target_total", "Tickets to which nothing was promised.", registry=registry
        )
        self.handling = Histogram(
            "sla_event_handling_seconds",
            "How long a batch of events took us, by stage.",
            ["stage"],
            buckets=HANDLING_BUCKETS,
            registry=registry,
        )
        self.matching_put_off = Counter(
            "sla_matching_put_off_total",
            "Matching runs left to the sweep because the database was away.",
            registry=registry,
        )
        self.shadows = Gauge(
            "sla_shadow_policies",
            "Candidate policies beside the one in force; `failed` ones can't be tried.",
            ["state"],
            registry=registry,
        )
        self.shadow_behind = Gauge(
            "sla_shadow_behind", "About how many events candidate policies have not heard of.", registry=registry
        )
        self.models = Gauge(
            "sla_models", "Trained models that score tickets, by what for.", ["state"], registry=registry
        )
        self.scored = Counter(
            "sla_tickets_scored_total",
            "Tickets that a trained model scored; `sure` by the policy's confidence.",
            ["state", "said"],
            registry=registry,
        )
        self.scoring_failed = Counter(
            "sla_scoring_failures_total",
            "Tickets recorded without their models, by a fault of ours.",
            registry=registry,
        )
        self.tenures = TenureMetrics(registry)
        self._sources: set[str] = set()
        for reason in ("unparseable", "invalid", "unknown_type", "future", "unstorable"):
            self.rejected.labels(reason=reason)
        for channel in Channel:
            for urgency in Urgency:
                for target in TargetKind:
                    self.outcomes.labels(target, channel, urgency, Change.MET, JudgedBy.LIVE)

    def begin_shadow(self) -> None:
        """Outcomes under a candidate begin at 0; without one they have no series."""
        for channel in Channel:
            for urgency in Urgency:
                for target in TargetKind:
                    for outcome in (Change.MET, Change.BREACHED):
                        self.outcomes.labels(target, channel, urgency, outcome, JudgedBy.SHADOW)

    def count(self, recorded: Recorded) -> None:
        """Count a committed batch."""
        for receipt in recorded.receipts:
            if receipt.rejected is not None:
                self.rejected.labels(receipt.rejected.reason).inc()
            elif receipt.is_duplicate:
                self.duplicates.inc()
        self._count_opened([item.standing.ticket for item in recorded.touched if _is_opened_now(item)])
        self.count_promises(recorded.touched)
        self.tenures.count(recorded.saved.happened)
        for (state, is_sure), tickets in recorded.scored.items():
            self.scored.labels(state, "sure" if is_sure else "unsure").inc(tickets)

    def count_promises(self, touched: Sequence[Touched]) -> None:
        """Count what committed tickets say of promises kept and broken; one that is only put right was counted before."""
        outcomes: Tally[tuple[str, ...]] = Tally()
        for item in touched:
            channel, urgency = _labels(item.standing.ticket)
            answered = {(clock.target, clock.cycle): clock.state for clock in item.stored if clock.met_at is not None}
            for change, clock in item.standing.changes:
                before = answered.get((clock.target, clock.cycle))
                if change is Change.MET and before is None:
                    self.response.labels(clock.target, channel, urgency).observe(clock.open_used.total_seconds())
                is_kept = change is Change.MET and clock.state is ClockState.MET and before is not ClockState.MET
                if change is Change.BREACHED or is_kept:
                    outcomes[clock.target, channel, urgency, change, JudgedBy.LIVE] += 1
        _add(self.outcomes, outcomes)

    def _count_opened(self, tickets: Sequence[Ticket]) -> None:
        received: Tally[tuple[str, ...]] = Tally()
        classified: Tally[tuple[str, ...]] = Tally()
        for ticket in tickets:
            channel, urgency = _labels(ticket)
            received[self._source(ticket.source), channel] += 1
            for rule in ticket.rules or ("none",):
                classified[channel, urgency, rule] += 1
            if ticket.matched is None:
                self.no_target.inc()
        _add(self.received, received)
        _add(self.classified, classified)

    def _source(self, source: str) -> str:
        if source not in self._sources and len(self._sources) >= _SOURCES:
            return "other"
        self._sources.add(source)
        return source


def _is_opened_now(item: Touched) -> bool:
    return item.standing.ticket.opened_at is not None and (item.before is None or item.before.opened_at is None)


def _labels(ticket: Ticket) -> tuple[str, str]:
    return ticket.channel or Channel.OTHER, ticket.urgency or Urgency.NORMAL


def _add(counter: Counter, tally: Mapping[tuple[str, ...], int]) -> None:
    for labels, n in tally.items():
        counter.labels(*labels).inc(n)
