"""Rule 20: what holds for every calendar, and agreement with an oracle that steps through minutes."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.sla.calendar import NEVER, Calendar, to_instant, to_microseconds
from shared.sla.hours import ALL_DAY, CalendarSpec, Combination, CombinedSpec, Dates, Days, Exceptional, Hours, Yearly
from tests.effort import examples

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Pacific/Apia",
    "Africa/Casablanca",
    "UTC",
)
MINUTE = timedelta(minutes=1)
SPRING, AUTUMN = date(2026, 3, 29), date(2026, 10, 25)

dates = st.dates(date(2025, 12, 20), date(2027, 1, 10)) | st.sampled_from(
    [SPRING, AUTUMN, date(2026, 9, 6), date(2026, 12, 31)]
)
minutes = st.integers(0, 24 * 60 - 1)


@st.composite
def spans(draw: st.DrawFn) -> Hours:
    """Hours on whole minutes, some over midnight."""
    opens = draw(minutes)
    return Hours(opens * 60, (opens + draw(st.integers(1, 24 * 60))) * 60)


@st.composite
def days(draw: st.DrawFn) -> Days:
    """A few dates, or days of every year, some of them wrapping it."""
    first = draw(dates)
    last = first + timedelta(days=draw(st.integers(0, 12)))
    return Dates(first, last) if draw(st.booleans()) else Yearly((first.month, first.day), (last.month, last.day))


exceptions = st.lists(
    st.builds(Exceptional, days=days(), hours=st.lists(spans(), max_size=2).map(tuple)), max_size=3
).map(tuple)


@st.composite
def specs(draw: st.DrawFn) -> CalendarSpec:
    """Any calendar that a policy file can declare."""
    weekly = draw(st.lists(st.lists(spans(), max_size=3).map(tuple), min_size=7, max_size=7))
    return CalendarSpec(
        name="any",
        zone=ZoneInfo(draw(st.sampled_from(ZONES))),
        weekly=tuple(weekly),
        holidays=frozenset(draw(st.lists(dates, max_size=4))),
        closed=draw(exceptions),
        opened=draw(exceptions),
    )


instants = st.builds(
    lambda day, within: datetime(day.year, day.month, day.day, tzinfo=UTC) + within,
    dates,
    st.timedeltas(timedelta(), timedelta(days=1)),
)
durations = st.timedeltas(timedelta(microseconds=1), timedelta(days=30))


def is_open(spec: CalendarSpec, at: datetime) -> bool:
    """Membership of the local wall clock, straight from the declaration."""
    wall = at.astimezone(spec.zone).replace(tzinfo=None)
    if any(_covers(item.hours or spec.weekly[day.weekday()], wall, day) for item, day in _named(spec.opened, wall)):
        return True
    if wall.date() in spec.holidays:
        return False
    if any(_covers(item.hours or (ALL_DAY,), wall, day) for item, day in _named(spec.closed, wall)):
        return False
    return any(_covers(spec.weekly[day.weekday()], wall, day) for day in _nearby(wall))


def _nearby(wall: datetime) -> tuple[date, date]:
    return wall.date(), wall.date() - timedelta(days=1)


def _named(items: tuple[Exceptional, ...], wall: datetime) -> Iterator[tuple[Exceptional, date]]:
    return ((item, day) for item in items for day in _nearby(wall) if _names(item.days, day))


def _names(days: Days, day: date) -> bool:
    if isinstance(days, Dates):
        return days.first <= day <= days.last
    turning = (day.month, day.day)
    if days.first <= days.last:
        return days.first <= turning <= days.last
    return turning >= days.first or turning <= days.last


def _covers(hours: tuple[Hours, ...], wall: datetime, day: date) -> bool:
    second = (wall - datetime.combine(day, time.min)).total_seconds()
    return any(span.opens <= second < span.closes for span in hours)


def minutes_open(spec: CalendarSpec, start: datetime, end: datetime) -> int:
    """Open minutes, counted one by one."""
    return sum(is_open(spec, start + n * MINUTE) for n in range(int((end - start) / MINUTE)))


@settings(max_examples=examples(20))
@given(spec=specs(), day=dates, first=minutes, length=st.integers(1, 3 * 24 * 60))
@example(
    spec=CalendarSpec(name="gap", zone=ZoneInfo("Europe/Berlin"), weekly=((),) * 6 + ((Hours(9000, 36000),),)),
    day=SPRING,
    first=0,
    length=1440,
)
def test_between_agrees_with_counting_minutes(spec: CalendarSpec, day: date, first: int, length: int) -> None:
    """Whatever is declared, the open minutes of up to three days are those that one counts."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) + first * MINUTE
    end = start + length * MINUTE
    calendar = Calendar(spec)
    expected = minutes_open(spec, start, end)
    assert expected * MINUTE == calendar.between(start, end)
    assert expected * MINUTE == sum((closes - opens for opens, closes in calendar.intervals(start, end)), timedelta())


@settings(max_examples=examples(10))
@given(spec=specs(), day=dates, first=minutes, open_minutes=st.integers(1, 600))
def test_add_agrees_with_stepping_minutes(spec: CalendarSpec, day: date, first: int, open_minutes: int) -> None:
    """Within a week: the due minute is the one at which a stepper has counted enough."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) + first * MINUTE
    now, left = start, open_minutes
    while left and now < start + timedelta(days=7):
        left -= is_open(spec, now)
        now += MINUTE
    due = Calendar(spec).add(start, open_minutes * MINUTE)
    if left:
        assert due is None or due > now
    else:
        assert due == now


@settings(max_examples=examples(25))
@given(spec=specs(), start=instants, open_time=durations)
def test_rule_20_between_inverts_add(spec: CalendarSpec, start: datetime, open_time: timedelta) -> None:
    """So much is open until the due time, and at no instant before it."""
    calendar = Calendar(spec)
    due = calendar.add(start, open_time)
    if due is not None:
        assert open_time == calendar.between(start, due)
        assert calendar.between(start, due - timedelta(microseconds=1)) < open_time


@settings(max_examples=examples(25))
@given(spec=specs(), end=instants, open_time=durations)
def test_rule_20_between_inverts_subtract(spec: CalendarSpec, end: datetime, open_time: timedelta) -> None:
    """So much is open from it on, and from no later instant."""
    calendar = Calendar(spec)
    start = calendar.subtract(end, open_time)
    if start is not None:
        assert open_time == calendar.between(start, end)
        assert calendar.between(start + timedelta(microseconds=1), end) < open_time


@settings(max_examples=examples(25))
@given(spec=specs(), start=instants, first=durations, second=durations)
def test_rule_20_add_is_additive_and_monotonic(
    spec: CalendarSpec, start: datetime, first: timedelta, second: timedelta
) -> None:
    """In two steps as in one; more time is never due earlier."""
    calendar = Calendar(spec)
    step, whole = calendar.add(start, first), calendar.add(start, first + second)
    if step is not None and whole is not None:
        assert whole == calendar.add(step, second)
        assert start < step < whole


@settings(max_examples=examples(25))
@given(spec=specs(), starts=st.lists(instants, min_size=1, max_size=20), open_time=durations)
def test_what_is_looked_up_is_what_the_table_says(
    spec: CalendarSpec, starts: list[datetime], open_time: timedelta
) -> None:
    """The quick way and the long one never differ, near the edge of what is compiled either."""
    calendar = Calendar(spec)
    calendar.between(min(starts), max(starts) + MINUTE)
    for start in starts:
        at = to_microseconds(start)
        due = calendar.instant(calendar.position(at) + open_time // timedelta(microseconds=1))
        assert calendar.add(start, open_time) == (None if due >= NEVER else to_instant(due))
        used = calendar.position(to_microseconds(start + open_time)) - calendar.position(at)
        assert calendar.between(start, start + open_time) == timedelta(microseconds=used)


@settings(max_examples=examples(25))
@given(spec=specs(), starts=st.lists(instants, min_size=2, max_size=2).map(sorted), open_time=durations)
def test_rule_20_a_later_start_is_never_due_earlier(
    spec: CalendarSpec, starts: list[datetime], open_time: timedelta
) -> None:
    """Monotonic in the start."""
    calendar = Calendar(spec)
    earlier, later = (calendar.add(start, open_time) for start in starts)
    assert later is None or (earlier is not None and earlier <= later)


@settings(max_examples=examples(25))
@given(spec=specs(), instants=st.lists(instants, min_size=3, max_size=3).map(sorted))
def test_rule_20_between_is_additive(spec: CalendarSpec, instants: list[datetime]) -> None:
    """Of two stretches in a row it is the sum; backwards it is nothing."""
    first, middle, last = instants
    calendar = Calendar(spec)
    assert calendar.between(first, middle) + calendar.between(middle, last) == calendar.between(first, last)
    assert first == last or calendar.between(last, first) == timedelta()


@settings(max_examples=examples(15))
@given(parts=st.lists(specs(), min_size=2, max_size=3), how=st.sampled_from(Combination), day=dates, first=minutes)
def test_rule_30_combinations_agree_with_counting_minutes(
    parts: list[CalendarSpec], how: Combination, day: date, first: int
) -> None:
    """Open in any, in all, or in the first and no other: minute by minute, each part in its own zone."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) + first * MINUTE
    calendar = Calendar(CombinedSpec(name="both", zone=parts[0].zone, how=how, parts=tuple(parts)))
    expected = 0
    for n in range(24 * 60):
        opens, *others = (is_open(part, start + n * MINUTE) for part in parts)
        expected += {
            Combination.UNION: opens or any(others),
            Combination.INTERSECTION: opens and all(others),
            Combination.DIFFERENCE: opens and not any(others),
        }[how]
    assert expected * MINUTE == calendar.between(start, start + timedelta(days=1))


@settings(max_examples=examples(25))
@given(spec=specs(), start=instants, count=st.integers(1, 20))
def test_business_days_end_on_the_nth_open_day(spec: CalendarSpec, start: datetime, count: int) -> None:
    """As many open days lie between as were asked for, and the due time is no later than the last of them closes."""
    calendar = Calendar(spec)
    opening, due = calendar.next_open(start), calendar.add_business_days(start, count)
    if opening is None or due is None:
        return
    first, last = opening.astimezone(spec.zone).date(), due.astimezone(spec.zone).date()
    end = due + timedelta(days=2)
    open_days = {
        (opens.astimezone(spec.zone) + timedelta(days=n)).date()
        for opens, closes in calendar.intervals(opening - timedelta(days=2), end)
        for n in range((_last_date(closes, spec.zone) - opens.astimezone(spec.zone).date()).days + 1)
    }
    # A due time at midnight is the end of the day before.
    assert count in {len([day for day in open_days if first < day <= last - timedelta(days=slack)]) for slack in (0, 1)}


def _last_date(closes: datetime, zone: ZoneInfo) -> date:
    return (closes - timedelta(microseconds=1)).astimezone(zone).date()
