"""A candidate's verdict on one ticket: the fold's own, silent, and each outcome said once."""

from datetime import UTC, datetime, timedelta

import pytest

from services.router.domain.trial import Trial, try_on
from shared.contract.events import Opened, Replied, StatusChanged, TicketEvent
from shared.contract.tickets import Author, Status
from shared.policy.parse import parse_policy
from shared.sla.clock import Clock

MONDAY = datetime(2026, 6, 1, 9, tzinfo=UTC)
CANDIDATE = parse_policy(
    """
urgency:
  - {name: all, urgency: high, when: {channel: email}}
targets:
  - {name: all, calendar: always, first_response: 1h, resolution: 8h, warn: [50%], escalate: wake}
escalations:
  wake: {steps: [{after: 0m, page: [person/ana]}]}
""",
    version=0,
)


def event(data: object, minutes: float) -> TicketEvent:
    at = MONDAY + timedelta(minutes=minutes)
    return TicketEvent(tenant="acme", id=str(minutes), source="shop", ticket="1", occurred_at=at, data=data)


OPENED = event(Opened(channel="email"), 0)
REPLIED = event(Replied(by=Author.AGENT), 30)


def judged(*log: TicketEvent, minutes: float, stored: tuple[Clock, ...] = ()) -> Trial:
    return try_on(CANDIDATE, log, stored, MONDAY + timedelta(minutes=minutes))


def said(trial: Trial) -> list[tuple[str, str, str, str]]:
    return [(one.target, one.channel, one.urgency, one.change) for one in trial.outcomes]


def test_no_clock_of_a_candidate_warns_or_escalates() -> None:
    """Time alone can only break it, and nobody climbs a ladder for it."""
    for clock in judged(OPENED, minutes=5).clocks:
        assert ((), 0, None) == (clock.warn_at, clock.warned, clock.escalate)
        assert clock.due_at == clock.next_fire_at


def test_a_promise_kept_is_said_once_however_often_it_is_folded() -> None:
    """Under the channel and urgency that the candidate gives the ticket."""
    first = judged(OPENED, REPLIED, minutes=31)
    assert [("first_response", "email", "high", "met")] == said(first)
    assert [] == said(judged(OPENED, REPLIED, minutes=40, stored=first.clocks))


def test_a_promise_broken_by_time_is_said_at_the_deadline_and_not_at_the_late_reply() -> None:
    """As the live ones are counted."""
    before = judged(OPENED, minutes=1)
    assert [] == said(before)
    broken = judged(OPENED, minutes=61, stored=before.clocks)
    assert [("first_response", "email", "high", "breached")] == said(broken)
    late = judged(OPENED, event(Replied(by=Author.AGENT), 70), minutes=71, stored=broken.clocks)
    assert [] == said(late)


@pytest.mark.parametrize(("minutes", "change"), [(60, "met"), (60.1, "breached")])
def test_rule_47_holds_for_candidates_too(minutes: float, change: str) -> None:
    """A reply at the due time is in time, whenever the candidate hears of it."""
    found = judged(OPENED, event(Replied(by=Author.AGENT), minutes), minutes=300)
    assert [("first_response", "email", "high", change)] == said(found)


def test_a_cancelled_promise_is_no_outcome() -> None:
    """Spam keeps and breaks nothing."""
    found = judged(OPENED, event(StatusChanged(status=Status.SPAM), 10), minutes=300)
    assert [] == said(found)
    assert {"cancelled"} == {clock.state for clock in found.clocks}
