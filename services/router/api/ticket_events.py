"""`POST /v1/tickets/{id}/events`: one thing that happened to a ticket, as a CloudEvent or in short."""

from typing import Any
from urllib.parse import unquote
from uuid import UUID

import msgspec
from litestar import post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Struct

from services.router import views
from services.router.api import dependencies
from services.router.api.tickets import not_found
from services.router.views import Identity, TicketView
from shared import ids
from shared.contract.access import Scope
from shared.contract.events import KINDS, Instant, Name, Opened, ShortText, TicketEvent, Told
from shared.contract.problems import FieldError
from shared.web import answers, bodies
from shared.web.bodies import Call
from shared.web.operations import Example, operation

_PREFIX = "ticket."


class NewEvent(Struct, frozen=True, kw_only=True):
    """One event of the ticket in the address: a CloudEvent, or just `type` and `data`."""

    type: ShortText
    """`ticket.replied`, `ticket.status_changed`, `ticket.updated`, `ticket.assigned`, `ticket.feedback` or `ticket.opened`."""
    data: dict[str, Any] = {}
    id: Name | None = None
    """The same id again is the same event; without one, every call is a new event."""
    time: Instant | None = None
    """When it happened; now, if absent here and in `data`."""
    subject: Name | None = None
    """If given, the helpdesk's id of this ticket."""
    specversion: str = "1.0"


class _Attributes(Struct, frozen=True, kw_only=True):
    """The same with `data` unread."""

    type: ShortText
    data: msgspec.Raw = msgspec.Raw(b"{}")
    id: Name | None = None
    time: Instant | None = None
    subject: Name | None = None


_REPLIED = Example(
    name="an agent answered", body={"type": "ticket.replied", "id": "881-2", "data": {"by": "agent", "public": True}}
)
_SOLVED = Example(
    name="it is solved", body={"type": "ticket.status_changed", "id": "881-3", "data": {"status": "solved"}}
)
_HEADERS = {
    "ce-type": "binary mode: the type; then the body is the `data`",
    "ce-id": "binary mode: the event's id",
    "ce-time": "binary mode: when it happened",
}


@post(
    "/v1/tickets/{ticket_id:uuid}/events",
    opt=operation(
        Scope.TICKETS_WRITE,
        takes=NewEvent,
        gives={200: TicketView},
        headers=_HEADERS,
        examples=(_REPLIED, _SOLVED),
    ),
)
async def add_event(request: Call, ticket_id: FromPath[UUID]) -> ASGIResponse:
    """Say what happened to a ticket.

    Answers once it is stored, with the ticket as it is then; an id that is known already changes nothing.
    """
    deps = dependencies.of(request)
    tenant = request.user.tenant
    attributes = await _read(request)
    at = "#" if _is_binary(request) else "#/data"
    data = _data(attributes, at)
    async with deps.pool.acquire() as connection:
        identity = await views.load_identity(connection, tenant, ticket_id)
    if identity is None:
        raise not_found(ticket_id)
    [receipt] = await deps.intake.submit([_event(tenant, attributes, data, identity, at)])
    if receipt.rejected is not None:
        raise bodies.invalid((FieldError(pointer="#", detail=str(receipt.rejected)),))
    view = await deps.views.load(tenant, ticket_id)
    if view is None:
        raise not_found(ticket_id)
    return answers.json(view)


def _is_binary(call: Call) -> bool:
    return "ce-type" in call.headers


async def _read(call: Call) -> _Attributes:
    """The event's attributes, from the body (structured mode, or in short) or from the `ce-` headers (binary mode)."""
    if not _is_binary(call):
        return await bodies.read(call, _Attributes)
    bodies.require_json(bodies.media_type(call))
    raw = await bodies.read_bytes(call)
    given = {name: unquote(call.headers[f"ce-{name}"]) for name in _NAMES if f"ce-{name}" in call.headers}
    bodies.decode(raw or b"{}", dict[str, Any])
    encoded = msgspec.json.encode({**given, "data": msgspec.Raw(raw or b"{}")})
    return bodies.decode(encoded, _Attributes)


_NAMES = ("type", "id", "time", "subject")


def _data(attributes: _Attributes, at: str) -> Told:
    kind = attributes.type.removeprefix(_PREFIX)
    struct = KINDS.get(kind)
    if struct is None or kind == attributes.type:
        known = ", ".join(f"{_PREFIX}{name}" for name in KINDS)
        raise bodies.invalid((FieldError(pointer="#/type", detail=f"is not known; known are {known}"),))
    return bodies.decode(bytes(attributes.data), struct, at)


def _event(tenant: str, attributes: _Attributes, data: Told, identity: Identity, at: str) -> TicketEvent:
    if attributes.subject not in {None, identity.external_id}:
        detail = f"is not this ticket's: {identity.external_id!r}; leave it out, or send the event to the other ticket"
        raise bodies.invalid((FieldError(pointer="#/subject", detail=detail),))
    said_at = data.opened_at if isinstance(data, Opened) else data.at
    if said_at:
        occurred_at = bodies.in_utc(said_at, f"{at}/opened_at" if isinstance(data, Opened) else f"{at}/at")
    else:
        occurred_at = bodies.in_utc(attributes.time, "#/time") if attributes.time else identity.now
    return TicketEvent(
        tenant=tenant,
        id=attributes.id or f"http:{ids.uuid7(identity.now)}",
        source=identity.source,
        ticket=identity.external_id,
        occurred_at=occurred_at,
        data=data,
    )
