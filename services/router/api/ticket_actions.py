"""`POST /v1/tickets/{id}/accept|decline|release`: what agents say of a ticket that they have, or are offered.

The same as the events `ticket.accepted`, `ticket.declined` and `ticket.released`, but one that doesn't fit answers 409.
"""

from collections.abc import Callable
from uuid import UUID

from litestar import post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Struct

from services.router import views
from services.router.api import dependencies
from services.router.api.tickets import not_found
from services.router.domain.tenure import State
from services.router.views import TicketView
from shared import ids
from shared.contract.access import Scope
from shared.contract.events import Accepted, Declined, Name, Released, ShortText, TicketEvent, Told
from shared.contract.problems import FieldError, Kind, Refused
from shared.web import answers, bodies
from shared.web.bodies import Call
from shared.web.operations import Example, operation


class AgentSays(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which agent says it."""

    agent: Name
    """Key of the agent."""


class AgentSaysWhy(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which agent says it, and why."""

    agent: Name
    """Key of the agent."""
    reason: ShortText = ""
    """Stands in the ticket's log."""


_ANA = Example(name="ana takes it", body=AgentSays(agent="ana"))
_BUSY = Example(name="ana can't", body=AgentSaysWhy(agent="ana", reason="about to leave"))


@post(
    "/v1/tickets/{ticket_id:uuid}/accept",
    opt=operation(
        Scope.TICKETS_WRITE,
        Scope.AGENTS_WRITE,
        takes=AgentSays,
        gives={200: TicketView},
        problems=(Kind.CONFLICT,),
        examples=(_ANA,),
    ),
)
async def accept(request: Call, ticket_id: FromPath[UUID]) -> ASGIResponse:
    """Take the ticket that is offered to an agent; from now on they own it.

    Answers 200 also where they own it already, and 409 where the offer has lapsed or somebody else has it.
    """
    said = await bodies.read(request, AgentSays)
    return await _say(request, ticket_id, said.agent, Accepted(agent=said.agent), _not_accepted)


@post(
    "/v1/tickets/{ticket_id:uuid}/decline",
    opt=operation(
        Scope.TICKETS_WRITE,
        Scope.AGENTS_WRITE,
        takes=AgentSaysWhy,
        gives={200: TicketView},
        problems=(Kind.CONFLICT,),
        examples=(_BUSY,),
    ),
)
async def decline(request: Call, ticket_id: FromPath[UUID]) -> ASGIResponse:
    """Don't take the ticket that is offered to an agent: it goes to somebody else, and not to them again in this cycle."""
    said = await bodies.read(request, AgentSaysWhy)
    data = Declined(agent=said.agent, reason=said.reason)
    return await _say(request, ticket_id, said.agent, data, _not_declined)


@post(
    "/v1/tickets/{ticket_id:uuid}/release",
    opt=operation(
        Scope.TICKETS_WRITE,
        Scope.AGENTS_WRITE,
        takes=AgentSaysWhy,
        gives={200: TicketView},
        problems=(Kind.CONFLICT,),
        examples=(_BUSY,),
    ),
)
async def release(request: Call, ticket_id: FromPath[UUID]) -> ASGIResponse:
    """Give back a ticket that an agent has: it waits again with the age it has, and doesn't come back to them in this cycle."""
    said = await bodies.read(request, AgentSaysWhy)
    data = Released(agent=said.agent, reason=said.reason)
    return await _say(request, ticket_id, said.agent, data, _not_released)


async def _say(
    request: Call, ticket_id: UUID, agent: str, data: Told, why_not: Callable[[TicketView, str], str]
) -> ASGIResponse:
    deps = dependencies.of(request)
    tenant = request.user.tenant
    async with deps.pool.acquire() as connection:
        identity = await views.load_identity(connection, tenant, ticket_id)
    if identity is None:
        raise not_found(ticket_id)
    event = TicketEvent(
        tenant=tenant,
        id=f"http:{ids.uuid7(identity.now)}",
        source=identity.source,
        ticket=identity.external_id,
        occurred_at=identity.now,
        data=data,
    )
    [receipt] = await deps.intake.submit([event])
    if receipt.rejected is not None:
        raise bodies.invalid((FieldError(pointer="#", detail=str(receipt.rejected)),))
    view = await deps.views.load(tenant, ticket_id)
    if view is None:
        raise not_found(ticket_id)
    if receipt.is_moot:
        raise Refused(Kind.CONFLICT, why_not(view, agent))
    return answers.json(view)


def _not_accepted(view: TicketView, agent: str) -> str:
    found = view.assignment
    if found is not None and found.agent == agent and found.state == State.OFFERED and found.offered_until is not None:
        return f"the offer to {agent} lapsed at {found.offered_until.isoformat()}; {_BY_HAND}"
    return f"{_present(view)}, so {agent} can't accept it; {_BY_HAND}"


def _not_declined(view: TicketView, agent: str) -> str:
    found = view.assignment
    if found is not None and found.agent == agent and found.state != State.OFFERED:
        return f"{agent} owns it already; give it back with POST /v1/tickets/{view.id}/release"
    return f"{_present(view)}, so there is nothing for {agent} to decline"


def _not_released(view: TicketView, agent: str) -> str:
    found = view.assignment
    if found is not None and found.agent == agent and found.state == State.OFFERED:
        return f"it is only offered to {agent}; decline it with POST /v1/tickets/{view.id}/decline"
    return f"{_present(view)}, so there is nothing for {agent} to give back"


_BY_HAND = "an event `ticket.assigned` gives an open ticket to anybody by hand"


def _present(view: TicketView) -> str:
    """Whose the ticket is now."""
    found = view.assignment
    if found is None:
        return f"the ticket is {view.status}" if view.queue is None else "the ticket waits in the queue"
    if found.state == State.OFFERED:
        return f"the ticket is offered to {found.agent}"
    return f"{found.agent} owns the ticket"
