"""Assignments a second on PostgreSQL: one router's matching runs beside a bare batch that gives tickets away without thought.

20,000 tickets of many kinds wait for 200 agents of 12 units; they were looked at when they came, and all were busy. Both take turns with releases, which are not timed: half of
what agents have is finished after each run. The floor takes the next tickets by the same key under the same lock, locks
agents in order, fills them one after the other, and writes what has to be written (loads, assignments, queue, outbox) in
the fewest statements; it has an index of its own in the exact order of the queue.
"""

import random
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import cast

from msgspec import Struct
from prometheus_client import CollectorRegistry

from services.router.assignment import BATCH, Assignment
from services.router.domain.queue import QueueEntry, place_in_queue
from services.router.metrics.assignment import AssignmentMetrics
from services.router.store import queue as queue_store
from shared import ids, timesource
from shared.contract.tickets import Channel, Urgency
from shared.jetstream.relay import Relay
from shared.ledger.policies import PolicyShelf
from shared.policy import builtin
from shared.postgres import time as database_time
from shared.postgres.outbox import Batch
from shared.postgres.pool import Connection
from tests.bench import fill
from tests.bench.fill import TENANT
from tests.bench.stack import Stack

TICKETS = 20_000
_FLOOR = "floor"
_CAPACITY = 12
_CHANNELS = (Channel.EMAIL, Channel.EMAIL, Channel.SOCIAL, Channel.MESSAGING, Channel.LIVE_CHAT, Channel.PHONE)
_LEVELS = (1, 2, 3)
_PAYLOAD = b"x" * 420
"""As long as what is said of an assignment."""


class Cost(Struct, frozen=True, kw_only=True):
    """Assignments a second."""

    ours: float
    bare: float


class _Deaf:
    def post(self, batch: Batch | None) -> bool:
        """Publishing is timed elsewhere."""
        return batch is None


async def cost(stack: Stack) -> Cost:
    """Both in turns, each in a tenant of its own, so that what else the machine does falls on both."""
    assignment = Assignment(stack.pool, PolicyShelf(), AssignmentMetrics(CollectorRegistry()), cast("Relay", _Deaf()))

    async def match() -> int:
        return (await assignment.run(TENANT, "default")).assigned

    connection = stack.connection
    await _prepare(connection)
    sides = [_Side(TENANT, match), _Side(_FLOOR, lambda: _fill_up(connection))]
    while any(side.given < TICKETS for side in sides):
        for side in sides:
            await side.turn(connection)
    await fill.empty(connection)
    await connection.execute("DROP INDEX bench_order")
    await connection.execute("DELETE FROM agent WHERE tenant = $1", _FLOOR)
    await connection.execute("UPDATE agent SET capacity = 1000000, calls = 0")
    ours, bare = (TICKETS / side.seconds for side in sides)
    return Cost(ours=ours, bare=bare)


class _Side:
    def __init__(self, tenant: str, run: Callable[[], Awaitable[int]]) -> None:
        self._tenant = tenant
        self._run = run
        self._chance = random.Random(1)
        self.seconds = 0.0
        self.given = 0

    async def turn(self, connection: Connection) -> None:
        """A run, timed, and what is finished after it."""
        if self.given == TICKETS:
            return
        begun = timesource.monotonic()
        found = await self._run()
        self.seconds += timesource.monotonic() - begun
        self.given += found
        rows = await connection.fetch(
            "SELECT ticket_id FROM assignment WHERE tenant = $1 AND ended_at IS NULL ORDER BY ticket_id", self._tenant
        )
        if not found and not rows:
            raise AssertionError(f"{TICKETS - self.given} tickets of {self._tenant} wait, and everybody is free")
        done = [row["ticket_id"] for row in rows if self._chance.random() < 0.5]
        async with connection.transaction():
            await queue_store.release(connection, self._tenant, done, "solved", await database_time.now(connection))


async def _prepare(connection: Connection) -> None:
    await fill.empty(connection)
    await connection.execute("UPDATE agent SET capacity = $1, calls = 0", _CAPACITY)
    await connection.execute(
        """INSERT INTO agent (tenant, key, name, skills, channels, capacity, status)
           SELECT $2, key, name, skills, channels, capacity, status FROM agent WHERE tenant = $1""",
        TENANT,
        _FLOOR,
    )
    now = await database_time.now(connection)
    entries = [_entry(random.Random(n), tenant, now) for tenant in (TENANT, _FLOOR) for n in range(TICKETS)]
    await connection.copy_records_to_table(
        "ticket",
        records=[
            (e.ticket_id, e.tenant, "bench", str(e.ticket_id), "open", now, e.channel, "normal", 0) for e in entries
        ],
        columns=(
            "id",
            "tenant",
            "source",
            "external_id",
            "status",
            "opened_at",
            "channel",
            "urgency",
            "policy_version",
        ),
    )
    await queue_store.enqueue_new(connection, entries)
    await connection.execute("UPDATE queued SET reason = 'full', reason_at = $1", now)
    await connection.execute(
        "CREATE INDEX bench_order ON queued (tenant, pool, band, order_rank, order_at, queued_at, ticket_id)"
    )
    await connection.execute("VACUUM FULL ANALYZE ticket, queued, assignment, agent", timeout=600)
    await connection.execute("CHECKPOINT", timeout=600)


def _entry(chance: random.Random, tenant: str, now) -> QueueEntry:  # type: ignore[no-untyped-def]
    channel = chance.choice(_CHANNELS)
    promised = timedelta(minutes=chance.randrange(5, 600))
    return place_in_queue(
        ticket_id=ids.uuid7(now),
        tenant=tenant,
        pool="default",
        channel=channel,
        rule=builtin.policy().channels[channel],
        needs=(("lang:en", chance.choice(_LEVELS)),),
        prefers=(),
        urgency=chance.choice(list(Urgency)),
        queued_at=now,
        due_at=now + promised,
        promised=promised,
        now=now,
    )


async def _fill_up(connection: Connection) -> int:
    """Batches until a batch gives nothing."""
    total = 0
    while found := await _batch(connection):
        total += found
    return total


async def _batch(connection: Connection) -> int:
    async with connection.transaction():
        await connection.fetchval("SELECT pg_try_advisory_xact_lock(7)")
        now = await database_time.now(connection)
        waiting = await connection.fetch(
            """SELECT ticket_id, units, interruptible, channel FROM queued WHERE tenant = $1 AND pool = 'default'
               ORDER BY band, order_rank, order_at, queued_at, ticket_id LIMIT $2""",
            _FLOOR,
            BATCH,
        )
        agents = await connection.fetch(
            """SELECT key, capacity - primary_used - interruptible_used AS room FROM agent
               WHERE tenant = $1 AND active AND status = 'online' ORDER BY key FOR NO KEY UPDATE""",
            _FLOOR,
        )
        rooms = [[agent["room"], agent["key"], 0, 0] for agent in agents]
        given = []
        at = 0
        for ticket in waiting:
            while at < len(rooms) and rooms[at][0] < ticket["units"]:
                at += 1
            if at == len(rooms):
                break
            rooms[at][0] -= ticket["units"]
            rooms[at][3 if ticket["interruptible"] else 2] += ticket["units"]
            given.append((ticket, rooms[at][1]))
        if not given:
            return 0
        await connection.execute(
            "DELETE FROM queued WHERE ticket_id = ANY($1::uuid[])", [t["ticket_id"] for t, _ in given]
        )
        await connection.copy_records_to_table(
            "assignment",
            records=[
                (ids.uuid7(now), _FLOOR, t["ticket_id"], agent, "default", t["channel"], t["units"], t["interruptible"], now, now, now)
                for t, agent in given
            ],
            columns=("id", "tenant", "ticket_id", "agent", "pool", "channel", "units", "interruptible", "assigned_at", "accepted_at", "queued_at"),
        )  # fmt: skip
        grown = [room for room in rooms if room[2] or room[3]]
        await connection.execute(
            """UPDATE agent a SET primary_used = a.primary_used + n.p, interruptible_used = a.interruptible_used + n.i
               FROM unnest($2::text[], $3::integer[], $4::integer[]) AS n (key, p, i) WHERE a.tenant = $1 AND a.key = n.key""",
            _FLOOR,
            [room[1] for room in grown],
            [room[2] for room in grown],
            [room[3] for room in grown],
        )
        await connection.execute(
            "INSERT INTO outbox (id, subjects, payloads) VALUES ($1, $2, $3)",
            uuid.uuid4(),
            ["sla.bench.ticket.assigned"] * len(given),
            [_PAYLOAD] * len(given),
        )
    return len(given)
