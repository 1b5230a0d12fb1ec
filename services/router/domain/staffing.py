"""Who is missing: of what tickets needed, when they came, and what they waited for (routing-rules 3.6).

Pure: the store counts, this puts together. A ticket that waited counts at the hour of the week in which it began to
wait for that reason; so a night's backlog stands where it came from, not where it lay.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import chain
from typing import NamedTuple

from msgspec import Struct

from services.router.domain import week
from shared.contract.questions import UnclearQuestion
from shared.contract.tickets import Channel

WEEKS = 4
"""Where nobody asks for others."""
MOST_WEEKS = 13
"""Waits are kept so long."""
MOST_LINES = 500
HEAT_MAPS = 10
"""Lines that come with their hours."""
UNKNOWN_HOLD = timedelta(minutes=15)
"""How long somebody has a ticket of a channel of which none has ended."""
CAPACITY = 12.0
"""Units of a person, where nobody is on the roster."""
_HALF = 0.5


class Lack(StrEnum):
    """What tickets wait for; the least room on several people (`fragmented`) is `full`."""

    NO_SKILL = "no_skill"
    OFFLINE = "offline"
    FULL = "full"
    EXCLUDED = "excluded"


class Arrived(NamedTuple):
    """Tickets that were opened in one hour of the week."""

    channel: Channel
    skills: tuple[str, ...]
    hour: int
    tickets: int


class Waited(NamedTuple):
    """Tickets that began to wait in one hour of the week; without a channel: of all sorts, for whatever."""

    channel: Channel | None
    skills: tuple[str, ...]
    reason: Lack | None
    hour: int
    tickets: int
    waiting: int
    """Of these wait yet."""
    unit_seconds: float
    """Units times what they waited, each no longer than somebody would have had it."""


class Span(NamedTuple):
    """Tickets that waited equally long for one reason; without a channel: of all sorts, for whatever."""

    channel: Channel | None
    skills: tuple[str, ...]
    reason: Lack | None
    minutes: int
    tickets: int


class Sort(NamedTuple):
    """What a line is about; without a channel or reason: of all of them."""

    channel: Channel | None = None
    skills: tuple[str, ...] | None = None
    reason: Lack | None = None


class Minutes(Struct, frozen=True, kw_only=True):
    """How long tickets waited for the reason, each in all; those that wait yet, up to now.

    Rounded up: to the minute, and beyond four hours to a quarter of an hour.
    """

    median: int
    p90: int
    """Nine of ten waited no longer."""


class Peak(Struct, frozen=True, kw_only=True):
    """The hours of one day in which most hands were missing: the worst, and those beside it with at least half of that."""

    weekday: int
    """From 0, Monday."""
    first: int
    """The first of these hours."""
    until: int
    """The hour at whose beginning it is over, up to 24."""
    hands: float
    """In the worst hour."""


class Heat(Struct, frozen=True, kw_only=True):
    """The hours of the week: seven rows from Monday on, 24 columns each."""

    arrived: tuple[tuple[int, ...], ...]
    waited: tuple[tuple[int, ...], ...]
    """At the hour in which each ticket began to wait; their sum is that of the line."""
    hands: tuple[tuple[float, ...], ...]
    """People who were missing, in the mean of the hours of that name."""


class Line(Struct, frozen=True, kw_only=True):
    """Tickets that waited for one reason: of one channel and all the skills they needed, or of one skill."""

    channel: Channel | None
    """Null: of all."""
    skills: tuple[str, ...] | None
    """None at all: anybody could have taken them. Null: whatever they needed."""
    reason: Lack | None
    arrived: int
    waited: int
    share: float
    """Waited of arrived, from 0 to 1."""
    waiting: int
    """So many of them wait yet."""
    minutes: Minutes | None
    """Null where none waited."""
    hours_a_week: float
    """Hours of work a week that there were no hands for."""
    peak: Peak | None
    heat: Heat | None = None
    """Null in the lines after the first ones."""


class Staffing(Struct, frozen=True, kw_only=True):
    """Of the tickets of the last weeks."""

    since: datetime
    """The first instant."""
    until: datetime
    """Now."""
    timezone: str
    capacity: float
    """Units of a person: the mean of the roster."""
    held_minutes: dict[Channel, float]
    """How long somebody has a ticket of a channel: the median of the last that ended."""
    hours: tuple[tuple[float, ...], ...]
    """How often each hour of the week occurred: a change of the clocks repeats or skips one."""
    total: Line
    """Each ticket once, whatever it waited for."""
    lines: tuple[Line, ...]
    """By channel, all the skills a ticket needed, and reason: what is missing most comes first."""
    skills: tuple[Line, ...]
    """By skill and reason; a ticket that needs several skills counts under each."""
    is_complete: bool
    """False where there are more lines than are listed."""


class Scale(Struct, frozen=True, kw_only=True):
    """What turns work that waited into hands."""

    occurrences: Sequence[float]
    """How often each hour of the week occurred in the window."""
    weeks: int
    capacity: float


class Findings(Struct, frozen=True, kw_only=True):
    """What the store counted."""

    arrived: Sequence[Arrived]
    """By what the tickets need now."""
    others: Sequence[Arrived]
    """Tickets that waited as something else before: they came as that, too."""
    waited: Sequence[Waited]
    spans: Sequence[Span]


def read_weeks(text: str) -> int:
    """How many weeks; raises UnclearQuestion with what is allowed."""
    cleaned = text.strip()
    if not (cleaned.isascii() and cleaned.isdigit() and 1 <= int(cleaned) <= MOST_WEEKS):
        raise UnclearQuestion("weeks", f"must be a whole number of weeks from 1 to {MOST_WEEKS}")
    return int(cleaned)


def holds(known: Mapping[Channel, float]) -> dict[Channel, float]:
    """Seconds that somebody has a ticket of each channel: as measured, else `UNKNOWN_HOLD`."""
    return {channel: known.get(channel, UNKNOWN_HOLD.total_seconds()) for channel in Channel}


def total(findings: Findings, scale: Scale) -> Line:
    """All tickets, each once."""
    sums = _Sums()
    for each in findings.arrived:
        sums.arrived[each.hour] += each.tickets
    for one in findings.waited:
        if one.reason is None:
            sums.add(one)
    for span in findings.spans:
        if span.reason is None:
            sums.spans[span.minutes] += span.tickets
    return _line(Sort(), sums, scale, with_heat=True)


def tables(findings: Findings, scale: Scale) -> tuple[list[Line], list[Line]]:
    """Lines by channel, all skills of a ticket and reason, and those by single skill and reason over all channels.

    In each what is missing most comes first, and the first `HEAT_MAPS` have their hours. A ticket counts under each skill
    it needs, so lines of single skills don't add up.
    """
    return _table(findings, scale, lambda channel, names: [Sort(channel, names)]), _table(
        findings, scale, lambda _, names: [Sort(None, (name,)) for name in names]
    )


def _table(
    findings: Findings, scale: Scale, sorts: Callable[[Channel | None, tuple[str, ...]], list[Sort]]
) -> list[Line]:
    came: defaultdict[Sort, list[int]] = defaultdict(lambda: [0] * week.HOURS)
    for each in chain(findings.arrived, findings.others):
        for sort in sorts(each.channel, each.skills):
            came[sort][each.hour] += each.tickets
    found: defaultdict[Sort, _Sums] = defaultdict(_Sums)
    for one in findings.waited:
        if one.reason is not None:
            for sort in sorts(one.channel, one.skills):
                found[sort._replace(reason=one.reason)].add(one)
    for span in findings.spans:
        if span.reason is not None:
            for sort in sorts(span.channel, span.skills):
                found[sort._replace(reason=span.reason)].spans[span.minutes] += span.tickets
    for sort, sums in found.items():
        sums.arrived = came[sort._replace(reason=None)]
    return _in_order(found, scale)


class _Sums:
    """Of one line, by hour of the week."""

    def __init__(self) -> None:
        self.arrived = [0] * week.HOURS
        self.waited = [0] * week.HOURS
        self.unit_seconds = [0.0] * week.HOURS
        self.spans: Counter[int] = Counter()
        self.waiting = 0

    def add(self, one: Waited) -> None:
        self.waited[one.hour] += one.tickets
        self.unit_seconds[one.hour] += one.unit_seconds
        self.waiting += one.waiting


def _in_order(found: Mapping[Sort, _Sums], scale: Scale) -> list[Line]:
    def place(sort: Sort) -> tuple[float, int, int, tuple[str, ...], int]:
        sums = found[sort]
        channel = -1 if sort.channel is None else _CHANNELS[sort.channel]
        reason = -1 if sort.reason is None else _LACKS[sort.reason]
        return -sum(sums.unit_seconds), -sum(sums.waited), channel, sort.skills or (), reason

    ordered = sorted(found, key=place)
    return [_line(sort, found[sort], scale, with_heat=number < HEAT_MAPS) for number, sort in enumerate(ordered)]


def _line(sort: Sort, sums: _Sums, scale: Scale, *, with_heat: bool) -> Line:
    arrived, waited = sum(sums.arrived), sum(sums.waited)
    hands = hands_missing(sums.unit_seconds, scale)
    return Line(
        channel=sort.channel,
        skills=sort.skills,
        reason=sort.reason,
        arrived=arrived,
        waited=waited,
        share=waited / arrived if arrived else 0.0,
        waiting=sums.waiting,
        minutes=Minutes(median=_percentile(sums.spans, 0.5), p90=_percentile(sums.spans, 0.9)) if waited else None,
        hours_a_week=sum(sums.unit_seconds) / (scale.capacity * _SECONDS * scale.weeks),
        peak=peak(hands),
        heat=Heat(
            arrived=week.by_day(sums.arrived),
            waited=week.by_day(sums.waited),
            hands=week.by_day(hands),
        )
        if with_heat
        else None,
    )


def _percentile(spans: Mapping[int, int], share: float) -> int:
    """The least of the values that so many don't exceed; 0 where there are none."""
    enough, so_far = share * sum(spans.values()), 0
    for minutes in sorted(spans):
        so_far += spans[minutes]
        if so_far >= enough:
            return minutes
    return 0


def hands_missing(unit_seconds: Sequence[float], scale: Scale) -> list[float]:
    """People who would have been busy with what waited, in the mean of each hour of the week.

    Little's law, said of work: hands = sum of min(waited, held) x units / capacity / (3600 s x occurrences of the hour),
    over the tickets that began to wait in the hour; `held` is how long somebody has a ticket of that channel once it is
    theirs. A ticket that waits longer than that would have been done by then, so more waiting asks for no more hands.

    What it can't say: it counts the work there was, not how unevenly it came, so that fewer than one still means that
    somebody has to be there, and short waits in the rush want a little more; who is added for one line may help
    another too, so lines don't add up; and where customers left, only what they waited is counted.
    """
    return [
        work / (scale.capacity * _SECONDS * occurred) if work and occurred else 0.0
        for work, occurred in zip(unit_seconds, scale.occurrences, strict=True)
    ]


def peak(hands: Sequence[float]) -> Peak | None:
    """The worst hour, the first of equals, with the hours of that day beside it that come to half of it; None: all is 0."""
    worst = max(range(week.HOURS), key=lambda hour: hands[hour])
    if hands[worst] <= 0:
        return None
    day, enough = worst - worst % 24, hands[worst] * _HALF
    first, last = worst, worst
    while first > day and hands[first - 1] >= enough:
        first -= 1
    while last < day + 23 and hands[last + 1] >= enough:
        last += 1
    return Peak(weekday=worst // 24, first=first - day, until=last - day + 1, hands=hands[worst])


_SECONDS = 3600
_CHANNELS = {channel: place for place, channel in enumerate(Channel)}
_LACKS = {lack: place for place, lack in enumerate(Lack)}
