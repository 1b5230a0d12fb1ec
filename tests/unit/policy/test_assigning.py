"""The `pools`, `routing` and `model` of a policy file."""

from datetime import timedelta

import pytest

from shared.contract.tickets import Channel
from shared.policy.document import ModelTerms, Policy, PoolRule, Routing
from shared.policy.errors import PolicyErrors
from shared.policy.parse import parse_policy
from shared.sla.condition import Condition

TARGET = "targets: [{name: all, calendar: always, first_response: 1h}]\n"


def read(text: str) -> Policy:
    """A policy with one target and this."""
    return parse_policy(TARGET + text, version=1)


def fault(text: str) -> str:
    """The one thing that is wrong with it."""
    with pytest.raises(PolicyErrors) as raised:
        read(text)
    [error] = raised.value.errors
    return str(error)


def test_what_is_not_said_is_as_measured_best() -> None:
    """Nothing need be written."""
    policy = read("")

    assert ((), Routing(), ModelTerms()) == (policy.pools, policy.routing, policy.model)


def test_everything_that_can_be_said_of_routing() -> None:
    """Shares are fractions, lengths of time elapsed time."""
    routing = read(
        """
routing:
  strict_priority: true
  rescue_after: 5
  first_action: 25%
  relax: [10%, 90%]
  affinity: {wait: 0%, same_customer: 72h}
  fallback: ana
  parked_at_most: 2
  grace: 2m
  away_after: 3
"""
    ).routing

    assert (
        Routing(
            strict_priority=True,
            rescue_after=5.0,
            first_action=0.25,
            relax=(0.1, 0.9),
            affinity_wait=0.0,
            same_customer=timedelta(hours=72),
            fallback="ana",
            parked_at_most=2,
            grace=timedelta(minutes=2),
            away_after=3,
        )
        == routing
    )
    assert read("routing: {first_action: none}").routing.first_action is None


def test_pools_overflow_into_each_other_and_into_the_default() -> None:
    """The first that matches takes a ticket."""
    pools = read("pools: [{name: claims, when: {theme: claims}, overflow: {to: default}}, {name: rest}]").pools

    assert (
        PoolRule(
            name="claims", when=Condition({"theme": frozenset({"claims"})}), overflow_to="default", overflow_after=0.5
        ),
        PoolRule(name="rest", when=Condition({})),
    ) == pools


def test_channels_have_ceilings_and_park() -> None:
    """A chat is parked after ten silent minutes unless something else is said."""
    channels = read("channels: {live_chat: {at_most: 3}, messaging: {park: 1h}, phone: {park: none}}").channels

    assert (3, timedelta(minutes=10)) == (channels[Channel.LIVE_CHAT].at_most, channels[Channel.LIVE_CHAT].park)
    assert (None, timedelta(hours=1)) == (channels[Channel.MESSAGING].at_most, channels[Channel.MESSAGING].park)
    assert channels[Channel.PHONE].park is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pools: [{name: a, overflow: {to: a}}]", "a pool can't overflow into itself; name another pool"),
        ("pools: [{name: a, overflow: {to: b}}]", "there is no pool `b`"),
        ("pools: [{name: ' a'}]", "` a` can't be a name; use a short name without spaces around it"),
        ("pools: [{name: a}, {name: a}]", "the name `a` is used already"),
        ("pools: [{name: a, overflow: {to: default, after: 3}}]", "`3` is no share; write one between 0% and 100%"),
        ("routing: {relax: [50%, 25%]}", "the shares don't rise; write them in order"),
        ("routing: {first_action: 200%}", "`200%` is no share"),
        (
            "routing: {affinity: {same_customer: 7d}}",
            "`7d`: days and weeks are not counted here; write hours or minutes, as in `48h`",
        ),
        ("routing: {affinity: {same_customer: 7bd}}", "`7bd`: days and weeks are not counted here"),
        ("routing: {grace: soon}", "`soon` is not a duration"),
        ("model: {confidence: '0.6'}", "`0.6` is no share"),
        ("skills: [{need: [a], insist: true}]", "nothing is preferred here to insist upon"),
        ("channels: {live_chat: {park: 0m}}", "parked as soon as it begins"),
    ],
)
def test_what_is_wrong_is_said_with_the_way_out(text: str, said: str) -> None:
    """In its place."""
    assert said in fault(text)


def test_a_model_may_be_believed_less_and_ask_for_no_triage() -> None:
    """Skills have no case."""
    assert ModelTerms(confidence=0.8, triage=None) == read("model: {confidence: 80%, triage: none}").model
    assert "front desk" == read("model: {triage: Front desk}").model.triage
