"""The queue entry of a stored ticket: what the policy version that judges it says of its place."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from services.router.domain.queue import Band
from services.router.domain.queueing import entry_of
from shared.contract.ledger import Ticket
from shared.contract.tickets import Channel, TargetKind
from shared.policy.parse import parse_policy
from shared.sla.clock import Clock, ClockState

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
POLICY = parse_policy(
    """
    channels: {social: {units: 2}}
    pools:
      - {name: returns, when: {theme: returns}, overflow: {to: default, after: 25%}}
      - {name: rest, when: {channel: phone}}
    routing: {strict_priority: true, rescue_after: 2, relax: [50%], affinity: {wait: 10%}}
    targets: [{name: all, calendar: always, first_response: 1h}]
    """,
    version=1,
)


def ticket(**changes: object) -> Ticket:
    """An open one, as it is stored."""
    fields = {
        "id": UUID(int=1), "tenant": "t", "source": "s", "external_id": "1", "status": "open", "opened_at": NOW - HOUR,
        "solved_at": None, "channel": "social", "urgency": "high", "theme": "unknown", "language": None, "subject": None,
        "requester_key": None, "requester_tier": None, "matched": "all", "needs": b'[["a", 2]]', "prefers": ["b", "c"],
        "insists": b'[["c"]]', "rules": [], "pool": "returns", "policy_version": 1,
    }  # fmt: skip
    return Ticket(**{**fields, **changes})  # type: ignore[arg-type]


def clock() -> Clock:
    """A first response, due four hours after it was opened."""
    return Clock(
        target=TargetKind.FIRST_RESPONSE,
        cycle=1,
        state=ClockState.RUNNING,
        matched="all",
        policy_version=1,
        calendar="always",
        started_at=NOW - HOUR,
        due_at=NOW + 3 * HOUR,
    )


def test_all_that_the_policy_says_of_a_place_is_heeded() -> None:
    """Order, rescue, affinity, overflow, rings, cost."""
    entry = entry_of(ticket(), POLICY, [clock()], NOW, previous_owner="ana", excluded=("bo",))

    assert (Channel.SOCIAL, 2, "returns") == (entry.channel, entry.units, entry.pool)
    assert (Band.SAVABLE, 1) == (entry.band, entry.order_rank)
    assert NOW + 3 * HOUR - timedelta(minutes=12) == entry.latest_start_at
    assert entry.latest_start_at + 8 * HOUR == entry.rescue_at
    assert ("default", NOW) == (entry.overflow_pool, entry.overflow_at)
    assert ((("c",),), (NOW + HOUR,)) == (entry.insists, entry.relax_at)
    assert ((("a", 2), ("c", 1)), ("b",)) == (entry.needs, entry.prefers)
    assert NOW + 0.1 * (entry.latest_start_at - NOW) == entry.affinity_until
    assert ("ana", ("bo",), NOW - HOUR) == (entry.previous_owner, entry.excluded, entry.queued_at)


def test_a_pool_without_overflow_keeps_its_tickets() -> None:
    """Also one that no rule names."""
    assert entry_of(ticket(pool="rest"), POLICY, [clock()], NOW).overflow_pool is None
    assert entry_of(ticket(pool="default"), POLICY, [clock()], NOW).overflow_at is None


def test_nobody_has_waited_longer_than_since_now() -> None:
    """A helpdesk's clock may be ahead of ours."""
    assert NOW == entry_of(ticket(opened_at=NOW + HOUR), POLICY, [], NOW).queued_at
    assert NOW - HOUR == entry_of(ticket(), POLICY, [], NOW, queued_at=NOW - HOUR).queued_at


def test_a_ticket_that_has_not_been_opened_waits_for_nobody() -> None:
    """Only later events of it have come."""
    with pytest.raises(ValueError, match="not been opened"):
        entry_of(ticket(opened_at=None), POLICY, [], NOW)
