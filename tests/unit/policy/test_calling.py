"""Whom to call where no promise says it."""

from datetime import UTC, datetime, timedelta

from shared.policy import calling
from shared.policy.calling import Call
from shared.policy.document import Ladder, Policy, Step
from shared.policy.parse import parse_policy

NOW = datetime(2026, 6, 1, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

POLICY = """
calendars: {always: {hours: always}}
targets:
  - {name: calm, when: {urgency: low}, calendar: always, first_response: 8h}
  - {name: urgent, when: {urgency: urgent}, calendar: always, first_response: 1h, escalate: wake the lead}
  - {name: all, calendar: always, first_response: 4h, escalate: ask the team}
escalations:
  ask the team: {steps: [{page: [person/ana]}]}
  wake the lead: {steps: [{page: [person/ben]}]}
"""


def read(text: str) -> Policy:
    return parse_policy(text, version=1)


def name(policy: Policy, matched: str | None) -> str | None:
    ladder = calling.ladder_for(policy, matched)
    return None if ladder is None else ladder.name


def test_the_ladder_of_the_line_that_the_ticket_matched() -> None:
    """As for its promises."""
    assert ("wake the lead", "ask the team") == (name(read(POLICY), "urgent"), name(read(POLICY), "all"))


def test_where_that_line_wakes_nobody_the_first_that_does() -> None:
    """Also for a ticket without a line, or of one that is gone."""
    assert ["wake the lead"] * 3 == [name(read(POLICY), matched) for matched in ("calm", None, "gone")]


def test_a_ladder_that_no_line_names_is_better_than_nobody() -> None:
    """The first by name."""
    policy = read(POLICY.replace(", escalate: wake the lead", "").replace(", escalate: ask the team", ""))
    assert "ask the team" == name(policy, "urgent")


def test_without_escalations_nobody_can_be_told() -> None:
    """Whoever asks says so."""
    assert (
        name(
            read("targets: [{name: all, calendar: always, first_response: 4h}]\ncalendars: {always: {hours: always}}"),
            "all",
        )
        is None
    )


def test_a_walk_names_who_is_paged_and_when() -> None:
    """Steps without time between them are one."""
    ladder = Ladder(
        name="x",
        steps=(
            Step(after=5 * MINUTE, page=("owner",)),
            Step(after=timedelta(), page=("lead",)),
            Step(after=10 * MINUTE, page=("person/head",)),
        ),
    )
    both, head = Call(NOW + 5 * MINUTE, ("owner", "lead")), Call(NOW + 15 * MINUTE, ("person/head",))
    assert (both, head) == calling.walk(ladder, NOW)
    assert (Call(NOW, ("person/head",)),) == calling.walk(ladder, NOW, 2)
