"""A desk for tests of matching: agents, tickets that wait, and what became of them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

import msgspec
from prometheus_client import CollectorRegistry

from services.router.agents import Agents
from services.router.assignment import Assignment
from services.router.domain.queue import QueueEntry, place_in_queue
from services.router.metrics.assignment import AssignmentMetrics
from services.router.metrics.presence import PresenceMetrics
from services.router.metrics.tenure import TenureMetrics
from services.router.store import queue as queue_store
from services.router.store.queue import ByHand
from shared import ids
from shared.contract.tickets import Channel, Urgency
from shared.ledger.policies import PolicyShelf
from shared.policy.document import ChannelRule
from shared.postgres.outbox import Batch
from shared.postgres.pool import Pool

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
RULES = {
    Channel.PHONE: ChannelRule(units=12),
    Channel.LIVE_CHAT: ChannelRule(units=4),
    Channel.EMAIL: ChannelRule(units=6, interruptible=True),
    Channel.SOCIAL: ChannelRule(units=3, interruptible=True),
}
_serial = count(1)


class Ears:
    """Stands where the relay does, and keeps what it was told to publish."""

    def __init__(self) -> None:
        self.heard: list[dict[str, object]] = []

    def post(self, batch: Batch | None) -> bool:
        """Take one batch."""
        if batch is not None:
            self.heard += [msgspec.json.decode(payload) for payload in batch.payloads]
        return True


def make(pool: Pool, ears: Ears | None = None, shelf: PolicyShelf | None = None) -> Assignment:
    """An assignment as one router has it."""
    return Assignment(pool, shelf or PolicyShelf(), AssignmentMetrics(CollectorRegistry()), ears or Ears())  # type: ignore[arg-type]


def people(pool: Pool, assignment: Assignment) -> Agents:
    """Agents as one router has them."""
    return Agents(pool, PolicyShelf(), assignment, Ears(), presence_metrics())  # type: ignore[arg-type]


def presence_metrics() -> PresenceMetrics:
    """Metrics of their own."""
    registry = CollectorRegistry()
    return PresenceMetrics(registry, TenureMetrics(registry))


async def hire(
    pool: Pool,
    key: str,
    skills: str = "a",
    channels: Sequence[Channel] = tuple(RULES),
    status: str = "online",
    capacity: int = 12,
    tenant: str = "default",
) -> None:
    """Put an agent on the roster; `skills` are letters, each at level 3."""
    await pool.execute(
        "INSERT INTO agent (tenant, key, name, skills, channels, status, capacity) VALUES ($1, $2, $2, $3, $4, $5, $6)",
        tenant,
        key,
        msgspec.json.encode(dict.fromkeys(skills, 3)),
        list(channels),
        status,
        capacity,
    )


def waiting(
    channel: Channel = Channel.EMAIL,
    skill: str = "a",
    *,
    pool: str = "default",
    tenant: str = "default",
    due: timedelta = timedelta(hours=1),
    excluded: tuple[str, ...] = (),
    previous_owner: str | None = None,
) -> QueueEntry:
    """A ticket that came just now, due in an hour."""
    return place_in_queue(
        ticket_id=ids.uuid7(NOW + timedelta(milliseconds=next(_serial))),
        tenant=tenant,
        pool=pool,
        channel=channel,
        rule=RULES[channel],
        needs=((skill, 1),),
        prefers=(),
        urgency=Urgency.NORMAL,
        queued_at=NOW,
        due_at=NOW + due,
        promised=timedelta(hours=2),
        now=NOW,
        previous_owner=previous_owner,
        excluded=excluded,
    )


async def put(pool: Pool, *entries: QueueEntry) -> None:
    """Tickets into the ledger and the queue, as intake does."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.copy_records_to_table(
            "ticket",
            records=[(e.ticket_id, e.tenant, "shop", str(e.ticket_id), "open", NOW, e.channel, 0) for e in entries],
            columns=("id", "tenant", "source", "external_id", "status", "opened_at", "channel", "policy_version"),
        )
        await queue_store.enqueue_new(connection, entries)


async def finish(pool: Pool, *ticket_ids: UUID, now: datetime = NOW) -> None:
    """Tickets are solved, as intake does it."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "SELECT FROM ticket WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE", ticket_ids
        )
        await connection.execute("UPDATE ticket SET status = 'solved' WHERE id = ANY($1::uuid[])", ticket_ids)
        await queue_store.dequeue(connection, ticket_ids)
        await queue_store.release(connection, "default", ticket_ids, "solved", now)


async def owners(pool: Pool) -> dict[UUID, str]:
    """Who has what now."""
    rows = await pool.fetch("SELECT ticket_id, agent FROM assignment WHERE ended_at IS NULL")
    return {row["ticket_id"]: row["agent"] for row in rows}


async def reasons(pool: Pool) -> dict[UUID, str]:
    """Who waits, and why."""
    return {row["ticket_id"]: row["reason"] for row in await pool.fetch("SELECT ticket_id, reason FROM queued")}


async def load(pool: Pool, key: str) -> tuple[int, int, int, bool]:
    """Real-time units, interruptible units, calls, over capacity."""
    row = await pool.fetchrow(
        "SELECT primary_used, interruptible_used, calls, over_capacity FROM agent WHERE key = $1", key
    )
    assert row is not None
    return tuple(row)


async def drift(pool: Pool) -> int:
    """Agents whose counters are not the sum of what they have."""
    return len(await pool.fetch(queue_store.QUERIES["list_drifted"]))


async def give(pool: Pool, tickets: Sequence[QueueEntry], agent: str) -> list[UUID]:
    """The helpdesk names an agent."""
    async with pool.acquire() as connection, connection.transaction():
        handed = await queue_store.assign_by_hand(
            connection,
            [
                ByHand(
                    tenant=ticket.tenant,
                    ticket_id=ticket.ticket_id,
                    agent=agent,
                    pool=ticket.pool,
                    channel=ticket.channel,
                    units=ticket.units,
                    interruptible=ticket.interruptible,
                )
                for ticket in tickets
            ],
            NOW,
        )
        return handed.changed
