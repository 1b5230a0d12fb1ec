"""A clock's life cut into stretches that counted, were paused, or lay outside opening hours.

Cut at the pauses and origin that the fold found and at the openings of its calendar; the sum of what counted is its open
time used.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import NamedTuple

from msgspec import structs

from shared.contract.tickets import Status
from shared.sla.calendar import to_instant
from shared.sla.explaining.explained import Interval, IntervalState
from shared.sla.placing import Course

MOST_AHEAD = timedelta(days=731) // timedelta(microseconds=1)
"""How far a due time is looked forward to."""
_MICROSECOND = timedelta(microseconds=1)
_FIRST_SHARE = 5
"""Where there are too many: the first fifth of what is kept are the first ones, the others the last ones."""
_AHEAD_SHARE = 4
"""At most a quarter of what is kept lies ahead."""


class Stretch(NamedTuple):
    """A span of time cut at pauses alone, in microseconds."""

    since: int
    until: int
    status: Status | None
    """That paused it."""
    is_restarted: bool = False
    """Before the promise was made anew."""


def stretches(course: Course, started: int, end: int, statuses: Sequence[tuple[int, Status]]) -> list[Stretch]:
    """From where a clock counts (or started, if that is earlier) up to an instant."""
    found: list[Stretch] = []
    at = course.counts_from
    if started < min(at, end):
        found.append(Stretch(started, min(at, end), None, is_restarted=True))
    for pause in course.pauses:
        since = min(max(pause.since, at), end)
        until = end if pause.until is None else min(pause.until, end)
        if since >= until:
            continue
        if at < since:
            found.append(Stretch(at, since, None))
        found += _by_status(since, until, statuses)
        at = until
    if at < end:
        found.append(Stretch(at, end, None))
    return found


def _by_status(since: int, until: int, statuses: Sequence[tuple[int, Status]]) -> Iterator[Stretch]:
    place = max(bisect_right(statuses, since, key=lambda item: item[0]) - 1, 0)
    while since < until:
        ends = statuses[place + 1][0] if place + 1 < len(statuses) else until
        if min(ends, until) > since:
            yield Stretch(since, min(ends, until), statuses[place][1])
            since = min(ends, until)
        place += 1


def intervals(course: Course, past: Sequence[Stretch], due: int | None, limit: int) -> tuple[Interval, ...]:
    """The stretches cut at openings too, then from the end of them to the due time; at most `limit`."""
    behind = [interval for stretch in past for interval in _cut(course, stretch)]
    ahead: tuple[Interval, ...] = ()
    if due is not None and past and past[-1].until < due:
        now = past[-1].until
        rest = _cut(course, Stretch(now, min(due, now + MOST_AHEAD), None))
        ahead = _bounded([structs.replace(interval, is_ahead=True) for interval in rest], max(limit // _AHEAD_SHARE, 3))
    return (*_bounded(behind, limit - len(ahead)), *ahead)


def _cut(course: Course, stretch: Stretch) -> Iterator[Interval]:
    calendar = course.terms.calendar
    since, until = to_instant(stretch.since), to_instant(stretch.until)
    if stretch.is_restarted:
        yield Interval(state=IntervalState.RESTARTED, since=since, until=until, open_seconds=0.0)
        return
    if stretch.status is not None:
        held = calendar.position(stretch.until) - calendar.position(stretch.since)
        yield Interval(
            state=IntervalState.PAUSED,
            since=since,
            until=until,
            open_seconds=0.0,
            held_seconds=(_MICROSECOND * held).total_seconds(),
            status=stretch.status,
        )
        return
    for opens, closes in calendar.intervals(since, until):
        if since < opens:
            yield Interval(state=IntervalState.CLOSED, since=since, until=opens, open_seconds=0.0)
        yield Interval(
            state=IntervalState.COUNTED, since=opens, until=closes, open_seconds=(closes - opens).total_seconds()
        )
        since = closes
    if since < until:
        yield Interval(state=IntervalState.CLOSED, since=since, until=until, open_seconds=0.0)


def _bounded(found: list[Interval], limit: int) -> tuple[Interval, ...]:
    if len(found) <= limit:
        return tuple(found)
    first = limit // _FIRST_SHARE
    last = limit - first - 1
    middle = found[first : len(found) - last]
    left_out = Interval(
        state=IntervalState.LEFT_OUT,
        since=middle[0].since,
        until=middle[-1].until,
        open_seconds=_sum(interval.open_seconds for interval in middle),
        held_seconds=_sum(interval.held_seconds for interval in middle),
        is_ahead=middle[0].is_ahead,
        intervals=len(middle),
    )
    return (*found[:first], left_out, *found[len(found) - last :])


def _sum(seconds: Iterable[float]) -> float:
    return round(sum(round(each * 1_000_000) for each in seconds) / 1_000_000, 6)
