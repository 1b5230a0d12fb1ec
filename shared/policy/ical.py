"""Closures of an iCalendar file as a policy writes them: `2026-12-24..2026-12-26`, `2026-12-31 12:00-24:00`.

Files come from strangers, and a rule of one line can keep a program busy for hours: so this is a program of its own, with
limits on memory and time, and only what it prints is used: `python -m shared.policy.ical ZONE < closures.ics`.
"""

import resource
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

import msgspec
from msgspec import Struct

from shared.policy.hours import YEARS
from shared.policy.reading import Unreadable

SIZE_LIMIT = 1 << 20
"""Bytes of a file."""
MOST_EVENTS = 5_000
MOST_CLOSURES = 5_000
RULE_SECONDS = 0.5
"""Of computing, for the repetitions of all events together."""
CPU_SECONDS = 8
MEMORY = 1 << 30

_FIRST, _LAST = date(YEARS.start, 1, 1), date(YEARS.stop - 1, 12, 31)
_A_DAY = timedelta(days=1)
_A_MINUTE = timedelta(minutes=1)
_FREQUENCIES = frozenset({"YEARLY", "MONTHLY", "WEEKLY", "DAILY"})
_SHOWN = 60
_MOST_DAYS = 100_000
ALONE = "take a feed that holds nothing else"
_FEWER = "end its repetitions with UNTIL, or give the calendar other `hours`"


class Closures(Struct, frozen=True, kw_only=True):
    """What a feed came to."""

    events: int
    closed: list[str]


class Refusal(Struct, frozen=True, kw_only=True):
    """Why a feed can't be used."""

    problem: str
    remedy: str


class _TooLong(Exception):
    """The repetitions take too long."""


def read(raw: bytes, zone: ZoneInfo) -> Closures:
    """The closures on the wall of this zone, from 2000 to 2050; raises `Unreadable`. For a main thread."""
    found = parsed(raw)
    events = standing(found)
    return Closures(events=len(events), closed=_written(_walls(events, found, zone)))


def parsed(raw: bytes) -> list[Any]:
    """All events of a file; raises `Unreadable`."""
    try:
        import icalendar  # noqa: PLC0415 - an optional extra, and a slow import
    except ImportError:
        raise Unreadable(
            "reading iCalendar files needs the package `icalendar`",
            "install it with `pip install 'deskclock[ical]'`, or write what it says into the policy",
        ) from None
    if len(raw) > SIZE_LIMIT:
        raise Unreadable(f"the feed has over {SIZE_LIMIT:,} bytes", ALONE)
    if raw.upper().count(b"BEGIN:VEVENT") > MOST_EVENTS:
        raise Unreadable(f"the feed has over {MOST_EVENTS:,} events", ALONE)
    try:
        found = [each for parsed in icalendar.Calendar.from_ical(raw, multiple=True) for each in parsed.walk("VEVENT")]
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise Unreadable(f"this is no iCalendar file: {_short(str(error))}", "see what it holds") from None
    if b"BEGIN:VCALENDAR" not in raw.upper():
        raise Unreadable("this is no iCalendar file: it has no BEGIN:VCALENDAR", "see what it holds")
    return found


def standing(found: list[Any]) -> list[Any]:
    """The events that were not called off."""
    return [event for event in found if str(event.get("STATUS", "")).upper() != "CANCELLED"]


class Occurrence(NamedTuple):
    """One time that an event takes place."""

    event: Any
    start: datetime
    """On the wall of `local`; midnight for an event of whole days."""
    length: timedelta
    """On the same wall, so that a week from nine ends at nine."""
    local: Any
    is_timed: bool


class _Budget:
    """Computing time for all repetitions together; what runs inside when it ends gets `_TooLong`."""

    def __init__(self) -> None:
        self._left = RULE_SECONDS

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGVTALRM, _expired)
        signal.setitimer(signal.ITIMER_VIRTUAL, self._left)

    def __exit__(self, *_: object) -> None:
        self._left = max(signal.setitimer(signal.ITIMER_VIRTUAL, 0)[0], 0.001)
        signal.signal(signal.SIGVTALRM, self._before)


def _expired(_number: int, _frame: object) -> None:
    raise _TooLong


def occurrences(events: list[Any], found: list[Any], zone: ZoneInfo, last: date = _LAST) -> Iterator[Occurrence]:
    """Every time each event takes place from 2000 to the `last` day; raises `Unreadable`, naming the event.

    Repetitions that were moved or called off are left out; `zone` is that of times without one. For a main thread.
    """
    budget = _Budget()
    moved: dict[str, set[datetime]] = {}
    for event in found:
        if event.get("RECURRENCE-ID") is not None:
            moved.setdefault(str(event.get("UID", "")), set()).add(_instant(event["RECURRENCE-ID"].dt, zone))
    for event in events:
        name = named(event)
        try:
            dropped = set() if event.get("RECURRENCE-ID") is not None else moved.get(str(event.get("UID", "")), set())
            yield from _each(event, dropped, zone, budget, last)
        except Unreadable as wrong:
            raise Unreadable(f"`{name}`: {wrong.problem}", wrong.remedy) from None
        except _TooLong:
            raise Unreadable(
                f"`{name}`: working out when it repeats takes too long",
                "give the rule fewer parts and a DTSTART after 2000, or write what it says into the policy",
            ) from None
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, IndexError) as error:
            raise Unreadable(f"`{name}` can't be read: {_short(str(error))}", "correct it in the feed") from None


def named(event: Any) -> str:
    """What an event is called, for a message."""
    return _short(str(event.get("SUMMARY") or event.get("UID") or "an event without a name"))


def _each(event: Any, dropped: set[datetime], zone: ZoneInfo, budget: _Budget, last: date) -> Iterator[Occurrence]:
    if event.get("DTSTART") is None:
        raise Unreadable("it has no DTSTART", "correct it in the feed")
    begin = event["DTSTART"].dt
    length = _length(event, begin)
    if length < timedelta():
        raise Unreadable("it ends before it begins", "correct it in the feed")
    local = begin.tzinfo if isinstance(begin, datetime) and begin.tzinfo is not None else zone
    first = _naive(begin, local)
    starts = {first, *(_naive(each, local) for each in _dates(event.get("RDATE")))}
    for rule in _listed(event.get("RRULE")):
        with budget:
            starts.update(_repeated(rule, first, local, last))
    without = dropped | {_instant(each, zone) for each in _dates(event.get("EXDATE"))}
    for start in sorted(starts):
        if length and start.replace(tzinfo=local).astimezone(UTC) not in without:
            yield Occurrence(event, start, length, local, isinstance(begin, datetime))


def _walls(events: list[Any], found: list[Any], zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
    """Every closure, from and to on the wall of the zone."""
    for one in occurrences(events, found, zone):
        if one.is_timed:
            starts_at, ends_at = instants(one, one.local)
            yield _on_wall(starts_at, zone), _on_wall(ends_at, zone)
        else:
            yield one.start, one.start + one.length


def instants(one: Occurrence, local: Any) -> tuple[datetime, datetime]:
    """From when to when it takes place, on the wall of `local`, in UTC; raises `Unreadable` beyond the years that UTC can tell."""
    try:
        return one.start.replace(tzinfo=local).astimezone(UTC), (one.start + one.length).replace(
            tzinfo=local
        ).astimezone(UTC)
    except OverflowError as error:
        raise Unreadable(f"`{named(one.event)}` can't be read: {error}", "correct it in the feed") from None


def _on_wall(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None)


def _repeated(rule: Any, first: datetime, local: Any, last: date) -> Iterator[datetime]:
    from dateutil.rrule import rrulestr  # type: ignore[import-untyped] # noqa: PLC0415 - comes with the extra

    frequency = str(rule.get("FREQ", [""])[0]).upper()
    if frequency not in _FREQUENCIES:
        raise Unreadable(f"it repeats by FREQ={frequency or 'nothing'}", "write rules by day, week, month or year")
    if any(int(each) < 1 for each in rule.get("INTERVAL", [1])):
        raise Unreadable("it repeats at no interval", "correct INTERVAL in the feed")
    until = rule.pop("UNTIL", [None])[0]
    series = rrulestr(rule.to_ical().decode(), dtstart=first)
    if until is not None:
        final = _naive(until, local)
        series = series.replace(until=final if isinstance(until, datetime) else datetime.combine(final, time.max))
    for count, start in enumerate(series):
        if start.date() > last:
            return
        if count > _MOST_DAYS:
            raise _TooLong
        if start.date() >= _FIRST - _A_DAY:
            yield start


def _length(event: Any, begin: date) -> timedelta:
    if event.get("DURATION") is not None:
        length: timedelta = event["DURATION"].dt
        return length
    if event.get("DTEND") is None:
        return timedelta() if isinstance(begin, datetime) else _A_DAY
    end = event["DTEND"].dt
    if isinstance(begin, datetime) != isinstance(end, datetime):
        raise Unreadable("it begins at a time and ends on a day, or the other way about", "correct it in the feed")
    if isinstance(begin, datetime):
        local = begin.tzinfo
        return _naive(end, local or end.tzinfo) - _naive(begin, local)
    days: timedelta = end - begin
    return days or _A_DAY


def _written(spans: Iterable[tuple[datetime, datetime]]) -> list[str]:
    """The closures as text: whole days in ranges, parts of a day each by itself."""
    whole: set[date] = set()
    parts: set[str] = set()
    looked_at = 0
    for start, end in spans:
        first, last = max(start.date(), _FIRST), min(end.date(), _LAST)
        if last < first:
            continue
        looked_at += (last - first).days + 1
        if looked_at > _MOST_DAYS:
            raise Unreadable(f"the events of the feed last over {_MOST_DAYS:,} days together", _FEWER)
        for n in range((last - first).days + 1):
            day = first + n * _A_DAY
            midnight = datetime.combine(day, time())
            opens, shuts = max(start, midnight), min(_up(end), midnight + _A_DAY)
            if (opens, shuts) == (midnight, midnight + _A_DAY):
                whole.add(day)
            elif opens < shuts:
                parts.add(f"{day} {opens:%H:%M}-{'24:00' if shuts.date() > day else f'{shuts:%H:%M}'}")
    written = [*_ranges(sorted(whole)), *sorted(parts)]
    if len(written) > MOST_CLOSURES:
        raise Unreadable(f"the feed comes to over {MOST_CLOSURES:,} closures by {_LAST.year}", _FEWER)
    return sorted(written)


def _ranges(days: list[date]) -> Iterator[str]:
    first = last = None
    for day in days:
        if last is not None and day == last + _A_DAY:
            last = day
            continue
        if first is not None:
            yield f"{first}..{last}" if first != last else f"{first}"
        first = last = day
    if first is not None:
        yield f"{first}..{last}" if first != last else f"{first}"


def _up(at: datetime) -> datetime:
    """To the whole minute, later rather than earlier."""
    return at if not at.second and not at.microsecond else at.replace(second=0, microsecond=0) + _A_MINUTE


def _naive(at: date, local: Any) -> datetime:
    """On the wall of a zone; a date is its midnight."""
    if not isinstance(at, datetime):
        return datetime.combine(at, time())
    return at if at.tzinfo is None else at.astimezone(local).replace(tzinfo=None)


def _instant(at: date, zone: ZoneInfo) -> datetime:
    local = at.tzinfo if isinstance(at, datetime) and at.tzinfo is not None else zone
    return _naive(at, local).replace(tzinfo=local).astimezone(UTC)


def _dates(value: Any) -> Iterator[date]:
    for listed in _listed(value):
        for each in listed.dts:
            yield each.dt[0] if isinstance(each.dt, tuple) else each.dt


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 3]}..."


def main() -> None:
    """Read a feed from standard input, and print what it came to or why it can't be used."""
    zone = ZoneInfo(sys.argv[1] if sys.argv[1] in available_timezones() else "UTC")  # a wrong one is said elsewhere
    answer(lambda raw: read(raw, zone))


def answer(reader: Callable[[bytes], Struct]) -> None:
    """Let a reader have standard input, within limits of memory and time, and print what it made of it or its `Refusal`."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    said: Struct
    try:
        said = reader(sys.stdin.buffer.read(SIZE_LIMIT + 1))
    except Unreadable as wrong:
        said = Refusal(problem=wrong.problem, remedy=wrong.remedy)
    except MemoryError:
        said = Refusal(problem="reading the feed takes too much memory", remedy=ALONE)
    sys.stdout.buffer.write(msgspec.json.encode(said))


if __name__ == "__main__":
    main()
