"""Hours and dates as people write them: `mon-fri: "09:00-12:30, 13:00-17:00"`, `2026-12-24 12:00-24:00`, `12-24..01-02`."""

import re
from datetime import date, time

from shared.policy.reading import Unreadable
from shared.sla.hours import DAY, Dates, Days, Exceptional, Hours, Yearly

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

YEARS = range(2000, 2051)
"""For which holidays and feeds are written out: fixed, so that the same file gives the same dates whenever it is read."""

_RANGE = re.compile(r"([0-9]{1,2}):([0-5][0-9])\s*[-\u2013]\s*([0-9]{1,2}):([0-5][0-9])")
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_YEARLY = re.compile(r"([0-9]{2})-([0-9]{2})")
_FORMS = "write `2026-12-24`, `2026-08-03..2026-08-14` or, for every year, `12-24..01-02`, each with or without times"
_LEAP_YEAR = 2000
_ALL_DAY = frozenset({"all day", "always", "24h"})


def spans(text: str) -> tuple[Hours, ...]:
    """`09:00-12:30, 13:00-17:00`; `closed` is none of the day, `all day` all of it. Raises `Unreadable`."""
    cleaned = text.strip().lower()
    if cleaned == "closed":
        return ()
    if cleaned in _ALL_DAY:
        return (Hours(0, DAY),)
    return tuple(_span(part.strip()) for part in cleaned.split(","))


def weekdays(text: str) -> tuple[int, ...]:
    """`mon-fri`, `sat`, `mon, wed`, `fri-mon`: numbers from 0 for Monday. Raises `Unreadable`."""
    days: list[int] = []
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.replace("\u2013", "-").partition("-"))
        begin = weekday(first)
        end = weekday(last) if dash else begin
        days.extend((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return tuple(days)


def weekday(text: str) -> int:
    """`mon` or `monday` as 0, up to 6; raises `Unreadable`."""
    name = text.strip().lower()
    for number, short in enumerate(WEEKDAYS):
        if name.startswith(short) and _LONG[number].startswith(name):
            return number
    raise Unreadable(f"`{text[:40]}` is no day of the week", "days are mon, tue, wed, thu, fri, sat, sun")


def exceptional(text: str) -> Exceptional:
    """A closure or extra opening; raises `Unreadable`."""
    days, _, hours = text.strip().partition(" ")
    first, dots, last = days.partition("..")
    span = _days(first, last if dots else first, text)
    return Exceptional(days=span, hours=spans(hours) if hours.strip() else ())


def clock_time(text: str) -> time:
    """`09:00`; raises `Unreadable`."""
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        raise Unreadable(f"`{text[:40]}` is no time of day", "write it as `09:00`")
    return time(int(found[1]), int(found[2]))


_LONG = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _span(text: str) -> Hours:
    found = _RANGE.fullmatch(text)
    if found is None:
        raise Unreadable(
            f"`{text[:40]}` is not opening hours", "write them as `09:00-17:00`, several with commas between"
        )
    opens, closes = _seconds(found[1], found[2], text), _seconds(found[3], found[4], text)
    if opens == DAY:
        raise Unreadable(f"`{text}` opens at the end of the day", "write `00:00` of the next day instead")
    if opens == closes:
        raise Unreadable(f"`{text}` has no length", "write `00:00-24:00` for a whole day, `closed` for none of it")
    return Hours(opens, closes if closes > opens else closes + DAY)


def _seconds(hours: str, minutes: str, text: str) -> int:
    seconds = int(hours) * 3600 + int(minutes) * 60
    if seconds > DAY:
        raise Unreadable(f"`{text}` holds a time that no day has", "times go from 00:00 to 24:00")
    return seconds


def _days(first: str, last: str, text: str) -> Days:
    if _DATE.fullmatch(first) and _DATE.fullmatch(last):
        begin, end = _date(first), _date(last)
        if end < begin:
            raise Unreadable(f"`{text[:60]}` ends before it begins", "put the earlier date first")
        return Dates(begin, end)
    if _YEARLY.fullmatch(first) and _YEARLY.fullmatch(last):
        return Yearly(_month_day(first), _month_day(last))
    raise Unreadable(f"`{text[:60]}` is no date or range of dates", _FORMS)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Unreadable(f"there is no date {text}", "correct the month or the day") from None


def _month_day(text: str) -> tuple[int, int]:
    try:
        day = date(_LEAP_YEAR, int(text[:2]), int(text[3:]))
    except ValueError:
        raise Unreadable(f"no year has a {text}", "write month and day as in `12-24`") from None
    return day.month, day.day
