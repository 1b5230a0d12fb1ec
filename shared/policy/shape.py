"""Whether a file has the shape of its structs: every fault found, and what is sound made into structs all the same.

A faulty value that may be left out is left out, a faulty entry of a list becomes None in its place, so that the reading
of meaning can go on and name its own faults in the same go.
"""

from collections.abc import Iterator, Sequence
from enum import Enum
from functools import cache
from typing import Any, Final, TypeVar, overload

from msgspec import inspect

from shared.policy.errors import did_you_mean, short
from shared.policy.layout import OWN_KEY, Line
from shared.policy.located import escape
from shared.policy.reading import Reading

File = TypeVar("File", bound=Line)
Entry = TypeVar("Entry")

_TRUE = frozenset({"true", "yes", "on"})
_FALSE = frozenset({"false", "no", "off"})
_TEXT_LIMIT = 2_000
_DIGITS_LIMIT = 15


class _Faulty(Enum):
    FAULTY = 0


_FAULTY: Final = _Faulty.FAULTY


def build(reading: Reading, file: type[File]) -> File | None:
    """The file as its struct, less what is faulty; None where nothing of it can be used."""
    built = _Builder(reading).value(reading.document.value, _type_info(file), "")
    return built if isinstance(built, file) else None


@overload
def entries(value: list[Entry], pointer: str) -> Iterator[tuple[str, Entry]]: ...
@overload
def entries(value: Entry | list[Entry], pointer: str) -> Iterator[tuple[str, Entry]]: ...
def entries(value: Entry | list[Entry], pointer: str) -> Iterator[tuple[str, Entry]]:
    """The sound entries of a list (or the one that stands for a list of one), each with its pointer."""
    if isinstance(value, list):
        yield from ((f"{pointer}/{index}", entry) for index, entry in enumerate(value) if entry is not None)
    elif value is not None:
        yield pointer, value


class _Builder:
    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def value(self, value: Any, kind: inspect.Type, pointer: str) -> Any:
        options = _options(kind)
        match value:
            case str():
                return self._scalar(value, options, pointer)
            case list():
                return self._list(value, options, pointer)
            case dict():
                return self._mapping(value, options, pointer)
            case _:
                if any(isinstance(option, inspect.NoneType) for option in options):
                    return None
                return self._fault(pointer, "nothing stands here", f"write {_expected(options)}")

    def _scalar(self, text: str, options: Sequence[inspect.Type], pointer: str) -> Any:
        if len(text) > _TEXT_LIMIT:
            return self._fault(pointer, f"a text of {len(text)} characters", f"the limit is {_TEXT_LIMIT}")
        takes_text = any(isinstance(option, inspect.StrType) for option in options)
        for option in options:
            read = _read(text, option, takes_text=takes_text)
            if read is not _FAULTY:
                return self._integer(read, option, pointer) if isinstance(option, inspect.IntType) else read
        words = [] if takes_text else list(_words(options))
        if words:
            return self._fault(pointer, f"`{short(text)}` is none of its words", did_you_mean(text, words, what="they"))
        said = f"`{short(text)}`" if text.strip() else "an empty text"
        return self._fault(pointer, f"{said} stands here", f"write {_expected(options)}")

    def _integer(self, number: int, kind: inspect.IntType, pointer: str) -> Any:
        least, most = kind.ge, kind.le
        if (least is not None and number < least) or (most is not None and number > most):
            return self._fault(pointer, f"{number} is out of range", f"write a whole number from {least} to {most}")
        return number

    def _list(self, items: list[Any], options: Sequence[inspect.Type], pointer: str) -> Any:
        for option in options:
            if isinstance(option, inspect.ListType):
                if option.min_length and len(items) < option.min_length:
                    return self._fault(pointer, "an empty list", "it needs at least one entry")
                if option.max_length is not None and len(items) > option.max_length:
                    return self._fault(pointer, f"{len(items)} entries", f"the limit is {option.max_length}")
                built = (self.value(item, option.item_type, f"{pointer}/{index}") for index, item in enumerate(items))
                return [None if item is _FAULTY else item for item in built]
        return self._fault(pointer, "a list stands here", f"write {_expected(options)}")

    def _mapping(self, values: dict[str, Any], options: Sequence[inspect.Type], pointer: str) -> Any:
        for option in options:
            if isinstance(option, inspect.StructType):
                return self._struct(values, option, pointer)
            if isinstance(option, inspect.DictType):
                if option.max_length is not None and len(values) > option.max_length:
                    return self._fault(pointer, f"{len(values)} entries", f"the limit is {option.max_length}")
                return self._dict(values, option, pointer)
        return self._fault(pointer, "a mapping stands here", f"write {_expected(options)}")

    def _dict(self, values: dict[str, Any], kind: inspect.DictType, pointer: str) -> dict[Any, Any]:
        built = {}
        for key, value in values.items():
            place = f"{pointer}/{escape(key)}"
            name = self._scalar(key, _options(kind.key_type), place)
            if name is not _FAULTY:
                result = self.value(value, kind.value_type, place)
                if result is not _FAULTY:
                    built[name] = result
        return built

    def _struct(self, values: dict[str, Any], kind: inspect.StructType, pointer: str) -> Any:
        fields = {field.encode_name: field for field in kind.fields}
        built: dict[str, Any] = {}
        is_faulty = False
        for key, value in values.items():
            place = f"{pointer}/{escape(key)}"
            field = fields.get(key)
            if field is None:
                if pointer or not key.startswith(OWN_KEY):
                    self._fault(place, f"unknown key `{short(key)}`", did_you_mean(key, fields, what="keys"))
            elif value is not None or field.required:
                result = self.value(value, field.type, place)
                if result is not _FAULTY:
                    built[field.name] = result
                else:
                    is_faulty = is_faulty or field.required
        for key, field in fields.items():
            if field.required and key not in values:
                is_faulty = True
                self._fault(pointer, f"`{key}` is missing", f"add `{key}`: {_expected(_options(field.type))}")
        return _FAULTY if is_faulty else kind.cls(**built)

    def _fault(self, pointer: str, problem: str, remedy: str) -> _Faulty:
        self._reading.fault(pointer, problem, remedy)
        return _FAULTY


_type_info = cache(inspect.type_info)


def _options(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    if isinstance(kind, inspect.UnionType):
        return tuple(option for part in kind.types for option in _options(part))
    return (kind,)


def _words(options: Sequence[inspect.Type]) -> Iterator[str]:
    for option in options:
        match option:
            case inspect.LiteralType(values=values):
                yield from (str(value) for value in values)
            case inspect.EnumType(cls=cls):
                yield from (str(member.value) for member in cls)
            case _:
                continue


def _expected(options: Sequence[inspect.Type]) -> str:
    takes_text = any(isinstance(option, inspect.StrType) for option in options)
    hidden = (
        (inspect.NoneType, inspect.IntType, inspect.FloatType, inspect.BoolType) if takes_text else (inspect.NoneType,)
    )
    return " or ".join(dict.fromkeys(_say(option) for option in options if not isinstance(option, hidden)))


def _read(text: str, kind: inspect.Type, *, takes_text: bool) -> Any:
    """The scalar as this kind, or FAULTY; where texts are taken too, nothing is taken for a number."""
    read: Any = _FAULTY
    match kind:
        case inspect.LiteralType(values=values) if text in values:
            read = text
        case inspect.EnumType(cls=cls) if text in {member.value for member in cls}:
            read = cls(text)
        case inspect.StrType() if text.strip():
            read = text
        case inspect.BoolType() if not takes_text and text.casefold() in _TRUE | _FALSE:
            read = text.casefold() in _TRUE
        case inspect.IntType() if not takes_text and _is_integer(text):
            read = int(text)
        case _:
            pass
    return read


def _say(kind: inspect.Type) -> str:
    said = "a mapping"
    match kind:
        case inspect.StrType():
            said = "a text"
        case inspect.IntType(ge=least, le=most):
            said = "a whole number" if least is None else f"a whole number from {least} to {most}"
        case inspect.BoolType():
            said = "`true` or `false`"
        case inspect.LiteralType() | inspect.EnumType():
            said = " or ".join(f"`{word}`" for word in _words([kind]))
        case inspect.ListType(item_type=item):
            said = f"a list ({_expected(_options(item))} each)"
        case inspect.StructType(fields=fields):
            needed = ", ".join(field.encode_name for field in fields if field.required)
            said = f"a mapping with {needed}" if needed else said
        case _:
            pass
    return said


def _is_integer(text: str) -> bool:
    digits = text[1:] if text[:1] in {"-", "+"} else text
    return digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS_LIMIT
