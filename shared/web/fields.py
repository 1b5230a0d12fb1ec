"""Every wrong field of a value, not only the first: msgspec stops at one, a person wants them all.

Only called once decoding has failed, so it may be slow; it walks the value beside its type and converts the leaves.
"""

import re
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import Struct

from shared.contract.problems import FieldError

_WHERE = re.compile(r" - at `(?:key in )?\$[^`]*`$")
_MOST = 100
"""More errors than this help nobody and would make the answer larger than the question."""
_SHOWN = 40
_JSON_NAMES: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    NoneType: "null",
}


def wrong_fields(value: object, expected: Any, at: str = "#") -> tuple[FieldError, ...]:
    """Where `value`, as read from JSON, is not what the type `expected` says; empty if it is.

    `at` is the pointer of `value` itself.
    """
    found: list[FieldError] = []
    _walk(value, expected, at, found)
    return tuple(found[:_MOST])


def nul_characters(value: object, at: str = "#") -> tuple[FieldError, ...]:
    """Where a text (or a name) holds U+0000, which PostgreSQL can't keep."""
    found: list[FieldError] = []
    _walk_nul(value, at, found)
    return tuple(found[:_MOST])


def depth(value: object, at_most: int) -> int:
    """How deep objects and arrays are nested, counted up to `at_most` + 1."""
    level, layer = 0, [value]
    while layer and level <= at_most:
        containers = [item for item in layer if isinstance(item, dict | list)]
        if not containers:
            break
        level += 1
        layer = [inner for item in containers for inner in (item.values() if isinstance(item, dict) else item)]
    return level


def _walk(value: object, expected: Any, pointer: str, found: list[FieldError]) -> None:
    if len(found) >= _MOST:
        return
    bare = get_args(expected)[0] if get_origin(expected) is Annotated else expected
    origin, arguments = get_origin(bare), get_args(bare)
    before = len(found)
    if bare is msgspec.Raw:
        return
    if origin is Union or origin is UnionType:
        _walk_union(value, expected, arguments, pointer, found)
        return
    if isinstance(bare, type) and issubclass(bare, Struct):
        _walk_struct(value, bare, pointer, found)
    elif (
        origin in {list, tuple, frozenset, set}
        and isinstance(value, list)
        and (origin is not tuple or Ellipsis in arguments)
    ):
        for index, item in enumerate(value):
            _walk(item, arguments[0], f"{pointer}/{index}", found)
    elif origin is dict and isinstance(value, dict):
        for name, item in value.items():
            _walk(item, arguments[1], _child(pointer, name), found)
    if len(found) == before:
        _convert(value, expected, pointer, found)


def _walk_union(value: object, expected: Any, members: tuple[Any, ...], pointer: str, found: list[FieldError]) -> None:
    if value is None and NoneType in members:
        return
    others = [member for member in members if member is not NoneType]
    if len(others) == 1:
        _walk(value, others[0], pointer, found)
    else:
        _convert(value, expected, pointer, found)


def _walk_struct(value: object, struct: type[Struct], pointer: str, found: list[FieldError]) -> None:
    if not isinstance(value, dict):
        found.append(FieldError(pointer=pointer, detail=f"must be an object, not {_name(value)}"))
        return
    fields = msgspec.structs.fields(struct)
    for field in fields:
        if field.encode_name in value:
            _walk(value[field.encode_name], field.type, _child(pointer, field.encode_name), found)
        elif field.required:
            found.append(FieldError(pointer=_child(pointer, field.encode_name), detail="is missing"))
    if struct.__struct_config__.forbid_unknown_fields:
        known = {field.encode_name for field in fields}
        names = ", ".join(sorted(known))
        found.extend(
            FieldError(pointer=_child(pointer, name), detail=f"is not known here; known are {names}")
            for name in value
            if name not in known
        )


def _convert(value: object, expected: Any, pointer: str, found: list[FieldError]) -> None:
    try:
        msgspec.convert(value, expected)
    except msgspec.ValidationError as error:
        found.append(FieldError(pointer=pointer, detail=_sentence(str(error), value, expected)))
    except (RecursionError, OverflowError, ValueError) as error:
        found.append(FieldError(pointer=pointer, detail=str(error)))


def _sentence(message: str, value: object, expected: Any) -> str:
    bare = get_args(expected)[0] if get_origin(expected) is Annotated else expected
    if (
        isinstance(bare, type)
        and issubclass(bare, Enum)
        and (isinstance(value, str) or not isinstance(value, dict | list))
    ):
        shown = repr(value)[:_SHOWN]
        return f"is {shown}, which is none of {', '.join(str(member.value) for member in bare)}"
    message = _WHERE.sub("", message).replace("`", "")
    if "timezone" in message:
        return "must have an offset, as in 2026-06-05T10:00:00+02:00"
    if "RFC3339" in message:
        return "must be a time as in 2026-06-05T10:00:00+02:00"
    return message[:1].lower() + message[1:]


def _walk_nul(value: object, pointer: str, found: list[FieldError]) -> None:
    if len(found) >= _MOST:
        return
    if isinstance(value, str):
        if "\x00" in value:
            found.append(FieldError(pointer=pointer, detail="holds a NUL character (\\u0000), which no text may hold"))
    elif isinstance(value, dict):
        for name, item in value.items():
            if "\x00" in name:
                found.append(FieldError(pointer=pointer, detail="has a name with a NUL character (\\u0000) in it"))
            else:
                _walk_nul(item, _child(pointer, name), found)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _walk_nul(item, f"{pointer}/{index}", found)


def _child(pointer: str, name: object) -> str:
    return f"{pointer}/{str(name)[:200].replace('~', '~0').replace('/', '~1')}"


def _name(value: object) -> str:
    return _JSON_NAMES.get(type(value), type(value).__name__)
