"""The `escalations` and `on_call` of a policy file: who is woken, after how long (escalation-rules R5 to R7, R19 to R24)."""

from datetime import time, timedelta

from shared.policy import calendars, durations, hours, shape
from shared.policy.document import Cadence, Ladder, Rotation, Step
from shared.policy.errors import did_you_mean, short
from shared.policy.layout import EscalationLine, RotationLine
from shared.policy.located import escape
from shared.policy.reading import Reading, Unreadable

ON_CALL = "on-call/"
PERSON = "person/"
CHANNEL = "channel/"

_ALONE = ("owner", "lead")
_NAMED = (ON_CALL, PERSON, CHANNEL)
_FORMS = "recipients are `on-call/<rotation>`, `person/<key>`, `owner`, `lead` and `channel/<name>`"


def ladders(reading: Reading, lines: dict[str, EscalationLine]) -> dict[str, Ladder]:
    """Compile the escalations."""
    rotations = reading.names("on_call")
    compiled = {}
    for name, line in lines.items():
        pointer = f"/escalations/{escape(name)}"
        steps = []
        for place, step in shape.entries(line.steps, f"{pointer}/steps"):
            page = _recipients(reading, step.page, f"{place}/page", rotations)
            if not page and step.page == []:
                reading.fault(f"{place}/page", "nobody is paged", _FORMS)
            steps.append(Step(after=_after(reading, step.after, f"{place}/after"), page=page))
        compiled[name] = Ladder(
            name=name,
            steps=tuple(steps),
            repeat=line.repeat,
            otherwise=_recipients(reading, line.otherwise, f"{pointer}/otherwise", rotations),
            on_warning=_recipients(reading, line.on_warning, f"{pointer}/on_warning", rotations),
        )
    return compiled


def rotations(reading: Reading, lines: dict[str, RotationLine]) -> dict[str, Rotation]:
    """Compile the on-call rotations."""
    compiled = {}
    for name, line in lines.items():
        pointer = f"/on_call/{escape(name)}"
        day, at = _handoff(reading, line, f"{pointer}/handoff")
        compiled[name] = Rotation(
            name=name,
            zone=calendars.zone(reading, f"{pointer}/timezone", line.timezone),
            cadence=line.rotation,
            handoff_weekday=day,
            handoff_time=at,
            people=tuple(person.strip() for _, person in shape.entries(line.people, f"{pointer}/people")),
        )
    return compiled


def _recipients(reading: Reading, written: str | list[str], pointer: str, rotations: set[str]) -> tuple[str, ...]:
    found = []
    for place, text in shape.entries(written, pointer):
        recipient = text.strip()
        kind = next((prefix for prefix in _NAMED if recipient.startswith(prefix)), None)
        if kind is None and recipient not in _ALONE:
            near = did_you_mean(recipient, [*_ALONE, *(f"{ON_CALL}{name}" for name in rotations)])
            reading.fault(place, f"`{recipient[:60]}` is no recipient", near if near.startswith("did") else _FORMS)
        elif kind is not None and not recipient.removeprefix(kind):
            reading.fault(place, f"`{recipient}` names nobody", _FORMS)
        elif kind == ON_CALL:
            reading.refer(place, recipient.removeprefix(kind), rotations, "rotation")
        found.append(recipient)
    return tuple(dict.fromkeys(found))


def _after(reading: Reading, text: str, pointer: str) -> timedelta:
    try:
        return durations.elapsed(text)
    except Unreadable as error:
        reading.unreadable(pointer, error)
        return timedelta()


def _handoff(reading: Reading, line: RotationLine, pointer: str) -> tuple[int, time]:
    day, _, at = line.handoff.strip().partition(" ")
    is_weekly = line.rotation is Cadence.WEEKLY
    try:
        if is_weekly != bool(at):
            kind, remedy = (
                ("weekly", "day and time, as in `mon 09:00`")
                if is_weekly
                else ("daily", "the time alone, as in `09:00`")
            )
            raise Unreadable(f"`{short(line.handoff)}` is no {kind} hand-off", f"write {remedy}")
        return (hours.weekday(day), hours.clock_time(at)) if is_weekly else (0, hours.clock_time(day))
    except Unreadable as error:
        reading.unreadable(pointer, error)
        return 0, time()
