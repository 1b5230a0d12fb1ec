"""`add` and `between` of a calendar beside one bisect of its openings, and beside themselves on other lengths of it.

Asked as anybody asks: aware datetimes in, datetimes and timedeltas out. The bisect gets its integers ready made.
"""

import random
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from msgspec import Struct

from shared.policy.parse import parse_policy
from shared.sla.calendar import Calendar, to_microseconds

_POLICY = """
calendars:
  office:
    timezone: America/New_York
    hours: {mon-fri: "09:00-12:30, 13:00-17:00"}
    holidays: {country: US, subdivision: MA}
"""
_MIDDLE = 2050
_QUESTIONS, _ROUNDS = 2_000, 60


class Cost(Struct, frozen=True):
    """Seconds of computing a question, the best of many rounds."""

    bisect: float
    add: float
    between: float


def beside_bisect(years: int = 10) -> Cost:
    """Questions spread over all years of a calendar."""
    [cost] = _best([_works(years, years)])
    return cost


def of_one_year(*years: int) -> list[Cost]:
    """The same questions, all of them in one year in the middle, put to calendars of so many years."""
    return _best([_works(count, 1) for count in years])


Works: TypeAlias = tuple[Callable[[], None], ...]


def _works(years: int, asked: int) -> Works:
    calendar = _calendar(_MIDDLE - years // 2, years)
    starts, lengths, ends = _questions(datetime(_MIDDLE - asked // 2, 1, 1, tzinfo=UTC), asked)
    openings = calendar._years.table.starts
    instants = [to_microseconds(start) for start in starts]
    add, between = calendar.add, calendar.between

    def bisecting() -> None:
        for at in instants:
            bisect_right(openings, at)

    def adding() -> None:
        for start, length in zip(starts, lengths, strict=True):
            add(start, length)

    def measuring() -> None:
        for start, end in zip(starts, ends, strict=True):
            between(start, end)

    return bisecting, adding, measuring


def _best(calendars: Sequence[Works]) -> list[Cost]:
    """In turns, so that what else the machine does falls on all of them."""
    best = [[float("inf")] * len(works) for works in calendars]
    for _ in range(_ROUNDS):
        for found, works in zip(best, calendars, strict=True):
            for n, work in enumerate(works):
                begun = time.process_time()
                work()
                found[n] = min(found[n], time.process_time() - begun)
    return [Cost(*(seconds / _QUESTIONS for seconds in found)) for found in best]


def _calendar(first: int, years: int) -> Calendar:
    """Compiled for these years, and no others."""
    calendar = parse_policy(_POLICY, version=1).sla.calendars["office"]
    begin, end = datetime(first, 1, 1, tzinfo=UTC), datetime(first + years, 1, 1, tzinfo=UTC)
    calendar.between(begin, end - timedelta(seconds=1))
    return calendar


def _questions(begin: datetime, years: int) -> tuple[list[datetime], list[timedelta], list[datetime]]:
    """Starts, open times up to two working weeks, and ends up to a month later; none beyond the years."""
    chance = random.Random(years)
    room = int((begin.replace(year=begin.year + years) - begin).total_seconds()) - 40 * 86_400
    starts = [
        begin + timedelta(seconds=chance.randrange(room), microseconds=chance.randrange(10**6))
        for _ in range(_QUESTIONS)
    ]
    lengths = [timedelta(seconds=chance.randrange(1, 75 * 3_600)) for _ in range(_QUESTIONS)]
    ends = [start + timedelta(seconds=chance.randrange(1, 30 * 86_400)) for start in starts]
    return starts, lengths, ends
