"""Who is on call over HTTP: now or at any instant, as a calendar, and when nobody is."""

from datetime import timedelta
from typing import Annotated

from litestar import get
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct

from services.escalation.api import dependencies
from services.escalation.domain import ics
from services.escalation.on_call import rota as on_call
from services.escalation.on_call.rota import GapReport, OnCallView
from shared.contract.access import Scope
from shared.contract.events import LATEST
from shared.contract.problems import FieldError, Kind, Refused
from shared.policy.rotations import CALENDAR_SUFFIX
from shared.web import answers, bodies, instants
from shared.web.bodies import Call
from shared.web.instants import InstantText
from shared.web.operations import operation


class OnCallQuery(Struct, frozen=True, kw_only=True):
    """When; now, if nothing is said."""

    at: InstantText | None = None


class GapQuery(Struct, frozen=True, kw_only=True):
    """How far to look."""

    days: Annotated[int, Meta(ge=1, le=90)] = 30


class OnCallList(Struct, frozen=True, kw_only=True):
    """Every rotation of the policy in force."""

    rotations: list[OnCallView]


@get("/v1/on-call", opt=operation(Scope.TICKETS_READ, query=OnCallQuery, gives={200: OnCallList}))
async def list_on_call(request: Call) -> ASGIResponse:
    """Who is on call, for every rotation."""
    return answers.json(OnCallList(rotations=await _look(request, None)))


@get("/v1/on-call/gaps", opt=operation(Scope.TICKETS_READ, query=GapQuery, gives={200: GapReport}))
async def list_gaps(request: Call) -> ASGIResponse:
    """When nobody would be paged within the next days, and why: nobody's turn, gone from the roster, no contact."""
    deps = dependencies.of(request)
    wanted = bodies.query(request, GapQuery)
    async with deps.pool.acquire() as connection:
        found = await on_call.report_gaps(
            connection, deps.shelf, request.user.tenant, timedelta(days=wanted.days), deps.methods
        )
    return answers.json(found)


@get("/v1/on-call/{name:str}", opt=operation(Scope.TICKETS_READ, query=OnCallQuery, gives={200: OnCallView}))
async def get_on_call(request: Call, name: FromPath[str]) -> ASGIResponse:
    """Who is on call for one rotation, until when, by which layer or override, and who comes next.

    `<name>.ics` gives its shifts as an iCalendar file instead (`text/calendar`), overrides included: from 31 days ago to
    180 days ahead.
    """
    if name.endswith(CALENDAR_SUFFIX):
        return await _calendar(request, name.removesuffix(CALENDAR_SUFFIX))
    found = await _look(request, name)
    if not found:
        raise _unknown(name)
    return answers.json(found[0])


async def _calendar(request: Call, name: str) -> ASGIResponse:
    deps = dependencies.of(request)
    async with deps.pool.acquire() as connection:
        text = await on_call.calendar(connection, deps.shelf, request.user.tenant, name)
    if text is None:
        raise _unknown(name)
    return answers.text(text, ics.MEDIA_TYPE)


async def _look(request: Call, name: str | None) -> list[OnCallView]:
    deps = dependencies.of(request)
    at = instants.read("at", bodies.query(request, OnCallQuery).at)
    if at is not None and at >= LATEST:
        raise bodies.invalid((FieldError(parameter="at", detail=f"must be before {LATEST.year}"),))
    async with deps.pool.acquire() as connection:
        return await on_call.look(connection, deps.shelf, request.user.tenant, name=name, at=at, methods=deps.methods)


def _unknown(name: str) -> Refused:
    return Refused(Kind.NOT_FOUND, f"the policy has no rotation {name[:100]!r}; GET /v1/on-call lists them")
