"""Agents in SQL, as people look at them and as they say whether they are there."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import msgspec
from msgspec import Struct

from services.router.store import QUERIES
from shared.policy.document import Presence
from shared.postgres.pool import Connection, Record


class AgentStatus(StrEnum):
    """What an agent says of being there; only `online` gets work."""

    ONLINE = "online"
    AWAY = "away"
    OFFLINE = "offline"


class AgentView(Struct, frozen=True, kw_only=True):
    """An agent, what they can do, and how much they have."""

    key: str
    name: str
    is_active: bool
    """False: no longer on the roster."""
    skills: dict[str, int]
    """Skill -> level, 1 to 5; 5 is best."""
    channels: Sequence[str]
    """Empty: on the roster to be paged only."""
    capacity: int
    presence: Presence
    status: AgentStatus
    lead: str | None
    real_time_units: int
    """Units of capacity that work takes which needs them now."""
    interruptible_units: int
    is_over_capacity: bool
    """Somebody gave them more by hand than they can take."""
    last_assigned_at: datetime | None


_decode_skills = msgspec.json.Decoder(dict[str, int]).decode


async def list_agents(connection: Connection, tenant: str, after: str, limit: int) -> list[AgentView]:
    """Agents in the order of their keys, from after the key `after`."""
    return [_view(row) for row in await connection.fetch(QUERIES["list_agents"], tenant, after, limit)]


async def load_agent(connection: Connection, tenant: str, key: str) -> AgentView | None:
    """One agent."""
    row = await connection.fetchrow(QUERIES["load_agent"], tenant, key)
    return _view(row) if row else None


async def save_status(connection: Connection, tenant: str, key: str, status: AgentStatus) -> AgentView | None:
    """Store whether an agent is there; None where nobody of that key is on the roster."""
    row = await connection.fetchrow(QUERIES["save_status"], tenant, key, status)
    return _view(row) if row else None


def _view(row: Record) -> AgentView:
    return AgentView(
        key=row["key"],
        name=row["name"],
        is_active=row["active"],
        skills=_decode_skills(row["skills"]),
        channels=row["channels"],
        capacity=row["capacity"],
        presence=Presence(row["presence"]),
        status=AgentStatus(row["status"]),
        lead=row["lead"],
        real_time_units=row["primary_used"],
        interruptible_units=row["interruptible_used"],
        is_over_capacity=row["over_capacity"],
        last_assigned_at=row["last_assigned_at"],
    )
