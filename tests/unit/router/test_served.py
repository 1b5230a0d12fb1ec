"""What doesn't fit between the pools of a policy and the people of a roster."""

import pytest

from services.router.domain.served import doubts, working
from shared.policy.parse import parse_policy, parse_roster

TARGETS = "targets: [{name: all, calendar: always, first_response: 1h}]\n"


@pytest.mark.parametrize(
    ("pools", "people", "expected"),
    [
        ("[]", "{ana: {channels: email}}", []),
        ("[{name: a, when: {channel: email}}]", "{ana: {channels: email}}", []),
        ("[{name: a, when: {channel: email}}]", "{ana: {channels: email, pools: [a, default]}}", []),
        ("[{name: a}]", "{ana: {channels: email, pools: [a]}}", []),
        ("[{name: a, when: {channel: email}}]", "{}", []),
        ("[{name: a, when: {channel: email}}]", "{boss: {}}", []),
        (
            "[{name: a, when: {channel: email}}, {name: b}]",
            "{ana: {channels: email, pools: [a]}, boss: {}}",
            ["/pools/1/name nobody on the roster takes tickets of the pool `b`; add it to the `pools` of those who should, in the roster"],
        ),
        (
            "[{name: a, when: {channel: email}}]",
            "{ana: {channels: email, pools: [a]}}",
            [("/pools tickets of no pool wait in `default`, and nobody on the roster takes those; add `default` to somebody's "
             "`pools` in the roster, or end the list with a pool without `when`")],
        ),
        (
            "[{name: default}]",
            "{ana: {channels: email, pools: [a]}}",
            ["/pools/0/name nobody on the roster takes tickets of the pool `default`; add it to the `pools` of those who should, in the roster",
             "/pools the roster has `ana` take tickets of `a`, which is no pool of the policy; pools are `default`"],
        ),
        (
            "[{name: returns, when: {channel: email}}]",
            "{eva: {channels: email}, ana: {channels: email, pools: [retuns]}, ben: {channels: email, pools: [retuns]}}",
            ["/pools the roster has `ana`, `ben` take tickets of `retuns`, which is no pool of the policy; did you mean `returns`?"],
        ),
    ],
)  # fmt: skip
def test_pools_that_nobody_takes_and_people_of_pools_that_there_are_not(
    pools: str, people: str, expected: list[str]
) -> None:
    """Whoever has no channel works no tickets; without anybody who does there is nothing to say yet."""
    roster = parse_roster(f"people: {people}").people.values()
    policy = parse_policy(f"{TARGETS}pools: {pools}", version=1)

    found = sorted(
        doubts(policy, working(sorted(roster, key=lambda person: person.key))),
        key=lambda d: d.pointer != "/pools/0/name",
    )

    assert expected == [f"{doubt.pointer} {doubt.problem}; {doubt.remedy}" for doubt in found]


def test_of_many_people_some_are_named() -> None:
    """A message is a line."""
    people = ", ".join(f"p{n}: {{channels: email, pools: [x]}}" for n in range(9))
    policy = parse_policy(f"{TARGETS}pools: [{{name: default}}]", version=1)

    *_, doubt = doubts(policy, working(parse_roster(f"people: {{{people}}}").people.values()))

    assert "`p0`, `p1`, `p2`, `p3`, `p4`, ... take tickets of `x`" in doubt.problem
