"""What a `when` compares and what it finds in a text."""

from typing import Any

import pytest

from shared.contract.tickets import Channel, Urgency
from shared.sla import condition
from shared.sla.condition import BadPattern, Condition, TextSearch
from shared.sla.fields import Fields


def fields(text: str = "", **given: Any) -> Fields:
    """A ticket by email, unless said otherwise."""
    return Fields(**{"channel": Channel.EMAIL, "text": text, **given})


def asks(**values: list[object]) -> Condition:
    """A condition on fields; `__` stands for a dot."""
    return Condition(
        {name.replace("__", "."): frozenset(map(condition.canonical, given)) for name, given in values.items()}
    )


def found(entry: str, text: str) -> bool:
    """Whether one entry of `text` is found."""
    return Condition({}, (condition.pattern(entry).expression,)).holds_for(fields(text))


def test_an_empty_condition_holds_for_every_ticket() -> None:
    """Nothing asked, nothing refused."""
    assert Condition({}).holds_for(fields())


@pytest.mark.parametrize(
    ("when", "given", "expected"),
    [
        (asks(channel=["email", "phone"]), {}, True),
        (asks(channel=["live_chat"]), {}, False),
        (asks(urgency=["urgent"]), {"urgency": Urgency.URGENT}, True),
        (asks(theme=["Billing"]), {"theme": "billing"}, True),
        (asks(source=["zendesk"]), {"source": "Zendesk"}, True),
        (asks(requester__tier=["gold", "platinum"]), {"requester_tier": " Gold "}, True),
        (asks(requester__tier=["gold"]), {}, False),
        (asks(requester__key=["c-17"]), {"requester_key": "C-17"}, True),
        (asks(language=["en"]), {"language": "en-US"}, True),
        (asks(language=["en-us"]), {"language": "en_US"}, True),
        (asks(language=["en-gb"]), {"language": "en-US"}, False),
        (asks(language=["no"]), {"language": "no"}, True),
    ],
)
def test_fields_are_compared_with_a_list_of_values_whatever_their_case(
    when: Condition, given: dict[str, Any], expected: bool
) -> None:
    """One of the values has to be there."""
    assert expected == when.holds_for(fields(**given))


@pytest.mark.parametrize(
    ("wanted", "attribute", "expected"),
    [
        ("Missing box", "missing box", True),
        ("5", 5, True),
        ("5", 5.0, True),
        ("1.5", 1.5, True),
        ("true", True, True),
        ("false", True, False),
        ("vip", ["new", "VIP"], True),
        ("vip", [], False),
        ("vip", {"vip": 1}, False),
        (None, None, True),
        (None, [], True),
        (None, "x", False),
    ],
)
def test_attributes_are_compared_as_text_whatever_their_type(wanted: object, attribute: object, expected: bool) -> None:
    """Numbers, flags and lists of helpdesks match what a policy's author writes."""
    assert expected == asks(attributes__kind=[wanted]).holds_for(fields(attributes={"kind": attribute}))


def test_an_attribute_is_found_by_its_own_name_first_and_then_by_its_path() -> None:
    """`attributes.a.b` is the attribute `a.b`, or `b` inside `a`."""
    when = asks(attributes__a__b=["x"])

    assert when.holds_for(fields(attributes={"a.b": "x"}))
    assert when.holds_for(fields(attributes={"a": {"b": "x"}}))
    assert not when.holds_for(fields(attributes={"a": "b"}))


@pytest.mark.parametrize(
    ("entry", "text", "expected"),
    [
        ("refund", "I want a REFUND!", True),
        ("refund", "refunds are late", False),
        ("is down", "your site is\n  down again", True),
        ("is down", "this download", False),
        ("störung", "STÖRUNG im Netz", True),
        ("c++", "I use C++ here", True),
        ("退款", "我要退款谢谢", True),
        ("#7", "order #7", True),
        ("/can(no|')t log ?in/", "I CAN'T login", True),
        ("/^urgent/", "URGENT: help", True),
        ("/^urgent/", "not urgent", False),
        ("/", "a/b and / alone", True),
    ],
)
def test_words_are_whole_and_expressions_are_what_they_say(entry: str, text: str, expected: bool) -> None:
    """Words match as words in scripts that have them; case never matters."""
    assert expected == found(entry, text)


def test_fields_and_text_have_to_hold_together() -> None:
    """Of several patterns one is enough, of several comparisons all are needed."""
    when = Condition(
        {"channel": frozenset({"phone"})}, (condition.pattern("a").expression, condition.pattern("b").expression)
    )

    assert when.holds_for(fields("only b", channel=Channel.PHONE))
    assert not when.holds_for(fields("only b"))
    assert not when.holds_for(fields("neither", channel=Channel.PHONE))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("/(/", "missing )"),
        ("/(?=a)b/", "(?="),
        (r"/(a)\1/", r"\1"),
        ("/.*/", "found in an empty text too"),
        ("//", "found in an empty text too"),
        ("/(a{500}){500}/", "repetition"),
        (r"/\pL{1,1000}/", "too large"),
        ("x" * 501, "limit is 500"),
        ("  ", "empty"),
    ],
)
def test_bad_patterns_are_refused_with_the_reason(entry: str, said: str) -> None:
    """What RE2 can't do, what is too large and what would match everything."""
    with pytest.raises(BadPattern) as refused:
        condition.pattern(entry)

    assert said in str(refused.value)


def test_one_pass_finds_what_each_condition_finds_alone() -> None:
    """The places of those whose text is there."""
    entries = ["refund", "is down", "/log ?in/"]
    conditions = [Condition({}, (condition.pattern(entry).expression,)) for entry in entries]
    search = TextSearch(conditions)

    for text in ("", "refund", "login is down", "nothing"):
        expected = {index for index, when in enumerate(conditions) if text and when.holds_for(fields(text))}
        assert expected == search.found_in(text)
    assert frozenset() == TextSearch([]).found_in("refund")


def test_only_the_first_part_of_a_long_text_is_searched() -> None:
    """Quoted mail far below says nothing of the ticket."""
    assert not found("refund", "x " * condition.TEXT_LIMIT + "refund")


def test_conditions_that_ask_the_same_are_equal() -> None:
    """So that policies can be compared."""
    assert asks(channel=["email"]) == asks(channel=["email"])
    assert hash(asks(channel=["email"])) == hash(asks(channel=["email"]))
    assert asks(channel=["email"]) != asks(channel=["phone"])
    assert asks(channel=["email"]) != "email"
    assert "email" in repr(asks(channel=["email"]))
