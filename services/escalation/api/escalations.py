"""Escalations over HTTP: which there are, and how each one went."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from litestar import get
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct

from services.escalation.api import cursors, dependencies
from services.escalation.api.pages import PageStory
from services.escalation.store import answers as answers_store
from services.escalation.store import reading
from services.escalation.store.answers import Given
from services.escalation.store.reading import EscalationView, PageFilter
from shared.contract.access import Scope
from shared.contract.events import Name
from shared.contract.problems import Kind, Refused
from shared.web import answers, bodies
from shared.web.bodies import Call
from shared.web.operations import operation

_PAGES = 500


class EscalationState(StrEnum):
    """Where an escalation stands."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    EXHAUSTED = "exhausted"
    RESOLVED = "resolved"


class EscalationQuery(Struct, frozen=True, kw_only=True):
    """Which escalations, and how many at a time."""

    state: EscalationState | None = None
    ticket: Name | None = None
    """The helpdesk's id of the ticket."""
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=100)] | None = None


class EscalationList(Struct, frozen=True, kw_only=True):
    """Some escalations, the newest first."""

    escalations: list[EscalationView]
    next_cursor: str | None
    """Send it as `cursor` for those after these; null at the end."""


class EscalationStory(Struct, frozen=True, kw_only=True):
    """An escalation with its pages, the newest first."""

    escalation: EscalationView
    pages: list[PageStory]
    answers: list[Given]
    """What people answered, the newest first."""


@get("/v1/escalations", opt=operation(Scope.TICKETS_READ, query=EscalationQuery, gives={200: EscalationList}))
async def list_escalations(request: Call) -> ASGIResponse:
    """Escalations, the newest first, a page at a time."""
    wanted = bodies.query(request, EscalationQuery)
    async with dependencies.of(request).pool.acquire() as connection:
        found = await reading.list_escalations(
            connection,
            request.user.tenant,
            state=wanted.state,
            ticket=wanted.ticket,
            after=cursors.read(wanted.cursor),
            limit=wanted.limit + 1,
        )
    shown = found[: wanted.limit]
    following = cursors.write(shown[-1].opened_at, shown[-1].id) if len(found) > len(shown) else None
    return answers.json(EscalationList(escalations=shown, next_cursor=following))


@get("/v1/escalations/{escalation_id:uuid}", opt=operation(Scope.TICKETS_READ, gives={200: EscalationStory}))
async def get_escalation(request: Call, escalation_id: FromPath[UUID]) -> ASGIResponse:
    """One escalation: whom it paged, how, and what came of each attempt."""
    tenant = request.user.tenant
    async with dependencies.of(request).pool.acquire() as connection:
        found = await reading.get_escalation(connection, tenant, escalation_id)
        if found is None:
            raise not_found(escalation_id)
        sent = await reading.list_pages(
            connection, tenant, PageFilter(escalation_id=escalation_id), after=None, limit=_PAGES
        )
        attempts = await reading.list_attempts(connection, [page.id for page in sent])
        _, given = await answers_store.list_story(connection, escalation_id, _PAGES)
    stories = [PageStory(page=page, attempts=attempts[page.id]) for page in sent]
    return answers.json(EscalationStory(escalation=found, pages=stories, answers=given))


def not_found(escalation_id: UUID) -> Refused:
    """What an unknown id answers."""
    return Refused(Kind.NOT_FOUND, f"there is no escalation {escalation_id}; GET /v1/escalations lists them")
