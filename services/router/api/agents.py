"""`/v1/agents`: who there is, how much they have, and whether they are there."""

from datetime import datetime
from typing import Annotated

from litestar import get, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct

from services.router.agents import HEARTBEAT, Agents
from services.router.store.agents import AgentStatus, AgentView
from shared.contract.access import Scope
from shared.contract.problems import Kind, Refused
from shared.contract.tickets import Channel
from shared.policy.document import Presence
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


class NewStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether an agent is there, and for what."""

    status: AgentStatus
    closed_channels: Annotated[list[Channel], Meta(max_length=50)] | None = None
    """Channels they don't take just now; absent or null: as it was."""


class Lease(Struct, frozen=True, kw_only=True):
    """What a heartbeat came to."""

    status: AgentStatus
    """What they say of themselves; only `online` gets work."""
    present_until: datetime
    """When they count as gone, unless a heartbeat comes before."""
    beat_again_seconds: int


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
        examples=(
            Example(name="good morning", body=NewStatus(status=AgentStatus.ONLINE)),
            Example(
                name="no chats for now",
                body=NewStatus(status=AgentStatus.ONLINE, closed_channels=[Channel.LIVE_CHAT]),
            ),
        ),
    ),
)
async def set_presence(request: Call, key: FromPath[str]) -> ASGIResponse:
    """Say whether an agent is there, and for which channels; it holds until it is changed, or their next shift begins.

    Who comes online is given what waits for them before this answers. Offers to who goes, or of a channel they closed, go
    to somebody else. Who is `away` keeps what they have. Who is `offline` for longer than the policy's `routing.grace`
    keeps what can wait for them. Whose presence is known by shifts or heartbeats gets work only while these say so, too:
    `is_there` tells.
    """
    wanted = await bodies.read(request, NewStatus)
    agent = await _agents(request).set_status(request.user.tenant, key, wanted.status, wanted.closed_channels)
    if agent is None:
        raise _not_found(key)
    return answers.json(agent)


@post(
    "/v1/agents/{key:str}/heartbeat",
    status_code=200,
    opt=operation(Scope.AGENTS_WRITE, gives={200: Lease}, problems=(Kind.CONFLICT,)),
)
async def beat(request: Call, key: FromPath[str]) -> ASGIResponse:
    """Say that an agent with `presence: lease` is there; to be sent every 15 seconds, without a body.

    45 seconds after the last one they count as gone. Their status is another matter, which this doesn't change. Who was
    gone is given what waits for them before this answers.
    """
    found = await _agents(request).beat(request.user.tenant, key)
    if found is None:
        raise _not_found(key)
    if found.present_until is None:
        raise Refused(
            Kind.CONFLICT,
            f"the presence of {key[:100]!r} is known by {_KNOWN_BY[found.presence]}, so heartbeats say nothing; "
            "write `presence: lease` in the roster to use them",
        )
    return answers.json(
        Lease(
            status=found.status,
            present_until=found.present_until,
            beat_again_seconds=int(HEARTBEAT.total_seconds()),
        )
    )


ROUTES: tuple[HTTPRouteHandler, ...] = (list_agents, get_agent, set_presence, beat)
_KNOWN_BY = {Presence.MANUAL: "what is said of them (`manual`)", Presence.SHIFT: "their shifts (`shift`)"}


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
