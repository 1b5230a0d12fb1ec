"""`POST /v1/tickets/{id}/escalate`: somebody wants a lead to look at a ticket."""

from typing import Annotated
from uuid import UUID

from litestar import post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct

from services.router import escalating
from services.router.api import dependencies
from services.router.api.tickets import not_found
from services.router.escalating import Called, NotNow, Seen
from shared.contract.access import Scope
from shared.contract.events import Name
from shared.contract.problems import Kind, Refused
from shared.web import answers, bodies
from shared.web.bodies import Call
from shared.web.operations import Example, operation


class NewCall(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why somebody should look at the ticket, and who says so."""

    reason: Annotated[str, Meta(max_length=500)] = ""
    """Stands in the page, in one line."""
    by: Name | None = None
    """Key of a person on the roster, or the name of the system that asks."""
    seen: Seen | None = None
    """Where the escalation of this ticket stood when you looked: if it went on since, nothing is done (409)."""


_ANGRY = Example(name="a customer is about to leave", body=NewCall(reason="third complaint this week", by="ana"))


@post(
    "/v1/tickets/{ticket_id:uuid}/escalate",
    opt=operation(
        Scope.TICKETS_WRITE,
        takes=NewCall,
        gives={202: Called, 200: Called},
        problems=(Kind.CONFLICT,),
        examples=(_ANGRY,),
    ),
)
async def escalate(request: Call, ticket_id: FromPath[UUID]) -> ASGIResponse:
    """Call somebody to a ticket, by the ladder of its target line; answers who is paged and when.

    202: it begins now, or goes on at the next step where somebody had acknowledged before. 200: people are being told
    already, and nothing was changed. It ends with an acknowledgement, or when the ticket is over.
    """
    deps = dependencies.of(request)
    body = await bodies.read(request, NewCall)
    async with deps.pool.acquire() as connection:
        done = await escalating.escalate(
            connection, deps.shelf, request.user.tenant, ticket_id, by=body.by, said=body.reason, seen=body.seen
        )
    if done is None:
        raise not_found(ticket_id)
    if isinstance(done, NotNow):
        raise Refused(Kind.CONFLICT, done.detail)
    return answers.json(done, 202 if done.is_new else 200)
