"""`/v1/agents`: who there is, how much they have, and whether they are there."""

from typing import Annotated

from litestar import get, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct

from services.router.agents import Agents
from services.router.store.agents import AgentStatus, AgentView
from shared.contract.access import Scope
from shared.contract.problems import Kind, Refused
from shared.web import answers, bodies, cursors
from shared.web.bodies import Call
from shared.web.operations import Example, operation

STATE = "agents"
"""Where the application keeps its `Agents`."""


class AgentQuery(Struct, frozen=True, kw_only=True):
    """How many agents at a time, and from where."""

    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=1_000)] | None = None


class AgentPage(Struct, frozen=True, kw_only=True):
    """Some agents, in the order of their keys."""

    agents: list[AgentView]
    next_cursor: str | None
    """Send it as `cursor` for the agents after these; null at the end."""


class NewStatus(Struct, frozen=True, kw_only=True):
    """Whether an agent is there."""

    status: AgentStatus


@get("/v1/agents", opt=operation(Scope.TICKETS_READ, Scope.AGENTS_WRITE, query=AgentQuery, gives={200: AgentPage}))
async def list_agents(request: Call) -> ASGIResponse:
    """Agents with their skills, their state and their load, a page at a time."""
    wanted = bodies.query(request, AgentQuery)
    after = _read_cursor(wanted.cursor) if wanted.cursor else ""
    found = await _agents(request).list(request.user.tenant, after=after, limit=wanted.limit + 1)
    page = found[: wanted.limit]
    next_cursor = cursors.encode(page[-1].key.encode()) if len(found) > len(page) else None
    return answers.json(AgentPage(agents=page, next_cursor=next_cursor))


@get("/v1/agents/{key:str}", opt=operation(Scope.TICKETS_READ, Scope.AGENTS_WRITE, gives={200: AgentView}))
async def get_agent(request: Call, key: FromPath[str]) -> ASGIResponse:
    """One agent."""
    agent = await _agents(request).find(request.user.tenant, key)
    if agent is None:
        raise _not_found(key)
    return answers.json(agent)


@put(
    "/v1/agents/{key:str}/presence",
    opt=operation(
        Scope.AGENTS_WRITE,
        takes=NewStatus,
        gives={200: AgentView},
        examples=(Example(name="good morning", body=NewStatus(status=AgentStatus.ONLINE)),),
    ),
)
async def set_presence(request: Call, key: FromPath[str]) -> ASGIResponse:
    """Say whether an agent is there; it holds until it is changed.

    Who comes online is given what waits for them before this answers. Who goes keeps what they have.
    """
    wanted = await bodies.read(request, NewStatus)
    agent = await _agents(request).set_status(request.user.tenant, key, wanted.status)
    if agent is None:
        raise _not_found(key)
    return answers.json(agent)


ROUTES: tuple[HTTPRouteHandler, ...] = (list_agents, get_agent, set_presence)


def _agents(call: Call) -> Agents:
    found: Agents = call.app.state[STATE]
    return found


def _not_found(key: str) -> Refused:
    return Refused(Kind.NOT_FOUND, f"there is no agent {key[:100]!r} on the roster; GET /v1/agents lists them by key")


def _read_cursor(cursor: str) -> str:
    try:
        key = cursors.decode(cursor).decode()
    except UnicodeDecodeError:
        raise cursors.unknown() from None
    if "\0" in key:
        raise cursors.unknown()
    return key
