"""`POST /v1/escalations/{id}/escalate`: the next level, now."""

from typing import Annotated
from uuid import UUID

from litestar import post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct

from services.escalation.api import dependencies
from services.escalation.raising import NotNow, Raised, Seen
from shared.contract.access import Scope
from shared.contract.events import Name
from shared.contract.problems import Kind, Refused
from shared.web import answers, bodies
from shared.web.bodies import Call
from shared.web.operations import operation


class SendUp(Struct, frozen=True, kw_only=True):
    """Who sends it up, why, and where it stood when they looked."""

    seen: Seen
    by: Name
    reason: Annotated[str, Meta(max_length=500)] = ""


@post(
    "/v1/escalations/{escalation_id:uuid}/escalate",
    opt=operation(Scope.TICKETS_WRITE, takes=SendUp, gives={200: Raised}, problems=(Kind.CONFLICT,)),
)
async def send_up(request: Call, escalation_id: FromPath[UUID]) -> ASGIResponse:
    """Page the next level now; one that somebody had acknowledged goes on there, as a new generation.

    409: it is over, or went on since you looked. Nothing was changed then.
    """
    body = await bodies.read(request, SendUp)
    raising = dependencies.of(request).raising
    done = raising and await raising.send_up(
        request.user.tenant, escalation_id, body.seen, by=body.by, said=body.reason
    )
    if done is None:
        raise Refused(Kind.NOT_FOUND, f"there is no escalation {escalation_id}; GET /v1/escalations lists them")
    if isinstance(done, NotNow):
        raise Refused(Kind.CONFLICT, done.detail)
    return answers.json(done)
