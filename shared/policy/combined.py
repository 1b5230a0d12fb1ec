"""Calendars made of others: `union`, `intersection`, and one `from` another `without` some (rule 30).

Names are followed to what they stand for; one that leads back to itself is refused with the way it goes.
"""

from collections.abc import Callable
from zoneinfo import ZoneInfo

from shared.policy import shape
from shared.policy.layout import CalendarLine
from shared.policy.located import escape
from shared.policy.reading import Reading
from shared.sla.hours import CalendarSpec, Combination, CombinedSpec, Spec

DEEPEST = 8
"""Calendars made of calendars made of calendars ..."""
LARGEST = 100
"""Calendars that one stands for in the end, counted as often as they occur."""
_OWN_KEYS = ("hours", "holidays", "closed", "open", "closures")
_FORMS = "write one of `union: [...]`, `intersection: [...]`, or `from: ...` with `without: [...]`"


class Specs:
    """What the calendars of a file say, each read once; a faulty one is None, its faults are noted."""

    def __init__(
        self,
        reading: Reading,
        lines: dict[str, CalendarLine],
        known: dict[str, Spec],
        declared: Callable[[str, CalendarLine], CalendarSpec],
        zone: Callable[[str, str], ZoneInfo],
    ) -> None:
        """`known` are there without being written; `declared` reads one with hours of its own, `zone` a zone's name."""
        self._reading = reading
        self._lines = lines
        self._known = set(lines) | set(known) | reading.names("calendars")
        self._specs: dict[str, Spec | None] = dict(known)
        self._sizes: dict[str, tuple[int, int]] = {}
        """How deep those made of others go, and how many calendars each stands for."""
        self._declared = declared
        self._zone = zone

    def of(self, name: str, trail: tuple[str, ...] = ()) -> Spec | None:
        """The calendar of this name; `trail` are those that are made of it."""
        if name in trail:
            way = " -> ".join(f"`{each[:60]}`" for each in (*trail[trail.index(name) :], name))
            self._fault(trail[-1], f"it is made of itself: {way}", "take it out of one of these")
            return None
        if name not in self._specs:
            line = self._lines.get(name)
            faults = len(self._reading.errors)
            found = None if line is None else self._read(name, line, trail)
            self._specs[name] = found if len(self._reading.errors) == faults else None
        return self._specs[name]

    def _read(self, name: str, line: CalendarLine, trail: tuple[str, ...]) -> Spec | None:
        forms = [key for key, value in _forms(line).items() if value]
        if not forms:
            return self._declared(name, line)
        if len(forms) > 1:
            self._fault(name, f"`{'` and `'.join(forms)}` can't stand together", _FORMS)
            return None
        if bool(line.from_) != bool(line.without):
            self._fault(name, "`from` and `without` say nothing without each other", _FORMS)
            return None
        for key in _OWN_KEYS:
            if getattr(line, key):
                self._fault(name, f"a calendar made of others has no `{key}`", "give it to one of its parts", key)
        how, parts = self._parts(name, line, (*trail, name))
        if not parts or not self._fits(name, parts):
            return None
        zone = self._zone(f"{_pointer(name)}/timezone", line.timezone) if line.timezone else parts[0].zone
        return CombinedSpec(name=name, zone=zone, how=how, parts=tuple(parts))

    def _fits(self, name: str, parts: list[Spec]) -> bool:
        sizes = [self._sizes.get(part.name, (0, 1)) for part in parts]
        deep, large = max(size[0] for size in sizes) + 1, sum(size[1] for size in sizes)
        self._sizes[name] = (deep, large)
        if deep > DEEPEST or large > LARGEST:
            problem = f"it stands for {large} calendars, {deep} deep"
            self._fault(name, problem, f"make it of fewer: at most {LARGEST}, {DEEPEST} deep")
        return deep <= DEEPEST and large <= LARGEST

    def _parts(self, name: str, line: CalendarLine, trail: tuple[str, ...]) -> tuple[Combination, list[Spec]]:
        """How they are combined, and all of them; none where any is faulty."""
        pointer = _pointer(name)
        named: list[tuple[str, str]] = []
        if line.union:
            how = Combination.UNION
            named.extend(shape.entries(line.union, f"{pointer}/union"))
        elif line.intersection:
            how = Combination.INTERSECTION
            named.extend(shape.entries(line.intersection, f"{pointer}/intersection"))
        else:
            how = Combination.DIFFERENCE
            named.append((f"{pointer}/from", line.from_ or ""))
            named.extend(shape.entries(line.without or [], f"{pointer}/without"))
        parts = [
            self.of(part, trail) for place, part in named if self._reading.refer(place, part, self._known, "calendar")
        ]
        sound = [part for part in parts if part is not None]
        return how, sound if len(sound) == len(named) else []

    def _fault(self, name: str, problem: str, remedy: str, key: str = "") -> None:
        pointer = _pointer(name)
        self._reading.fault(f"{pointer}/{key}" if key else pointer, problem, remedy)


def _forms(line: CalendarLine) -> dict[str, object]:
    return {"union": line.union, "intersection": line.intersection, "from": line.from_ or line.without}


def _pointer(name: str) -> str:
    return f"/calendars/{escape(name)}"
