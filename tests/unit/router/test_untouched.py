"""Which tickets another version can't move (rule 55)."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from services.router.domain.untouched import Pair, restamped
from shared.contract.ledger import Ticket
from shared.contract.tickets import ClockState, TargetKind
from shared.policy.parse import read_policy
from shared.sla.clock import Clock

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
"""A Monday."""
DAY = timedelta(days=1)
BASE = """
calendars:
  office: {hours: {mon-fri: "09:00-17:00"}, closed: [%s]}
  other: {hours: {mon-fri: "09:00-%s"}}
targets:
  - {name: days, when: {channel: email}, calendar: office, resolution: 2bd}
  - {name: all, calendar: office, resolution: 8h}
escalations: {tell: {steps: [{page: [channel/console]}]}}
"""
CLOCK = Clock(
    target=TargetKind.RESOLUTION,
    cycle=1,
    matched="all",
    policy_version=1,
    calendar="office",
    state=ClockState.RUNNING,
    started_at=NOW,
    due_at=NOW + DAY,
)
TICKET = Ticket(
    id=UUID(int=1),
    tenant="acme",
    source="desk",
    external_id="1",
    status="open",
    opened_at=NOW - 7 * DAY,
    solved_at=None,
    channel="email",
    urgency="normal",
    theme=None,
    language=None,
    subject=None,
    requester_key=None,
    requester_tier=None,
    matched="all",
    needs=b"[]",
    prefers=(),
    rules=(),
    pool="default",
    policy_version=1,
)


def pair(old: str, new: str) -> Pair:
    """Two versions."""
    before, after = read_policy(old, version=1), read_policy(new, version=2)
    documents = msgspec.json.decode(before.document), msgspec.json.decode(after.document)
    return Pair(before.policy, after.policy, documents)


def closed(days: str = "", close: str = "17:00") -> str:
    """A version with these closures."""
    return BASE % (days, close)


@pytest.mark.parametrize(
    ("days", "clock", "expected"),
    [
        ("'2026-12-24'", CLOCK, True),
        ("'2026-06-02'", CLOCK, False),
        ("'2026-06-02 13:00-14:00'", CLOCK, True),
        ("'2026-06-02 13:00-14:00'", replace(CLOCK, matched="days"), False),
        ("'2026-06-01 09:00-10:00'", CLOCK, False),
        ("'2026-06-01 09:00-10:00'", replace(CLOCK, cycle=2), False),
        ("'2026-06-02'", replace(CLOCK, calendar="other"), True),
        ("'2026-06-02'", replace(CLOCK, calendar="gone"), False),
        ("'2026-12-24'", replace(CLOCK, policy_version=7), False),
        ("'2026-06-02'", replace(CLOCK, state=ClockState.CANCELLED, ended_at=NOW), True),
        ("'2026-06-02'", replace(CLOCK, state=ClockState.PAUSED, due_at=None), False),
    ],
)
def test_rule_55_only_what_differs_while_a_clock_runs_matters(days: str, clock: Clock, expected: bool) -> None:
    """From the opening (a clock that began later may count from there) to its due time; business days to the end of that day."""
    assert expected is pair(closed(), closed(days)).leaves_alone(TICKET, [clock], NOW, NOW)


def test_rule_55_a_paused_clock_is_asked_up_to_now() -> None:
    """What comes later is counted when it goes on."""
    paused = replace(CLOCK, state=ClockState.PAUSED, due_at=None, started_at=NOW - 2 * DAY)
    ticket = replace(TICKET, status="on_hold")
    assert pair(closed(), closed("'2026-06-02'")).leaves_alone(ticket, [paused], NOW, NOW)
    assert not pair(closed(), closed("'2026-06-01'")).leaves_alone(ticket, [paused], NOW, NOW)


def test_rule_52_a_clock_broken_before_the_change_stays() -> None:
    """But for a version that has always held."""
    broken = replace(
        CLOCK, due_at=NOW - DAY, started_at=NOW - 4 * DAY, state=ClockState.BREACHED, breached_at=NOW - DAY
    )
    change = pair(closed(), closed("'2026-05-29'"))
    assert change.leaves_alone(TICKET, [broken], NOW, NOW)
    assert not change.leaves_alone(TICKET, [broken], None, NOW)
    assert (1, 2) == (restamped(broken, 2, NOW).policy_version, restamped(broken, 2, None).policy_version)
    assert 2 == restamped(CLOCK, 2, NOW).policy_version


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (closed(), closed(), True),
        (closed(), closed().replace("channel/console", "channel/other"), True),
        (closed(), closed().replace("8h", "7h"), False),
        (closed(), closed() + "themes: [{name: billing, when: {text: [invoice]}}]\n", False),
        (closed().replace("8h", "8h, on_change: restart"), closed("'2026-12-24'").replace("8h", "8h, on_change: restart"), False),
        (closed(), closed() + "x-own: 1\n", True),
    ],
)  # fmt: skip
def test_rule_55_only_calendars_and_whom_to_wake_may_differ(old: str, new: str, expected: bool) -> None:
    """Anything else may change what is promised to a ticket; a change that restarts clocks may do so by its mere coming."""
    assert expected is pair(old, new).leaves_alone(TICKET, [CLOCK], NOW, NOW)


def test_rule_31_other_time_zone_rules_are_looked_at() -> None:
    """What the older ones said is known nowhere."""
    read = read_policy(closed(), version=1), read_policy(closed(), version=2)
    old, new = (
        {**msgspec.json.decode(each.document), "tzdata": edition} for each, edition in zip(read, "ab", strict=True)
    )
    assert not Pair(read[0].policy, read[1].policy, (old, new)).leaves_alone(TICKET, [CLOCK], NOW, NOW)
