"""A recipient, as the policy writes it, resolved to whoever that is at one instant (R19).

`on-call/<rotation>`, `person/<key>`, `owner`, `lead` (the owner's) and `channel/<name>`: a paging channel, else somebody
on the roster, as a chat room may be. What can't be resolved is a gap; the caller decides what follows (R22).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct, structs

from services.escalation.domain import rotation
from services.escalation.domain.rotation import Duty
from shared.policy.document import Contact
from shared.policy.paging import CHANNEL, ON_CALL

FALLBACK = ("owner", "lead")
"""Whom to ask, one after the other, where every step of a ladder is empty, before its catch-all (R22)."""


class Evidence(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why this person was paged; kept with the page."""

    policy_version: int
    generation: int
    rotation: str | None = None
    zone: str | None = None
    shift_starts_at: datetime | None = None
    shift_ends_at: datetime | None = None
    rotation_version: int | None = None
    """Of the policy that the rotation was taken from: the one in force, not that of the escalation (R26)."""
    layer: str | None = None
    override: UUID | None = None
    feed_version: int | None = None
    """Number of the import that the shift came with."""
    quiet_until: datetime | None = None
    """The page was held back for quiet hours until then: no other waits for its answer (R24)."""
    fallback: tuple[Contact, ...] = ()
    """Further ways to reach the same person, in their order; secrets only by reference."""


class Person(Struct, frozen=True, kw_only=True):
    """Somebody who may be paged."""

    key: str
    name: str
    contacts: tuple[Contact, ...]
    timezone: str | None = None
    """Of their quiet hours."""
    quiet_hours: str | None = None
    """`22:00-07:00`: what is of low urgency waits until they end (R24)."""


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
    rotations: Mapping[str, Duty]
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
        case "channel" if name not in circle.methods:
            return name
    return None


def reach(recipients: Sequence[str], circle: Circle) -> tuple[Reached, ...]:
    """Everybody among the recipients who can be paged, each once, in their order."""
    found: dict[str, Reached] = {}
    for recipient in recipients:
        one = _channel(recipient, circle) or _person(recipient, circle)
        if one is not None:
            found.setdefault(one.who, one)
    return tuple(found.values())


def usable_contacts(person: Person, methods: frozenset[str]) -> tuple[Contact, ...]:
    """The ways to reach somebody that this installation has; none: they are undeliverable (R23)."""
    return tuple(contact for contact in person.contacts if contact.method in methods)


def _person(recipient: str, circle: Circle) -> Reached | None:
    person = circle.people.get(person_of(recipient, circle) or "")
    if person is None:
        return None
    usable = usable_contacts(person, circle.methods)
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
    method = recipient.removeprefix(CHANNEL)
    if method == recipient or method not in circle.methods:
        return None
    return Reached(
        recipient=recipient,
        person=None,
        name=method,
        contact=Contact(method=method),
        evidence=_evidence(recipient, circle, ()),
    )


def _evidence(recipient: str, circle: Circle, fallback: tuple[Contact, ...]) -> Evidence:
    name = recipient.removeprefix(ON_CALL)
    shift = _shift(name, circle) if name != recipient else None
    evidence = Evidence(policy_version=circle.policy_version, generation=circle.generation, fallback=fallback)
    if shift is None:
        return evidence
    duty = circle.rotations[name]
    return structs.replace(
        evidence,
        rotation=name,
        zone=duty.rotation.zone.key,
        shift_starts_at=shift.starts_at,
        shift_ends_at=shift.ends_at,
        rotation_version=duty.version,
        layer=shift.layer,
        override=shift.override,
        feed_version=None if shift.override else duty.feed_version,
    )


def _shift(name: str, circle: Circle) -> rotation.Shift | None:
    duty = circle.rotations.get(name)
    return rotation.shift_at(duty, circle.at) if duty else None
