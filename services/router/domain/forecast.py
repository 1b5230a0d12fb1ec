"""What falls due next: running promises by how much open time is left to keep them.

Pure: calendars say when the next so many open hours will have passed (sla-rules 3), the store counts what is due by then.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from msgspec import Struct

from shared.contract.tickets import TargetKind
from shared.sla.calendar import Calendar

HOURS = (1, 4, 8)
"""Of the forecast, where nobody asks for others."""
MOST_HOURS = 1_000
MOST_HORIZONS = 10
LATE, PAUSED = -1, -2
"""Places of clocks that no horizon is asked of; the others are numbered from 0."""


class Due(Struct, frozen=True, kw_only=True):
    """What is due within so many open hours."""

    hours: int
    clocks: int
    """With those of fewer hours; without those that are late already."""


class NextDue(Struct, frozen=True, kw_only=True):
    """The clock that is due first of those that are not late."""

    ticket_id: UUID
    source: str
    external_id: str
    due_at: datetime


class Deadlines(Struct, frozen=True, kw_only=True):
    """One target of one team."""

    team: str | None
    """Whom the helpdesk last handed the tickets to; null where it said nothing."""
    pool: str | None
    """Without a team: the pool in which the tickets have their owners, or wait for one."""
    target: TargetKind
    clocks: int
    """All that run, paused and late ones too."""
    due: tuple[Due, ...]
    late: int
    """Past due and not answered."""
    paused: int
    next: NextDue | None


class Forecast(Struct, frozen=True, kw_only=True):
    """What falls due, from one instant on."""

    now: datetime
    hours: tuple[int, ...]
    """Open time of each clock's own calendar."""
    lines: tuple[Deadlines, ...]
    is_complete: bool
    """False where there are more teams than are listed; those with the earliest due times are."""


class Horizon(NamedTuple):
    """When so many open hours of a calendar will have passed."""

    policy_version: int
    calendar: str
    place: int
    """Of the hours, among those asked for."""
    ends_at: datetime | None
    """None: the calendar doesn't open that long any more."""


def read_hours(text: str) -> tuple[int, ...]:
    """`1,4,8` in ascending order, each once; raises ValueError with what is allowed."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) <= len(str(MOST_HOURS)) for part in parts):
        raise ValueError(f"must be whole open hours with commas between, as in 1,4,8; each from 1 to {MOST_HOURS}")
    hours = sorted({int(part) for part in parts})
    if not 1 <= hours[0] <= hours[-1] <= MOST_HOURS:
        raise ValueError(f"each number of open hours must be from 1 to {MOST_HOURS}")
    if len(hours) > MOST_HORIZONS:
        raise ValueError(f"may name up to {MOST_HORIZONS} numbers of hours, not {len(hours)}")
    return tuple(hours)


def horizons(calendars: Mapping[tuple[int, str], Calendar], hours: Sequence[int], now: datetime) -> Iterable[Horizon]:
    """Where the next `hours` (ascending) end by each calendar, given by policy version and name."""
    for (version, name), calendar in calendars.items():
        for place, length in enumerate(hours):
            yield Horizon(version, name, place, calendar.add(now, timedelta(hours=length)))


def due_within(hours: Sequence[int], places: Mapping[int, int]) -> tuple[Due, ...]:
    """Clocks by the first horizon they are due in, as counts up to each."""
    due, so_far = [], 0
    for place, length in enumerate(hours):
        so_far += places.get(place, 0)
        due.append(Due(hours=length, clocks=so_far))
    return tuple(due)


def in_order(lines: Iterable[Deadlines]) -> tuple[Deadlines, ...]:
    """By team, those without one last, then by pool and target."""
    return tuple(
        sorted(lines, key=lambda line: (line.team is None, line.team or "", line.pool or "", _TARGETS[line.target]))
    )


_TARGETS = {target: place for place, target in enumerate(TargetKind)}
