"""What a refused request answers: RFC 9457 problem details, the same from every service.

`kind` says which way out there is and is what clients should switch on (as `type`); `errors` names every wrong field.
"""

from collections.abc import Mapping
from enum import Enum
from typing import TypeAlias

import msgspec
from msgspec import Struct

MEDIA_TYPE = "application/problem+json"
_TYPE_PREFIX = "urn:deskclock:problem:"


class Kind(Enum):
    """Every problem we answer: the last word of its type URI, the status, the title."""

    BAD_REQUEST = ("bad-request", 400, "The request can't be understood")
    MALFORMED = ("malformed-body", 400, "The body can't be read")
    NO_KEY = ("no-key", 401, "No valid API key was given")
    FORBIDDEN = ("forbidden", 403, "The API key does not allow this")
    NOT_FOUND = ("not-found", 404, "There is no such thing")
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405, "This address does not take this method")
    CONFLICT = ("conflict", 409, "The present state does not allow this")
    CHANGED = ("changed-meanwhile", 412, "It was changed meanwhile")
    TOO_LARGE = ("too-large", 413, "The body is too large")
    UNSUPPORTED_MEDIA = ("unsupported-media-type", 415, "The body is of a type that is not read here")
    INVALID = ("invalid", 422, "Some of what was sent is wrong")
    TOO_MANY = ("too-many-requests", 429, "Too many requests")
    INTERNAL = ("internal-error", 500, "Something is broken on our side")
    UNAVAILABLE = ("unavailable", 503, "This can't be done just now")

    def __init__(self, slug: str, status: int, title: str) -> None:
        self.slug = slug
        self.status = status
        self.title = title

    @property
    def uri(self) -> str:
        """The `type` of the problem; it names, nothing is to be fetched there."""
        return _TYPE_PREFIX + self.slug


class FieldError(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One wrong part of a request: of the body (`pointer`) or of the query (`parameter`)."""

    detail: str
    pointer: str | None = None
    """JSON pointer into the body as a URI fragment: `#/requester/tier`; `#` is the whole body."""
    parameter: str | None = None
    line: int | None = None
    """From 1, where the body is a text of lines (a policy or roster file)."""
    column: int | None = None
    remedy: str | None = None


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of every answer from 400 up."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[FieldError, ...] = ()


Headers: TypeAlias = Mapping[str, str]


class Refused(Exception):
    """Raise it in a handler to answer a problem; `detail` says what is wrong and the way out."""

    def __init__(
        self, kind: Kind, detail: str, *, errors: tuple[FieldError, ...] = (), headers: Headers | None = None
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.problem = Problem(type=kind.uri, title=kind.title, status=kind.status, detail=detail, errors=errors)
        self.headers: Headers = headers or {}


_encoder = msgspec.json.Encoder()


def encode(problem: Problem) -> bytes:
    """The problem as `application/problem+json`."""
    return _encoder.encode(problem)
