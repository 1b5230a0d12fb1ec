"""Files as plain values with their places."""

import json

import pytest

from shared.policy import located
from shared.policy.errors import PolicyErrors
from shared.policy.located import Mark


def faults(text: str) -> list[tuple[int, int, str]]:
    """Line, column and problem of everything wrong with a text."""
    with pytest.raises(PolicyErrors) as refused:
        located.read(text)
    return [(error.line, error.column, error.problem) for error in refused.value.errors]


def test_scalars_stay_as_they_were_written() -> None:
    """Neither Norway nor a time nor a version is guessed at."""
    document = located.read("a: [no, 09:00, 2.10, 0o7, 2026-12-24, true, ~, null, '', 'null']")

    assert document.value == {"a": ["no", "09:00", "2.10", "0o7", "2026-12-24", "true", None, None, "", "null"]}


def test_every_part_knows_its_place() -> None:
    """What a mapping holds stands where its key does."""
    document = located.read("a:\n  - x\n  - b/c: 1\n")

    assert {
        "": Mark(1, 1),
        "/a": Mark(1, 1),
        "/a/0": Mark(2, 5),
        "/a/1": Mark(3, 5),
        "/a/1/b~1c": Mark(3, 5),
    } == document.marks


def test_a_fault_where_nothing_stands_is_placed_at_what_would_hold_it() -> None:
    """The nearest part that is there."""
    error = located.read("a:\n  b: 1").error("/a/c/d", "missing", "add it")

    assert (1, 1, "/a/c/d") == (error.line, error.column, error.pointer)


def test_json_is_read_with_its_escapes() -> None:
    """Escaped slashes, surrogate pairs and tabs, which YAML alone would refuse."""
    value = {"a/b": "x/y \U0001f600 \U0001f3f4\U000e0067", "n": ["1", "true", None], "t": 'a\tb"c\\', "d": "\x85\u2028"}
    text = json.dumps(value, indent="\t").replace("/", "\\/")

    assert value == located.read(text).value


def test_anchors_and_merges_spare_repetition() -> None:
    """The line's own keys win."""
    value = located.read("x-d: &d {warn: 75%, escalate: lead}\nt:\n  - {<<: *d, warn: 50%}\n  - *d\n").value

    assert value["t"] == [{"warn": "50%", "escalate": "lead"}, {"warn": "75%", "escalate": "lead"}]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\nb: 2\na: 3", 3, "`a` is there twice, first in line 1"),
        ("a:\n\t- b", 2, "not YAML"),
        ("a: [1, 2\n", 2, "not YAML"),
        ("a: b: c", 1, "mapping values are not allowed"),
        ("a: *b", 1, "unknown alias"),
        ("a: &a [*a]", 1, "unknown alias"),
        ("a\n---\nb", 2, "second document"),
        ("? [a, b]\n: c", 1, "where a key should be"),
        ("a: 1\nb: \x07", 2, "control character (U+0007)"),
        ('{"a":\n "\\u0000"}', 2, "control character"),
        ('{"a":\n "\\ud800"}', 2, "not YAML"),
        ("a: \ud800", 1, "control character"),
        ("[" * 10_000, 1, "nested over 40 deep"),
        ("%YAML 9.9\n---\na: 1", 1, "not YAML"),
        ("a: " + "x" * located.SIZE_LIMIT, 1, "the limit is 1,048,576"),
    ],
)
def test_unreadable_files_are_refused_with_the_place(text: str, line: int, said: str) -> None:
    """One clear fault, never a crash."""
    [(found, _, problem)] = faults(text)

    assert line == found
    assert said in problem


def test_an_alias_bomb_is_refused() -> None:
    """A few lines that unfold to billions of values."""
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))

    [(line, _, problem)] = faults(bomb)

    assert 5 == line
    assert "once aliases are unfolded" in problem


def test_an_alias_chain_is_not_deeper_than_a_file_may_be() -> None:
    """Depth counts after unfolding too."""
    chain = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 100))

    assert "levels" in faults(chain)[0][2]


def test_several_keys_given_twice_are_all_named() -> None:
    """Not only the first."""
    assert [2, 4] == [line for line, _, _ in faults("a: 1\na: 2\nb: {c: 1,\n  c: 2}")]
