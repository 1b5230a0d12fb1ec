"""The `on_call` of a policy file: who takes turns, and when one hands over to the next (escalation-rules R19 to R21)."""

from datetime import time

from shared.policy import calendars, hours, shape
from shared.policy.document import Cadence, Rotation
from shared.policy.errors import short
from shared.policy.layout import RotationLine
from shared.policy.located import escape
from shared.policy.reading import Reading, Unreadable


def read(reading: Reading, lines: dict[str, RotationLine]) -> dict[str, Rotation]:
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
