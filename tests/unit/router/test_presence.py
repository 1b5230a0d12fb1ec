"""When shifts begin and end, and what becomes of the work of those who have gone."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from services.router.domain.presence import EXPECTED_WITHIN, GoneWork, Shift, goes_back, shift_at
from shared.policy import parse
from shared.sla.calendar import Calendar

CALENDARS = """
calendars:
  early: {timezone: Europe/Berlin, hours: {mon-fri: "06:00-14:00"}, closed: ["2026-12-25"]}
  split: {timezone: UTC, hours: {mon-sun: "09:00-12:30, 13:00-17:00"}}
  night: {timezone: Europe/Berlin, hours: {sat: "22:00-24:00", sun: "00:00-06:00, 22:00-24:00", mon: "00:00-06:00"}}
  morning: {timezone: UTC, hours: {mon: "08:00-12:00"}}
  noon: {timezone: UTC, hours: {mon: "11:00-15:00", tue: "10:00-11:00"}}
  both: {union: [morning, noon]}
  shared: {intersection: [morning, noon]}
  day long: {timezone: UTC, hours: {mon-sun: "00:00-24:00"}}
  holiday: {timezone: UTC, hours: {}, open: ["2026-06-03 10:00-11:00"]}
targets: [{name: all, calendar: always, first_response: 1h}]
"""
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
GRACE = timedelta(seconds=60)
MOMENT = timedelta(microseconds=1)
WORK = GoneWork(
    is_interruptible=True,
    is_parked=False,
    is_touched=True,
    gone_at=NOW - timedelta(minutes=5),
    next_present_at=None,
    latest_start_at=None,
    is_customer_waiting=False,
)


def calendar(name: str) -> Calendar:
    """One of the calendars above."""
    return parse.parse_policy(CALENDARS, version=1).sla.calendars[name]


def at(text: str) -> datetime:
    """An instant of UTC in 2026, as `06-01 12:00`."""
    return datetime.fromisoformat(f"2026-{text}+00:00")


def shift(until: str | None, next_at: str | None) -> Shift:
    """The same for a shift."""
    return Shift(until=at(until) if until else None, next_at=at(next_at) if next_at else None)


@pytest.mark.parametrize(
    ("name", "now", "expected"),
    [
        ("early", "06-01 03:59:59.999999", shift(None, "06-01 04:00")),
        ("early", "06-01 04:00", shift("06-01 12:00", "06-02 04:00")),
        ("early", "06-01 11:59:59.999999", shift("06-01 12:00", "06-02 04:00")),
        ("early", "06-01 12:00", shift(None, "06-02 04:00")),
        ("early", "06-05 12:00", shift(None, "06-08 04:00")),
        ("early", "12-24 12:00", shift("12-24 13:00", "12-28 05:00")),
        ("split", "06-01 10:00", shift("06-01 12:30", "06-01 13:00")),
        ("split", "06-01 12:45", shift(None, "06-01 13:00")),
        ("both", "06-01 09:00", shift("06-01 15:00", "06-02 10:00")),
        ("shared", "06-01 09:00", shift(None, "06-01 11:00")),
        ("holiday", "06-01 09:00", shift(None, "06-03 10:00")),
        ("holiday", "06-03 10:30", shift("06-03 11:00", None)),
        ("holiday", "06-03 11:00", shift(None, None)),
    ],
)
def test_a_shift_is_one_opening_of_the_calendar(name: str, now: str, expected: Shift) -> None:
    """It begins with its first instant and is over at its end; pauses, closures and parts of calendars count."""
    assert expected == shift_at(calendar(name), at(now))


def test_a_night_shift_is_one_shift_though_a_day_ends_in_it() -> None:
    """From Saturday to Sunday, on an ordinary weekend."""
    assert shift("06-07 04:00", "06-07 20:00") == shift_at(calendar("night"), at("06-06 21:00"))
    assert shift("06-07 04:00", "06-07 20:00") == shift_at(calendar("night"), at("06-07 03:00"))


@pytest.mark.parametrize(
    ("begins", "ends", "hours"),
    [("03-28 21:00", "03-29 04:00", 7), ("10-24 20:00", "10-25 05:00", 9), ("06-06 20:00", "06-07 04:00", 8)],
)
def test_a_night_in_which_the_clocks_change_is_shorter_or_longer(begins: str, ends: str, hours: int) -> None:
    """22:00 to 06:00 in Berlin is seven hours in March and nine in October."""
    found = shift_at(calendar("night"), at(begins))

    assert at(ends) == found.until
    assert timedelta(hours=hours) == at(ends) - at(begins)
    assert at(begins) == shift_at(calendar("night"), at(begins) - MOMENT).next_at


@pytest.mark.parametrize("name", ["always", "day long"])
def test_a_calendar_that_never_closes_has_a_shift_all_the_same(name: str) -> None:
    """It ends so far ahead that somebody looks again long before, and the next one begins with its end."""
    found = shift_at(calendar(name), NOW)

    assert found.until is not None
    assert found.until > NOW + timedelta(days=365)
    assert found.until == found.next_at
    assert found == shift_at(calendar(name), NOW + timedelta(days=30))


@pytest.mark.parametrize("name", ["early", "split", "night", "both", "shared"])
def test_shifts_agree_with_the_open_time_of_the_calendar(name: str) -> None:
    """At any instant of a year: open to the end of the shift, closed from there to the next, open again at that instant."""
    hours, random = calendar(name), Random(name)
    for _ in range(200):
        now = NOW + timedelta(seconds=random.randrange(365 * 86_400))
        found = shift_at(hours, now)
        begins = found.until or now
        assert found.next_at is not None
        assert begins - now == hours.between(now, begins)
        assert timedelta() == hours.between(begins, found.next_at)
        assert MOMENT == hours.between(found.next_at, found.next_at + MOMENT)
        assert (found.until is not None) is (hours.next_open(now) == now)


def changed(**fields: Any) -> GoneWork:
    """Async work that was touched, of somebody whose return nobody knows; with changes."""
    return replace(WORK, **fields)


TOMORROW = NOW + timedelta(hours=20)
CASES = [
    ("nobody waits for anything", changed(), False),
    ("a customer waits, and no return is known", changed(is_customer_waiting=True), True),
    ("a customer waits, and the answer can wait for the next shift",
     changed(is_customer_waiting=True, next_present_at=TOMORROW, latest_start_at=TOMORROW), False),
    ("it has to be begun before the next shift",
     changed(next_present_at=TOMORROW, latest_start_at=TOMORROW - MOMENT), True),
    ("nothing is owed before the next shift", changed(next_present_at=TOMORROW), False),
    ("untouched", changed(is_touched=False), True),
    ("untouched, and they come soon", changed(is_touched=False, next_present_at=NOW + GRACE), True),
    ("real-time work", changed(is_interruptible=False), True),
    ("real-time work, and they come soon", changed(is_interruptible=False, next_present_at=NOW + GRACE), True),
    ("parked", changed(is_interruptible=False, is_parked=True), False),
    ("parked, and the customer writes", changed(is_interruptible=False, is_parked=True, is_customer_waiting=True), True),
    ("something is owed within a day of their going",
     changed(latest_start_at=WORK.gone_at + EXPECTED_WITHIN - MOMENT), True),
    ("something is owed later than that", changed(latest_start_at=WORK.gone_at + EXPECTED_WITHIN), False),
    ("something is owed, and the day is over",
     changed(gone_at=NOW - EXPECTED_WITHIN, latest_start_at=NOW + timedelta(days=9)), True),
    ("nothing is owed, and the day is over", changed(gone_at=NOW - EXPECTED_WITHIN), False),
]  # fmt: skip


@pytest.mark.parametrize(("work", "expected"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_what_can_wait_for_somebody_waits_and_the_rest_goes_back(work: GoneWork, expected: bool) -> None:
    """Routing-rules 3.7: sticky where nobody is harmed."""
    assert expected is goes_back(work, NOW, GRACE)


@pytest.mark.parametrize("work", [case[1] for case in CASES])
def test_nothing_goes_back_within_the_grace(work: GoneWork) -> None:
    """A tunnel is no absence."""
    assert not goes_back(work, work.gone_at + GRACE - MOMENT, GRACE)
