"""A recipient, as the policy writes it, resolved to whoever that is at one instant (R19).

`on-call/<rotation>`, `person/<key>`, `owner`, `lead` (the owner's) and `channel/<name>`. What can't be resolved is a
gap with its reason; the caller decides what follows (R22).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from services.escalation.domain import rotation
from shared.policy.document import Contact, Rotation


class Evidence(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why this person was paged; kept with the page."""

    policy_version: int
    generation: int
    rotation: str | None = None
    zone: str | None = None
    shift_starts_at: datetime | None = None
    shift_ends_at: datetime | None = None
    fallback: tuple[Contact, ...] = ()
    """Further ways to reach the same person, in their order; secrets only by reference."""


class Person(Struct, frozen=True, kw_only=True):
    """Somebody who may be paged."""

    key: str
    name: str
    contacts: tuple[Contact, ...]


class Reached(Struct, frozen=True, kw_only=True):
    """A recipient that can be paged now."""

    recipient: str
    person: str | None
    """None for a channel."""
    name: str
    contact: Contact
    evidence: Evidence

    @property
    def who(self) -> str:
        """The same text for the same person or channel."""
        return self.person or self.recipient


class Circle(Struct, frozen=True, kw_only=True):
    """All that resolving needs to know, at one instant."""

    at: datetime
    policy_version: int
    generation: int
    rotations: Mapping[str, Rotation]
    owner: str | None
    lead: str | None
    people: Mapping[str, Person]
    """Those on the roster; whoever is missing here can't be paged."""
    methods: frozenset[str]
    """Paging channels that this installation has."""


def person_of(recipient: str, circle: Circle) -> str | None:
    """The key of the person a recipient stands for now; None for channels and gaps."""
    kind, _, name = recipient.partition("/")
    match kind:
        case "person":
            return name
        case "owner":
            return circle.owner
        case "lead":
            return circle.lead
        case "on-call":
            shift = _shift(name, circle)
            return shift.person if shift else None
    return None


def reach(recipients: Sequence[str], circle: Circle) -> tuple[Reached, ...]:
    """Everybody among the recipients who can be paged, each once, in their order."""
    found: dict[str, Reached] = {}
    for recipient in recipients:
        one = _channel(recipient, circle) if recipient.startswith("channel/") else _person(recipient, circle)
        if one is not None:
            found.setdefault(one.who, one)
    return tuple(found.values())


def _person(recipient: str, circle: Circle) -> Reached | None:
    person = circle.people.get(person_of(recipient, circle) or "")
    if person is None:
        return None
    usable = tuple(contact for contact in person.contacts if contact.method in circle.methods)
    if not usable:
        return None
    return Reached(
        recipient=recipient,
        person=person.key,
        name=person.name,
        contact=usable[0],
        evidence=_evidence(recipient, circle, usable[1:]),
    )


def _channel(recipient: str, circle: Circle) -> Reached | None:
    method = recipient.removeprefix("channel/")
    if method not in circle.methods:
        return None
    return Reached(
        recipient=recipient,
        person=None,
        name=method,
        contact=Contact(method=method),
        evidence=_evidence(recipient, circle, ()),
    )


def _evidence(recipient: str, circle: Circle, fallback: tuple[Contact, ...]) -> Evidence:
    kind, _, name = recipient.partition("/")
    shift = _shift(name, circle) if kind == "on-call" else None
    return Evidence(
        policy_version=circle.policy_version,
        generation=circle.generation,
        rotation=name if shift else None,
        zone=circle.rotations[name].zone.key if shift else None,
        shift_starts_at=shift.starts_at if shift else None,
        shift_ends_at=shift.ends_at if shift else None,
        fallback=fallback,
    )


def _shift(name: str, circle: Circle) -> rotation.Shift | None:
    turns = circle.rotations.get(name)
    return rotation.shift_at(turns, circle.at) if turns else None
