"""What an imported calendar comes to: whose each shift is, one person at a time, and what was there before kept as it was."""

import heapq
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from msgspec import Struct

from services.escalation.domain.recipient import Person
from services.escalation.domain.rotation import Imported
from shared.policy.ical_shifts import FedShift


class Named(Struct, frozen=True, kw_only=True):
    """The shifts of a feed by people of the roster."""

    shifts: tuple[Imported, ...]
    unknown: tuple[str, ...]
    """What those events are called whose people nobody knows."""


class Names:
    """Who is meant by what a feed writes: the policy's own map first, then keys, names and addresses of the roster."""

    def __init__(self, mapped: Mapping[str, str | None], roster: Iterable[Person]) -> None:
        self._mapped = {_folded(name): key for name, key in mapped.items()}
        known: dict[str, set[str]] = {}
        for person in roster:
            addresses = (contact.address for contact in person.contacts if "@" in contact.address)
            for name in (person.key, person.name, *addresses):
                known.setdefault(_folded(name), set()).add(person.key)
        self._known = {name: next(iter(keys)) for name, keys in known.items() if len(keys) == 1}
        self._found: dict[tuple[str, ...], tuple[bool, str | None]] = {}

    def of(self, names: tuple[str, ...]) -> tuple[bool, str | None]:
        """Whether it is known what an event is, and whose shift; nobody's: it is none."""
        if names not in self._found:
            self._found[names] = self._look(names)
        return self._found[names]

    def _look(self, names: tuple[str, ...]) -> tuple[bool, str | None]:
        folded = [_folded(name) for name in names]
        for book in (self._mapped, self._known):
            for name in folded:
                if name in book:
                    return True, book[name]
        title = folded[-1] if folded else ""
        for book in (self._mapped, self._known):
            said = [name for name in book if name and name in title and _is_word(name, title)]
            longest = [name for name in said if not any(name != other and name in other for other in said)]
            keys = {book[name] for name in longest}
            if len(keys) == 1:
                return True, keys.pop()
        return False, None


def named(shifts: Iterable[FedShift], names: Names) -> Named:
    """Each shift with its person; events that are no shifts are left out."""
    found: list[Imported] = []
    unknown: dict[str, None] = {}
    for shift in shifts:
        is_known, key = names.of(shift.names)
        if not is_known:
            unknown[_shown(shift.names)] = None
        elif key is not None:
            found.append(Imported(person=key, starts_at=shift.starts_at, ends_at=shift.ends_at))
    return Named(shifts=tuple(found), unknown=tuple(unknown))


def one_at_a_time(shifts: Iterable[Imported]) -> tuple[Imported, ...]:
    """The same without overlaps: the shift that begins later wins, of two that begin together the shorter."""
    ordered = sorted(shifts, key=lambda shift: (shift.starts_at, -shift.ends_at.timestamp(), shift.person))
    edges = sorted({edge for shift in ordered for edge in (shift.starts_at, shift.ends_at)})
    waiting = list(reversed(ordered))
    active: list[tuple[int, Imported]] = []
    number = 0
    found: list[Imported] = []
    for start, end in pairwise(edges):
        while waiting and waiting[-1].starts_at <= start:
            number -= 1
            heapq.heappush(active, (number, waiting.pop()))
        while active and active[0][1].ends_at <= start:
            heapq.heappop(active)
        if active:
            shift = active[0][1]
            before = found[-1] if found else None
            if (
                before is not None
                and before.ends_at == start
                and start > shift.starts_at
                and before.person == shift.person
            ):
                found[-1] = Imported(person=shift.person, starts_at=before.starts_at, ends_at=end)
            else:
                found.append(Imported(person=shift.person, starts_at=start, ends_at=end))
    return tuple(found)


def overlaps(shifts: Iterable[Imported]) -> int:
    """How many shifts begin while somebody else has one."""
    ordered = sorted(shifts, key=lambda shift: shift.starts_at)
    count = 0
    latest: Imported | None = None
    for shift in ordered:
        if latest is not None and shift.starts_at < latest.ends_at:
            count += shift.person != latest.person
        if latest is None or shift.ends_at > latest.ends_at:
            latest = shift
    return count


def merged(old: Sequence[Imported], new: Sequence[Imported], now: datetime) -> tuple[Imported, ...]:
    """What is to be stored from the shift of `now` on: until `now` the old plan, from then on the new one (R26).

    Both are in order and without overlaps. A shift that goes on for the same person stays one.
    """
    present = next((shift for shift in old if shift.starts_at < now < shift.ends_at), None)
    coming = list(_from(new, now))
    if present is None:
        return tuple(coming)
    if coming and coming[0].starts_at == now and coming[0].person == present.person:
        going_on = Imported(person=present.person, starts_at=present.starts_at, ends_at=coming[0].ends_at)
        return (going_on, *coming[1:])
    return (Imported(person=present.person, starts_at=present.starts_at, ends_at=now), *coming)


def is_changed(old: Sequence[Imported], new: Sequence[Imported], known_until: datetime | None) -> bool:
    """Whether an import brought another plan for what was planned already."""
    if known_until is None:
        return True
    before, after = ([one for one in shifts if one.ends_at < known_until] for shifts in (old, new))
    return before != after


def _from(shifts: Sequence[Imported], now: datetime) -> Iterator[Imported]:
    for shift in shifts:
        if shift.ends_at > now:
            yield Imported(person=shift.person, starts_at=max(shift.starts_at, now), ends_at=shift.ends_at)


def _shown(names: tuple[str, ...]) -> str:
    """What an event is called, fit for a line of a message."""
    title = "".join(letter for letter in " ".join(names[-1:]) if letter.isprintable())
    return title or "an event without a name"


def _is_word(name: str, title: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", title) is not None


def _folded(name: str) -> str:
    return name.strip().casefold().removeprefix("mailto:")
