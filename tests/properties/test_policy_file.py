"""Whatever stands in a file: it is a policy, or it is refused with faults that have a place and a remedy."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.policy import located, parse
from shared.policy.errors import LocatedError, PolicyErrors
from shared.policy.layout import PolicyFile, policy_schema
from shared.policy.roster_layout import RosterFile
from tests.effort import examples

EXAMPLE = (Path(__file__).parents[1] / "unit" / "policy" / "example.yaml").read_text(encoding="utf-8")
SOUND = located.read(EXAMPLE).value
PIECES = [
    "{", "}", "[", "]", ":", ": ", ",", "- ", "\n", "\n  ", "&a ", "*a", "<<", "!!str ", "? ", "|\n", ">", "'", '"', "#", "%", "---", "\t", "~",
    "/x/", "/(/", "1d", "2bd", "-5m", "75%", "09:00-17:00", "2026-02-30", "12-24..01-02", "mon-fri", "owner", "on-call/x", "null", "\ufeff", "\x85", "\ud800",
]  # fmt: skip
KEYS = sorted({key for definition in policy_schema()["$defs"].values() for key in definition.get("properties", {})})

scalars = (
    st.sampled_from([*PIECES, *KEYS]) | st.text(max_size=8) | st.integers() | st.floats() | st.booleans() | st.none()
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=25,
)


def read(text: str) -> None:
    """Read as policy and as roster; anything but a result or located faults fails the test."""
    for parser in (lambda: parse.read_policy(text, version=1), lambda: parse.parse_roster(text)):
        for fault in faults_of(parser):
            assert fault.problem
            assert fault.remedy
            assert fault.line >= 1
            assert fault.column >= 1


def faults_of(parser: Callable[[], object]) -> tuple[LocatedError, ...]:
    """What a file is refused for, at least one thing; empty where it is read."""
    try:
        parser()
    except PolicyErrors as refused:
        return refused.errors or (LocatedError(line=0, column=0, pointer="", problem="no fault named", remedy=""),)
    return ()


@given(st.text())
@settings(max_examples=examples(75))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing crashes the reader."""
    read(text)


@given(st.lists(st.sampled_from([*PIECES, *KEYS]), max_size=40).map("".join))
@settings(max_examples=examples(75))
def test_any_heap_of_yaml_is_read_or_refused(text: str) -> None:
    """Made of what the grammar is made of."""
    read(text)


@given(values)
@settings(max_examples=examples(75))
def test_any_json_is_read_or_refused(value: Any) -> None:
    """With the right keys in the wrong places."""
    read(json.dumps(value))


@given(st.data())
@settings(max_examples=examples(75))
def test_a_sound_file_with_anything_in_one_place_is_read_or_refused(data: st.DataObject) -> None:
    """One value of the example replaced."""
    document = copy.deepcopy(SOUND)
    place: Any = document
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(list(keys)))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            place[key] = data.draw(values)
            break
        place = place[key]

    read(json.dumps(document))


@given(st.integers(0, len(EXAMPLE)), st.integers(0, 60), st.lists(st.sampled_from(PIECES), max_size=3).map("".join))
@settings(max_examples=examples(75))
def test_a_file_with_a_slip_of_the_hand_is_read_or_refused(at: int, dropped: int, inserted: str) -> None:
    """Something cut out, something typed in."""
    read(EXAMPLE[:at] + inserted + EXAMPLE[at + dropped :])


def test_the_structs_of_both_files_have_defaults_where_the_example_leaves_keys_out() -> None:
    """The smallest files there are."""
    assert PolicyFile() == PolicyFile(calendars={})
    assert {} == RosterFile(people={}).people
