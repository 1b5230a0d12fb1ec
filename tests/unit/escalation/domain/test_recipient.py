"""Recipients resolved to people and channels."""

from datetime import UTC, datetime

from services.escalation.domain.recipient import Circle, Person, person_of, reach
from services.escalation.domain.rotation import Duty
from shared.policy.document import Contact
from tests.turns import daily, rotation

NOW = datetime(2026, 6, 1, 9, tzinfo=UTC)
CONSOLE, WEBHOOK = Contact(method="console"), Contact(method="webhook", address="https://a.test")
ROTATION = Duty(rotation=rotation(daily("ana")), version=4)


def person(key: str, *contacts: Contact) -> Person:
    """Somebody on the roster."""
    return Person(key=key, name=key.title(), contacts=contacts)


CIRCLE = Circle(
    at=NOW,
    policy_version=3,
    generation=2,
    rotations={"support": ROTATION, "empty": Duty(rotation=rotation(daily()))},
    owner="olga",
    lead="lea",
    people={
        "ana": person("ana", Contact(method="pigeon"), WEBHOOK, CONSOLE),
        "olga": person("olga", CONSOLE),
        "mute": person("mute", Contact(method="pigeon")),
    },
    methods=frozenset({"console", "webhook"}),
)


def test_each_kind_of_recipient_stands_for_somebody():
    """On call, by name, owner, lead; a channel is nobody."""
    names = [
        "on-call/support",
        "person/ben",
        "owner",
        "lead",
        "channel/console",
        "on-call/empty",
        "on-call/unknown",
        "?",
    ]
    assert ["ana", "ben", "olga", "lea", None, None, None, None] == [person_of(name, CIRCLE) for name in names]


def test_r19_whoever_is_on_call_is_reached_with_the_evidence_of_the_shift():
    """By the first contact that this installation has; the rest are fall-backs."""
    [reached] = reach(["on-call/support"], CIRCLE)
    assert ("ana", "Ana", WEBHOOK) == (reached.person, reached.name, reached.contact)
    evidence = reached.evidence
    assert ("support", "UTC", NOW, (CONSOLE,)) == (
        evidence.rotation,
        evidence.zone,
        evidence.shift_starts_at,
        evidence.fallback,
    )
    assert (3, 2) == (evidence.policy_version, evidence.generation)


def test_r6_the_same_person_is_reached_once():
    """Named twice, paged once, as first named."""
    assert ["on-call/support"] == [one.recipient for one in reach(["on-call/support", "person/ana"], CIRCLE)]


def test_r22_r23_whoever_cant_be_paged_is_left_out():
    """Not on the roster, no usable contact, no such channel, nobody on call."""
    assert () == reach(["person/ghost", "person/mute", "lead", "channel/pigeon", "on-call/empty"], CIRCLE)


def test_a_channel_is_reached_without_a_person():
    """The last resort."""
    [reached] = reach(["channel/console"], CIRCLE)
    assert (None, CONSOLE, "channel/console") == (reached.person, reached.contact, reached.who)
