"""Shifts as an iCalendar file (RFC 5545): times in UTC, texts escaped, lines folded at 75 octets.

A shift keeps its UID as long as it begins at the same instant, so programs that subscribe see a change as a change.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from uuid import NAMESPACE_URL, uuid5

from services.escalation.domain.rotation import Stretch

MEDIA_TYPE = "text/calendar"

_FOLD = 75
_ESCAPED = str.maketrans({"\\": "\\\\", ";": "\\;", ",": "\\,", "\n": "\\n"})


def written(tenant: str, rotation: str, shifts: Iterable[Stretch], names: Mapping[str, str], now: datetime) -> str:
    """A calendar of the shifts that somebody has; `names` says what people are called, by key."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Deskclock//on call//EN",
        "CALSCALE:GREGORIAN",
        f"X-WR-CALNAME:{_text(f'On call: {rotation}')}",
        "REFRESH-INTERVAL;VALUE=DURATION:PT1H",
    ]
    for shift in shifts:
        if shift.person is not None:
            lines.extend(_event(tenant, rotation, shift, names.get(shift.person, shift.person), now))
    lines.append("END:VCALENDAR")
    return "".join(f"{part}\r\n" for line in lines for part in _folded(line))


def _event(tenant: str, rotation: str, shift: Stretch, name: str, now: datetime) -> Iterator[str]:
    uid = uuid5(NAMESPACE_URL, f"deskclock:{len(tenant)}:{tenant}/{rotation}/{_instant(shift.starts_at)}")
    why = [f"Key: {shift.person}"]
    if shift.override is not None:
        why.append(f"Override {shift.override}")
    elif shift.layer is not None:
        why.append(f"Layer {shift.layer}")
    yield "BEGIN:VEVENT"
    yield f"UID:{uid}@deskclock"
    yield f"DTSTAMP:{_instant(now)}"
    yield f"DTSTART:{_instant(shift.starts_at)}"
    yield f"DTEND:{_instant(shift.ends_at)}"
    yield f"SUMMARY:{_text(name)}"
    yield f"DESCRIPTION:{_text(chr(10).join(why))}"
    yield "TRANSP:TRANSPARENT"
    yield "END:VEVENT"


def _instant(at: datetime) -> str:
    """To the second; what begins within one begins at it."""
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _text(text: str) -> str:
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(letter for letter in plain if letter == "\n" or letter.isprintable()).translate(_ESCAPED)


def _folded(line: str) -> Iterator[str]:
    """The line in parts of at most 75 octets, letters whole; all but the first begin with a space."""
    part, size = "", 0
    for letter in line:
        octets = len(letter.encode())
        if size + octets > _FOLD:
            yield part
            part, size = " ", 1
        part += letter
        size += octets
    yield part
