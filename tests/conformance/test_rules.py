"""Every rule of the design has a test that names its number, or a vector."""

import re
from pathlib import Path

from tests.conformance import vectors

TESTS = Path(__file__).parents[1]
RULES = range(1, 65)
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
