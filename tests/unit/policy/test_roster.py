"""A roster file read whole."""

import pytest

from shared.contract.tickets import Channel
from shared.policy import roster
from shared.policy.document import Contact, Person, Presence
from shared.policy.errors import PolicyErrors
from shared.policy.parse import parse_policy, parse_roster

EVERYTHING = """
people:
  ana:
    name: Ana
    skills: {Billing: 4, "lang:de": 5}
    channels: [phone, email]
    capacity: 8
    at_most: {phone: 1}
    pools: [billing, claims]
    presence: shift
    calendar: early
    lead: chi
    contacts: [console, {webhook: "https://hooks.example.org/x", secret: "env:DESKCLOCK_SECRET_HOOK"}]
  chi: {}
"""


def test_people_have_skills_channels_and_contacts() -> None:
    """Skills have no case; what isn't said has its default."""
    people = parse_roster(EVERYTHING).people

    assert (
        Person(
            key="ana",
            name="Ana",
            skills={"billing": 4, "lang:de": 5},
            channels=(Channel.PHONE, Channel.EMAIL),
            capacity=8,
            at_most={Channel.PHONE: 1},
            pools=("billing", "claims"),
            presence=Presence.SHIFT,
            calendar="early",
            lead="chi",
            contacts=(
                Contact(method="console"),
                Contact(method="webhook", address="https://hooks.example.org/x", secret="env:DESKCLOCK_SECRET_HOOK"),
            ),
        )
        == people["ana"]
    )
    assert Person(key="chi", name="chi") == people["chi"]


def test_one_value_may_stand_for_a_list_and_a_list_of_skills_for_level_one() -> None:
    """Short files stay short."""
    person = parse_roster("people: {bo: {skills: [a, B], channels: email, contacts: console}}").people["bo"]

    assert ({"a": 1, "b": 1}, (Channel.EMAIL,), (Contact(method="console"),)) == (
        person.skills,
        person.channels,
        person.contacts,
    )


@pytest.mark.parametrize(
    ("person", "pointer", "said"),
    [
        ("skills: {sql: 6}", "/skills/sql", "from 1 to 5"),
        ("skills: {sql: 1, SQL: 2}", "/skills", "twice"),
        ("channels: [fax]", "/channels/0", "none of its words"),
        ("capacity: -1", "/capacity", "out of range"),
        ("presence: maybe", "/presence", "`manual`"),
        ("lead: bo", "/lead", "lead themselves"),
        ("lead: eve", "/lead", "nobody `eve`"),
        ("contacts: [{webhook: '', secret: 'env:DESKCLOCK_SECRET_A'}]", "/contacts/0/webhook", "an empty text"),
        ("contacts: [{webhook: ftp://x, secret: 'env:DESKCLOCK_SECRET_A'}]", "/contacts/0/webhook", "no web address"),
        (
            "contacts: [{webhook: 'http://[x', secret: 'env:DESKCLOCK_SECRET_A'}]",
            "/contacts/0/webhook",
            "no web address",
        ),
        ("contacts: [{webhook: 'https://x', secret: hunter2}]", "/contacts/0/secret", "env:DESKCLOCK_SECRET_<name>"),
        ("contacts: [{email: a, sms: b}]", "/contacts/0", "one method"),
        ("contacts: [{}]", "/contacts/0", "one method"),
        ("contacts: [" + "console, " * 11 + "]", "/contacts", "11 contacts"),
        ("phone: 1", "/phone", "unknown key"),
    ],
)
def test_faults_are_named_with_their_place(person: str, pointer: str, said: str) -> None:
    """As in a policy file."""
    with pytest.raises(PolicyErrors) as refused:
        parse_roster(f"people:\n  bo: {{{person}}}\n")

    [fault] = refused.value.errors
    assert (2, f"/people/bo{pointer}") == (fault.line, fault.pointer)
    assert said in f"{fault.problem}; {fault.remedy}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "people:",
        "people: []",
        "people: {a: 5}",
        "peeple: {}",
        "people: {' a': {}}",
        f"people: {{{'k' * 201}: {{}}}}",
    ],
)
def test_what_is_no_roster_is_refused(text: str) -> None:
    """With at least one fault."""
    with pytest.raises(PolicyErrors):
        parse_roster(text)


def test_everybody_a_policy_pages_is_found_with_the_place() -> None:
    """Rotations and persons, each once."""
    policy = parse_policy(
        """
        on_call: {s/1: {timezone: UTC, rotation: daily, handoff: "09:00", people: [ana, ben]}}
        escalations:
          a: {steps: [{page: [owner, on-call/s/1]}, {page: person/cy}], otherwise: person/dee, on_warning: [person/eve, person/ana]}
        """,
        version=1,
    )

    assert {
        "ana": "/on_call/s~11/people/0",
        "ben": "/on_call/s~11/people/1",
        "cy": "/escalations/a/steps/1/page",
        "dee": "/escalations/a/otherwise",
        "eve": "/escalations/a/on_warning",
    } == roster.people_named(policy)


def test_the_remedy_for_an_unknown_person() -> None:
    """The nearest name, or the roster itself."""
    assert "did you mean `ana`?" == roster.whom_did_you_mean("anna", ["ana", "bo"])
    assert "roster apply" in roster.whom_did_you_mean("anna", [])
