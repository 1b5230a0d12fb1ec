"""Firing against the number of running clocks, and its lag against a bare claim."""

import asyncio
import statistics
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from prometheus_client import CollectorRegistry

from services.escalation.firing import Firing
from services.escalation.metrics import EscalationMetrics
from shared import timesource
from shared.jetstream.publish import open_publisher
from shared.jetstream.relay import Relay
from tests.bench import fill
from tests.bench.stack import Stack

DUE = 10_000
_ROUNDS = 3
_LEAD = timedelta(seconds=3)
_FAR = timedelta(days=30)
_PATIENCE_SECONDS = 120.0

_BARE_CLAIM = """
WITH due AS (
    SELECT ctid FROM clock WHERE next_fire_at < (SELECT deskclock_now()) ORDER BY next_fire_at LIMIT 500 FOR UPDATE SKIP LOCKED
)
UPDATE clock SET state = 'breached', breached_at = due_at, detected_at = clock_timestamp(), next_fire_at = NULL
WHERE ctid = ANY(ARRAY(SELECT ctid FROM due))
"""
_LAGS = "SELECT extract(epoch FROM detected_at - breached_at)::float8 AS lag FROM clock WHERE breached_at IS NOT NULL"
_LAGS_OF = f"{_LAGS} AND tenant = $1 AND breached_at >= $2"


class Lag(Struct, frozen=True):
    """How late clocks were noticed, in seconds."""

    p50: float
    p99: float


async def cost_per_clock(stack: Stack, running: int) -> float:
    """Seconds for one fired clock while so many others run; the median of three rounds."""
    await fill.empty(stack.connection)
    now = await stack.connection.fetchval("SELECT deskclock_now()")
    await fill.running_clocks(
        stack.connection, first=0, count=running, due_from=now + _FAR, within=timedelta(days=1), ladder=None
    )
    relay = Relay(await open_publisher(stack.client), stack.pool)
    stop = asyncio.Event()
    relaying = asyncio.create_task(relay.run(stop))
    firing = Firing(stack.pool, relay, EscalationMetrics(CollectorRegistry(), ("console",)))
    costs = []
    for n in range(_ROUNDS):
        await fill.running_clocks(
            stack.connection,
            first=running + n * DUE,
            count=DUE,
            due_from=now - timedelta(minutes=1),
            within=timedelta(seconds=1),
            ladder=None,
        )
        await stack.connection.execute("VACUUM ANALYZE clock, ticket", timeout=600)
        await stack.connection.execute("CHECKPOINT", timeout=600)
        started, fired = timesource.monotonic(), 0
        while done := await firing.run_once():
            fired += done
        costs.append((timesource.monotonic() - started) / fired)
        await relay.flush()
        if fired != DUE:
            raise AssertionError(f"{fired} of {DUE} clocks fired")
    stop.set()
    await relaying
    return statistics.median(costs)


async def lag_of_product(stack: Stack, running: int) -> Lag:
    """10,000 clocks due within one second, in front of a running escalation process."""
    await _fill(stack, running)
    with stack.process("services.escalation"):
        await timesource.pause(_LEAD.total_seconds())
        await _put_due(stack, running)
        return await _lags(stack)


async def lag_of_bare_claim(stack: Stack, running: int) -> Lag:
    """The same clocks, claimed and marked by one statement in a loop."""
    await _fill(stack, running)
    await _put_due(stack, running)
    stop = asyncio.Event()

    async def claim() -> None:
        async with stack.pool.acquire() as connection:
            while not stop.is_set():
                if await connection.execute(_BARE_CLAIM) == "UPDATE 0":
                    await timesource.pause(0.002)

    claiming = asyncio.create_task(claim())
    found = await _lags(stack)
    stop.set()
    await claiming
    return found


async def _fill(stack: Stack, running: int) -> None:
    await fill.empty(stack.connection)
    now = await stack.connection.fetchval("SELECT deskclock_now()")
    await fill.running_clocks(
        stack.connection, first=0, count=running, due_from=now + _FAR, within=timedelta(days=1), ladder=None
    )
    await stack.connection.execute("VACUUM ANALYZE clock, ticket", timeout=600)
    await stack.connection.execute("CHECKPOINT", timeout=600)


async def _put_due(stack: Stack, running: int) -> None:
    now = await stack.connection.fetchval("SELECT deskclock_now()")
    await fill.running_clocks(
        stack.connection, first=running, count=DUE, due_from=now + _LEAD, within=timedelta(seconds=1), ladder=None
    )


async def _lags(stack: Stack) -> Lag:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while DUE > await stack.connection.fetchval("SELECT count(*) FROM clock WHERE breached_at IS NOT NULL"):
            await timesource.pause(0.5)
    return _lag(row["lag"] for row in await stack.connection.fetch(_LAGS))


async def lag_of(stack: Stack, tenant: str, since: datetime) -> Lag:
    """The lag of a tenant's clocks that were due since an instant and have fired."""
    return _lag(row["lag"] for row in await stack.connection.fetch(_LAGS_OF, tenant, since))


def _lag(found: Iterable[float]) -> Lag:
    lags = sorted(found)
    return Lag(p50=_share(lags, 0.5), p99=_share(lags, 0.99))


def _share(sorted_values: Sequence[float], share: float) -> float:
    return sorted_values[int(len(sorted_values) * share)]
