"""Overrides of a rotation over HTTP: list them, make one, take one back."""

from uuid import UUID

from litestar import delete, get, post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Struct, structs

from services.escalation.api import dependencies
from services.escalation.on_call import overriding
from services.escalation.on_call.overriding import NewOverride, OverrideView
from shared.contract.access import Scope
from shared.contract.problems import Kind
from shared.web import answers, bodies, instants
from shared.web.bodies import Call
from shared.web.instants import InstantText
from shared.web.operations import Example, operation

_PATH = "/v1/on-call/{name:str}/overrides"
_EXAMPLE = Example(
    name="Ben until the evening", body={"person": "ben", "ends_at": "2026-06-05T20:00:00+02:00", "by": "ana"}
)


class OverrideQuery(Struct, frozen=True, kw_only=True):
    """Which overrides."""

    since: InstantText | None = None
    """Those that ended after this, up to 400 days ago; now, if nothing is said."""


class OverrideList(Struct, frozen=True, kw_only=True):
    """Overrides by their start; where two hold at once, the one made last wins."""

    overrides: list[OverrideView]


@get(_PATH, opt=operation(Scope.TICKETS_READ, query=OverrideQuery, gives={200: OverrideList}))
async def list_overrides(request: Call, name: FromPath[str]) -> ASGIResponse:
    """Overrides of a rotation that hold or are to come; with `since`, those that have been, too."""
    deps = dependencies.of(request)
    since = instants.read("since", bodies.query(request, OverrideQuery).since)
    async with deps.pool.acquire() as connection:
        found = await overriding.list_overrides(connection, deps.shelf, request.user.tenant, name, since)
    return answers.json(OverrideList(overrides=found))


@post(
    _PATH,
    opt=operation(
        Scope.ON_CALL_WRITE,
        takes=NewOverride,
        gives={201: OverrideView, 200: OverrideView},
        problems=(Kind.CONFLICT,),
        examples=(_EXAMPLE,),
    ),
)
async def make_override(request: Call, name: FromPath[str]) -> ASGIResponse:
    """Put somebody on call in place of whose turn it is.

    Refused with 422 for somebody who can't be paged, and with 409, naming the other, where an override holds already; with
    `replace` the newest wins. The same again answers 200 with the first.
    """
    deps = dependencies.of(request)
    wanted = await bodies.read(request, NewOverride)
    in_utc = structs.replace(
        wanted,
        ends_at=bodies.in_utc(wanted.ends_at, "#/ends_at"),
        starts_at=None if wanted.starts_at is None else bodies.in_utc(wanted.starts_at, "#/starts_at"),
    )
    async with deps.pool.acquire() as connection:
        made = await overriding.make(
            connection,
            deps.shelf,
            request.user.tenant,
            name,
            in_utc,
            by=f"key {request.user.key_id}",
            methods=deps.methods,
        )
    return answers.json(made.override, 201 if made.is_new else 200)


@delete(
    f"{_PATH}/{{override:uuid}}",
    status_code=200,
    opt=operation(Scope.ON_CALL_WRITE, gives={200: OverrideView}, problems=(Kind.CONFLICT,)),
)
async def withdraw_override(request: Call, name: FromPath[str], override: FromPath[UUID]) -> ASGIResponse:
    """Take an override back: it ends now, or never begins. Again it changes nothing; one that is over stays (409)."""
    deps = dependencies.of(request)
    async with deps.pool.acquire() as connection:
        found = await overriding.withdraw(connection, deps.shelf, request.user.tenant, name, override)
    return answers.json(found)
