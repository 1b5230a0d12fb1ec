"""What is legal in a calendar but seldom meant: each a warning with its line and the way out, never an error."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any

from shared.policy.hours import WEEKDAYS
from shared.policy.located import escape
from shared.policy.reading import Reading
from shared.sla.hours import DAY, CalendarSpec, Hours
from shared.sla.openings import offsets, wall_spans

AHEAD = timedelta(days=400)
"""So far ahead clock changes are looked at."""
_EPOCH = date(1970, 1, 1)


def lint(reading: Reading, spec: CalendarSpec, pointer: str, today: date | None) -> None:
    """Note hours that overlap and, given `today`, openings at times that a clock change leaves out."""
    if spec.always:
        return
    place = f"{pointer}/hours"
    overlap = next(_overlaps(spec.weekly), None)
    if overlap is not None:
        reading.warn(place, overlap, "if that is meant nothing is wrong: what overlaps counts once")
    if today is not None:
        for problem in _gaps(spec, today):
            reading.warn(place, problem, "if that is meant nothing is wrong; else begin before the change or after it")


def shrunken(reading: Reading, before: Any, after: Any) -> None:
    """Note feeds that hold fewer events than in the version in force: a feed may have been cut off on its way."""
    earlier, now = _feeds(before), _feeds(after)
    for name, events in now.items():
        had = earlier.get(name, 0)
        if events < had:
            reading.warn(
                f"/calendars/{escape(name)}/closures",
                f"its feed has {events} events, {had} when the version in force was applied",
                "see whether the feed is whole: closures that are gone move deadlines earlier",
            )


def _feeds(document: Any) -> dict[str, int]:
    feeds = document.get("feeds") if isinstance(document, dict) else None
    return {name: int(feed["events"]) for name, feed in (feeds or {}).items()}


def _overlaps(weekly: tuple[tuple[Hours, ...], ...]) -> Iterator[str]:
    """Hours of one day, or of one and what the night before leaves of it."""
    for number, hours in enumerate(weekly):
        night = [Hours(0, span.closes - DAY) for span in weekly[number - 1] if span.closes > DAY]
        for first, second in pairwise(sorted([*night, *hours], key=lambda span: (span.opens, span.closes))):
            if second.opens < first.closes:
                yield f"{_shown(first)} and {_shown(second)} overlap on {WEEKDAYS[number]}"


def _gaps(spec: CalendarSpec, today: date) -> Iterator[str]:
    since = int(datetime.combine(today, time(), UTC).timestamp())
    for (_, change, earlier), (_, _, later) in pairwise(
        offsets(spec.zone, since, since + AHEAD // timedelta(seconds=1))
    ):
        gone, back = change + earlier, change + later
        opens = [start for start, _ in wall_spans(spec, gone // DAY - 1, gone // DAY + 1) if gone <= start < back]
        if opens:
            yield (
                f"on {_EPOCH + timedelta(days=gone // DAY)} there is no {_clock(opens[0])} in {spec.zone.key}: "
                f"clocks go from {_clock(gone)} to {_clock(back)}, so it opens at {_clock(back)}"
            )


def _shown(span: Hours) -> str:
    return f"{_clock(span.opens)}-{'24:00' if span.closes == DAY else _clock(span.closes)}"


def _clock(second: int) -> str:
    minutes = second % DAY // 60
    return f"{minutes // 60:02}:{minutes % 60:02}"
