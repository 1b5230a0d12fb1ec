"""Where preferences may be insisted upon (routing-rules 3.5)."""

import pytest

from shared.policy.errors import PolicyErrors
from shared.policy.parse import parse_policy

QUICK = "{name: quick, when: {channel: live_chat}, calendar: always, first_response: 90s}"
ALL = "{name: all, calendar: always, first_response: 1h}"


def check(targets: str, when: str) -> list[str]:
    """What is wrong with insisting on tickets like these."""
    skill = f"{{prefer: [vip], insist: true{f', when: {when}' if when else ''}}}"
    try:
        parse_policy(f"targets: [{targets}]\nskills: [{{need: [a]}}, {skill}]", version=1)
    except PolicyErrors as raised:
        return [f"{error.pointer} {error.problem}" for error in raised.errors]
    return []


@pytest.mark.parametrize(
    ("targets", "when"),
    [
        (ALL, ""),
        (f"{QUICK}, {ALL}", "{channel: email}"),
        (f"{QUICK}, {ALL}", "{channel: [email, phone], requester.tier: gold}"),
        ("{name: q, when: {language: de}, calendar: always, next_response: 1m}, " + ALL, "{language: [fr, en-us]}"),
        ("{name: q, when: {language: en-gb}, calendar: always, next_response: 1m}, " + ALL, "{language: en-us}"),
        ("{name: mail, when: {channel: email}, calendar: always, first_response: 1h}, {name: q, calendar: always, first_response: 1m}", "{channel: email, requester.tier: gold}"),
        ("{name: q, calendar: always, first_response: 2m}", ""),
        ("{name: q, calendar: always, resolution: 1m}", ""),
        ("{name: q, kind: internal, calendar: always, first_response: 1m}, " + ALL, ""),
        ("{name: q, calendar: always, first_response: 2bd}", ""),
    ],
)  # fmt: skip
def test_a_preference_may_be_insisted_upon_where_there_is_time(targets: str, when: str) -> None:
    """No line that such a ticket can get promises an answer in less than two minutes."""
    assert [] == check(targets, when)


@pytest.mark.parametrize(
    ("targets", "when"),
    [
        (f"{QUICK}, {ALL}", ""),
        (f"{QUICK}, {ALL}", "{channel: [email, live_chat]}"),
        (f"{QUICK}, {ALL}", "{text: help}"),
        ("{name: quick, when: {language: en}, calendar: always, next_response: 1m}, " + ALL, "{language: en-us}"),
        ("{name: quick, when: {language: en-us}, calendar: always, next_response: 1m}, " + ALL, "{language: en}"),
        ("{name: quick, when: {attributes.plan: a}, calendar: always, first_response: 1m}, " + ALL, "{attributes.plan: b}"),
        ("{name: quick, when: {text: now}, calendar: always, first_response: 1m}, " + ALL, "{channel: email}"),
        ("{name: mail, when: {channel: email, text: x}, calendar: always, first_response: 1h}, {name: quick, calendar: always, first_response: 1m}", "{channel: email}"),
        ("{name: mail, valid: {to: 2027-01-01T00:00:00Z}, calendar: always, first_response: 1h}, {name: quick, calendar: always, first_response: 1m}", "{channel: email}"),
    ],
)  # fmt: skip
def test_a_preference_is_not_insisted_upon_under_a_short_promise(targets: str, when: str) -> None:
    """Unless the fields tell such tickets apart, it is a fault with the way out."""
    [fault] = check(targets, when)

    assert fault == (
        "/skills/1/insist the target `quick` promises an answer in less than 2 minutes, too short to wait for somebody who is "
        "only preferred"
    )
