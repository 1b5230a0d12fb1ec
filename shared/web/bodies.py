"""Reading a request: its bytes within the limit, then JSON into a struct, with every wrong field named.

Bodies are decoded from the raw bytes by msgspec, once and straight into the struct; only what fails is looked at twice.
"""

from collections.abc import Hashable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar, cast
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from litestar.datastructures import State
from msgspec import Struct

from shared.contract.access import Caller
from shared.contract.events import EARLIEST
from shared.contract.problems import FieldError, Kind, Refused
from shared.web import fields

Call: TypeAlias = Request[Caller, Any, State]
"""A request as our handlers get it: `call.user` is the `Caller` of the key."""

T = TypeVar("T")
S = TypeVar("S", bound=Struct)

LARGEST_BODY = 1024 * 1024
DEEPEST = 64
"""Levels of objects and arrays in a body; beyond it, encoders and PostgreSQL's own parser are at risk."""

_TOO_EARLY = datetime(1, 1, 2, tzinfo=UTC)
_any_json = msgspec.json.Decoder()
_MOST_PARAMETERS = 100


async def read_bytes(call: Call, most: int = LARGEST_BODY) -> bytes:
    """The body as it was sent; over `most` bytes, 1 MiB where nothing is said, it is refused with 413."""
    announced = header(call, b"content-length")
    if announced.isdecimal() and int(announced) > most:
        raise _too_large(most)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = cast("dict[str, Any]", await call.receive())
        if message["type"] == "http.disconnect":
            raise Refused(Kind.BAD_REQUEST, "the connection was closed before the whole body had come")
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > most:
            raise _too_large(most)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def media_type(call: Call) -> str:
    """The type of the body in lower case, without parameters; empty where none was said."""
    return header(call, b"content-type").partition(";")[0].strip().lower()


def header(call: Call, name: bytes) -> str:
    """The header of this name (in lower case), or empty text; the last one, where there are several."""
    found = b""
    for each, value in call.scope["headers"]:
        if each == name:
            found = value
    return found.decode("latin-1")


async def read(call: Call, expected: type[T]) -> T:
    """The JSON body as `expected`; else `Refused`: 413, 415, 400 (no JSON) or 422 with every wrong field."""
    require_json(media_type(call))
    return decode(await read_bytes(call), expected)


def require_json(found: str) -> None:
    """Refuse with 415 what does not call itself JSON."""
    if found != "application/json" and not (found.startswith("application/") and found.endswith("+json")):
        said = f"it says {found[:100]!r}" if found else "it says nothing"
        raise Refused(
            Kind.UNSUPPORTED_MEDIA,
            f"send JSON with the header `Content-Type: application/json` ({said})",
            headers={"accept": "application/json"},
        )


def decode(raw: bytes, expected: type[T], at: str = "#") -> T:
    """JSON bytes as `expected`, or `Refused` with 400 or 422; texts hold no NUL, nesting stays within `DEEPEST`.

    `at` is where these bytes stand in the body, for the pointers of the errors.
    """
    try:
        value: T = _decoder(cast("Hashable", expected)).decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _explained(raw, expected, error, at) from None
    if b"\\u0000" in raw or raw.count(b"[") + raw.count(b"{") > DEEPEST:
        try:
            generic = _any_json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:  # in a field that is ignored
            raise _explained(raw, expected, error, at) from None
        _refuse_too_deep(generic)
        if nul := fields.nul_characters(generic, at):
            raise invalid(nul)
    return value


def query(call: Call, expected: type[S]) -> S:
    """The query parameters as a struct of text, numbers, enums and instants; 422 with every wrong or unknown one."""
    given: dict[str, Any] = {}
    errors: list[FieldError] = []
    known = {field.encode_name: field for field in msgspec.structs.fields(expected)}
    try:
        pairs = parse_qsl(
            call.scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_PARAMETERS
        )
    except ValueError:
        raise Refused(Kind.BAD_REQUEST, f"more than {_MOST_PARAMETERS} query parameters") from None
    for name, text in pairs:
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            errors.append(FieldError(parameter=name[:200], detail=f"is not known here; known are {names}"))
            continue
        if name in given:
            errors.append(FieldError(parameter=name, detail="is given twice"))
        try:
            given[name] = msgspec.convert(text, known[name].type, strict=False)
        except (msgspec.ValidationError, ValueError):
            wrong = fields.wrong_fields(int(text) if text.isdecimal() else text, known[name].type)
            detail = wrong[0].detail if wrong else "can't be read"
            errors.append(FieldError(parameter=name, detail=detail))
    errors.extend(
        FieldError(parameter=name, detail="is missing")
        for name, field in known.items()
        if field.required and all(name != given_name for given_name, _ in pairs)
    )
    if errors:
        raise invalid(tuple(errors))
    return expected(**{known[name].name: value for name, value in given.items()})


def in_utc(instant: datetime, pointer: str) -> datetime:
    """An aware instant in UTC; refused where it lies beyond the years that UTC can tell, or before 1970."""
    try:
        moved = instant.astimezone(UTC)
    except OverflowError:
        moved = _TOO_EARLY
    if moved < EARLIEST:
        raise invalid((FieldError(pointer=pointer, detail="is no time at which a customer could have written"),))
    return moved


def invalid(errors: tuple[FieldError, ...], kind: Kind = Kind.INVALID) -> Refused:
    """The refusal that lists these errors."""
    first = errors[0]
    where = first.pointer if first.pointer is not None else first.parameter
    more = f" (and {len(errors) - 1} more, see errors)" if len(errors) > 1 else ""
    return Refused(kind, f"{where}: {first.detail}{more}", errors=errors)


def _explained(raw: bytes, expected: Any, error: Exception, at: str) -> Refused:
    try:
        generic = _any_json.decode(raw)
    except UnicodeDecodeError:
        return Refused(Kind.MALFORMED, "the body is not UTF-8 text: send JSON in UTF-8")
    except RecursionError:
        return _too_deep()
    except msgspec.ValidationError as wrong:
        return invalid((FieldError(pointer=at, detail=str(wrong).replace("`", "")),))
    except msgspec.DecodeError as wrong:
        detail = str(wrong) if raw.strip() else "the body is empty"
        return Refused(Kind.MALFORMED, f"not JSON: {detail}")
    _refuse_too_deep(generic)
    errors = fields.wrong_fields(generic, expected, at) + fields.nul_characters(generic, at)
    return invalid(errors or (FieldError(pointer=at, detail=str(error).replace("`", "")),))


def _refuse_too_deep(generic: object) -> None:
    if fields.depth(generic, DEEPEST) > DEEPEST:
        raise _too_deep()


def _too_deep() -> Refused:
    return invalid((FieldError(pointer="#", detail=f"is nested more than {DEEPEST} levels deep"),))


def _too_large(most: int) -> Refused:
    return Refused(Kind.TOO_LARGE, f"a body may have {most} bytes ({most / 1024 / 1024:.3g} MiB); send less at a time")


@lru_cache(256)
def _decoder(expected: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(expected)
