"""Quiet hours: what waits for the morning, and what never does."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.escalation.domain import quiet

BERLIN = "Europe/Berlin"
NIGHT = "22:00-07:00"


def utc(text: str) -> datetime:
    """An instant of 2026, as in `06-01 21:30`."""
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("06-01 19:59:59", None),
        ("06-01 20:00", "06-02 05:00"),
        ("06-01 23:30", "06-02 05:00"),
        ("06-02 04:59:59", "06-02 05:00"),
        ("06-02 05:00", None),
        ("01-01 21:00", "01-02 06:00"),
        ("03-28 22:00", "03-29 05:00"),
        ("10-24 21:00", "10-25 06:00"),
    ],
)
def test_r24_a_page_of_low_urgency_waits_for_the_end_of_the_night(at, until):
    """Local time, half open, through both changes of the clocks."""
    found = quiet.deferred_until("low", NIGHT, BERLIN, utc(at), is_last=False)
    assert (None if until is None else utc(until)) == found


@pytest.mark.parametrize("urgency", ["normal", "high", "urgent", "", "unknown"])
def test_r24_nothing_more_urgent_waits(urgency):
    """In the middle of the night."""
    assert quiet.deferred_until(urgency, NIGHT, BERLIN, utc("06-01 23:30"), is_last=False) is None


def test_r24_the_last_level_never_waits():
    """After it nobody else would be paged."""
    assert quiet.deferred_until("low", NIGHT, BERLIN, utc("06-01 23:30"), is_last=True) is None


@pytest.mark.parametrize(
    ("hours", "zone"),
    [(None, BERLIN), (NIGHT, None), ("", BERLIN), (NIGHT, "Mars/Olympus"), ("at night", BERLIN), (NIGHT, "../etc")],
)
def test_r24_what_can_not_be_read_keeps_nobody_from_being_paged(hours, zone):
    """Rather a page at night than none."""
    assert quiet.deferred_until("low", hours, zone, utc("06-01 23:30"), is_last=False) is None


def test_r24_hours_within_a_day_end_the_same_day():
    """A siesta."""
    assert utc("06-01 13:00") == quiet.ends_at("13:00-15:00", ZoneInfo(BERLIN), utc("06-01 11:30"))
    assert quiet.ends_at("13:00-15:00", ZoneInfo(BERLIN), utc("06-01 22:00")) is None


@pytest.mark.parametrize("hours", ["22:00-02:30", "00:30-02:30", "02:10-02:40"])
def test_r24_where_the_clocks_are_put_back_the_end_is_always_ahead(hours):
    """Every quarter of an hour of the night in which half past two comes twice."""
    at = utc("10-24 20:00")
    while at < utc("10-25 03:00"):
        ending = quiet.ends_at(hours, ZoneInfo(BERLIN), at)
        assert ending is None or at < ending <= at + timedelta(hours=6)
        at += timedelta(minutes=15)
