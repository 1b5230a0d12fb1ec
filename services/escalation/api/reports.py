"""`/v1/reports/paging`: how prompt paging was."""

from litestar import get
from litestar.response.base import ASGIResponse
from msgspec import Struct, field

from services.escalation import reporting
from services.escalation.api import dependencies
from services.escalation.domain.promptness import Promptness
from shared.contract.access import Scope
from shared.contract.problems import FieldError
from shared.contract.questions import UnclearQuestion
from shared.web import answers, bodies, instants
from shared.web.bodies import Call
from shared.web.instants import InstantText
from shared.web.operations import operation


class PagingQuery(Struct, frozen=True, kw_only=True):
    """Which pages."""

    since: InstantText | None = field(name="from", default=None)
    """RFC 3339 with an offset; seven days before the end, if absent."""
    until: InstantText | None = field(name="to", default=None)
    """Pages stored then are left out; now, if absent."""


@get("/v1/reports/paging", opt=operation(Scope.TICKETS_READ, query=PagingQuery, gives={200: Promptness}))
async def report_paging(request: Call) -> ASGIResponse:
    """How long pages took, stage by stage, and whether the objective was met, from the page ledger.

    The objective: 99 of 100 pages are tried within two seconds after somebody had to be told. What a person's
    quiet hours or a provider held back is counted apart (`deferred`), and so is what went another way after a failure.
    """
    wanted = bodies.query(request, PagingQuery)
    since, until = instants.read("from", wanted.since), instants.read("to", wanted.until)
    try:
        async with dependencies.of(request).pool.acquire() as connection:
            found = await reporting.paging(connection, request.user.tenant, since, until)
    except UnclearQuestion as wrong:
        raise bodies.invalid((FieldError(parameter=wrong.parameter, detail=str(wrong)),)) from None
    return answers.json(found)
