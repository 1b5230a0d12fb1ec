"""`/v1/policy` and `/v1/roster`: what is promised and who there is, as files: shown, checked, planned, applied."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec
from litestar import get, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct, field

from services.router.api import dependencies
from services.router.api.policy_files import MEDIA_TYPES, YAML, read_text, told
from services.router.domain.reach import Reach, To, UnclearReach, reach
from services.router.store import policies as policies_store
from services.router.store.policies import PolicyVersion, Version
from services.router.store.rollouts import RolloutView, view
from services.router.versions import planning, policies
from services.router.versions.planning import Forecast
from shared.contract.access import Scope
from shared.contract.events import Instant
from shared.contract.problems import FieldError, Kind, Refused
from shared.policy import builtin
from shared.postgres import time as database_time
from shared.web import answers, bodies, cursors
from shared.web.bodies import Call
from shared.web.operations import operation

_DIGITS = 9
"""Of a version number, at most."""
_ID_BYTES = 16
_PLAN_SECONDS = 20.0
"""Before whoever is between us and the caller gives up."""
_IF_MATCH = {"if-match": "the ETag of the version this one is to replace; 412 where another came in between"}
_ACCEPT = {"accept": f"`{YAML}` for the file itself"}

T = TypeVar("T")
V = TypeVar("V", bound=Version)


class FileView(Struct, frozen=True, kw_only=True):
    """A version of the policy or the roster."""

    version: int
    """0 is the policy that is built in."""
    source: str
    """The file as it was given."""
    applied_at: datetime | None
    applied_by: str | None


class Applied(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a file."""

    version: int
    is_new: bool
    """False where the file is the same as the version in force."""
    holds_from: datetime | None = None
    """A policy for tickets that arrive from then on; absent: it holds at once."""
    rollout: RolloutView | None = None
    """How a policy gets to tickets that are open already; absent where it is for new ones only."""


class Rollouts(Struct, frozen=True, kw_only=True):
    """Rollouts, the newest first."""

    rollouts: list[RolloutView]
    next_cursor: str | None
    """Send it as `cursor` for those before; null at the end."""


class ReachQuery(Struct, frozen=True, kw_only=True):
    """Whom a policy is for; new tickets, if neither is given. They exclude each other."""

    to: To | None = None
    from_: Instant | None = field(default=None, name="from")


class VersionQuery(Struct, frozen=True, kw_only=True):
    """Which version; the one in force, if absent."""

    version: Annotated[int, Meta(ge=0, le=2_147_483_647)] | None = None


class HistoryQuery(Struct, frozen=True, kw_only=True):
    """How many versions at a time."""

    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=100)] | None = None


class PolicyHistory(Struct, frozen=True, kw_only=True):
    """Versions of the policy, the newest first."""

    versions: list[PolicyVersion]
    next_cursor: str | None
    """Send it as `cursor` for those before; null at the end."""


class History(Struct, frozen=True, kw_only=True):
    """Versions, the newest first."""

    versions: list[Version]
    next_cursor: str | None
    """Send it as `cursor` for those before; null at the end."""


_TAKES_FILE = operation(
    Scope.POLICY_WRITE, takes_text=MEDIA_TYPES, gives={200: Applied}, problems=(Kind.CHANGED,), headers=_IF_MATCH
)


@get(
    "/v1/policy",
    opt=operation(
        Scope.POLICY_WRITE,
        Scope.TICKETS_READ,
        query=VersionQuery,
        gives={200: FileView},
        problems=(Kind.NOT_FOUND,),
        headers=_ACCEPT,
    ),
)
async def show_policy(request: Call) -> ASGIResponse:
    """The policy in force, or one of its versions."""
    wanted = bodies.query(request, VersionQuery).version
    async with dependencies.of(request).pool.acquire() as connection:
        stored = await policies.show_policy(connection, request.user.tenant, wanted)
    if stored is not None:
        return _shown(request, msgspec.convert(stored, FileView, from_attributes=True))
    if wanted:
        raise Refused(Kind.NOT_FOUND, f"there is no version {wanted} of the policy; GET /v1/policy/versions lists them")
    return _shown(request, FileView(version=builtin.VERSION, source=builtin.source(), applied_at=None, applied_by=None))


@put(
    "/v1/policy",
    opt=operation(
        Scope.POLICY_WRITE,
        takes_text=MEDIA_TYPES,
        query=ReachQuery,
        gives={200: Applied},
        problems=(Kind.CHANGED,),
        headers=_IF_MATCH,
    ),
)
async def apply_policy(request: Call) -> ASGIResponse:
    """Make a policy file the one for new tickets, or for open ones too.

    YAML or JSON. Where anything is wrong with it, all errors come back with their lines, and nothing changes. With
    `to=open`, tickets that are open now are judged by it from now on; with `from` and an instant that has passed, those of them
    that were opened since then are, as though it had always held. Both happen in the background: `/v1/policy/rollouts` tells
    how far it is. With `from` and an instant to come, it waits for that and is for tickets that arrive from then on.
    """
    text = await read_text(request)
    tenant = request.user.tenant
    async with dependencies.of(request).pool.acquire() as connection, connection.transaction():
        await policies_store.lock_versions(connection, tenant)
        newest = await policies_store.newest_policy(connection, tenant)
        _require_match(request, newest.version if newest else builtin.VERSION)
        now = await database_time.now(connection)
        reach = _reach(request, now)
        applied = await told(policies.put_in_force(connection, tenant, text, f"key {request.user.key_id}", now, reach))
    body = Applied(
        version=applied.version,
        is_new=applied.is_new,
        holds_from=applied.holds_from,
        rollout=None if applied.rollout is None else view(applied.rollout),
    )
    return answers.json(body, 200, {"etag": _etag(applied.version)})


@post(
    "/v1/policy/plan",
    opt=operation(Scope.POLICY_WRITE, takes_text=MEDIA_TYPES, query=ReachQuery, gives={200: Forecast}),
    status_code=200,
)
async def plan_policy(request: Call) -> ASGIResponse:
    """Check a policy file and say what applying it would do; changes nothing.

    With `to=open` or `from`, the open tickets it is for are judged by it on trial: how many clocks move, start, end or are
    late at once, by channel and team, with examples. After 20 seconds the answer is about the tickets looked at by then
    (`is_complete` is false); `deskclock policy plan` takes its time.
    """
    text = await read_text(request)
    async with dependencies.of(request).pool.acquire() as connection:
        now = await database_time.now(connection)
        reach = _reach(request, now)
        run = planning.forecast(connection, request.user.tenant, text, now, reach, seconds=_PLAN_SECONDS)
        forecast = await told(run)
    return answers.json(forecast)


@get("/v1/policy/rollouts", opt=operation(Scope.POLICY_WRITE, query=HistoryQuery, gives={200: Rollouts}))
async def list_rollouts(request: Call) -> ASGIResponse:
    """How policy versions got, or get, to tickets that were open already; the newest first."""
    wanted = bodies.query(request, HistoryQuery)
    before = _read_id_cursor(wanted.cursor) if wanted.cursor else None
    async with dependencies.of(request).pool.acquire() as connection:
        found = await policies.rollouts(connection, request.user.tenant, before=before, limit=wanted.limit + 1)
    page = found[: wanted.limit]
    next_cursor = cursors.encode(page[-1].id.bytes) if len(found) > len(page) else None
    return answers.json(Rollouts(rollouts=[view(each) for each in page], next_cursor=next_cursor))


@get(
    "/v1/policy/versions",
    opt=operation(Scope.POLICY_WRITE, Scope.TICKETS_READ, query=HistoryQuery, gives={200: PolicyHistory}),
)
async def list_policy_versions(request: Call) -> ASGIResponse:
    """The policy's history, the newest version first."""
    page, next_cursor = await _history(request, policies.policy_versions)
    return answers.json(PolicyHistory(versions=page, next_cursor=next_cursor))


@get(
    "/v1/roster",
    opt=operation(
        Scope.POLICY_WRITE, Scope.AGENTS_WRITE, gives={200: FileView}, problems=(Kind.NOT_FOUND,), headers=_ACCEPT
    ),
)
async def show_roster(request: Call) -> ASGIResponse:
    """The roster in force: who there is."""
    async with dependencies.of(request).pool.acquire() as connection:
        stored = await policies.show_roster(connection, request.user.tenant)
    if stored is None:
        raise Refused(Kind.NOT_FOUND, "no roster was applied yet: PUT /v1/roster")
    return _shown(request, msgspec.convert(stored, FileView, from_attributes=True))


@put("/v1/roster", opt=_TAKES_FILE)
async def apply_roster(request: Call) -> ASGIResponse:
    """Make a roster file the one in force.

    YAML or JSON. Who is not in it any more gets no new tickets, and their open ones go to others.
    """
    text = await read_text(request)
    tenant = request.user.tenant
    async with dependencies.of(request).pool.acquire() as connection, connection.transaction():
        await policies_store.lock_versions(connection, tenant)
        stored = await policies.show_roster(connection, tenant)
        before = stored.version if stored else 0
        _require_match(request, before)
        now = await database_time.now(connection)
        by = f"key {request.user.key_id}"
        version = await told(policies.apply_roster(connection, tenant, text, by, now))
    return answers.json(Applied(version=version, is_new=version != before), 200, {"etag": _etag(version)})


@get(
    "/v1/roster/versions",
    opt=operation(Scope.POLICY_WRITE, Scope.AGENTS_WRITE, query=HistoryQuery, gives={200: History}),
)
async def list_roster_versions(request: Call) -> ASGIResponse:
    """The roster's history, the newest version first."""
    page, next_cursor = await _history(request, policies.roster_versions)
    return answers.json(History(versions=page, next_cursor=next_cursor))


ROUTES: tuple[HTTPRouteHandler, ...] = (
    show_policy,
    apply_policy,
    plan_policy,
    list_rollouts,
    list_policy_versions,
    show_roster,
    apply_roster,
    list_roster_versions,
)


def _reach(call: Call, now: datetime) -> Reach:
    wanted = bodies.query(call, ReachQuery)
    try:
        return reach(wanted.to, wanted.from_, now)
    except UnclearReach as error:
        raise bodies.invalid((FieldError(parameter="from", detail=str(error)),)) from None


def _require_match(call: Call, version: int) -> None:
    """RFC 9110 `If-Match`: go on only if the version in force is one of those named."""
    named = {tag.strip() for tag in bodies.header(call, b"if-match").split(",") if tag.strip()}
    if named and not (named & {_etag(version), "*"}):
        raise Refused(
            Kind.CHANGED,
            f"version {version} is in force, not the one this was made from: read it, and apply your change to that",
            headers={"etag": _etag(version)},
        )


async def _history(call: Call, versions: Callable[..., Awaitable[list[V]]]) -> tuple[list[V], str | None]:
    wanted = bodies.query(call, HistoryQuery)
    before: dict[str, Any] = {"before": _read_cursor(wanted.cursor)} if wanted.cursor else {}
    async with dependencies.of(call).pool.acquire() as connection:
        found = await versions(connection, call.user.tenant, limit=wanted.limit + 1, **before)
    page = found[: wanted.limit]
    return page, cursors.encode(str(page[-1].version).encode()) if len(found) > len(page) else None


def _read_id_cursor(cursor: str) -> UUID:
    place = cursors.decode(cursor)
    if len(place) != _ID_BYTES:
        raise cursors.unknown()
    return UUID(bytes=place)


def _read_cursor(cursor: str) -> int:
    place = cursors.decode(cursor)
    if not place.isdigit() or len(place) > _DIGITS:
        raise cursors.unknown()
    return int(place)


def _shown(call: Call, file: FileView) -> ASGIResponse:
    headers = {"etag": _etag(file.version), "vary": "accept"}
    accepted = bodies.header(call, b"accept")
    if YAML in accepted or "text/plain" in accepted:
        return answers.text(file.source, YAML, headers)
    return answers.json(file, 200, headers)


def _etag(version: int) -> str:
    return f'"{version}"'
