"""Who is on call: overrides beat a rotation's plan, later layers beat earlier ones, an imported calendar has no layers.

A shift is a half-open range of instants: at the hand-off exactly one person holds it (R20). A local time that a clock
change skips moves forward by as much; one that comes twice is its first. Turns are counted from a fixed day, so every
replica and every restart names the same person.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from msgspec import Struct

from shared.policy.document import Cadence, Layer, Rotation

BEGINNING = datetime(1900, 1, 1, tzinfo=UTC)
END = datetime(2200, 1, 1, tzinfo=UTC)
"""Where stretches are cut that have no bounds of their own."""

_DAY = timedelta(days=1)
_DAYS = {Cadence.DAILY: 1, Cadence.WEEKLY: 7}
_LONGEST_SPAN = 2
"""Days that hours of the clock reach into, beyond their own."""
_SEARCHED = 30
"""Days in which hours come again: a week, and more where a clock change leaves some out."""


class Override(Struct, frozen=True, kw_only=True):
    """Somebody in place of whose turn it is, in `[starts_at, ends_at)`."""

    id: UUID
    person: str
    starts_at: datetime
    ends_at: datetime
    made_at: datetime


class Imported(Struct, frozen=True, kw_only=True):
    """A shift of a calendar that is kept elsewhere, `[starts_at, ends_at)`."""

    person: str
    starts_at: datetime
    ends_at: datetime


class Duty(Struct, frozen=True, kw_only=True):
    """All that says who is on call for a rotation."""

    rotation: Rotation
    version: int = 0
    """Of the policy whose rotation it is (R26)."""
    overrides: tuple[Override, ...] = ()
    imported: tuple[Imported, ...] = ()
    """In their order, without overlaps."""
    feed_version: int | None = None
    """Number of the import; None for a rotation with turns, and for one that was never imported."""


class Stretch(Struct, frozen=True, kw_only=True):
    """Instants `[starts_at, ends_at)` for which one and the same says who is on call; nobody, where `person` is None."""

    person: str | None
    starts_at: datetime
    ends_at: datetime
    layer: str | None = None
    """None for an override, a feed, a gap, and for a rotation without `layers`."""
    override: UUID | None = None


class Shift(Stretch, frozen=True, kw_only=True):
    """A stretch for which somebody is on call."""

    person: str


def shift_at(duty: Duty, at: datetime) -> Shift | None:
    """The shift that holds `at`; None where nobody has it: a gap (R22)."""
    found = stretch_at(duty, at)
    if found.person is None:
        return None
    return Shift(
        person=found.person,
        starts_at=found.starts_at,
        ends_at=found.ends_at,
        layer=found.layer,
        override=found.override,
    )


def stretches(duty: Duty, start: datetime, end: datetime) -> Iterator[Stretch]:
    """All that lies between two instants before `END`, in order, without gap or overlap; the first and last reach beyond."""
    at, end = start, min(end, END)
    while at < end:
        found = stretch_at(duty, at)
        yield found
        at = found.ends_at


def stretch_at(duty: Duty, at: datetime) -> Stretch:
    """What says who is on call at `at`: the newest override (R21), else the plan."""
    override, starts_at, ends_at = _override_at(duty.overrides, at)
    if override is not None:
        return Stretch(person=override.person, starts_at=starts_at, ends_at=ends_at, override=override.id)
    if duty.rotation.feed is not None:
        return _imported_at(duty.imported, at, starts_at, ends_at)
    for layer in reversed(duty.rotation.layers):
        is_on, since, until = _presence(layer, duty.rotation.zone, at)
        starts_at, ends_at = max(starts_at, since), min(ends_at, until)
        if is_on:
            person, since, until = _turn(layer, duty.rotation.zone, at)
            return Stretch(
                person=person, starts_at=max(starts_at, since), ends_at=min(ends_at, until), layer=layer.name or None
            )
    return Stretch(person=None, starts_at=starts_at, ends_at=ends_at)


def _override_at(overrides: Sequence[Override], at: datetime) -> tuple[Override | None, datetime, datetime]:
    """The newest override that holds `at`, and from when to when none that beats it does."""
    best: Override | None = None
    for one in overrides:
        if one.starts_at <= at < one.ends_at and (best is None or _age(best) < _age(one)):
            best = one
    starts_at, ends_at = (best.starts_at, best.ends_at) if best is not None else (BEGINNING, END)
    for one in overrides:
        if best is not None and _age(one) <= _age(best):
            continue
        if one.ends_at <= at:
            starts_at = max(starts_at, one.ends_at)
        else:
            ends_at = min(ends_at, one.starts_at)
    return best, starts_at, ends_at


def _age(override: Override) -> tuple[datetime, UUID]:
    return override.made_at, override.id


def _imported_at(shifts: Sequence[Imported], at: datetime, starts_at: datetime, ends_at: datetime) -> Stretch:
    for shift in shifts:
        if shift.ends_at <= at:
            starts_at = max(starts_at, shift.ends_at)
        elif shift.starts_at > at:
            ends_at = min(ends_at, shift.starts_at)
        else:
            return Stretch(
                person=shift.person, starts_at=max(starts_at, shift.starts_at), ends_at=min(ends_at, shift.ends_at)
            )
    return Stretch(person=None, starts_at=starts_at, ends_at=ends_at)


def _presence(layer: Layer, zone: ZoneInfo, at: datetime) -> tuple[bool, datetime, datetime]:
    """Whether a layer is on at `at`, and from when to when that stays so, at most."""
    starts_at, ends_at = layer.valid_from or BEGINNING, layer.valid_to or END
    if not layer.people:
        return False, BEGINNING, END
    if at < starts_at:
        return False, BEGINNING, starts_at
    if at >= ends_at:
        return False, ends_at, END
    if layer.hours is None:
        return True, starts_at, ends_at
    is_on, since, until = _hours_at(layer, zone, at)
    return is_on, max(starts_at, since), min(ends_at, until)


def _hours_at(layer: Layer, zone: ZoneInfo, at: datetime) -> tuple[bool, datetime, datetime]:
    today = at.astimezone(zone).date()
    until = _runs_until(layer, zone, at, today)
    if until > at:
        return True, _has_run_since(layer, zone, at, today), until
    since, until = BEGINNING, END
    for n in range(_SEARCHED):
        later = [opens for opens, _ in _spans(layer, zone, today + n * _DAY) if opens > at]
        if later:
            until = min(later)
            break
    found_at = _SEARCHED
    for n in range(_SEARCHED):
        if n > found_at + _LONGEST_SPAN:
            break
        earlier = [closes for _, closes in _spans(layer, zone, today - n * _DAY) if closes <= at]
        if earlier:
            found_at = min(found_at, n)
            since = max(since, *earlier)
    return False, since, until


def _runs_until(layer: Layer, zone: ZoneInfo, at: datetime, today: date) -> datetime:
    """When the hours end that hold `at`, and those that follow them at once; `at` where none do."""
    until = at
    day = today - _LONGEST_SPAN * _DAY
    while day <= until.astimezone(zone).date() and day < today + _SEARCHED * _DAY:
        for opens, closes in _spans(layer, zone, day):
            if opens <= until < closes:
                until = closes
        day += _DAY
    return until


def _has_run_since(layer: Layer, zone: ZoneInfo, at: datetime, today: date) -> datetime:
    since = at
    day = today
    while day >= since.astimezone(zone).date() - _LONGEST_SPAN * _DAY and day > today - _SEARCHED * _DAY:
        for opens, closes in reversed(_spans(layer, zone, day)):
            if opens < since <= closes:
                since = opens
        day -= _DAY
    return since


def _spans(layer: Layer, zone: ZoneInfo, day: date) -> list[tuple[datetime, datetime]]:
    """A layer's hours of one local day, as instants; those that a clock change leaves nothing of are not there."""
    weekly = layer.hours or ()
    found = [
        (_instant(zone, day, span.opens), _instant(zone, day, span.closes)) for span in weekly[day.weekday()] if weekly
    ]
    return sorted(span for span in found if span[0] < span[1])


def _turn(layer: Layer, zone: ZoneInfo, at: datetime) -> tuple[str, datetime, datetime]:
    """Whose turn it is in a layer, and from when to when."""
    length = _DAYS[layer.cadence] * layer.every
    first = _first_day(layer)
    ordinal = at.astimezone(zone).date().toordinal() + 1
    turn = (ordinal - first) // length
    starts_at = _handoff(layer, zone, first + turn * length)
    while starts_at > at:
        turn -= 1
        starts_at = _handoff(layer, zone, first + turn * length)
    ends_at = _handoff(layer, zone, first + (turn + 1) * length)
    return layer.people[turn % len(layer.people)], starts_at, ends_at


def _first_day(layer: Layer) -> int:
    """The ordinal of the day of a hand-off to the first of the people."""
    if layer.cadence is Cadence.DAILY:
        return layer.begins.toordinal() if layer.begins else 1
    if layer.begins is None:
        return 1 + layer.handoff_weekday
    return layer.begins.toordinal() - (layer.begins.weekday() - layer.handoff_weekday) % 7


def _handoff(layer: Layer, zone: ZoneInfo, ordinal: int) -> datetime:
    """The instant of the hand-off on a local day."""
    return datetime.combine(date.fromordinal(ordinal), layer.handoff_time, zone).astimezone(UTC)


def _instant(zone: ZoneInfo, day: date, second: int) -> datetime:
    """A second of a local day's clock as an instant; `fold=0` reads a skipped time with the offset before the change."""
    wall = datetime.combine(day, time()) + timedelta(seconds=second)
    return wall.replace(tzinfo=zone).astimezone(UTC)
