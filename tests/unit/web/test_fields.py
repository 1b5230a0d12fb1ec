"""Every wrong field is named, each with its place."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta, Struct

from shared.contract.problems import FieldError, Refused
from shared.contract.tickets import Urgency
from shared.web import bodies, fields


class Person(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A struct inside another."""

    name: Annotated[str, Meta(min_length=1)]
    age: int = 0


class Letter(Struct, frozen=True, kw_only=True):
    """A struct with a field of every sort."""

    sender: Person
    to: list[Person] = []
    sent_at: Annotated[datetime, Meta(tz=True)] | None = None
    urgency: Urgency = Urgency.NORMAL
    notes: dict[str, int] = {}
    anything: dict[str, Any] = {}


def wrong(value: object) -> dict[str | None, str]:
    """Pointer -> what is said of it."""
    return {error.pointer: error.detail for error in fields.wrong_fields(value, Letter)}


def test_what_is_right_has_no_errors() -> None:
    """A value of the type gives nothing."""
    assert (
        wrong({"sender": {"name": "a"}, "to": [{"name": "b", "age": 2}], "notes": {"x": 1}, "anything": {"y": [1]}})
        == {}
    )


def test_every_wrong_field_is_named() -> None:
    """Errors in nested objects, lists and maps are all found, not only the first."""
    found = wrong(
        {
            "sender": {"age": "old", "shoe": 3},
            "to": [{"name": "b"}, {"name": ""}, 7],
            "sent_at": "2026-06-05T10:00:00",
            "urgency": "soon",
            "notes": {"a/b": "x"},
        }
    )
    assert found == {
        "#/sender/name": "is missing",
        "#/sender/age": "expected int, got str",
        "#/sender/shoe": "is not known here; known are age, name",
        "#/to/1/name": "expected str of length >= 1",
        "#/to/2": "must be an object, not a whole number",
        "#/sent_at": "must have an offset, as in 2026-06-05T10:00:00+02:00",
        "#/urgency": "is 'soon', which is none of urgent, high, normal, low",
        "#/notes/a~1b": "expected int, got str",
    }


def test_a_body_of_the_wrong_sort_is_one_error() -> None:
    """An array where an object should be is said of the whole."""
    assert wrong([1]) == {"#": "must be an object, not an array"}


def test_errors_are_bounded() -> None:
    """A thousand wrong items don't make an answer of a thousand errors."""
    assert len(fields.wrong_fields({"sender": {"name": "a"}, "to": [1] * 1000}, Letter)) == 100


def test_nul_characters_are_found_in_values_and_names() -> None:
    """U+0000 can't be stored, wherever it stands."""
    found = fields.nul_characters({"a": ["x", "y\x00"], "b\x00": 1})
    assert [error.pointer for error in found] == ["#/a/1", "#"]


@pytest.mark.parametrize(("value", "expected"), [(1, 0), ([], 1), ({"a": [{}]}, 3), ([[[[]]]], 3), ([[], []], 2)])
def test_depth_counts_levels_up_to_a_bound(value: object, expected: int) -> None:
    """Depth is counted breadth first, and no further than asked."""
    assert fields.depth(value, 2) == expected


@pytest.mark.parametrize(
    ("raw", "slug", "status"),
    [
        (b"", "malformed-body", 400),
        (b"{", "malformed-body", 400),
        (b'{"sender": "\xff"}', "malformed-body", 400),
        (b'{"sender": NaN}', "malformed-body", 400),
        (b'{"sender": {"name": "a"}} x', "malformed-body", 400),
        (b'{"sender": {"name": "\\ud800"}}', "malformed-body", 400),
        (b'{"sender": {"name": "a\\u0000"}}', "invalid", 422),
        (b'{"sender": {"name": "a"}, "anything": {"x": 1e999}}', "invalid", 422),
        (b'{"sender": {"name": "a"}, "anything": {"x": ' + b"9" * 5000 + b"}}", "invalid", 422),
        (b'{"sender": {"name": "a"}, "anything": {"x": ' + b"[" * 100 + b"]" * 100 + b"}}", "invalid", 422),
        (b"[" * 100_000, "invalid", 422),
        (b'{"sender": {"name": "a"}, "ignored": "\\u0000\xed\xa0\x80"}', "malformed-body", 400),
        (b'{"sender": {"name": "a"}, "notes": {"x": 123456789012345678901234567890.5}}', "invalid", 422),
    ],
)
def test_what_cannot_be_read_is_refused(raw: bytes, slug: str, status: int) -> None:
    """No body raises anything but a refusal."""
    with pytest.raises(Refused) as caught:
        bodies.decode(raw, Letter)
    assert (caught.value.kind.slug, caught.value.problem.status) == (slug, status)


def test_a_backslash_that_only_looks_like_a_nul_is_taken() -> None:
    r"""The text `\u0000`, written with an escaped backslash, holds no NUL."""
    assert bodies.decode(rb'{"sender": {"name": "\\u0000"}}', Letter).sender.name == "\\u0000"


def test_errors_can_be_told_from_a_place_inside_the_body() -> None:
    """`data` of an event is decoded apart, but its errors point into the whole."""
    with pytest.raises(Refused) as caught:
        bodies.decode(b"{}", Letter, "#/data")
    assert caught.value.problem.errors == (FieldError(pointer="#/data/sender", detail="is missing"),)


def test_problems_leave_out_what_is_empty() -> None:
    """`errors` stands in the answer only where there are some."""
    assert msgspec.to_builtins(FieldError(detail="x", pointer="#/a")) == {"detail": "x", "pointer": "#/a"}
