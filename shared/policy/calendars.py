"""The `calendars` of a policy file: from what people write to what `shared.sla.calendar` compiles."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from shared.policy import holidays, hours, linting, shape
from shared.policy.combined import Specs
from shared.policy.errors import did_you_mean
from shared.policy.layout import CalendarLine, FeedLine, HolidaysLine, Texts
from shared.policy.located import escape
from shared.policy.reading import Reading, Unreadable
from shared.policy.zones import tzdata_version
from shared.sla.calendar import Calendar
from shared.sla.hours import CalendarSpec, CombinedSpec, Exceptional, Hours

ALWAYS = "always"
"""This calendar is there without being written: elapsed time."""
HORIZON = timedelta(days=400)


def known_names(reading: Reading) -> set[str]:
    """The calendars that targets may name."""
    return reading.names("calendars") | {ALWAYS}


def read(
    reading: Reading, lines: dict[str, CalendarLine], today: date | None, feeds: dict[str, FeedLine] | None = None
) -> dict[str, Calendar]:
    """Compile the calendars; with `today`, one that doesn't open within 400 days is a fault.

    `feeds` holds what the iCalendar files of `closures` came to, by calendar.
    """
    always = CalendarSpec(name=ALWAYS, always=True)
    specs = Specs(
        reading,
        lines,
        {} if ALWAYS in lines else {ALWAYS: always},
        lambda name, line: _spec(reading, name, line, (feeds or {}).get(name), today),
        lambda pointer, name: zone(reading, pointer, name),
    )
    compiled = {ALWAYS: Calendar(always)}
    for name in lines:
        spec = specs.of(name)
        if spec is None:
            continue
        calendar = Calendar(spec)
        if not _opens(calendar, today):
            if reading.has_faults_in(f"/calendars/{escape(name)}"):
                continue
            problem = (
                "this calendar never opens"
                if today is None
                else f"this calendar doesn't open within {HORIZON.days} days"
            )
            remedy = (
                "its parts leave nothing: see each with `deskclock calendar preview`"
                if isinstance(spec, CombinedSpec)
                else 'give it `hours`, as in {mon-fri: "09:00-17:00"}, or `hours: always`'
            )
            reading.fault(f"/calendars/{escape(name)}", problem, remedy)
            continue
        compiled[name] = calendar
    return compiled


def zone(reading: Reading, pointer: str, name: str) -> ZoneInfo:
    """An IANA zone; notes a fault and answers UTC where there is none of that name."""
    try:
        return zone_named(name)
    except Unreadable as error:
        reading.unreadable(pointer, error)
        return ZoneInfo("UTC")


def zone_named(name: str) -> ZoneInfo:
    """An IANA zone; raises Unreadable."""
    if name in _zones():
        return ZoneInfo(name)
    raise Unreadable(f"there is no time zone `{name[:60]}`", _zone_remedy(name))


def with_dates(value: Any) -> Any:
    """A sound document with every country's holidays written out as dates, and the edition of the time zones (rule 31)."""
    calendars = value.get("calendars") or {}
    dated = {name: _dated(line) for name, line in calendars.items()}
    return {**value, **({"calendars": dated} if dated else {}), "tzdata": tzdata_version()}


def _dated(line: Any) -> Any:
    if not line or not line.get("holidays"):
        return line
    written = line["holidays"] if isinstance(line["holidays"], list) else [line["holidays"]]
    return {
        **line,
        "holidays": [{**entry, "dates": [day.isoformat() for day in _dates_of(entry)]} for entry in written],
    }


def _dates_of(entry: dict[str, Any]) -> list[date]:
    if entry.get("dates") is not None:
        return [date.fromisoformat(day) for day in entry["dates"]]
    without = entry.get("without") or []
    return _without(entry["country"], entry.get("subdivision"), [without] if isinstance(without, str) else without)


def _without(country: str, subdivision: str | None, names: Iterable[str]) -> list[date]:
    dropped = {name.strip().casefold() for name in names}
    return [day for day, known in holidays.named_dates(country, subdivision) if not known & dropped]


def _spec(reading: Reading, name: str, line: CalendarLine, feed: FeedLine | None, today: date | None) -> CalendarSpec:
    pointer = f"/calendars/{escape(name)}"
    local = zone(reading, f"{pointer}/timezone", line.timezone or "UTC")
    if line.hours == "always":
        for key in ("holidays", "closed", "open", "closures"):
            if getattr(line, key):
                reading.fault(
                    f"{pointer}/{key}",
                    "a calendar that is always open has none",
                    'remove it, or write hours as {mon-sun: "00:00-24:00"}',
                )
        return CalendarSpec(name=name, zone=local, always=True)
    closed = _exceptional(reading, line.closed, f"{pointer}/closed")
    closed += _fed(reading, name, line, feed)
    spec = CalendarSpec(
        name=name,
        zone=local,
        weekly=weekly(reading, line.hours, f"{pointer}/hours"),
        holidays=frozenset(_holidays(reading, line.holidays, f"{pointer}/holidays")),
        closed=closed,
        opened=_exceptional(reading, line.open, f"{pointer}/open"),
    )
    linting.lint(reading, spec, pointer, today)
    return spec


def _fed(reading: Reading, name: str, line: CalendarLine, feed: FeedLine | None) -> tuple[Exceptional, ...]:
    if not line.closures:
        return ()
    if feed is None:
        reading.fault(
            f"/calendars/{escape(name)}/closures",
            "what its feed says is not in this document",
            "check, plan and apply the file with `deskclock policy`, which reads feeds; "
            "or write it under `feeds`, as in {feeds: {office: {events: 1, closed: [2026-12-24]}}}",
        )
        return ()
    return _exceptional(reading, feed.closed, f"/feeds/{escape(name)}/closed")


def weekly(reading: Reading, lines: dict[str, Texts], pointer: str) -> tuple[tuple[Hours, ...], ...]:
    """The hours of Monday to Sunday; notes a fault for a day that has them twice."""
    found: dict[int, tuple[Hours, ...]] = {}
    said_by: dict[int, str] = {}
    for days, texts in lines.items():
        place = f"{pointer}/{escape(days)}"
        try:
            numbers = hours.weekdays(days)
        except Unreadable as error:
            reading.unreadable(place, error)
            continue
        spans = _spans(reading, texts, place)
        for number in dict.fromkeys(numbers):
            if number in said_by:
                reading.fault(
                    place,
                    f"`{hours.WEEKDAYS[number]}` has hours already, under `{said_by[number]}`",
                    "give each day once; several spans stand with commas between",
                )
            said_by[number] = days
            found[number] = spans
    return tuple(found.get(number, ()) for number in range(7))


def _spans(reading: Reading, texts: Texts, pointer: str) -> tuple[Hours, ...]:
    spans: list[Hours] = []
    for place, text in shape.entries(texts, pointer):
        try:
            spans.extend(hours.spans(text))
        except Unreadable as error:
            reading.unreadable(place, error)
    return tuple(spans)


def _exceptional(reading: Reading, texts: Texts, pointer: str) -> tuple[Exceptional, ...]:
    found = []
    for place, text in shape.entries(texts, pointer):
        try:
            found.append(hours.exceptional(text))
        except Unreadable as error:
            reading.unreadable(place, error)
    return tuple(found)


def _holidays(reading: Reading, lines: HolidaysLine | list[HolidaysLine], pointer: str) -> Iterable[date]:
    days: set[date] = set()
    for place, line in shape.entries(lines, pointer):
        if line.dates is not None:
            days.update(_stored_dates(reading, line.dates, f"{place}/dates"))
            continue
        try:
            known = holidays.named_dates(line.country, line.subdivision)
        except holidays.UnknownPlace as error:
            reading.unreadable(f"{place}/{error.key}", error)
            continue
        names = {name for _, named in known for name in named}
        dropped = []
        for spot, name in shape.entries(line.without, f"{place}/without"):
            if name.strip().casefold() in names:
                dropped.append(name)
            else:
                reading.fault(
                    spot, f"there is no holiday `{name[:60]}`", did_you_mean(name.casefold(), names, what="holidays")
                )
        days.update(_without(line.country, line.subdivision, dropped))
    return days


def _stored_dates(reading: Reading, texts: list[str], pointer: str) -> Iterable[date]:
    for place, text in shape.entries(texts, pointer):
        try:
            yield date.fromisoformat(text)
        except ValueError:
            reading.fault(place, f"there is no date {text[:40]}", "write dates as `2026-12-24`, or leave `dates` out")


def _opens(calendar: Calendar, today: date | None) -> bool:
    spec = calendar.spec
    if spec.always:
        return True
    if today is None:
        if isinstance(spec, CombinedSpec):
            return True
        return any(spec.weekly) or bool(spec.opened)
    start = datetime.combine(today, time(), UTC)
    opening = calendar.next_open(start)
    return opening is not None and opening <= start + HORIZON


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _zone_remedy(name: str) -> str:
    near = did_you_mean(name, _zones())
    return near if near.startswith("did") else "write an IANA name, as in `Europe/Berlin`"
