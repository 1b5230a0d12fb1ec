"""People who come and go, for tests of presence: rosters, policies with shifts, and what becomes of their work."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from prometheus_client import CollectorRegistry

from services.router.agents import Agents
from services.router.assignment import Assignment
from services.router.domain.reach import Reach
from services.router.metrics.presence import PresenceMetrics
from services.router.metrics.tenure import TenureMetrics
from services.router.presence import PresenceLoop
from services.router.store.agents import AgentView
from services.router.versions import policies
from shared.ledger.policies import PolicyShelf
from shared.postgres.pool import Pool
from tests.integration.desk import NOW, Ears

POLICY = """
calendars:
  early: {timezone: UTC, hours: {mon-fri: "06:00-14:00"}}
  late: {timezone: UTC, hours: {mon-fri: "14:00-22:00"}}
targets: [{name: all, calendar: always, first_response: 1h}]
"""
MOMENT = timedelta(microseconds=1)
GRACE = timedelta(seconds=60)
MINUTE = timedelta(minutes=1)


def looping(
    pool: Pool, assignment: Assignment, registry: CollectorRegistry | None = None, ears: Ears | None = None
) -> PresenceLoop:
    """A loop of a router of its own."""
    registry = registry or CollectorRegistry()
    metrics = PresenceMetrics(registry, TenureMetrics(registry))
    return PresenceLoop(pool, PolicyShelf(), assignment, ears or Ears(), metrics)  # type: ignore[arg-type]


async def roster(pool: Pool, now: datetime = NOW, **persons: str) -> None:
    """Apply a roster of people who take everything; each with more fields as YAML."""
    usual = "skills: {a: 3}, channels: [phone, live_chat, email, social]"
    text = "people:\n" + "".join(f"  {key}: {{{usual}{more and ', '}{more}}}\n" for key, more in persons.items())
    async with pool.acquire() as connection:
        await policies.apply_roster(connection, "default", text, "lead", now)


async def apply(pool: Pool, text: str = POLICY, now: datetime = NOW, reach: Reach | None = None) -> None:
    """Apply a policy."""
    async with pool.acquire() as connection:
        if reach is None:
            await policies.apply_policy(connection, "default", text, "lead", now)
        else:
            await policies.put_in_force(connection, "default", text, "lead", now, reach)


async def view(agents: Agents, key: str = "ana") -> AgentView:
    """How somebody is seen."""
    found = await agents.find("default", key)
    assert found is not None
    return found


async def gone_at(pool: Pool, key: str = "ana") -> datetime | None:
    """Since when somebody has gone."""
    found: datetime | None = await pool.fetchval("SELECT gone_at FROM agent WHERE key = $1", key)
    return found


async def touch(pool: Pool, *ticket_ids: UUID) -> None:
    """Their agents do something with these."""
    await pool.execute("UPDATE assignment SET touched_at = $2 WHERE ticket_id = ANY($1::uuid[])", ticket_ids, NOW)


async def promise(pool: Pool, ticket_id: UUID, target: str, due_at: datetime) -> None:
    """A clock of a ticket."""
    await pool.execute(
        "INSERT INTO clock (ticket_id, target, cycle, tenant, matched, policy_version, calendar, state, started_at, due_at)"
        " VALUES ($1, $2, 1, 'default', 'all', 0, 'always', 'running', $3, $4)",
        ticket_id,
        target,
        NOW,
        due_at,
    )


async def write(pool: Pool, ticket_id: UUID, by: str, at: datetime, *, public: bool = True) -> None:
    """Somebody writes; the helpdesk sends no statuses."""
    data = {"kind": "replied", "by": by, **({} if public else {"public": False})}
    await pool.execute(
        "INSERT INTO ticket_event (ticket_id, event_id, tenant, occurred_at, received_at, data)"
        " VALUES ($1, $2, 'default', $3, $3, $4)",
        ticket_id,
        f"{ticket_id}-{by}",
        at,
        msgspec.json.encode(data),
    )
