"""What the rules of a policy make of a ticket (routing-rules 2)."""

from typing import Any

import msgspec
import pytest

from services.router.domain.classify import classify
from shared.contract.events import Scored
from shared.contract.tickets import Channel, Urgency
from shared.policy.parse import parse_policy
from shared.sla.fields import Classification
from shared.sla.timeline import Facts

POLICY = parse_policy(
    """
    channels: {phone: {aliases: [Constituent Call]}, live_chat: {aliases: "Channel::WebWidget"}}
    urgency:
      - {name: key accounts, urgency: high, when: {requester.tier: gold}}
      - {name: outage, urgency: urgent, when: {text: "is down"}}
      - {name: newsletter, urgency: low, when: {text: unsubscribe}}
      - {name: money, urgency: high, when: {theme: billing, text: ["/[0-9]{3,} ?(eur|usd)/"]}}
    themes:
      - {name: billing, when: {text: [invoice, refund]}}
      - {name: mail, when: {channel: email, text: newsletter}}
      - {name: calls, when: {channel: phone}}
    skills:
      - {need: [billing], when: {theme: billing}}
      - {need: [{billing: 3}], when: {theme: billing, urgency: urgent}}
      - {need: ["lang:{language}"], prefer: ["product:{attributes.product}", "Tier {requester.tier} on {channel}"]}
      - {need: [fax machines], when: {text: fax}}
    """,
    version=1,
)


def judged(**facts: Any) -> Classification:
    """A ticket by email that says nothing, but for what is given."""
    return classify(POLICY, Facts(**{"source": "zendesk", "channel": "email", **facts}))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("phone", Channel.PHONE),
        ("CONSTITUENT CALL ", Channel.PHONE),
        ("channel::webwidget", Channel.LIVE_CHAT),
        ("Live Chat", Channel.LIVE_CHAT),
        ("self-service", Channel.SELF_SERVICE),
        ("fax", Channel.OTHER),
        ("", Channel.OTHER),
    ],
)
def test_the_channel_comes_through_aliases_whatever_their_case(written: str, expected: Channel) -> None:
    """What no alias knows is `other`, never lost."""
    assert expected == judged(channel=written).channel


@pytest.mark.parametrize(
    ("facts", "expected", "rules"),
    [
        ({}, Urgency.NORMAL, ()),
        ({"urgency": Urgency.LOW}, Urgency.LOW, ()),
        ({"urgency": Urgency.URGENT, "requester_tier": "gold"}, Urgency.URGENT, ("key accounts",)),
        ({"urgency": Urgency.LOW, "requester_tier": "gold"}, Urgency.HIGH, ("key accounts",)),
        ({"text": "unsubscribe"}, Urgency.LOW, ("newsletter",)),
        ({"text": "unsubscribe", "urgency": Urgency.NORMAL}, Urgency.NORMAL, ("newsletter",)),
        ({"subject": "Site IS DOWN", "requester_tier": "gold"}, Urgency.URGENT, ("key accounts", "outage")),
        ({"text": "refund 500 EUR"}, Urgency.HIGH, ("billing", "money")),
        ({"text": "send 500 EUR"}, Urgency.NORMAL, ()),
    ],
)
def test_the_urgency_is_the_highest_of_the_field_and_the_rules_that_match(
    facts: dict[str, Any], expected: Urgency, rules: tuple[str, ...]
) -> None:
    """`normal` where neither says anything; the names of all rules that hit are kept."""
    found = judged(**facts)

    assert (expected, rules) == (found.urgency, found.rules)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"text": "a refund, please"}, "billing"),
        ({"text": "newsletter invoice"}, "billing"),
        ({"text": "newsletter"}, "mail"),
        ({"text": "newsletter", "channel": "phone"}, "calls"),
        ({}, "unknown"),
    ],
)
def test_the_theme_is_the_first_that_matches(facts: dict[str, Any], expected: str) -> None:
    """`unknown` where none does."""
    assert expected == judged(**facts).theme


def test_skills_are_joined_at_their_highest_level() -> None:
    """Every rule that matches adds what it needs."""
    assert (("billing", 1),) == judged(text="refund").needs
    assert (("billing", 3),) == judged(text="refund, all is down").needs
    assert (("billing", 1), ("fax machines", 1)) == judged(text="refund by fax").needs


def test_templates_are_filled_in_from_the_ticket() -> None:
    """Without case; a language in its general form; what the ticket lacks asks for nothing."""
    found = judged(language="de-AT", attributes={"product": "Pay"}, requester_tier="Gold", channel="phone")

    assert (("lang:de", 1),) == found.needs
    assert ("product:pay", "tier gold on phone") == found.prefers
    assert "de-AT" == found.language
    assert ((), ()) == (judged(requester_tier="").needs, judged().prefers)


def test_a_preferred_skill_that_is_needed_is_not_preferred_too() -> None:
    """The stronger wish wins."""
    policy = parse_policy("skills: [{need: [a], prefer: [A, b]}]", version=1)

    found = classify(policy, Facts(source="s", channel="email"))

    assert ((("a", 1),), ("b",)) == (found.needs, found.prefers)


def test_a_policy_without_rules_knows_the_channel_and_nothing_else() -> None:
    """The least there is."""
    expected = Classification(channel=Channel.SOCIAL, urgency=Urgency.NORMAL, theme="unknown", language="")

    assert expected == classify(parse_policy("{}", version=1), Facts(source="s", channel="social", text="is down"))


def test_any_text_can_be_judged() -> None:
    """Signs, lone surrogates and very long texts too."""
    assert Urgency.URGENT == judged(text="\ud800 \U0001f600 is down").urgency
    assert Urgency.NORMAL == judged(text="x" * 200_000).urgency


def test_preferred_skills_that_are_insisted_upon_come_in_groups_in_the_order_of_the_rules() -> None:
    """Only what a ticket can fill in; a group of which nothing is left is none."""
    policy = parse_policy(
        """
        targets: [{name: all, calendar: always, first_response: 1h}]
        skills:
          - {need: [a], prefer: ["tier {requester.tier}"], insist: true}
          - {prefer: [soft]}
          - {prefer: [vip, "on {attributes.product}"], insist: true}
          - {prefer: ["in {attributes.town}"], insist: true}
        """,
        version=1,
    )

    found = classify(policy, Facts(source="shop", channel="email", requester_tier="gold"))

    assert (("tier gold",), ("vip",)) == found.insists
    assert ("tier gold", "soft", "vip") == found.prefers
    assert (("a", 1),) == found.needs


def test_a_theme_of_a_model_brings_no_rule_to_bear_that_lowers_the_urgency() -> None:
    """Nobody said how urgent it is, so it is normal; that billing can wait is for those who know that it is billing."""
    policy = parse_policy(
        "urgency: [{name: can wait, urgency: low, when: {theme: billing}}]\n"
        "targets: [{name: all, calendar: always, first_response: 1h}]",
        version=1,
    )
    said = Scored(model=1, theme="billing", theme_confidence=0.9)
    known = Facts(source="shop", channel="email", text="words")

    assert Urgency.NORMAL is classify(policy, msgspec.structs.replace(known, scored=said)).urgency
    assert Urgency.LOW is classify(policy, msgspec.structs.replace(known, theme="billing")).urgency
