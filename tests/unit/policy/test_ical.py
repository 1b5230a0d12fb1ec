"""iCal feeds as closures: what they say, and that no feed keeps us busy."""

import time
from zoneinfo import ZoneInfo

import pytest

from shared.policy import ical
from shared.policy.reading import Unreadable

BERLIN = ZoneInfo("Europe/Berlin")
HOSTILE = [
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=31",
    "FREQ=YEARLY;BYWEEKNO=53;BYDAY=MO;BYMONTH=6",
    "FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23;BYMINUTE=0,1,2,3,4,5,6,7,8,9;BYSECOND=0,1,2,3,4,5,6,7,8,9",
]


def feed(*events: str) -> bytes:
    """A calendar of these events, each given as its lines."""
    body = "".join(f"BEGIN:VEVENT\nUID:{n}\nSUMMARY:event {n}\n{event}\nEND:VEVENT\n" for n, event in enumerate(events))
    return f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//test//EN\n{body}END:VCALENDAR\n".encode()


def closed(*events: str) -> list[str]:
    """What they come to in Berlin."""
    return ical.read(feed(*events), BERLIN).closed


def refusal(raw: bytes) -> str:
    """Why it can't be used."""
    with pytest.raises(Unreadable) as refused:
        ical.read(raw, BERLIN)
    return str(refused.value)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("DTSTART;VALUE=DATE:20261224", ["2026-12-24"]),
        ("DTSTART;VALUE=DATE:20261224\nDTEND;VALUE=DATE:20261227", ["2026-12-24..2026-12-26"]),
        ("DTSTART;VALUE=DATE:20261224\nDURATION:P2D", ["2026-12-24..2026-12-25"]),
        ("DTSTART:20261224T110000Z\nDTEND:20261224T230000Z", ["2026-12-24 12:00-24:00"]),
        ("DTSTART:20261224T100030\nDTEND:20261224T120030", ["2026-12-24 10:00-12:01"]),
        ("DTSTART;TZID=America/New_York:20260603T060000\nDURATION:PT90M", ["2026-06-03 12:00-13:30"]),
        (
            "DTSTART:20261224T110000Z\nDTEND:20261227T090000Z",
            ["2026-12-24 12:00-24:00", "2026-12-25..2026-12-26", "2026-12-27 00:00-10:00"],
        ),
        ("DTSTART:20261224T110000Z", []),
        ("DTSTART;VALUE=DATE:20261224\nSTATUS:CANCELLED", []),
        (
            "DTSTART;VALUE=DATE:20261224\nRRULE:FREQ=YEARLY;COUNT=3\nEXDATE;VALUE=DATE:20271224",
            ["2026-12-24", "2028-12-24"],
        ),
        ("DTSTART;VALUE=DATE:20261224\nRRULE:FREQ=YEARLY;UNTIL=20271224\nRDATE;VALUE=DATE:20260501", ["2026-05-01", "2026-12-24", "2027-12-24"]),
        (
            "DTSTART;TZID=Europe/Berlin:20261023T100000\nDURATION:PT1H\nRRULE:FREQ=DAILY;INTERVAL=3;UNTIL=20261026T090000Z",
            ["2026-10-23 10:00-11:00", "2026-10-26 10:00-11:00"],
        ),
    ],
)  # fmt: skip
def test_closures_of_one_event(event: str, expected: list[str]) -> None:
    """Days and times on the wall of the calendar's zone; repetitions as the feed says."""
    assert expected == closed(event)


def test_a_repetition_that_was_moved_or_called_off() -> None:
    """The exception stands in place of the one it names."""
    series = "UID:s\nDTSTART;VALUE=DATE:20260601\nRRULE:FREQ=WEEKLY;COUNT=4"
    moved = "UID:s\nRECURRENCE-ID;VALUE=DATE:20260608\nDTSTART;VALUE=DATE:20260609"
    gone = "UID:s\nRECURRENCE-ID;VALUE=DATE:20260615\nDTSTART;VALUE=DATE:20260615\nSTATUS:CANCELLED"
    raw = feed(series, moved, gone)
    for n in range(3):
        raw = raw.replace(f"UID:{n}\n".encode(), b"")
    found = ical.read(raw, BERLIN)
    assert (2, ["2026-06-01", "2026-06-09", "2026-06-22"]) == (found.events, found.closed)


def test_a_rule_without_an_end_ends_in_2050() -> None:
    """The same for every day on which it is read."""
    found = closed("DTSTART;VALUE=DATE:19901224\nRRULE:FREQ=YEARLY")
    assert (51, "2000-12-24", "2050-12-24") == (len(found), found[0], found[-1])


@pytest.mark.parametrize("rule", HOSTILE)
def test_a_hostile_rule_comes_back_within_two_seconds(rule: str) -> None:
    """By error or with what little it says, not after hours."""
    begun = time.process_time()
    try:
        closed(f"DTSTART:20260101T000000Z\nDURATION:PT1H\nRRULE:{rule}")
    except Unreadable as wrong:
        assert "event 0" in wrong.problem  # noqa: PT017 - either is right
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "no iCalendar file"),
        (b"<html>not found</html>", "no iCalendar file"),
        (b"\xff\xfe\x00", "no iCalendar file"),
        (feed("SUMMARY:nothing"), "no DTSTART"),
        (feed("DTSTART;VALUE=DATE:20260601\nDTEND;VALUE=DATE:20260501"), "ends before it begins"),
        (feed("DTSTART;VALUE=DATE:20260601\nRRULE:FREQ=SECONDLY"), "by day, week, month or year"),
        (feed("DTSTART;VALUE=DATE:20260601\nRRULE:FREQ=DAILY;INTERVAL=0"), "no interval"),
        (feed("DTSTART;VALUE=DATE:20260601\nDTEND:20260602T100000Z"), "at a time and ends on a day"),
        (feed("DTSTART:99991231T235959Z\nDURATION:P9999D"), "can't be read"),
        (feed("DTSTART:20000101T000000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY"), "over 5,000 closures"),
        (feed(*["DTSTART;VALUE=DATE:20000101\nDTEND;VALUE=DATE:20500101"] * 9), "over 100,000 days"),
        (feed() + b" " * ical.SIZE_LIMIT, "1,048,576 bytes"),
        (feed(*["DTSTART;VALUE=DATE:20260601"] * (ical.MOST_EVENTS + 1)), "over 5,000 events"),
    ],
)
def test_feeds_that_cannot_be_used_say_why(raw: bytes, said: str) -> None:
    """Each with the way out."""
    assert said in refusal(raw)
