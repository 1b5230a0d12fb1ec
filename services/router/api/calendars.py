"""`/v1/calendars/{name}/preview`: when a calendar is open, and what is due when by it."""

import asyncio
from datetime import datetime
from typing import Annotated

import msgspec
from litestar import get
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct

from services.router.api import dependencies
from shared.contract.access import Scope
from shared.contract.events import Instant
from shared.contract.problems import FieldError, Kind, Refused
from shared.policy import durations
from shared.policy.document import Policy
from shared.policy.errors import did_you_mean, short
from shared.policy.reading import Unreadable
from shared.sla.policy import Promise
from shared.sla.preview import Preview, preview
from shared.web import answers, bodies
from shared.web.bodies import Call
from shared.web.operations import operation

_OFFSET = len("+02:00")


class PreviewQuery(Struct, frozen=True, kw_only=True):
    """From when, and how long."""

    start: Annotated[str, Meta(max_length=64, extra_json_schema={"format": "date-time"})]
    """RFC 3339 with an offset."""
    duration: Annotated[str, Meta(max_length=64)] | None = None
    """Open time, as in `4h` or `1h30m`, or business days, as in `2bd`."""
    until: Annotated[str, Meta(max_length=64, extra_json_schema={"format": "date-time"})] | None = None
    """Show the intervals up to then; the due time, or two weeks, if absent."""
    version: Annotated[int, Meta(ge=0, le=2_147_483_647)] | None = None
    """Of the policy; the one in force, if absent."""


@get(
    "/v1/calendars/{name:str}/preview",
    opt=operation(Scope.TICKETS_READ, query=PreviewQuery, gives={200: Preview}, problems=(Kind.NOT_FOUND,)),
)
async def preview_calendar(request: Call, name: FromPath[str]) -> ASGIResponse:
    """When so much open time will have been used, and every interval up to then, open or closed, with the reasons.

    Without a `duration`, the intervals alone.
    """
    wanted = bodies.query(request, PreviewQuery)
    start = _instant("start", wanted.start)
    until = None if wanted.until is None else _instant("until", wanted.until)
    promise = None if wanted.duration is None else _promise(wanted.duration)
    policy = await _policy(request, wanted.version)
    calendar = policy.sla.calendars.get(name)
    if calendar is None:
        remedy = did_you_mean(name, policy.sla.calendars, what="they")
        raise Refused(
            Kind.NOT_FOUND,
            f"policy version {policy.version} has no calendar {short(name)!r}: {remedy.replace('`', '')}",
        )
    try:
        found = await asyncio.to_thread(preview, calendar, start, promise, until)
    except ValueError as wrong:
        raise _wrong("start" if until is None else "until", str(wrong)) from None
    return answers.json(found)


async def _policy(call: Call, version: int | None) -> Policy:
    deps = dependencies.of(call)
    async with deps.pool.acquire() as connection:
        if version is None:
            return await deps.shelf.current(connection, call.user.tenant)
        try:
            return await deps.shelf.version(connection, call.user.tenant, version)
        except LookupError:
            raise Refused(
                Kind.NOT_FOUND, f"there is no version {version} of the policy; GET /v1/policy/versions lists them"
            ) from None


def _instant(parameter: str, text: str) -> datetime:
    if text[-_OFFSET : 1 - _OFFSET] == " ":  # a plus sign that was not escaped
        text = f"{text[:-_OFFSET]}+{text[1 - _OFFSET :]}"
    try:
        return msgspec.convert(text, Instant)
    except msgspec.ValidationError:
        raise _wrong(parameter, "is no time with an offset, as in 2026-06-05T10:00:00+02:00") from None


def _promise(text: str) -> Promise:
    """As targets have them; no time at all is allowed: that is due at the next opening."""
    try:
        return durations.preview(text)
    except Unreadable as wrong:
        raise _wrong("duration", str(wrong).replace("`", "")) from None


def _wrong(parameter: str, detail: str) -> Refused:
    return bodies.invalid((FieldError(parameter=parameter, detail=detail),))
