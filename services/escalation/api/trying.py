"""Pages that people ask for over HTTP: a canary to try somebody's contacts, and a page that was given up, tried anew."""

from typing import Annotated
from uuid import UUID

from litestar import post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct

from services.escalation.api import dependencies
from services.escalation.delivery import trying
from services.escalation.delivery.trying import Moot, Nobody, Tested
from services.escalation.store.trying import Dead
from shared.contract.access import Scope
from shared.contract.events import Name
from shared.contract.problems import FieldError, Kind, Refused
from shared.web import answers, bodies
from shared.web.bodies import Call
from shared.web.operations import Example, operation


class Trial(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whose contacts are tried."""

    recipient: Annotated[Name, Meta(description="As the policy writes it, as in `on-call/support`; or a person's key.")]
    first: bool = False
    """By their first contact alone."""


_ON_CALL = Example(name="whoever is on call", body=Trial(recipient="on-call/support"))


@post(
    "/v1/pages/test",
    opt=operation(
        Scope.POLICY_WRITE, takes=Trial, gives={202: Tested}, problems=(Kind.UNAVAILABLE,), examples=(_ON_CALL,)
    ),
)
async def try_recipient(request: Call) -> ASGIResponse:
    """Send a test page by every contact of whoever a recipient is now; it says that nothing is broken, and has a link to confirm.

    PagerDuty and Jira Service Management open something for it, which you close there.
    """
    body = await bodies.read(request, Trial)
    use_case = dependencies.of(request).trying
    if use_case is None:
        raise Refused(Kind.UNAVAILABLE, "this process sends no pages: ask escalation itself")
    try:
        tested = await use_case.test(request.user.tenant, body.recipient, first=body.first)
    except Nobody as error:
        raise bodies.invalid((FieldError(pointer="#/recipient", detail=str(error)),)) from None
    return answers.json(tested, 202)


@post(
    "/v1/pages/{page_id:uuid}/replay",
    opt=operation(Scope.POLICY_WRITE, gives={202: Dead}, problems=(Kind.CONFLICT,)),
)
async def replay_page(request: Call, page_id: FromPath[UUID]) -> ASGIResponse:
    """Try a page that was given up anew, under the same id: a provider that has it already drops it.

    409 where it was not given up, or nobody needs it any more.
    """
    async with dependencies.of(request).pool.acquire() as connection:
        try:
            page = await trying.replay(connection, request.user.tenant, page_id)
        except Moot as error:
            raise Refused(Kind.CONFLICT, str(error)) from None
    if page is None:
        raise Refused(Kind.NOT_FOUND, f"there is no page {page_id}; GET /v1/pages?state=failed lists those given up")
    return answers.json(page, 202)
