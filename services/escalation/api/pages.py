"""Pages over HTTP: the ledger of who was told what, when."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from litestar import get
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct

from services.escalation.api import cursors, dependencies
from services.escalation.store import reading
from services.escalation.store.reading import PageView
from shared.contract.access import Scope
from shared.web import answers, bodies
from shared.web.bodies import Call
from shared.web.operations import operation


class PageState(StrEnum):
    """Where a page stands."""

    PENDING = "pending"
    SENDING = "sending"
    ACCEPTED = "accepted"
    FAILED = "failed"
    CANCELLED = "cancelled"


class PageQuery(Struct, frozen=True, kw_only=True):
    """Which pages, and how many at a time."""

    escalation: UUID | None = None
    state: PageState | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=100)] | None = None


class PageList(Struct, frozen=True, kw_only=True):
    """Some pages, the newest first."""

    pages: list[PageView]
    next_cursor: str | None
    """Send it as `cursor` for those after these; null at the end."""


@get("/v1/pages", opt=operation(Scope.TICKETS_READ, query=PageQuery, gives={200: PageList}))
async def list_pages(request: Call) -> ASGIResponse:
    """Pages, the newest first, a page at a time: due, committed, attempted, accepted, acknowledged."""
    wanted = bodies.query(request, PageQuery)
    async with dependencies.of(request).pool.acquire() as connection:
        found = await reading.list_pages(
            connection,
            request.user.tenant,
            escalation_id=wanted.escalation,
            state=wanted.state,
            after=cursors.read(wanted.cursor),
            limit=wanted.limit + 1,
        )
    shown = found[: wanted.limit]
    following = cursors.write(shown[-1].committed_at, shown[-1].id) if len(found) > len(shown) else None
    return answers.json(PageList(pages=shown, next_cursor=following))
