"""`deskclock policy rehearse`: the timeline of a break that nobody answers, from files alone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from services.console.__main__ import run

POLICY = """
calendars:
  office: {timezone: America/New_York, hours: {mon-fri: "09:00-17:00"}}
targets:
  - {name: urgent, when: {urgency: urgent}, calendar: office, first_response: 15m, escalate: wake the lead}
  - {name: rest, calendar: office, first_response: 4h, escalate: tell the team}
escalations:
  wake the lead:
    steps: [{page: [on-call/support]}, {after: 10m, page: [person/head, lead]}]
    repeat: 2
    otherwise: [person/head]
  tell the team:
    steps: [{page: owner}, {after: 30m, page: on-call/support}]
on_call:
  support: {timezone: America/New_York, rotation: weekly, handoff: "sun 03:15", people: [ana, ben]}
"""
ROSTER = """
people:
  ana: {name: Ana, channels: [email], lead: head}
  ben: {name: Ben, contacts: [{ntfy: bens-topic}, console]}
  head: {name: Head of support}
"""

Rehearse = Callable[..., list[dict[str, object]]]


@pytest.fixture
def rehearse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Rehearse:
    """Run the command on both files; returns what it says as data."""
    policy, roster = tmp_path / "policy.yaml", tmp_path / "roster.yaml"
    policy.write_text(POLICY)
    roster.write_text(ROSTER)

    def call(*arguments: str) -> list[dict[str, object]]:
        assert 0 == run(["policy", "rehearse", str(policy), "--roster", str(roster), "--json", *arguments])
        return json.loads(capsys.readouterr().out)

    return call


def told(one: dict[str, object]) -> list[str]:
    """Each moment in a line: when, the step, who is paged or why nobody is."""
    lines = []
    for moment in one["moments"]:  # type: ignore[attr-defined]
        lines += [f"{moment['at']} {skip['loop']}.{skip['step']} {skip['reason']}" for skip in moment["skipped"]]
        lines += [
            f"{moment['at']} {moment['loop']}.{moment['step']} {page['person'] or page['recipient']}"
            for page in moment["paged"]
        ]
        lines += [f"{moment['at']} {moment['end']}"] if moment["end"] else []
    return lines


def test_it_broke_on_sunday_at_ten_past_three(rehearse: Rehearse) -> None:
    """The shift that ends five minutes later has it; the second round waits for the office to open (sla-rules 63)."""
    [one] = rehearse("--escalation", "wake the lead", "--at", "2026-11-29T03:10:00-05:00")
    assert "urgent" == one["line"]
    assert [
        "2026-11-29T08:10:00Z 1.1 ben",
        "2026-11-29T08:20:00Z 1.2 head",
        "2026-11-30T14:00:00Z 2.1 ana",
        "2026-11-30T14:10:00Z 2.2 head",
        "2026-11-30T14:20:00Z 3.1 head",
        "2026-11-30T14:20:00Z exhausted",
        "2026-12-06T08:10:00Z expired",
    ] == told(one)
    assert ["ntfy", "console"] == one["moments"][0]["paged"][0]["methods"]  # type: ignore[index]


def test_a_weekday_is_the_next_one_in_the_zone_of_the_promise(rehearse: Rehearse) -> None:
    """`sun 03:10` is ten past three in New York, whatever the season."""
    for one in rehearse():
        at = str(one["broke_at"])
        assert at.endswith(("T08:10:00Z", "T07:10:00Z"))


def test_r22_who_was_paged_just_now_is_not_paged_again(rehearse: Rehearse) -> None:
    """The owner is on call as well: the second step pages nobody, and the end comes at once."""
    [one] = rehearse("--escalation", "tell the team", "--at", "2026-12-01T12:00:00-05:00", "--owner", "ana")
    assert [
        "2026-12-01T17:00:00Z 1.1 ana",
        "2026-12-01T17:30:00Z 1.2 same_people",
        "2026-12-01T17:30:00Z 2.1 channel/console",
        "2026-12-01T17:30:00Z exhausted",
        "2026-12-08T17:00:00Z expired",
    ] == told(one)


def test_r22_without_an_owner_the_first_step_is_a_gap(rehearse: Rehearse) -> None:
    """Nobody owns the ticket: whoever is on call is paged at once."""
    [one] = rehearse("--escalation", "tell the team", "--at", "2026-12-01T12:00:00-05:00")
    assert ["2026-12-01T17:00:00Z 1.1 gap", "2026-12-01T17:00:00Z 1.2 ana"] == told(one)[:2]


def test_a_person_reads_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a roster everybody counts as there, and it says so."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    assert 0 == run(["policy", "rehearse", str(policy), "--at", "2026-11-29T03:10:00-05:00"])
    out, err = capsys.readouterr()
    assert "wake the lead: a promise of `urgent` breaks Sun 2026-11-29 03:10 EST" in out
    assert "on call for support until Sun 2026-11-29 03:15 EST" in out
    assert "it ends by itself, and that alarms" in out
    assert "everybody the policy names is taken to be there" in err


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("did you mean `wake the lead`", ["--escalation", "wake the led"]),
        ("nobody `anna` on the roster", ["--owner", "anna"]),
        ("not an instant", ["--at", "soon"]),
        ("--at: ", ["--at", "someday 03:10"]),
        ("--at: ", ["--at", "sun 25:10"]),
    ],
)
def test_what_is_not_there_is_named_with_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str, arguments: list[str]
) -> None:
    """One line, exit code 2."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    assert 2 == run(["policy", "rehearse", str(policy), *arguments])
    assert words in capsys.readouterr().err.splitlines()[-1]


def test_r22_check_names_hours_in_which_nobody_is_on_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nights and week-ends, each counted; on call at any hour there is none."""
    policy = tmp_path / "policy.yaml"
    layer = 'rotation: daily, handoff: "00:00", people: [ana, head]'
    by_day = f'  support: {{timezone: UTC, layers: [{{{layer}, hours: {{mon-sun: "09:00-17:00"}}}}]}}\n'
    policy.write_text(POLICY[: POLICY.index("  support: {")] + by_day)
    assert 0 == run(["policy", "check", str(policy)])
    [warning] = capsys.readouterr().err.splitlines()
    assert "/on_call/support: in the next 30 days nobody can be paged from " in warning
    assert ", and 30 times more: no layer is on" in warning or ", and 29 times more: no layer is on" in warning
    policy.write_text(POLICY[: POLICY.index("  support: {")] + by_day.replace(', hours: {mon-sun: "09:00-17:00"}', ""))
    assert 0 == run(["policy", "check", str(policy)])
    assert "" == capsys.readouterr().err


def test_r23_check_refuses_a_policy_whose_people_its_roster_does_not_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same faults as `apply` would find, with their lines."""
    policy, roster = tmp_path / "policy.yaml", tmp_path / "roster.yaml"
    policy.write_text(POLICY)
    roster.write_text("people: {ana: {}, ben: {contacts: []}, heat: {}}")
    assert 4 == run(["policy", "check", str(policy), "--roster", str(roster)])
    told = capsys.readouterr().err
    assert "policy.yaml:15:" in told
    assert "`ben` can't be reached; give them `contacts`" in told
    assert "nobody on the roster has the key `head`; did you mean `heat`?" in told
