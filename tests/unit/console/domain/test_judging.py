"""What `deskclock evaluate` says of one ticket: open time without pauses, wall time with them."""

from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import pytest

from services.console.domain import judging
from services.console.domain.judging import Evaluated, EvaluatedClock
from shared.contract.events import Data, Opened, Replied, StatusChanged, TicketEvent
from shared.contract.tickets import Author, Status
from shared.policy.parse import parse_policy

Log: TypeAlias = list[tuple[int, Data]]
"""Hours after Monday's midnight, and what happened."""

MONDAY = datetime(2026, 6, 1, tzinfo=UTC)
POLICY = parse_policy(
    "calendars: {office: {timezone: UTC, hours: {mon-fri: '09:00-17:00'}}}\n"
    "targets:\n  - {name: all, calendar: office, first_response: 4h, next_response: 3h, update: 8h, resolution: 16h}\n",
    version=1,
)


def test_a_running_clock_says_how_much_open_time_it_has_used() -> None:
    """Nights and the time before `started_at` don't count; the wall's time does."""
    clock = _resolution(now=33, log=[(10, Opened(channel="email"))])
    assert (timedelta(hours=7), timedelta(hours=23)) == _spans(clock)


def test_what_was_paused_is_no_open_time_of_a_clock_that_runs_again() -> None:
    """Paused from 11:00 to 13:00 of the first day: two hours less."""
    paused: Log = [
        (10, Opened(channel="email")),
        (11, StatusChanged(status=Status.PENDING_CUSTOMER)),
        (13, StatusChanged(status=Status.OPEN)),
    ]
    assert (timedelta(hours=5), timedelta(hours=23)) == _spans(_resolution(now=33, log=paused))


def test_a_paused_clock_says_what_it_had_used_when_the_pause_began() -> None:
    """It is not due while it lasts."""
    log: Log = [(10, Opened(channel="email")), (12, StatusChanged(status=Status.ON_HOLD))]
    clock = _resolution(now=16, log=log)
    assert ("paused", None) == (clock.state, clock.due_at)
    assert (timedelta(hours=2), timedelta(hours=6)) == _spans(clock)


def test_a_reopened_clock_goes_on_counting_from_what_it_had_used() -> None:
    """Opened 9:00, solved 12:00, reopened 15:00: four hours at 16:00, of which it has run one itself."""
    log: Log = [
        (9, Opened(channel="email")),
        (12, StatusChanged(status=Status.SOLVED)),
        (15, StatusChanged(status=Status.OPEN)),
    ]
    clock = _resolution(now=16, log=log)
    assert ("running", 2) == (clock.state, clock.cycle)
    assert clock.wall_seconds == 3600


def test_open_time_is_the_same_whether_or_not_the_fold_has_to_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read off the calendar is what the fold would say, whatever happened before the clock began."""
    log: Log = [
        (9, Opened(channel="email")),
        (10, Replied(by=Author.AGENT)),
        (11, StatusChanged(status=Status.ON_HOLD)),
        (12, StatusChanged(status=Status.OPEN)),
        (13, Replied(by=Author.CUSTOMER)),
        (36, Replied(by=Author.CUSTOMER)),
    ]
    told = [_judged(now=38, log=log[:n]) for n in range(1, len(log) + 1)]
    monkeypatch.setattr(judging, "_has_only_run", lambda *_: False)
    assert [_judged(now=38, log=log[:n]) for n in range(1, len(log) + 1)] == told


@pytest.mark.parametrize("now", [9, 10, 20])
def test_a_finished_clock_has_used_the_same_whenever_it_is_asked(now: int) -> None:
    """What was used up to its end stays, also where `now` lies before it."""
    log: Log = [(9, Opened(channel="email")), (10, Replied(by=Author.AGENT)), (12, StatusChanged(status=Status.SOLVED))]
    clock = _resolution(now=now, log=log)
    assert "met" == clock.state
    assert (timedelta(hours=3), timedelta(hours=3)) == _spans(clock)


def _spans(clock: EvaluatedClock) -> tuple[timedelta, timedelta]:
    return timedelta(seconds=clock.open_seconds), timedelta(seconds=clock.wall_seconds)


def _resolution(now: int, log: Log) -> EvaluatedClock:
    """The last resolution clock."""
    return [clock for clock in _judged(now, log).clocks if clock.target == "resolution"][-1]


def _judged(now: int, log: Log) -> Evaluated:
    """The whole ticket; hours count from Monday's midnight."""
    events = [
        TicketEvent(
            tenant="t", id=str(n), source="desk", ticket="1", occurred_at=MONDAY + timedelta(hours=hour), data=data
        )
        for n, (hour, data) in enumerate(log)
    ]
    return judging.judge(events, POLICY, MONDAY + timedelta(hours=now))
