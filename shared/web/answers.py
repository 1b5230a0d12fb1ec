"""What goes back: JSON, text, or a problem; encoded once, by msgspec, without a detour."""

from collections.abc import Mapping
from typing import Any

import msgspec
from litestar.response.base import ASGIResponse

from shared.contract import problems
from shared.contract.problems import Refused

_encoder = msgspec.json.Encoder()


def encode(content: Any) -> bytes:
    """`content` as JSON bytes."""
    return _encoder.encode(content)


def json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> ASGIResponse:
    """`content` as JSON; instants are RFC 3339 in UTC."""
    return ASGIResponse(
        body=encode(content), status_code=status, headers=dict(headers or {}), media_type="application/json"
    )


def text(
    content: str | bytes, media_type: str, headers: Mapping[str, str] | None = None, status: int = 200
) -> ASGIResponse:
    """`content` as it is."""
    return ASGIResponse(body=content, status_code=status, headers=dict(headers or {}), media_type=media_type)


def empty(headers: Mapping[str, str] | None = None) -> ASGIResponse:
    """204."""
    return ASGIResponse(status_code=204, headers=dict(headers or {}))


def problem(refused: Refused) -> ASGIResponse:
    """The refusal as problem details."""
    return ASGIResponse(
        body=problems.encode(refused.problem),
        status_code=refused.problem.status,
        headers=dict(refused.headers),
        media_type=problems.MEDIA_TYPE,
    )
