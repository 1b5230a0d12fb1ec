"""Recipients resolved to people and channels."""

from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from msgspec import structs

from services.escalation.domain.recipient import FALLBACK, Circle, Person, person_of, reach
from services.escalation.domain.rotation import Duty, Imported, Override
from shared.policy.document import Contact, Feed, Rotation
from tests.turns import daily, rotation

HOUR = timedelta(hours=1)
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


def test_r19_the_evidence_says_by_which_version_layer_override_or_import() -> None:
    """An override has no layer, an import its number, somebody named none of it."""
    made = Override(id=UUID(int=7), person="ana", starts_at=NOW, ends_at=NOW + HOUR, made_at=NOW)
    fed = Rotation(name="fed", zone=ZoneInfo("UTC"), feed=Feed(source="x"))
    circle = structs.replace(
        CIRCLE,
        rotations={
            "layered": Duty(rotation=rotation(daily("olga"), daily("ana", name="office")), version=4),
            "over": Duty(rotation=rotation(daily("olga")), version=4, overrides=(made,)),
            "fed": Duty(
                rotation=fed,
                version=5,
                imported=(Imported(person="ana", starts_at=NOW, ends_at=NOW + HOUR),),
                feed_version=9,
            ),
        },
    )
    found = [reach([f"on-call/{name}"], circle)[0].evidence for name in circle.rotations]
    assert [("office", None, None, 4), (None, made.id, None, 4), (None, None, 9, 5)] == [
        (one.layer, one.override, one.feed_version, one.rotation_version) for one in found
    ]
    assert [NOW + HOUR] * 2 == [one.shift_ends_at for one in found[1:]]
    [named] = reach(["person/ana"], circle)
    assert (None, None, None) == (named.evidence.rotation, named.evidence.rotation_version, named.evidence.layer)


def test_a_channel_that_is_none_is_whoever_has_that_key() -> None:
    """As a chat room on the roster; a channel of that name comes first."""
    rooms = {"war-room": person("war-room", WEBHOOK), "console": person("console", WEBHOOK)}
    circle = structs.replace(CIRCLE, people=rooms)
    found = reach(["channel/war-room", "channel/console", "channel/pigeon"], circle)
    assert [("channel/war-room", "war-room", WEBHOOK), ("channel/console", None, CONSOLE)] == [
        (one.recipient, one.person, one.contact) for one in found
    ]


def test_r22_owner_and_lead_are_asked_one_after_the_other_where_all_steps_are_empty() -> None:
    """The chain before the catch-all: the owner who can be paged, else their lead, else nobody."""
    lea = structs.replace(CIRCLE, owner="mute", people={**CIRCLE.people, "lea": person("lea", CONSOLE)})
    alone = structs.replace(CIRCLE, owner=None, lead=None)
    reached = [[one.person for name in FALLBACK for one in reach([name], circle)] for circle in (CIRCLE, lea, alone)]
    assert [["olga"], ["lea"], []] == reached
