"""Shifts of an iCalendar file as UTC ranges, with the names that each bears: a rotation that is kept elsewhere (R25).

A program of its own with limits, as for closures: `python -m shared.policy.ical_shifts ZONE|- FROM UNTIL < support.ics`;
`-` stands for no zone, and then times without one are refused.
"""

import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct

from shared.policy import ical
from shared.policy.errors import short
from shared.policy.reading import Unreadable

MOST_SHIFTS = 5_000

_SHORTEST_RULE = frozenset({"YEARLY", "MONTHLY", "WEEKLY", "DAILY"})
_TIMED = ("DTSTART", "DTEND", "RECURRENCE-ID", "EXDATE", "RDATE")
_PARTS_OF_A_DAY = ("BYHOUR", "BYMINUTE", "BYSECOND")
_LONGEST_NAME = 200
_MOST_NAMES = 20


class FedShift(Struct, frozen=True, kw_only=True):
    """One shift: what its event says of whose it is, in the order in which to look, and when."""

    names: tuple[str, ...]
    """E-mail addresses and names of attendees, then the summary."""
    starts_at: datetime
    ends_at: datetime


class FedShifts(Struct, frozen=True, kw_only=True):
    """What a feed came to."""

    events: int
    shifts: tuple[FedShift, ...]


def read(raw: bytes, zone: ZoneInfo | None, start: datetime, end: datetime) -> FedShifts:
    """The shifts that reach into `[start, end)`, by their start; raises `Unreadable`. For a main thread."""
    found = ical.parsed(raw)
    events = ical.standing(found)
    for event in found:
        try:
            _check(event, zone)
        except Unreadable as wrong:
            raise Unreadable(f"`{ical.named(event)}`: {wrong.problem}", wrong.remedy) from None
        except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            problem = short(str(error)) or type(error).__name__
            raise Unreadable(f"`{ical.named(event)}` can't be read: {problem}", "correct it in the feed") from None
    shifts = sorted(_between(events, found, zone or ZoneInfo("UTC"), start, end), key=lambda shift: shift.starts_at)
    if len(shifts) > MOST_SHIFTS:
        days = (end - start) // timedelta(days=1)
        raise Unreadable(f"the feed comes to over {MOST_SHIFTS:,} shifts in {days} days", ical.ALONE)
    return FedShifts(events=len(events), shifts=tuple(shifts))


def _check(event: Any, zone: ZoneInfo | None) -> None:
    """Refuse what would be understood in one way here and in another elsewhere."""
    for key in _TIMED:
        for value in _listed(event.get(key)):
            for each in [entry.dt for entry in value.dts] if hasattr(value, "dts") else [value.dt]:
                _check_zone(key, each[0] if isinstance(each, tuple) else each, value.params.get("TZID"), zone)
    for rule in _listed(event.get("RRULE")):
        frequency = str(rule.get("FREQ", [""])[0]).upper()
        if frequency not in _SHORTEST_RULE:
            raise Unreadable(
                f"it repeats by FREQ={frequency or 'nothing'}", "shifts repeat by day, week, month or year at the most"
            )
        if any(len(rule.get(part, [])) > 1 for part in _PARTS_OF_A_DAY):
            raise Unreadable("it repeats several times a day", "make an event of each shift of the day")


def _check_zone(key: str, at: Any, named: str | None, zone: ZoneInfo | None) -> None:
    if isinstance(at, datetime) and at.tzinfo is not None:
        return
    if isinstance(at, datetime) and named is not None:
        raise Unreadable(
            f"{key} is in the time zone `{named[:60]}`, which nobody knows", "use an IANA name in the feed"
        )
    if zone is None:
        what = "a time without a zone" if isinstance(at, datetime) else "a day without a zone"
        raise Unreadable(f"{key} is {what}", "give the rotation a `timezone`, or the feed one")


def _between(events: list[Any], found: list[Any], zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[FedShift]:
    for one in ical.occurrences(events, found, zone, end.date() + timedelta(days=1)):
        starts_at, ends_at = ical.instants(one, one.local if one.is_timed else zone)
        if starts_at < end and ends_at > start and starts_at < ends_at:
            yield FedShift(names=_names(one.event), starts_at=starts_at, ends_at=ends_at)


def _names(event: Any) -> tuple[str, ...]:
    found: list[str] = []
    for attendee in _listed(event.get("ATTENDEE")):
        found += [str(attendee), str(attendee.params.get("CN", ""))]
    found.append(str(event.get("SUMMARY", "")))
    return tuple(name.strip()[:_LONGEST_NAME] for name in found if name.strip())[:_MOST_NAMES]


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def main() -> None:
    """Read a feed from standard input, and print its shifts or why it can't be used."""
    zone = None if sys.argv[1] == "-" else ZoneInfo(sys.argv[1])
    start, end = (datetime.fromisoformat(text) for text in sys.argv[2:4])
    ical.answer(lambda raw: read(raw, zone, start, end))


if __name__ == "__main__":
    main()
