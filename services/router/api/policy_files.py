"""Policy and roster files as bodies: read as text, and refused with all their faults."""

from collections.abc import Awaitable
from typing import TypeVar

from shared.contract.problems import FieldError, Kind, Refused
from shared.policy.errors import PolicyErrors
from shared.web import bodies
from shared.web.bodies import Call

YAML = "application/yaml"
MEDIA_TYPES = (YAML, "application/x-yaml", "text/yaml", "text/x-yaml", "text/plain", "application/json")
_MOST_ERRORS = 500

T = TypeVar("T")


async def read_text(call: Call) -> str:
    """The file that was sent; raises `Refused` where it is none."""
    media_type = bodies.media_type(call)
    if media_type not in MEDIA_TYPES:
        raise Refused(
            Kind.UNSUPPORTED_MEDIA,
            f"send the file with `Content-Type: {YAML}` or `application/json`",
            headers={"accept": ", ".join(MEDIA_TYPES)},
        )
    try:
        text = (await bodies.read_bytes(call)).decode()
    except UnicodeDecodeError as error:
        raise Refused(
            Kind.MALFORMED, f"the file is not UTF-8 text: byte {error.start} is {error.object[error.start]:#x}"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise bodies.invalid(
            (FieldError(pointer="#", detail="holds a NUL character, which no text may hold", line=line),)
        )
    return text


async def told(doing: Awaitable[T]) -> T:
    """The result, or the refusal that lists every fault of the file."""
    try:
        return await doing
    except PolicyErrors as wrong:
        errors = tuple(
            FieldError(
                pointer=f"#{error.pointer}",
                detail=error.problem,
                line=error.line or None,
                column=error.column if error.line else None,
                remedy=error.remedy,
            )
            for error in wrong.errors[:_MOST_ERRORS]
        )
        wrongs = "1 thing is" if len(wrong.errors) == 1 else f"{len(wrong.errors)} things are"
        raise Refused(Kind.INVALID, f"{wrongs} wrong with the file; nothing was changed", errors=errors) from None
