"""`/v1/models`: trained models, added, tried in shadow, promoted, rolled back."""

from collections.abc import Awaitable
from typing import TypeVar

from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response.base import ASGIResponse

from services.router import trained
from services.router.api import dependencies
from services.router.domain.weights import LARGEST_FILE, BadModel
from services.router.trained import Added, Changed, Listed, NoModel, NotAllowed, Shown
from shared.contract.access import Scope
from shared.contract.problems import Kind, Refused
from shared.postgres import time as database_time
from shared.web import answers, bodies
from shared.web.bodies import Call
from shared.web.operations import operation

_BINARY = "application/octet-stream"
_LARGEST_VERSION = 2**31 - 1

T = TypeVar("T")


@post("/v1/models", opt=operation(Scope.POLICY_WRITE, takes_text=(_BINARY,), gives={200: Added, 201: Added}))
async def add_model(request: Call) -> ASGIResponse:
    """Add a model, as `deskclock train` wrote it.

    It is kept under the next version, and nothing follows from it until it is tried in shadow or promoted. The same file
    again answers 200 with the version that it has.
    """
    if bodies.media_type(request) != _BINARY:
        raise Refused(
            Kind.UNSUPPORTED_MEDIA, f"send the file with `Content-Type: {_BINARY}`", headers={"accept": _BINARY}
        )
    file = await bodies.read_bytes(request, LARGEST_FILE)
    async with dependencies.of(request).pool.acquire() as connection:
        now = await database_time.now(connection)
        added = await _told(trained.add(connection, request.user.tenant, file, f"key {request.user.key_id}", now))
    return answers.json(added, 201 if added.is_new else 200)


@get("/v1/models", opt=operation(Scope.POLICY_WRITE, Scope.TICKETS_READ, gives={200: Listed}))
async def list_models(request: Call) -> ASGIResponse:
    """The models there are, the newest first, each with how it did on texts it had not seen."""
    async with dependencies.of(request).pool.acquire() as connection:
        return answers.json(await trained.show_all(connection, request.user.tenant))


@get("/v1/models/{version:int}", opt=operation(Scope.POLICY_WRITE, Scope.TICKETS_READ, gives={200: Shown}))
async def show_model(request: Call, version: FromPath[int]) -> ASGIResponse:
    """A model: how it did on texts it had not seen, and how it agrees with rules and people on the tickets it has scored."""
    deps = dependencies.of(request)
    async with deps.pool.acquire() as connection:
        shown = await _told(trained.show(connection, deps.shelf, request.user.tenant, _checked(version)))
    return answers.json(shown)


@post(
    "/v1/models/{version:int}/shadow",
    opt=operation(Scope.POLICY_WRITE, gives={200: Changed}, problems=(Kind.CONFLICT,)),
    status_code=200,
)
async def shadow_model(request: Call, version: FromPath[int]) -> ASGIResponse:
    """Have a model score new tickets without any effect, in place of one that does so already."""
    async with dependencies.of(request).pool.acquire() as connection:
        now = await database_time.now(connection)
        return answers.json(await _told(trained.shadow(connection, request.user.tenant, _checked(version), now)))


@post(
    "/v1/models/{version:int}/promote",
    opt=operation(Scope.POLICY_WRITE, gives={200: Changed}, problems=(Kind.CONFLICT,)),
    status_code=200,
)
async def promote_model(request: Call, version: FromPath[int]) -> ASGIResponse:
    """Put a model in force for tickets that are opened from now on.

    The answer has its figures class by class. One that does not beat always saying the most frequent class, beyond luck,
    is refused.
    """
    deps = dependencies.of(request)
    async with deps.pool.acquire() as connection:
        now = await database_time.now(connection)
        return answers.json(
            await _told(trained.promote(connection, deps.shelf, request.user.tenant, _checked(version), now))
        )


@post(
    "/v1/models/{version:int}/stop",
    opt=operation(Scope.POLICY_WRITE, gives={200: Changed}, problems=(Kind.CONFLICT,)),
    status_code=200,
)
async def stop_model(request: Call, version: FromPath[int]) -> ASGIResponse:
    """Use a model no more, in force or in shadow."""
    async with dependencies.of(request).pool.acquire() as connection:
        now = await database_time.now(connection)
        return answers.json(await _told(trained.stop(connection, request.user.tenant, _checked(version), now)))


@post(
    "/v1/models:rollback",
    opt=operation(Scope.POLICY_WRITE, gives={200: Changed}, problems=(Kind.CONFLICT,)),
    status_code=200,
)
async def roll_back_model(request: Call) -> ASGIResponse:
    """Put back in force what was before the model that is now, or none where none was."""
    deps = dependencies.of(request)
    async with deps.pool.acquire() as connection:
        now = await database_time.now(connection)
        return answers.json(await _told(trained.rollback(connection, deps.shelf, request.user.tenant, now)))


ROUTES: tuple[HTTPRouteHandler, ...] = (
    add_model, list_models, show_model, shadow_model, promote_model, stop_model, roll_back_model,
)  # fmt: skip


def _checked(version: int) -> int:
    """A version as the database can hold it; there is none beyond."""
    return min(max(version, 0), _LARGEST_VERSION)


async def _told(doing: Awaitable[T]) -> T:
    """The result, or the refusal that says why there is none."""
    try:
        return await doing
    except BadModel as wrong:
        raise Refused(Kind.INVALID, f"the file can't be used: {wrong}") from None
    except NoModel as missing:
        raise Refused(Kind.NOT_FOUND, str(missing)) from None
    except NotAllowed as refused:
        raise Refused(Kind.CONFLICT, str(refused)) from None
