"""Escalations that may wake nobody are warned of, with their line; those that are sound are not."""

import pytest

from shared.policy import ladder_linting
from shared.policy.parse import parse_policy, parse_roster, read_policy

SOUND = """
calendars: {always: {hours: always}}
targets:
  - {name: all, calendar: always, first_response: 1h, escalate: wake}
escalations:
  wake:
    steps: [{page: [on-call/support]}, {after: 10m, page: [person/head]}]
    otherwise: [person/head]
on_call:
  support: {timezone: UTC, rotation: weekly, handoff: "mon 09:00", people: [ana, ben]}
"""
ROSTER = """
people:
  ana: {}
  ben: {contacts: []}
  head: {}
"""


def doubts(text: str) -> list[str]:
    """Pointer and problem of each warning."""
    read = read_policy(text, version=1)
    return [f"{warning.pointer}: {warning.problem}" for warning in read.warnings]


def test_a_sound_ladder_is_not_doubted() -> None:
    """Two steps, two people, an end."""
    assert [] == doubts(SOUND)
    assert () == ladder_linting.lint_people(parse_policy(SOUND, version=1), parse_roster(ROSTER))


@pytest.mark.parametrize(
    ("before", "after", "pointer", "problem"),
    [
        (
            "person/head]}]",
            "on-call/support]}]",
            "/escalations/wake/steps/1/page",
            "nobody but those of the step before",
        ),
        ("escalate: wake", "warn: [50%]", None, None),
        ("after: 10m", "after: 200h", "/escalations/wake/steps/1/after", "never reached"),
        ("otherwise: [person/head]", "silence: 200h", "/escalations/wake/silence", "nobody is asked again"),
        ("ana, ben", "head", "/escalations/wake/steps/1/page", "nobody but those of the step before"),
    ],
)
def test_r22_steps_that_are_never_taken_are_named(
    before: str, after: str, pointer: str | None, problem: str | None
) -> None:
    """The same people twice, steps after the hard end; the only ladder there is serves routing, whatever starts it."""
    found = doubts(SOUND.replace(before, after))
    if pointer is None:
        assert [] == found
    else:
        [only] = found
        assert only.startswith(f"{pointer}: ")
        assert problem in only


def test_a_ladder_that_nothing_starts_is_named() -> None:
    """A second one that no line names; with its line in the file."""
    text = SOUND.replace("escalations:", "escalations:\n  forgotten: {steps: [{page: person/head}]}")
    [warning] = read_policy(text, version=1).warnings
    assert "/escalations/forgotten" == warning.pointer
    assert 6 == warning.line
    assert "never reached" in warning.problem


def test_steps_that_go_together_are_not_the_same_people_twice() -> None:
    """Without a wait between them they are one step (R6)."""
    assert [] == doubts(SOUND.replace("after: 10m, page: [person/head]", "page: [on-call/support]"))


def test_a_ladder_that_knows_only_owners_is_doubted() -> None:
    """Nobody may own the ticket."""
    text = SOUND.replace("on-call/support]}", "owner]}").replace("person/head]}", "lead]}")
    text = text.replace("    otherwise: [person/head]\n", "")
    [only] = doubts(text)
    assert only.startswith("/escalations/wake/steps: while nobody owns the ticket")


@pytest.mark.parametrize(
    ("roster", "steps"),
    [
        ("{ana: {contacts: []}, ben: {contacts: []}, head: {}}", [0]),
        ("{ana: {}, ben: {}}", [1]),
        ("{ana: {contacts: []}, ben: {}, head: {contacts: []}}", [1]),
    ],
)
def test_r23_a_step_that_nobody_can_receive_is_named(roster: str, steps: list[int]) -> None:
    """Off the roster, or without a contact."""
    found = ladder_linting.lint_people(parse_policy(SOUND, version=1), parse_roster(f"people: {roster}"))
    assert [f"/escalations/wake/steps/{step}/page" for step in steps] == [doubt.pointer for doubt in found]


@pytest.mark.parametrize(
    ("recipient", "roster", "is_doubted"),
    [
        ("owner", "{ana: {channels: email}, ben: {}, head: {}}", False),
        ("owner", "{ana: {channels: email, contacts: []}, ben: {}, head: {}}", True),
        ("lead", "{ana: {channels: email}, ben: {}, head: {}}", True),
        ("lead", "{ana: {channels: email, lead: head}, ben: {}, head: {}}", False),
        ("channel/console", "{ana: {}, ben: {}, head: {}}", False),
    ],
)
def test_r23_an_owner_or_lead_whom_nobody_can_be_is_named(recipient: str, roster: str, is_doubted: bool) -> None:
    """Owners are people who work tickets; leads are named by them."""
    policy = parse_policy(SOUND.replace("person/head]}", f"{recipient}]}}"), version=1)
    found = ladder_linting.lint_people(policy, parse_roster(f"people: {roster}"))
    assert is_doubted is ("/escalations/wake/steps/1/page" in [doubt.pointer for doubt in found])
