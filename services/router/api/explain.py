"""`/v1/tickets/{id}/explain`: why every clock of a ticket stands as it does."""

from uuid import UUID

from litestar import get
from litestar.params import FromPath
from litestar.response.base import ASGIResponse

from services.router import explaining
from services.router.api import dependencies
from services.router.api.explain_example import EXAMPLE
from services.router.api.tickets import not_found
from shared.contract.access import Scope
from shared.sla.explaining.explained import Explanation
from shared.web import answers
from shared.web.bodies import Call
from shared.web.operations import operation


@get(
    "/v1/tickets/{ticket_id:uuid}/explain",
    opt=operation(Scope.TICKETS_READ, gives={200: Explanation}, answers=(EXAMPLE,)),
)
async def explain_ticket(request: Call, ticket_id: FromPath[UUID]) -> ASGIResponse:
    """Why every clock of a ticket stands as it does.

    For each: the line of the policy and why it matched, every interval that counted, was paused or closed, every change
    of the due time with its cause, and who had the ticket. Long histories are cut: `left_out` says by how much.
    """
    deps = dependencies.of(request)
    async with deps.pool.acquire() as connection:
        told = await explaining.explain_ticket(connection, deps.shelf, request.user.tenant, ticket_id)
    if told is None:
        raise not_found(ticket_id)
    return answers.json(told)
