"""What an implementation is asked, and where its answer differs from what is right."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from tests.conformance.vectors import Clocks, ExpectedClock, Open, Vector

TOLERANCE = 0.001
"""Seconds: what a float may lose."""

_NOT_ASKED = ("expect", "local", "zone", "elsewhere", "title", "rule")


def question(vector: Vector) -> dict[str, Any]:
    """A vector without its answer, as JSON can say it."""
    written: dict[str, Any] = msgspec.to_builtins(vector)
    return {key: value for key, value in written.items() if key not in _NOT_ASKED}


def differences(vector: Vector, answer: Mapping[str, Any]) -> list[str]:
    """What is wrong with an answer, a sentence each; nothing where it is right.

    An `error` is right only where the end comes before the start (rule 20).
    """
    if "error" in answer:
        return [] if isinstance(vector, Open) and vector.end_at < vector.start_at else [f"an error: {answer['error']}"]
    if isinstance(vector, Clocks):
        return _of_clocks(vector.expect.clocks, answer)
    expected = {name: getattr(vector.expect, name) for name in vector.expect.__struct_fields__}
    return [*_of_fields("", expected, answer)]


def _of_clocks(expected: Iterable[ExpectedClock], answer: Mapping[str, Any]) -> list[str]:
    clocks = answer.get("clocks")
    if not isinstance(clocks, list):
        return [f"no list of `clocks` in {answer}"]
    given = {(clock.get("target"), clock.get("cycle")): clock for clock in clocks}
    wrong = []
    for clock in expected:
        name = f"{clock.target} {clock.cycle}"
        found = given.pop((clock.target, clock.cycle), None)
        wrong += [f"{name} is missing"] if found is None else _of_fields(name + ": ", clock.given(), found)
    return wrong + [f"{target} {cycle} is there and should not be" for target, cycle in given]


def _of_fields(name: str, expected: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}{key} should be {_said(value)} and is {_said(given.get(key, 'absent'))}"
        for key, value in expected.items()
        if key not in given or not _is_same(value, given[key])
    ]


def _is_same(expected: Any, given: Any) -> bool:
    if isinstance(expected, datetime):
        try:
            return expected == msgspec.convert(given, datetime)
        except (msgspec.ValidationError, TypeError):
            return False
    if isinstance(expected, float):
        return isinstance(given, int | float) and abs(given - expected) <= TOLERANCE
    return bool(expected == given)


def _said(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
