"""What is promised to a ticket of which only channel and urgency are known."""

from datetime import UTC, datetime

from services.router.domain.promised import by_channel_and_urgency, changes_with_time, promised, strictest
from shared.contract.tickets import Channel, TargetKind, Urgency
from shared.policy import parse

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
POLICY = parse.parse_policy(
    """
calendars:
  office: {timezone: Europe/Berlin, hours: {mon-fri: "09:00-17:00"}}
targets:
  - {name: gold, when: {channel: email, requester.tier: gold}, calendar: office, first_response: 1m}
  - {name: down, when: {channel: email, text: ["is down"]}, calendar: office, first_response: 2m}
  - {name: in May, when: {channel: email}, calendar: office, first_response: 3m, valid: {to: "2026-06-01T00:00:00Z"}}
  - {name: urgent, when: {channel: email, urgency: urgent}, calendar: office, first_response: 30m, resolution: 2bd}
  - {name: north, kind: internal, when: {team: north}, calendar: office, resolution: 1h}
  - {name: any team, kind: internal, calendar: office, resolution: 5h}
  - {name: rest, when: {channel: [email, phone]}, calendar: office, first_response: 4h}
follow_up: {after_solved: 3h, when: {urgency: urgent}}
""",
    version=1,
).sla


def test_the_first_line_that_asks_for_nothing_else_and_holds() -> None:
    """Lines by tier, by words and of other days are passed over; business days are left out."""
    assert {
        TargetKind.FIRST_RESPONSE: 1800.0,
        TargetKind.FOLLOW_UP: 10800.0,
        TargetKind.INTERNAL_RESOLUTION: 18000.0,
    } == promised(POLICY, Channel.EMAIL, Urgency.URGENT, NOW)
    assert 14400.0 == promised(POLICY, Channel.PHONE, Urgency.LOW, NOW)[TargetKind.FIRST_RESPONSE]
    before = datetime(2026, 5, 31, tzinfo=UTC)
    assert 180.0 == promised(POLICY, Channel.EMAIL, Urgency.URGENT, before)[TargetKind.FIRST_RESPONSE]


def test_nothing_is_promised_where_no_line_holds() -> None:
    """But for what the teams owe each other."""
    assert {TargetKind.INTERNAL_RESOLUTION} == promised(POLICY, Channel.SOCIAL, Urgency.LOW, NOW).keys()


def test_the_strictest_of_several_policies() -> None:
    """Each promise for itself."""
    tables = [{("a", "b", "c"): 5.0, ("x", "y", "z"): 1.0}, {("a", "b", "c"): 3.0}]
    assert {("a", "b", "c"): 3.0, ("x", "y", "z"): 1.0} == strictest(tables)
    assert ("first_response", "phone", "low") in by_channel_and_urgency(POLICY, NOW)


def test_a_line_of_some_days_changes_with_time() -> None:
    """So that it is looked at again."""
    assert changes_with_time(POLICY.targets)
    assert not changes_with_time([each for each in POLICY.targets if each.name != "in May"])
