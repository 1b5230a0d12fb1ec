"""Who is on call: the present shift of a rotation, and the one after it."""

from datetime import UTC, datetime

from litestar import get
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Struct

from services.escalation.api import dependencies
from services.escalation.domain import rotation as turns
from services.escalation.store import escalations
from shared.contract.access import Scope
from shared.contract.events import Instant
from shared.contract.problems import Kind, Refused
from shared.policy.document import Rotation
from shared.postgres import time as database_time
from shared.postgres.pool import Connection
from shared.web import answers, bodies
from shared.web.bodies import Call
from shared.web.operations import operation


class OnCallQuery(Struct, frozen=True, kw_only=True):
    """When; now, if nothing is said."""

    at: Instant | None = None


class ShiftView(Struct, frozen=True, kw_only=True):
    """One turn: from `starts_at` on, until before `ends_at`."""

    person: str
    name: str | None
    """Null where the person is not on the roster: nobody would be paged."""
    starts_at: datetime
    ends_at: datetime


class OnCallView(Struct, frozen=True, kw_only=True):
    """A rotation at one instant."""

    rotation: str
    zone: str
    policy_version: int
    at: datetime
    now: ShiftView | None
    next: ShiftView | None


class OnCallList(Struct, frozen=True, kw_only=True):
    """Every rotation of the policy in force."""

    rotations: list[OnCallView]


@get("/v1/on-call", opt=operation(Scope.TICKETS_READ, query=OnCallQuery, gives={200: OnCallList}))
async def list_on_call(request: Call) -> ASGIResponse:
    """Who is on call, for every rotation."""
    return answers.json(OnCallList(rotations=await _look(request, None)))


@get("/v1/on-call/{name:str}", opt=operation(Scope.TICKETS_READ, query=OnCallQuery, gives={200: OnCallView}))
async def get_on_call(request: Call, name: FromPath[str]) -> ASGIResponse:
    """Who is on call for one rotation, until when, and who comes next."""
    found = await _look(request, name)
    if not found:
        raise Refused(Kind.NOT_FOUND, f"the policy has no rotation {name!r}; GET /v1/on-call lists them")
    return answers.json(found[0])


async def _look(request: Call, name: str | None) -> list[OnCallView]:
    deps = dependencies.of(request)
    tenant = request.user.tenant
    wanted = bodies.query(request, OnCallQuery)
    async with deps.pool.acquire() as connection:
        at = wanted.at.astimezone(UTC) if wanted.at else await database_time.now(connection)
        policy = await deps.shelf.current(connection, tenant)
        chosen = [one for key, one in policy.on_call.items() if name is None or key == name]
        return [await _view(connection, tenant, policy.version, one, at) for one in chosen]


async def _view(connection: Connection, tenant: str, version: int, rotation: Rotation, at: datetime) -> OnCallView:
    present = turns.shift_at(rotation, at)
    following = turns.shift_at(rotation, present.ends_at) if present else None
    keys = {(tenant, shift.person) for shift in (present, following) if shift}
    names = {key: person.name for (_, key), person in (await escalations.load_people(connection, keys)).items()}
    return OnCallView(
        rotation=rotation.name,
        zone=rotation.zone.key,
        policy_version=version,
        at=at,
        now=_shift(present, names),
        next=_shift(following, names),
    )


def _shift(shift: turns.Shift | None, names: dict[str, str]) -> ShiftView | None:
    if shift is None:
        return None
    return ShiftView(
        person=shift.person, name=names.get(shift.person), starts_at=shift.starts_at, ends_at=shift.ends_at
    )
