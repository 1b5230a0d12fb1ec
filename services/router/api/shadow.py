"""`/v1/policy/shadow`: a candidate policy beside the one in force: started, compared, stopped."""

from litestar import delete, get, put
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from services.router.api import dependencies
from services.router.api.policy_files import MEDIA_TYPES, read_text, told
from services.router.versions import shadow
from services.router.versions.shadow import Comparison, Started
from shared.contract.access import Scope
from shared.contract.problems import Kind, Refused
from shared.postgres import time as database_time
from shared.web import answers
from shared.web.bodies import Call
from shared.web.operations import operation


@put("/v1/policy/shadow", opt=operation(Scope.POLICY_WRITE, takes_text=MEDIA_TYPES, gives={200: Started}))
async def start_shadow(request: Call) -> ASGIResponse:
    """Try a policy file beside the one in force.

    YAML or JSON, checked as `PUT /v1/policy` does. Tickets opened from then on are judged by it as well; nobody is paged
    for it. It takes the place of a candidate that is there already; the same file again goes on as it is.
    """
    text = await read_text(request)
    async with dependencies.of(request).pool.acquire() as connection:
        now = await database_time.now(connection)
        started = await told(shadow.start(connection, request.user.tenant, text, f"key {request.user.key_id}", now))
    return answers.json(started)


@get(
    "/v1/policy/shadow",
    opt=operation(Scope.POLICY_WRITE, Scope.TICKETS_READ, gives={200: Comparison}, problems=(Kind.NOT_FOUND,)),
)
async def show_shadow(request: Call) -> ASGIResponse:
    """Compare the candidate with the policy in force, on the tickets on which it is tried."""
    async with dependencies.of(request).pool.acquire() as connection:
        found = await shadow.show(connection, request.user.tenant)
    if found is None:
        raise _none()
    return answers.json(found)


@delete(
    "/v1/policy/shadow",
    opt=operation(Scope.POLICY_WRITE, gives={204: None}, problems=(Kind.NOT_FOUND,)),
    status_code=200,
)  # it answers 204 itself
async def stop_shadow(request: Call) -> ASGIResponse:
    """Try the candidate no more, and forget what it made of tickets."""
    async with dependencies.of(request).pool.acquire() as connection:
        is_stopped = await shadow.stop(connection, request.user.tenant)
    if not is_stopped:
        raise _none()
    return answers.empty()


ROUTES: tuple[HTTPRouteHandler, ...] = (start_shadow, show_shadow, stop_shadow)


def _none() -> Refused:
    return Refused(Kind.NOT_FOUND, "no candidate is tried: PUT /v1/policy/shadow starts one")
