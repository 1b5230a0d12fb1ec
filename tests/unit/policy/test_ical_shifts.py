"""Shifts of a calendar that somebody else keeps, as UTC ranges (R25)."""

import subprocess
import sys
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest

from shared.policy import ical_shifts
from shared.policy.ical_shifts import FedShifts
from shared.policy.reading import Unreadable

START, END = datetime(2026, 6, 1, tzinfo=UTC), datetime(2027, 7, 6, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def feed(*events: str, zones: str = "") -> bytes:
    """A calendar of these events."""
    body = "".join(
        f"BEGIN:VEVENT\nUID:{number}\nDTSTAMP:20260101T000000Z\n{event}\nEND:VEVENT\n"
        for number, event in enumerate(events)
    )
    return f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//test//EN\n{zones}{body}END:VCALENDAR\n".encode()


def found(*events: str, zone: ZoneInfo | None = BERLIN) -> list[tuple[str, str, str]]:
    """Who, from and to, of the shifts of a calendar."""
    shifts = ical_shifts.read(feed(*events), zone, START, END).shifts
    return [(shift.names[-1], f"{shift.starts_at:%m-%dT%H:%MZ}", f"{shift.ends_at:%m-%dT%H:%MZ}") for shift in shifts]


def test_r25_weeks_end_on_the_wall_where_they_began() -> None:
    """Over the change of October the week has an hour more, and no gap opens."""
    weekly = "SUMMARY:Ana\nDTSTART;TZID=Europe/Berlin:20261012T090000\nDTEND;TZID=Europe/Berlin:20261019T090000\nRRULE:FREQ=WEEKLY;COUNT=3"
    assert [
        ("Ana", "10-12T07:00Z", "10-19T07:00Z"),
        ("Ana", "10-19T07:00Z", "10-26T08:00Z"),
        ("Ana", "10-26T08:00Z", "11-02T08:00Z"),
    ] == found(weekly, zone=None)


def test_r25_exceptions_moved_ones_and_whole_days_are_understood() -> None:
    """One called off, one given to somebody else, one of a whole day; what lies outside the time is left out."""
    daily = "SUMMARY:Ana\nDTSTART:20260602T080000Z\nDTEND:20260602T180000Z\nRRULE:FREQ=DAILY;COUNT=3\nEXDATE:20260603T080000Z"
    moved = daily.partition("\nRRULE")[0].replace("SUMMARY:Ana", "SUMMARY:Ben\nRECURRENCE-ID:20260604T080000Z")
    day = "SUMMARY:Chi\nDTSTART;VALUE=DATE:20260605"
    gone = "SUMMARY:Dan\nDTSTART:20260101T080000Z\nDTEND:20260101T180000Z"
    off = "SUMMARY:Eve\nSTATUS:CANCELLED\nDTSTART:20260701T080000Z\nDTEND:20260701T180000Z"
    raw = feed(daily, day, gone, off).replace(b"END:VCALENDAR", b"")
    raw += f"BEGIN:VEVENT\nUID:0\n{moved}\nEND:VEVENT\nEND:VCALENDAR\n".replace("20260602", "20260604").encode()
    shifts = ical_shifts.read(raw, BERLIN, START, END).shifts
    assert [("Ana", 2, 8), ("Ben", 4, 8), ("Chi", 4, 22)] == [
        (shift.names[-1], shift.starts_at.day, shift.starts_at.hour) for shift in shifts
    ]
    assert datetime(2026, 6, 5, 22, tzinfo=UTC) == shifts[-1].ends_at


def test_r25_a_zone_that_the_file_itself_defines_is_known() -> None:
    """As those of mail programs."""
    zone = (
        "BEGIN:VTIMEZONE\nTZID:Ours\nBEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETFROM:+0130\nTZOFFSETTO:+0130\n"
        "END:STANDARD\nEND:VTIMEZONE\n"
    )
    event = "SUMMARY:Ana\nATTENDEE;CN=Ana Li:mailto:ana@x.org\nDTSTART;TZID=Ours:20260602T090000\nDURATION:PT8H"
    [shift] = ical_shifts.read(feed(event, zones=zone), None, START, END).shifts
    assert datetime(2026, 6, 2, 7, 30, tzinfo=UTC) == shift.starts_at
    assert ("mailto:ana@x.org", "Ana Li", "Ana") == shift.names


HOUR = "DTEND:20260602T100000Z"


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("DTSTART:20260602T090000\nDURATION:PT1H", "DTSTART is a time without a zone"),
        ("DTSTART;VALUE=DATE:20260602", "DTSTART is a day without a zone"),
        ("DTSTART;TZID=Mars/Base:20260602T090000\nDURATION:PT1H", "in the time zone `Mars/Base`, which nobody knows"),
        (f"DTSTART:20260602T090000Z\n{HOUR}\nRRULE:FREQ=HOURLY", "FREQ=HOURLY"),
        (f"DTSTART:20260602T090000Z\n{HOUR}\nRRULE:FREQ=SECONDLY;COUNT=9", "FREQ=SECONDLY"),
        (f"DTSTART:20260602T090000Z\n{HOUR}\nRRULE:FREQ=DAILY;BYHOUR=9,21", "several times a day"),
        (
            f"DTSTART:20260602T090000Z\n{HOUR}\nRRULE:FREQ=DAILY\nEXDATE;TZID=Mars/Base:20260603T090000",
            "EXDATE is in the time zone",
        ),
        ("DTSTART:20260602T090000Z\nDTEND:20260601T090000Z", "ends before it begins"),
        (f"{HOUR}", "no DTSTART"),
        (f"DTSTART:20260602T090000Z\n{HOUR}\nRRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=31", "takes too long"),
    ],
)
def test_r25_what_could_be_understood_in_two_ways_is_refused(event: str, said: str) -> None:
    """By the name of its event, and with the way out."""
    with pytest.raises(Unreadable) as refused:
        ical_shifts.read(feed(f"SUMMARY:night watch\n{event}"), None, START, END)
    assert (True, True) == ("`night watch`" in refused.value.problem, said in refused.value.problem), refused.value


def test_r25_a_feed_is_read_by_a_program_with_limits() -> None:
    """It prints the shifts, or one refusal; nothing else comes out of it."""
    done = subprocess.run(
        [sys.executable, "-m", "shared.policy.ical_shifts", "Europe/Berlin", START.isoformat(), END.isoformat()],
        input=feed("SUMMARY:Ana\nDTSTART:20260602T090000\nDURATION:PT1H"),
        capture_output=True,
        check=True,
    )
    [shift] = msgspec.json.decode(done.stdout, type=FedShifts).shifts
    assert datetime(2026, 6, 2, 7, tzinfo=UTC) == shift.starts_at
    many = feed(
        "SUMMARY:a\nDTSTART:20260602T090000Z\nDURATION:PT1M\nRRULE:FREQ=DAILY",
        *["SUMMARY:b\nDTSTART:20260602T090000Z\nDURATION:PT1M\nRRULE:FREQ=DAILY"] * 15,
    )
    with pytest.raises(Unreadable, match="over 5,000 shifts in 400 days"):
        ical_shifts.read(many, None, START, END)
