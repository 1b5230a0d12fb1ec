"""The `on_call` of a policy file: who takes turns, and when one hands over to the next (escalation-rules R19 to R21, R25)."""

import re
from datetime import date, time
from zoneinfo import ZoneInfo

from shared.policy import calendars, hours, shape, targets
from shared.policy.assigning import NONE
from shared.policy.document import Cadence, Feed, Layer, Rotation
from shared.policy.errors import short
from shared.policy.layout import LayerLine, RotationLine
from shared.policy.located import escape
from shared.policy.reading import Reading, Unreadable
from shared.sla.hours import DAY, Hours

CALENDAR_SUFFIX = ".ics"
"""What follows a rotation's name where it is asked for as a calendar."""
GAPS = "gaps"
"""What stands in the place of a rotation's name where all are asked for their gaps."""

_LONGEST = {Cadence.DAILY: 366, Cadence.WEEKLY: 52}
_COUNTED = re.compile(r"([0-9]{1,3})\s*(days?|weeks?)")
_LONGEST_SOURCE = 1_000
_FORMS = "write `daily`, `weekly`, or as in `3 days`, `2 weeks`"
_KINDS = "write `rotation`, `handoff` and `people`; or `layers` of such; or `ical` with the address of a calendar"


def read(reading: Reading, lines: dict[str, RotationLine]) -> dict[str, Rotation]:
    """Compile the on-call rotations."""
    return {name: _rotation(reading, name, line) for name, line in lines.items()}


def _rotation(reading: Reading, name: str, line: RotationLine) -> Rotation:
    pointer = f"/on_call/{escape(name)}"
    if name == GAPS or name.endswith(CALENDAR_SUFFIX):
        reading.fault(pointer, f"`{short(name)}` would hide another address of the API", "call the rotation otherwise")
    zone = ZoneInfo("UTC")
    if line.timezone is not None:
        zone = calendars.zone(reading, f"{pointer}/timezone", line.timezone)
    elif line.ical is None and not reading.holds(f"{pointer}/timezone"):
        reading.fault(
            pointer, "`timezone` is missing", "hand-offs are local times: add an IANA name, as in `Europe/Berlin`"
        )
    if line.ical is not None:
        return Rotation(name=name, zone=zone, feed=_feed(reading, line, pointer))
    return Rotation(name=name, zone=zone, layers=_layers(reading, line, pointer))


def _layers(reading: Reading, line: RotationLine, pointer: str) -> tuple[Layer, ...]:
    short_form = (line.rotation, line.handoff, line.people)
    if line.layers or reading.holds(f"{pointer}/layers"):
        if any(part is not None for part in (*short_form, line.begins)):
            reading.fault(
                pointer, "turns stand beside its layers", "write them as one more layer, or leave `layers` out"
            )
        entries = shape.entries(line.layers, f"{pointer}/layers")
        return tuple(_layer(reading, entry, place, number) for number, (place, entry) in enumerate(entries, 1))
    if line.rotation is None or line.handoff is None or not isinstance(line.people, list):
        if isinstance(line.people, dict):
            reading.fault(
                f"{pointer}/people", "a mapping stands here", "write a list; only what `ical` brings is mapped"
            )
        missing = [
            key
            for key, part in zip(("rotation", "handoff", "people"), short_form, strict=True)
            if part is None and not reading.holds(f"{pointer}/{key}")
        ]
        if missing:
            reading.fault(pointer, f"{', '.join(f'`{key}`' for key in missing)} missing", _KINDS)
        return ()
    written = LayerLine(rotation=line.rotation, handoff=line.handoff, people=line.people, begins=line.begins)
    return (_layer(reading, written, pointer, 0),)


def _layer(reading: Reading, line: LayerLine, pointer: str, number: int) -> Layer:
    cadence, every = _turn(reading, line.rotation, f"{pointer}/rotation")
    day, at = _handoff(reading, line.handoff, cadence, f"{pointer}/handoff")
    since = targets.valid_instant(reading, line.valid, pointer, "from")
    until = targets.valid_instant(reading, line.valid, pointer, "to")
    if since is not None and until is not None and since >= until:
        reading.fault(
            f"{pointer}/valid", "it ends before it begins, so nobody is on call by it", "put the earlier first"
        )
    return Layer(
        name=" ".join((line.name or "").split()) or (str(number) if number else ""),
        cadence=cadence,
        every=every,
        handoff_weekday=day,
        handoff_time=at,
        people=tuple(person.strip() for _, person in shape.entries(line.people, f"{pointer}/people")),
        begins=_begins(reading, line.begins, f"{pointer}/begins"),
        hours=_hours(reading, line, f"{pointer}/hours"),
        valid_from=since,
        valid_to=until,
    )


def _turn(reading: Reading, text: str, pointer: str) -> tuple[Cadence, int]:
    cleaned = text.strip().lower()
    if cleaned in {cadence.value for cadence in Cadence}:
        return Cadence(cleaned), 1
    found = _COUNTED.fullmatch(cleaned)
    if found is None:
        reading.fault(pointer, f"`{short(text)}` is no length of a turn", _FORMS)
        return Cadence.DAILY, 1
    cadence = Cadence.DAILY if found[2].startswith("day") else Cadence.WEEKLY
    count = int(found[1])
    if not 0 < count <= _LONGEST[cadence]:
        reading.fault(pointer, f"`{short(text)}` is out of range", f"write from 1 to {_LONGEST[cadence]}")
        return cadence, 1
    return cadence, count


def _handoff(reading: Reading, text: str, cadence: Cadence, pointer: str) -> tuple[int, time]:
    day, _, at = text.strip().partition(" ")
    is_weekly = cadence is Cadence.WEEKLY
    try:
        if is_weekly != bool(at):
            kind, remedy = (
                ("weekly", "day and time, as in `mon 09:00`")
                if is_weekly
                else ("daily", "the time alone, as in `09:00`")
            )
            raise Unreadable(f"`{short(text)}` is no {kind} hand-off", f"write {remedy}")
        return (hours.weekday(day), hours.clock_time(at)) if is_weekly else (0, hours.clock_time(day))
    except Unreadable as error:
        reading.unreadable(pointer, error)
        return 0, time()


def _begins(reading: Reading, text: str | None, pointer: str) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        reading.fault(pointer, f"there is no date {text[:40]}", "write it as `2026-06-01`")
        return None


def _hours(reading: Reading, line: LayerLine, pointer: str) -> tuple[tuple[Hours, ...], ...] | None:
    if not line.hours:
        return None
    weekly = calendars.weekly(reading, line.hours, pointer)
    if not any(weekly):
        if not reading.has_faults_in(pointer):
            reading.fault(pointer, "these hours never come, so the layer is never on", "leave the layer out")
        return None
    return None if _is_always(weekly) else weekly


def _is_always(weekly: tuple[tuple[Hours, ...], ...]) -> bool:
    """Whether they cover the week; then turns alone say who is on."""
    spans = [(n * DAY + span.opens, n * DAY + span.closes) for n, day in enumerate(weekly) for span in day]
    week = 7 * DAY
    spans += [(opens - week, closes - week) for opens, closes in spans]
    covered = 0
    for opens, closes in sorted(spans):
        if opens > covered:
            break
        covered = max(covered, closes)
    return covered >= week


def _feed(reading: Reading, line: RotationLine, pointer: str) -> Feed:
    for key in ("rotation", "handoff", "layers", "begins"):
        if getattr(line, key):
            reading.fault(f"{pointer}/{key}", "what is imported takes no turns", "leave it out, or leave `ical` out")
    source = (line.ical or "").strip()
    if "://" in source and not source.startswith("https://"):
        reading.fault(f"{pointer}/ical", "calendars are read over https only", "write `https://...`, or a file")
    if len(source) > _LONGEST_SOURCE:
        reading.fault(f"{pointer}/ical", "the address is too long", f"the limit is {_LONGEST_SOURCE} characters")
    people: dict[str, str | None] = {}
    if isinstance(line.people, list):
        reading.fault(
            f"{pointer}/people",
            "a list stands here",
            "map names or e-mail addresses of the calendar to keys, as in {ana@example.org: ana}, or leave it out",
        )
    else:
        people = {name: None if key.strip() == NONE else key.strip() for name, key in (line.people or {}).items()}
    return Feed(source=source, is_zoned=line.timezone is not None, people=people)
