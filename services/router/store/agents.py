"""Agents in SQL, as people look at them and as they say whether they are there."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec
from msgspec import Struct

from services.router.store import QUERIES
from shared.contract.tickets import Channel
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
    at_most: Mapping[Channel, int]
    """Tickets of a channel at a time, by the roster; for other channels the policy says."""
    pools: Sequence[str]
    """Whose tickets they take; empty: all."""
    presence: Presence
    calendar: str | None
    """Of their shifts."""
    status: AgentStatus
    """What they say."""
    closed_channels: Sequence[str]
    """What they don't take just now."""
    is_there: bool
    """They get work: they say so, and their shift or lease is on."""
    present_until: datetime | None
    """When the shift or the lease ends, or has ended; null for `manual`."""
    next_present_at: datetime | None
    """When their next shift begins; null where nobody knows."""
    lead: str | None
    held: Mapping[Channel, int]
    """Tickets they have or are offered, by channel, but for what is parked."""
    real_time_units: int
    """Units of capacity that work takes which needs them now."""
    interruptible_units: int
    is_over_capacity: bool
    """Somebody gave them more by hand than they can take."""
    last_assigned_at: datetime | None


class Beat(Struct, frozen=True, kw_only=True):
    """What a heartbeat found and did."""

    presence: Presence
    status: AgentStatus
    was_there: bool
    present_until: datetime | None
    """When the lease ends; None where they have none, so that nothing was done."""


_decode_skills = msgspec.json.Decoder(dict[str, int]).decode
_decode_tickets = msgspec.json.Decoder(dict[Channel, int]).decode


async def list_agents(connection: Connection, tenant: str, after: str, limit: int) -> list[AgentView]:
    """Agents in the order of their keys, from after the key `after`."""
    return [_view(row) for row in await connection.fetch(QUERIES["list_agents"], tenant, after, limit, None)]


async def load_agent(connection: Connection, tenant: str, key: str) -> AgentView | None:
    """One agent."""
    row = await connection.fetchrow(QUERIES["list_agents"], tenant, "", 1, key)
    return _view(row) if row else None


async def save_status(
    connection: Connection, tenant: str, key: str, status: AgentStatus, closed: Collection[Channel] | None
) -> bool:
    """Store what an agent says: whether they are there, and the channels they don't take (None: as before).

    False where nobody of that key is on the roster.
    """
    channels = None if closed is None else list(dict.fromkeys(closed))
    return await connection.fetchval(QUERIES["save_status"], tenant, key, status, channels) is not None


async def save_heartbeat(connection: Connection, tenant: str, key: str, lease: timedelta) -> Beat | None:
    """Somebody who is known by a lease is there for so long; None where nobody of that key is on the roster."""
    row = await connection.fetchrow(QUERIES["save_heartbeat"], tenant, key, lease)
    if row is None:
        return None
    return Beat(
        presence=Presence(row["presence"]),
        status=AgentStatus(row["status"]),
        was_there=row["was_there"],
        present_until=row["present_until"],
    )


def _view(row: Record) -> AgentView:
    return AgentView(
        key=row["key"],
        name=row["name"],
        is_active=row["active"],
        skills=_decode_skills(row["skills"]),
        channels=row["channels"],
        capacity=row["capacity"],
        at_most=_decode_tickets(row["at_most"]),
        pools=row["pools"],
        presence=Presence(row["presence"]),
        calendar=row["calendar"],
        status=AgentStatus(row["status"]),
        closed_channels=row["closed_channels"],
        is_there=row["is_there"],
        present_until=row["present_until"],
        next_present_at=row["next_present_at"],
        lead=row["lead"],
        held=_decode_tickets(row["by_channel"] or b"{}"),
        real_time_units=row["primary_used"],
        interruptible_units=row["interruptible_used"],
        is_over_capacity=row["over_capacity"],
        last_assigned_at=row["last_assigned_at"],
    )
