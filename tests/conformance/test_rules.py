"""Every rule of the design has a test that names its number, or a vector; what the README names is there."""

import re
from pathlib import Path

from tests.conformance import vectors

TESTS = Path(__file__).parents[1]
RULES = range(1, 65)
README = Path(__file__).with_name("README.md")
NAMED = re.compile(r"^\s*(?:async )?def test_rule_([0-9]+)_[a-z0-9_]+\(", re.MULTILINE)


def test_every_rule_is_tested_by_its_number() -> None:
    """`test_rule_33_pause_over_a_weekend`, or a vector of rule 33; what is missing is named."""
    named = {int(number) for path in TESTS.rglob("test_*.py") for number in NAMED.findall(path.read_text())}
    of_vectors = {vector.rule for vector in vectors.every()}

    assert [] == [rule for rule in RULES if rule not in named | of_vectors]


def test_no_test_names_a_rule_that_is_not_there() -> None:
    """A number that was mistyped would hide a rule without a test."""
    numbers = {int(number) for path in TESTS.rglob("test_*.py") for number in NAMED.findall(path.read_text())}

    assert set() == numbers - set(RULES)


def test_rules_that_no_vector_can_express_have_the_tests_that_the_readme_names() -> None:
    """By their number."""
    numbers = {int(number) for path in TESTS.rglob("test_*.py") for number in NAMED.findall(path.read_text())}
    said = {int(number) for number in re.findall(r"`test_rule_([0-9]+)_\*`", README.read_text())}

    assert said
    assert set() == said - numbers


def test_the_readme_names_every_file() -> None:
    """And every field of the answers."""
    text = README.read_text()
    fields = {name for name in vectors.ExpectedClock.__struct_fields__ if name != "local"}

    assert [] == [name for name in {*vectors.load(), *fields} if f"`{name}`" not in text]
