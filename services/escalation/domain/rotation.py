"""Who is on call: people take turns, and a hand-off is a local time of the rotation's zone.

A shift is a half-open range of instants: at the hand-off exactly one person holds it (R20). A local time that a clock
change skips moves forward by as much; one that comes twice is its first. Turns are counted from a fixed day, so every
replica and every restart names the same person.
"""

from datetime import UTC, date, datetime, timedelta

from msgspec import Struct

from shared.policy.document import Cadence, Rotation

_DAY = timedelta(days=1)
_DAYS = {Cadence.DAILY: 1, Cadence.WEEKLY: 7}


class Shift(Struct, frozen=True, kw_only=True):
    """One turn, `[starts_at, ends_at)`."""

    person: str
    starts_at: datetime
    ends_at: datetime


def shift_at(rotation: Rotation, at: datetime) -> Shift | None:
    """The shift that holds `at`; None where the rotation has no people: a gap (R22)."""
    if not rotation.people:
        return None
    length = _DAYS[rotation.cadence]
    day = _last_handoff_day(rotation, at.astimezone(rotation.zone).date() + _DAY)
    starts_at = _handoff(rotation, day)
    while starts_at > at:
        day -= length * _DAY
        starts_at = _handoff(rotation, day)
    turn = _days_since_first(rotation, day) // length
    return Shift(
        person=rotation.people[turn % len(rotation.people)],
        starts_at=starts_at,
        ends_at=_handoff(rotation, day + length * _DAY),
    )


def _last_handoff_day(rotation: Rotation, day: date) -> date:
    if rotation.cadence is Cadence.DAILY:
        return day
    return day - (day.weekday() - rotation.handoff_weekday) % 7 * _DAY


def _days_since_first(rotation: Rotation, day: date) -> int:
    """Days from the first hand-off of all, Monday 1 January of year 1 or the hand-off weekday after it."""
    first = 1 if rotation.cadence is Cadence.DAILY else 1 + rotation.handoff_weekday
    return day.toordinal() - first


def _handoff(rotation: Rotation, day: date) -> datetime:
    """The instant of the hand-off on a local day; `fold=0` reads a skipped time with the offset before the change."""
    return datetime.combine(day, rotation.handoff_time.replace(fold=0), rotation.zone).astimezone(UTC)
