"""The `on_call` of a policy file."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from shared.policy import parse, roster
from shared.policy.document import Cadence, Feed, Policy, Rotation
from shared.policy.errors import PolicyErrors
from tests.turns import daily, hours, layer

LAYERS = """
on_call:
  support:
    timezone: Europe/Berlin
    layers:
      - {rotation: weekly, handoff: "mon 09:00", people: [ana, ben]}
      - name: office
        rotation: 2 weeks
        handoff: tue 08:30
        people: [chi]
        begins: 2026-06-03
        hours: {mon-fri: "09:00-17:00"}
        valid: {from: "2026-06-01T00:00:00+02:00", to: 2026-07-01T00:00:00Z}
      - {rotation: 3 days, handoff: "00:00", people: [dan], hours: {mon-sun: "00:00-24:00"}}
  managers: {timezone: UTC, rotation: daily, handoff: "08:00", people: [head], begins: 2026-01-01}
"""
FED = """
on_call:
  fed: {timezone: Europe/Berlin, ical: "https://calendar.test/a.ics", people: {Ana@Example.org: ana, Team meeting: none}}
  bare: {ical: rota.ics}
"""


def read(text: str) -> Policy:
    """A sound file, compiled."""
    return parse.parse_policy(text, version=1)


def test_r20_layers_say_turns_hours_and_validity() -> None:
    """One name each, by number where none is given; hours that cover the week are none."""
    found = read(LAYERS).on_call
    office = layer(
        "chi", name="office", at=time(8, 30), every=2, handoff_weekday=1, begins=date(2026, 6, 3), hours=hours(range(5), 9, 17),
        valid_from=datetime(2026, 5, 31, 22, tzinfo=UTC), valid_to=datetime(2026, 7, 1, tzinfo=UTC),
    )  # fmt: skip
    always = daily("dan", name="3", at=time(0), every=3)
    assert (layer("ana", "ben", name="1"), office, always) == found["support"].layers
    assert (daily("head", at=time(8), begins=date(2026, 1, 1)),) == found["managers"].layers
    assert {"ana", "ben", "chi", "dan"} == found["support"].people


def test_r25_a_rotation_may_be_kept_in_a_calendar_elsewhere() -> None:
    """With a zone for times without one, or none; and a map of its names to people."""
    found = read(FED).on_call
    mapped = {"Ana@Example.org": "ana", "Team meeting": None}
    assert (
        Rotation(
            name="fed", zone=ZoneInfo("Europe/Berlin"), feed=Feed(source="https://calendar.test/a.ics", people=mapped)
        )
        == found["fed"]
    )
    assert (Feed(source="rota.ics", is_zoned=False), {"ana"}) == (found["bare"].feed, found["fed"].people)


def test_everybody_of_every_layer_and_map_has_to_be_on_the_roster() -> None:
    """Each with the place that names them; a channel that is none is somebody, too."""
    ladder = "\nescalations: {a: {steps: [{page: [channel/console, channel/war-room]}]}}"
    named = roster.people_named(read(LAYERS + ladder)) | roster.people_named(read(FED))
    assert {
        "ana": "/on_call/fed/people/Ana@Example.org",
        "ben": "/on_call/support/layers/0/people/1",
        "chi": "/on_call/support/layers/1/people/0",
        "dan": "/on_call/support/layers/2/people/0",
        "head": "/on_call/managers/people/0",
        "war-room": "/escalations/a/steps/0/page",
    } == named


TURN = "rotation: daily, handoff: '09:00', people: [x]"


@pytest.mark.parametrize(
    ("line", "pointer", "said"),
    [
        ("{timezone: UTC}", "", "`rotation`, `handoff`, `people` missing"),
        ("{timezone: UTC, rotation: daily, people: [x]}", "", "`handoff` missing"),
        (f"{{{TURN}}}", "", "`timezone` is missing"),
        (f"{{timezone: UTC, {TURN}, layers: [{{{TURN}}}]}}", "", "beside its layers"),
        ("{timezone: UTC, layers: []}", "/layers", "empty list"),
        ("{timezone: UTC, rotation: hourly, handoff: '09:00', people: [x]}", "/rotation", "no length of a turn"),
        ("{timezone: UTC, rotation: 0 days, handoff: '09:00', people: [x]}", "/rotation", "out of range"),
        ("{timezone: UTC, rotation: 53 weeks, handoff: 'mon 09:00', people: [x]}", "/rotation", "out of range"),
        ("{timezone: UTC, rotation: 2 weeks, handoff: '09:00', people: [x]}", "/handoff", "no weekly hand-off"),
        ("{timezone: UTC, rotation: daily, handoff: '09:00', people: {x: y}}", "/people", "a mapping stands here"),
        (f"{{timezone: UTC, {TURN}, begins: soon}}", "/begins", "no date"),
        (f"{{timezone: UTC, {TURN}, hours: {{mon: '09:00-10:00'}}}}", "/hours", "unknown key"),
        (f"{{timezone: UTC, layers: [{{{TURN}, hours: {{mon: closed}}}}]}}", "/layers/0/hours", "never come"),
        (
            f"{{timezone: UTC, layers: [{{{TURN}, hours: {{moon: '1-2'}}}}]}}",
            "/layers/0/hours/moon",
            "no day of the week",
        ),
        (
            f"{{timezone: UTC, layers: [{{{TURN}, valid: {{from: 2026-07-01T00:00:00Z, to: 2026-06-01T00:00:00Z}}}}]}}",
            "/layers/0/valid",
            "ends before it begins",
        ),
        ("{ical: 'http://calendar.test/a.ics'}", "/ical", "over https only"),
        ("{ical: 'file:///etc/passwd'}", "/ical", "over https only"),
        ("{ical: a.ics, rotation: daily}", "/rotation", "takes no turns"),
        ("{ical: a.ics, people: [ana]}", "/people", "a list stands here"),
        (f"{{ical: a.ics, layers: [{{{TURN}}}]}}", "/layers", "takes no turns"),
    ],
)
def test_what_a_rotation_cannot_mean_is_a_fault_with_its_place(line: str, pointer: str, said: str) -> None:
    """And the way out."""
    with pytest.raises(PolicyErrors) as refused:
        read(f"on_call: {{a: {line}}}")
    [fault] = refused.value.errors
    assert (f"/on_call/a{pointer}", True) == (fault.pointer, said in fault.problem), fault


@pytest.mark.parametrize("name", ["gaps", "support.ics"])
def test_a_rotation_hides_no_other_address(name: str) -> None:
    """`gaps` and calendars have addresses of their own beside it."""
    with pytest.raises(PolicyErrors, match="would hide another address"):
        read(f"on_call: {{{name}: {{timezone: UTC, {TURN}}}}}")


def test_turns_of_weeks_and_days_begin_where_it_is_said() -> None:
    """The first of the people has the turn that holds the day."""
    found = read(
        "on_call: {a: {timezone: UTC, rotation: 1 week, handoff: 'fri 09:00', people: [x], begins: 2026-06-04}}"
    )
    assert (Cadence.WEEKLY, 1, 4, date(2026, 6, 4)) == tuple(
        getattr(found.on_call["a"].layers[0], key) for key in ("cadence", "every", "handoff_weekday", "begins")
    )
