"""Instants in the query of a request, as people and programs write them."""

from datetime import datetime
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from shared.contract.events import Instant
from shared.contract.problems import FieldError, Refused
from shared.web import bodies

InstantText: TypeAlias = Annotated[
    str, Meta(max_length=64, examples=["2026-06-01T00:00:00+02:00"], extra_json_schema={"format": "date-time"})
]
"""RFC 3339 with an offset; read it with `read`, which forgives a plus sign that was not escaped."""

_OFFSET = len("+02:00")


def read(parameter: str, text: str | None) -> datetime | None:
    """The instant in UTC; raises Refused, naming the parameter."""
    if text is None:
        return None
    if text[-_OFFSET : 1 - _OFFSET] == " ":
        text = f"{text[:-_OFFSET]}+{text[1 - _OFFSET :]}"
    try:
        return bodies.in_utc(msgspec.convert(text, Instant), parameter)
    except (msgspec.ValidationError, Refused):
        detail = "must be a time since 1970 with an offset, as in 2026-06-05T10:00:00+02:00"
        raise bodies.invalid((FieldError(parameter=parameter, detail=detail),)) from None
