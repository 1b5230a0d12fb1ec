"""`/v1/tickets`: hand a ticket in, tell what happened to it, see who has it and what was promised."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from litestar import get, post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct

from services.router.api import dependencies
from services.router.api.dependencies import Dependencies
from services.router.recording import Receipt
from services.router.views import Filter, TicketView, list_views
from shared.contract.access import Scope
from shared.contract.events import Instant, LongText, Name, Opened, Rejected, Requester, ShortText, TicketEvent
from shared.contract.problems import FieldError, Kind, Problem, Refused
from shared.contract.tickets import Status, Urgency
from shared.postgres import time as database_time
from shared.web import answers, bodies, cursors
from shared.web.bodies import Call
from shared.web.operations import Example, operation

MOST_IN_A_BATCH = 1_000
_UUID_BYTES = 16


class NewTicket(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A ticket as the helpdesk hands it in; what is unknown is ignored."""

    source: Name
    """The helpdesk, by a name of its own: `zendesk`, `shop-mail`, ..."""
    external_id: Name
    """The helpdesk's id of the ticket; handing the same in again changes nothing."""
    channel: ShortText
    """How the customer wrote, in the helpdesk's words: the policy's aliases make it one of ours."""
    subject: ShortText = ""
    text: LongText = ""
    language: Annotated[str, Meta(max_length=35)] | None = None
    requester: Requester = Requester()
    attributes: dict[str, Any] = {}
    """Whatever else the policy's rules look at."""
    urgency: Urgency | None = None
    """At least this urgent; the rules may raise it."""
    team: Name | None = None
    """The team that begins with it."""
    opened_at: Instant | None = None
    """When the customer wrote; now, if absent."""


class NewTickets(Struct, frozen=True, kw_only=True):
    """Many tickets at once."""

    tickets: Annotated[list[NewTicket], Meta(min_length=1, max_length=MOST_IN_A_BATCH)]


class Taken(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one ticket of a batch."""

    status: int
    """201: new; 200: it was there already; 422: see `problem`."""
    ticket: TicketView | None = None
    problem: Problem | None = None


class TakenTickets(Struct, frozen=True, kw_only=True):
    """One entry for each ticket, in the order in which they were sent."""

    tickets: list[Taken]


class TicketQuery(Struct, frozen=True, kw_only=True):
    """Which tickets, and how many at a time."""

    source: Name | None = None
    external_id: Name | None = None
    status: Status | None = None
    owner: Name | None = None
    offered_to: Name | None = None
    """Key of an agent who is asked whether they take them."""
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=100)] | None = None


class TicketPage(Struct, frozen=True, kw_only=True):
    """Some tickets, the newest first."""

    tickets: list[TicketView]
    next_cursor: str | None
    """Send it as `cursor` for the tickets after these; null at the end."""


_EXAMPLE = Example(
    name="a first ticket",
    body=NewTicket(
        source="shop-mail",
        external_id="881",
        channel="email",
        subject="Charged twice",
        text="You took the money for order 17 two times.",
        language="en",
        requester=Requester(key="c-17", tier="gold"),
    ),
)


@post(
    "/v1/tickets",
    opt=operation(Scope.TICKETS_WRITE, takes=NewTicket, gives={201: TicketView, 200: TicketView}, examples=(_EXAMPLE,)),
)
async def create_ticket(request: Call) -> ASGIResponse:
    """Hand in a ticket and learn who has it.

    Answers once it is stored and matched: the owner or the place in the queue, and every due time. The same source and
    external id again answer 200 with the ticket as it is.
    """
    deps = dependencies.of(request)
    ticket = await bodies.read(request, NewTicket)
    now = ticket.opened_at or await _now(deps)
    [receipt] = await deps.intake.submit([_event(request.user.tenant, ticket, now)])
    view = await _view_of(deps, request.user.tenant, receipt)
    status = 201 if receipt.is_new_ticket else 200
    return answers.json(view, status, {"location": f"/v1/tickets/{view.id}"})


@post("/v1/tickets:batch", opt=operation(Scope.TICKETS_WRITE, takes=NewTickets, gives={200: TakenTickets}))
async def create_tickets(request: Call) -> ASGIResponse:
    """Hand in up to 1,000 tickets.

    Where a field of any of them is wrong, nothing is stored and all errors are listed. Else each has an answer of its own.
    """
    deps = dependencies.of(request)
    tenant = request.user.tenant
    tickets = (await bodies.read(request, NewTickets)).tickets
    taken: list[Taken] = []
    now = await _now(deps)
    events = [_event(tenant, ticket, now, f"#/tickets/{index}") for index, ticket in enumerate(tickets)]
    for receipt in await deps.intake.submit(events):
        if receipt.rejected is not None:
            taken.append(Taken(status=422, problem=_rejected(receipt.rejected).problem))
        else:
            view = await _view_of(deps, tenant, receipt)
            taken.append(Taken(status=201 if receipt.is_new_ticket else 200, ticket=view))
    return answers.json(TakenTickets(tickets=taken))


@get("/v1/tickets/{ticket_id:uuid}", opt=operation(Scope.TICKETS_READ, gives={200: TicketView}))
async def get_ticket(request: Call, ticket_id: FromPath[UUID]) -> ASGIResponse:
    """One ticket."""
    view = await dependencies.of(request).views.load(request.user.tenant, ticket_id)
    if view is None:
        raise not_found(ticket_id)
    return answers.json(view)


@get("/v1/tickets", opt=operation(Scope.TICKETS_READ, query=TicketQuery, gives={200: TicketPage}))
async def list_tickets(request: Call) -> ASGIResponse:
    """Tickets, the newest first, a page at a time."""
    wanted = bodies.query(request, TicketQuery)
    before = _read_cursor(wanted.cursor) if wanted.cursor else None
    chosen = Filter(
        source=wanted.source,
        external_id=wanted.external_id,
        status=wanted.status,
        owner=wanted.owner,
        offered_to=wanted.offered_to,
        before=before,
    )
    async with dependencies.of(request).pool.acquire() as connection:
        found = await list_views(connection, request.user.tenant, chosen, wanted.limit + 1)
    page = found[: wanted.limit]
    has_more = len(found) > len(page)
    return answers.json(TicketPage(tickets=page, next_cursor=cursors.encode(page[-1].id.bytes) if has_more else None))


def not_found(ticket_id: UUID) -> Refused:
    """The answer for a ticket that is not there, or is another tenant's: nobody can tell which."""
    return Refused(
        Kind.NOT_FOUND, f"there is no ticket {ticket_id}; GET /v1/tickets?external_id= finds one by the helpdesk's id"
    )


def _rejected(rejected: Rejected) -> Refused:
    """The answer where intake could not use an event."""
    return bodies.invalid((FieldError(pointer="#", detail=str(rejected)),))


async def _now(deps: Dependencies) -> datetime:
    async with deps.pool.acquire() as connection:
        return await database_time.now(connection)


def _event(tenant: str, ticket: NewTicket, now: datetime, at: str = "#") -> TicketEvent:
    """The ticket's first event; its id follows from the ticket's, so that handing it in again adds nothing."""
    occurred_at = bodies.in_utc(ticket.opened_at or now, f"{at}/opened_at")
    return TicketEvent(
        tenant=tenant,
        id=f"opened:{len(ticket.source)}:{ticket.source}:{ticket.external_id}",
        source=ticket.source,
        ticket=ticket.external_id,
        occurred_at=occurred_at,
        data=Opened(
            channel=ticket.channel,
            subject=ticket.subject,
            text=ticket.text,
            language=ticket.language,
            requester=ticket.requester,
            attributes=ticket.attributes,
            urgency=ticket.urgency,
            team=ticket.team,
            opened_at=ticket.opened_at,
        ),
    )


async def _view_of(deps: Dependencies, tenant: str, receipt: Receipt) -> TicketView:
    if receipt.rejected is not None:
        raise _rejected(receipt.rejected)
    view = await deps.views.load(tenant, receipt.ticket_id) if receipt.ticket_id else None
    if view is None:
        raise Refused(Kind.CONFLICT, "the ticket was stored, but is gone: send it again")
    return view


def _read_cursor(cursor: str) -> UUID:
    place = cursors.decode(cursor)
    if len(place) != _UUID_BYTES:
        raise cursors.unknown()
    return UUID(bytes=place)
