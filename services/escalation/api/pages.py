"""Pages over HTTP: the ledger of who was told what, when."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from litestar import get
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct, field

from services.escalation.api import cursors, dependencies
from services.escalation.domain.ladder import Kind
from services.escalation.store import reading
from services.escalation.store.reading import AttemptView, PageFilter, PageView
from shared.contract import problems
from shared.contract.access import Scope
from shared.contract.events import Name
from shared.contract.problems import Refused
from shared.web import answers, bodies, instants
from shared.web.bodies import Call
from shared.web.instants import InstantText
from shared.web.operations import operation


class PageState(StrEnum):
    """Where a page stands."""

    PENDING = "pending"
    GROUPED = "grouped"
    """Not sent itself: a page about its group names it."""
    SENDING = "sending"
    ACCEPTED = "accepted"
    FAILED = "failed"
    CANCELLED = "cancelled"


class PageQuery(Struct, frozen=True, kw_only=True):
    """Which pages, and how many at a time."""

    escalation: UUID | None = None
    ticket: Name | None = None
    """The helpdesk's id of the ticket."""
    person: Name | None = None
    """Key of whom they were sent to."""
    method: Annotated[str, Meta(max_length=40)] | None = None
    state: PageState | None = None
    kind: Kind | None = None
    group: UUID | None = None
    since: InstantText | None = field(name="from", default=None)
    """Stored then or later: RFC 3339 with an offset."""
    until: InstantText | None = field(name="to", default=None)
    """Stored before then."""
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=100)] | None = None


class PageList(Struct, frozen=True, kw_only=True):
    """Some pages, the newest first."""

    pages: list[PageView]
    next_cursor: str | None
    """Send it as `cursor` for those after these; null at the end."""


class PageStory(Struct, frozen=True, kw_only=True):
    """A page with its attempts."""

    page: PageView
    attempts: list[AttemptView]


@get("/v1/pages", opt=operation(Scope.TICKETS_READ, query=PageQuery, gives={200: PageList}))
async def list_pages(request: Call) -> ASGIResponse:
    """The page ledger, the newest first: due, committed, attempted, accepted, delivered, acknowledged.

    Pages about a group (`summary`, `digest`), about Deskclock itself (`alarm`) and trials (`canary`) have no escalation.
    """
    wanted = bodies.query(request, PageQuery)
    only = PageFilter(
        escalation_id=wanted.escalation,
        ticket=wanted.ticket,
        person=wanted.person,
        method=wanted.method,
        state=wanted.state,
        kind=wanted.kind,
        group_id=wanted.group,
        since=instants.read("from", wanted.since),
        until=instants.read("to", wanted.until),
    )
    after = cursors.read(wanted.cursor)
    async with dependencies.of(request).pool.acquire() as connection:
        found = await reading.list_pages(connection, request.user.tenant, only, after=after, limit=wanted.limit + 1)
    shown = found[: wanted.limit]
    following = cursors.write(shown[-1].committed_at, shown[-1].id) if len(found) > len(shown) else None
    return answers.json(PageList(pages=shown, next_cursor=following))


@get("/v1/pages/{page_id:uuid}", opt=operation(Scope.TICKETS_READ, gives={200: PageStory}))
async def get_page(request: Call, page_id: FromPath[UUID]) -> ASGIResponse:
    """One page with each attempt to send it, and what the provider said."""
    async with dependencies.of(request).pool.acquire() as connection:
        only = PageFilter(id=page_id)
        found = await reading.list_pages(connection, request.user.tenant, only, after=None, limit=1)
        if not found:
            raise Refused(problems.Kind.NOT_FOUND, f"there is no page {page_id}; GET /v1/pages lists them")
        attempts = await reading.list_attempts(connection, [page_id])
    return answers.json(PageStory(page=found[0], attempts=attempts[page_id]))
