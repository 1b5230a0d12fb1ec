"""What a calendar makes of a stretch of time, interval by interval: for people who wonder why something is due when it is."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from msgspec import Struct

from shared.sla.calendar import Calendar, to_instant
from shared.sla.hours import DAY, CalendarSpec, Dates, Days, Exceptional
from shared.sla.policy import BusinessDays, Promise
from shared.sla.years import FIRST, LAST

MOST_INTERVALS = 1_000
SHOWN_WITHOUT_DUE = timedelta(days=14)
"""So much is shown where neither a length nor an end was asked for, or nothing is ever due."""
EARLIEST, LATEST = to_instant(FIRST), to_instant(LAST)
_MOST_REASONS = 10
_MOST_LOOKED_AT = 300_000
"""Exceptions compared with dates, for all reasons together: beyond it none are given."""
_WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


class Interval(Struct, frozen=True, kw_only=True):
    """A stretch in which the calendar is open all the time, or closed all the time."""

    start_at: datetime
    end_at: datetime
    """Not included."""
    is_open: bool
    seconds: float
    reasons: tuple[str, ...] = ()
    """Why it is closed, as far as the calendar itself says so."""


class Preview(Struct, frozen=True, kw_only=True):
    """From a start to what is due, or to an end."""

    calendar: str
    timezone: str
    """Whose days are its days."""
    start_at: datetime
    end_at: datetime
    """What is shown ends here."""
    due_at: datetime | None
    """None where no length was asked for, or the calendar doesn't open that long before the year 2100."""
    open_seconds: float
    """Between start and end."""
    wall_seconds: float
    intervals: tuple[Interval, ...]
    """Of the calendar, without a gap between them; the first ones, where there are many."""
    is_complete: bool
    """False where there are more intervals than are shown."""


def preview(calendar: Calendar, start: datetime, promise: Promise | None, until: datetime | None = None) -> Preview:
    """When so much is due, and every interval up to then; or up to `until`, or two weeks.

    Raises ValueError for instants outside the years 1970 to 2099, and for an end before the start.
    """
    for at in (start, until or start):
        if not EARLIEST <= at < LATEST:
            raise ValueError(f"{at.isoformat()} is outside the years {EARLIEST.year} to {LATEST.year - 1}")
    if until is not None and until < start:
        raise ValueError(f"the end {until.isoformat()} comes before the start {start.isoformat()}")
    start = start.astimezone(UTC)
    due = None if promise is None else _due(calendar, start, promise)
    end = (until or due or min(start + SHOWN_WITHOUT_DUE, LATEST)).astimezone(UTC)
    spans = calendar.intervals(start, end)
    shown = tuple(_intervals(calendar, start, end, spans[:MOST_INTERVALS]))
    return Preview(
        calendar=calendar.spec.name,
        timezone=calendar.spec.zone.key,
        start_at=start,
        end_at=end,
        due_at=due,
        open_seconds=calendar.between(start, end).total_seconds(),
        wall_seconds=(end - start).total_seconds(),
        intervals=shown[:MOST_INTERVALS],
        is_complete=len(shown) <= MOST_INTERVALS and len(spans) <= MOST_INTERVALS,
    )


def _due(calendar: Calendar, start: datetime, promise: Promise) -> datetime | None:
    if isinstance(promise, BusinessDays):
        return calendar.add_business_days(start, promise.days)
    return calendar.add(start, promise)


def _intervals(
    calendar: Calendar, start: datetime, end: datetime, spans: list[tuple[datetime, datetime]]
) -> Iterator[Interval]:
    reasons = _Reasons(calendar)
    at = start
    for opens, closes in spans:
        if at < opens:
            yield reasons.closed(at, opens)
        yield Interval(start_at=opens, end_at=closes, is_open=True, seconds=(closes - opens).total_seconds())
        at = closes
    if at < end:
        yield reasons.closed(at, end)


class _Reasons:
    """Says why a calendar is closed, in bounded work."""

    def __init__(self, calendar: Calendar) -> None:
        self._spec = calendar.spec
        self._left = _MOST_LOOKED_AT

    def closed(self, start: datetime, end: datetime) -> Interval:
        found = list(dict.fromkeys(self._of(start, end)))
        return Interval(
            start_at=start,
            end_at=end,
            is_open=False,
            seconds=(end - start).total_seconds(),
            reasons=(*found[:_MOST_REASONS], *(["..."] if len(found) > _MOST_REASONS else [])),
        )

    def _of(self, start: datetime, end: datetime) -> Iterator[str]:
        """What closes each local date of the interval."""
        spec = self._spec
        if not isinstance(spec, CalendarSpec):
            yield f"{spec.how} of " + ", ".join(part.name for part in spec.parts)
            return
        first = start.astimezone(spec.zone).date()
        last = (end - timedelta(microseconds=1)).astimezone(spec.zone).date()
        for n in range((last - first).days + 1):
            self._left -= len(spec.closed) + 1
            if self._left < 0:
                return
            yield _reason(spec, first + timedelta(days=n), start, end)


def _reason(spec: CalendarSpec, day: date, start: datetime, end: datetime) -> str:
    weekday = day.weekday()
    if not spec.weekly[weekday] and all(span.closes <= DAY for span in spec.weekly[weekday - 1]):
        return f"no hours on {_WEEKDAYS[weekday]}"
    if day in spec.holidays:
        return f"holiday {day}"
    if any(_closes(item, day, start, end, spec) for item in spec.closed):
        return f"closure {day}"
    return "outside hours"


def _closes(item: Exceptional, day: date, start: datetime, end: datetime, spec: CalendarSpec) -> bool:
    """Whether the closure lies on that day and touches the interval."""
    if not _names(item.days, day):
        return False
    midnight = datetime(day.year, day.month, day.day, tzinfo=spec.zone)
    return not item.hours or any(
        midnight + timedelta(seconds=span.opens) < end and start < midnight + timedelta(seconds=span.closes)
        for span in item.hours
    )


def _names(days: Days, day: date) -> bool:
    if isinstance(days, Dates):
        return days.first <= day <= days.last
    month_day = (day.month, day.day)
    if days.last < days.first:
        return month_day >= days.first or month_day <= days.last
    return days.first <= month_day <= days.last
