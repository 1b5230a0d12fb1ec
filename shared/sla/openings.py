"""Compiles declared hours to UTC: the open spans of a stretch of time, and its open days.

An instant is open when its local wall clock lies in the declared hours (rule 25). So the stretch is cut where the
zone's offset changes, and the wall's hours are shifted by each piece's offset: gaps shorten, repeated hours count twice.
Calendars made of others combine such spans.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise
from typing import NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

from msgspec import Struct

from shared.sla.hours import (
    ALL_DAY,
    DAY,
    CalendarSpec,
    Combination,
    CombinedSpec,
    Dates,
    Days,
    Exceptional,
    Hours,
    Spec,
)

Span: TypeAlias = tuple[int, int]
"""Half-open, in seconds: since the epoch, or since it on the local wall."""

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_EPOCH_WEEKDAY = date(1970, 1, 1).weekday()
_LONGEST_REACH = 3
"""Days: an opening reaches at most one day past its own, a zone at most one more, and one to spare."""
_PROBE = DAY // 2


class OpenDay(NamedTuple):
    """A local date on which the calendar is open."""

    closes: int
    """For the last time, in seconds since the epoch, UTC."""
    offset: int
    """Seconds east of UTC when it closes."""
    is_steady: bool
    """The offset holds all day."""


class Openings(Struct, frozen=True):
    """What is open in one stretch of time; all instants in seconds since the epoch, UTC."""

    spans: list[Span]
    """Ascending, apart from each other."""
    days: dict[int, OpenDay]
    """By their number, counted from 1970-01-01; ascending."""


def compile_openings(spec: Spec, since: int, until: int) -> Openings:
    """The openings from `since` to before `until`, in seconds since the epoch."""
    spans = open_spans(spec, since, until)
    return Openings(spans, _open_days(spans, spec.zone, since, until))


def open_spans(spec: Spec, since: int, until: int) -> list[Span]:
    """The open spans of the stretch, ascending, apart from each other."""
    return _spans(spec, since, until, {})


def _spans(spec: Spec, since: int, until: int, known: dict[int, list[Span]]) -> list[Span]:
    """The same; what several combinations share is compiled once."""
    found = known.get(id(spec))
    if found is None:
        if isinstance(spec, CombinedSpec):
            found = combine(spec.how, [_spans(part, since, until, known) for part in spec.parts])
        else:
            found = [(since, until)] if spec.always else _declared(spec, since, until)
        known[id(spec)] = found
    return found


def combine(how: Combination, parts: Sequence[list[Span]]) -> list[Span]:
    """Spans of which each part is ascending and apart, put together (rule 30)."""
    first, *others = parts
    match how:
        case Combination.UNION:
            return _merged(span for part in parts for span in part)
        case Combination.INTERSECTION:
            for other in others:
                first = list(_shared(first, other))
            return first
        case Combination.DIFFERENCE:
            return list(_without(first, _merged(span for other in others for span in other)))


def _declared(spec: CalendarSpec, since: int, until: int) -> list[Span]:
    wall = wall_spans(spec, since // DAY - _LONGEST_REACH, until // DAY + _LONGEST_REACH)
    starts = [start for start, _ in wall]
    spans: list[Span] = []
    for piece_since, piece_until, offset in offsets(spec.zone, since, until):
        first, last = piece_since + offset, piece_until + offset
        for start, end in wall[max(0, bisect_right(starts, first) - 1) :]:
            if start >= last:
                break
            if end > first:
                _append(spans, (max(start, first) - offset, min(end, last) - offset))
    return spans


def _open_days(spans: Sequence[Span], zone: ZoneInfo, since: int, until: int) -> dict[int, OpenDay]:
    """The local dates that the spans touch."""
    pieces = offsets(zone, since, until)
    changed = {(after[0] + offset) // DAY for before, after in pairwise(pieces) for offset in (before[2], after[2])}
    days: dict[int, OpenDay] = {}
    nearest = 0
    for piece_since, piece_until, offset in pieces:
        while nearest < len(spans) and spans[nearest][1] <= piece_since:
            nearest += 1
        for start, end in islice(spans, nearest, None):
            if start >= piece_until:
                break
            opens, shuts = max(start, piece_since) + offset, min(end, piece_until) + offset
            for day in range(opens // DAY, (shuts - 1) // DAY + 1):
                days[day] = OpenDay(min(shuts, (day + 1) * DAY) - offset, offset, day not in changed)
    return days


def wall_spans(spec: CalendarSpec, first_day: int, last_day: int) -> list[Span]:
    """What is open on the local wall on those days, counted from 1970-01-01, both included."""
    holidays = {day for holiday in spec.holidays if first_day <= (day := _day(holiday)) <= last_day}
    days = range(first_day, last_day + 1)
    usual = _merged(span for day in days for span in _on(day, _usual(spec, day)))
    shut = [span for day in holidays for span in _on(day, (ALL_DAY,))]
    shut += [
        span for item in spec.closed for day in _days(item.days, days) for span in _on(day, item.hours or (ALL_DAY,))
    ]
    extra = [
        span for item in spec.opened for day in _days(item.days, days) for span in _on(day, _extra(spec, item, day))
    ]
    return _merged([*_without(usual, _merged(shut)), *extra])


@lru_cache(maxsize=4096)
def offsets(zone: ZoneInfo, since: int, until: int) -> tuple[tuple[int, int, int], ...]:
    """Pieces of the stretch in which the zone keeps one offset: since, until, seconds east of UTC."""
    return tuple(_offsets(zone, since, until))


def _offsets(zone: ZoneInfo, since: int, until: int) -> Iterator[tuple[int, int, int]]:
    piece_since, offset, probe = since, offset_at(zone, since), since
    while probe < until:
        following = min(probe + _PROBE, until)
        if offset_at(zone, following) != offset:
            change = transition(zone, probe, following)
            if change >= until:
                break
            yield piece_since, change, offset
            piece_since, offset = change, offset_at(zone, change)
            following = change
        probe = following
    yield piece_since, until, offset


def transition(zone: ZoneInfo, low: int, high: int) -> int:
    """The first second with the offset of `high`, where `low` has another."""
    wanted = offset_at(zone, high)
    while high - low > 1:
        middle = (low + high) // 2
        if offset_at(zone, middle) == wanted:
            high = middle
        else:
            low = middle
    return high


def offset_at(zone: ZoneInfo, at: int) -> int:
    """Seconds east of UTC at an instant."""
    offset = (_EPOCH + timedelta(seconds=at)).astimezone(zone).utcoffset()
    return (offset.days * DAY + offset.seconds) if offset is not None else 0


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _day(when: date) -> int:
    return when.toordinal() - _EPOCH_ORDINAL


def _usual(spec: CalendarSpec, day: int) -> tuple[Hours, ...]:
    return spec.weekly[(day + _EPOCH_WEEKDAY) % 7]


def _extra(spec: CalendarSpec, item: Exceptional, day: int) -> tuple[Hours, ...]:
    return item.hours or _usual(spec, day)


def _on(day: int, hours: Iterable[Hours]) -> Iterator[Span]:
    midnight = day * DAY
    return ((midnight + span.opens, midnight + span.closes) for span in hours)


def _days(days: Days, within: range) -> Iterable[int]:
    if isinstance(days, Dates):
        return range(max(_day(days.first), within.start), min(_day(days.last) + 1, within.stop))
    first, last = days.first, days.last
    wraps = last < first
    found: list[int] = []
    for day in within:
        when = date.fromordinal(day + _EPOCH_ORDINAL)
        month_day = (when.month, when.day)
        after_first, before_last = first <= month_day, month_day <= last
        if (after_first or before_last) if wraps else (after_first and before_last):
            found.append(day)
    return found


def _append(spans: list[Span], span: Span) -> None:
    """Add a span that starts no earlier than the last one; they become one where they touch."""
    if spans and span[0] <= spans[-1][1]:
        spans[-1] = (spans[-1][0], max(spans[-1][1], span[1]))
    else:
        spans.append(span)


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for span in sorted(spans):
        _append(merged, span)
    return merged


def _without(spans: Sequence[Span], shut: Sequence[Span]) -> Iterator[Span]:
    """The spans less what is shut; both ascending and apart from each other."""
    nearest = 0
    for start, end in spans:
        opens = start
        while nearest < len(shut) and shut[nearest][1] <= opens:
            nearest += 1
        following = nearest
        while following < len(shut) and shut[following][0] < end:
            if opens < shut[following][0]:
                yield opens, shut[following][0]
            opens = max(opens, shut[following][1])
            following += 1
        if opens < end:
            yield opens, end


def _shared(spans: Sequence[Span], others: Sequence[Span]) -> Iterator[Span]:
    """What is in both; both ascending and apart from each other."""
    i = j = 0
    while i < len(spans) and j < len(others):
        opens, shuts = max(spans[i][0], others[j][0]), min(spans[i][1], others[j][1])
        if opens < shuts:
            yield opens, shuts
        if spans[i][1] < others[j][1]:
            i += 1
        else:
            j += 1
