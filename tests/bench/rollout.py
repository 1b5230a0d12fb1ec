"""A policy applied to open tickets while others arrive: what it costs intake and firing, and how long it takes."""

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import timedelta

from msgspec import Struct

from services.router.domain.reach import NEW, Reach
from services.router.store import rollouts as rollouts_store
from services.router.versions import policies
from shared import timesource
from shared.contract import subjects
from shared.jetstream.streams import ROUTER
from shared.postgres import time as database_time
from tests.bench import fill, firing, intake
from tests.bench.stack import Stack

_ARRIVING = 12_000
_DUE = 2_000
_DUE_WITHIN = timedelta(seconds=6)
_SAMPLE_SECONDS = 0.05
_PATIENCE_SECONDS = 900.0
_LAG_TENANT = "lag"
_POLICY = "targets: [{name: all, calendar: always, first_response: %s, resolution: %s, warn: [80%%]}]\n"


class Cost(Struct, frozen=True, kw_only=True):
    """What was measured."""

    alone_per_second: float
    """Tickets taken in beside open ones that nobody touches."""
    beside_per_second: float
    """The same while these get another version."""
    lag_alone: firing.Lag
    lag_beside: firing.Lag
    seconds: float
    """From applying to the last ticket, with the tickets that came in between."""
    tickets: int
    clocks_moved: int


async def cost(stack: Stack, open_tickets: int) -> Cost:
    """With so many open tickets, every clock of which moves."""
    await intake.clean(stack)
    await _forget(stack)
    await _apply(stack, _POLICY % ("4h", "72h"), NEW)
    with ExitStack() as running:
        running.enter_context(stack.process("services.router"))
        running.enter_context(stack.process("services.escalation"))
        await intake.publish(stack, open_tickets, prefix="open")
        await _until(stack, lambda: _is_drained(stack))
        await stack.connection.execute("VACUUM ANALYZE ticket, ticket_event, clock", timeout=600)
        alone, lag_alone = await _arrivals(stack, 0)
        started = timesource.monotonic()
        await _apply(stack, _POLICY % ("8h", "96h"), Reach(is_for_open=True))
        await _until(stack, lambda: _has_begun(stack))
        beside, lag_beside = await _arrivals(stack, 1)
        if await _is_done(stack):
            raise AssertionError("it was done before the measurement was: take more open tickets")
        await _until(stack, lambda: _is_done(stack))
        seconds = timesource.monotonic() - started
    [rollout] = await rollouts_store.history(stack.connection, fill.TENANT, None, 1)
    await _forget(stack)
    return Cost(
        alone_per_second=alone,
        beside_per_second=beside,
        lag_alone=lag_alone,
        lag_beside=lag_beside,
        seconds=seconds,
        tickets=rollout.done,
        clocks_moved=rollout.earlier + rollout.later,
    )


async def _apply(stack: Stack, text: str, reach: Reach) -> None:
    now = await database_time.now(stack.connection)
    await policies.put_in_force(stack.connection, fill.TENANT, text, "bench", now, reach)


async def _forget(stack: Stack) -> None:
    await stack.connection.execute("DELETE FROM policy_rollout")
    await stack.connection.execute("DELETE FROM policy_version")


async def _arrivals(stack: Stack, number: int) -> tuple[float, firing.Lag]:
    """Tickets a second, and the lag of clocks that are due meanwhile."""
    now = await stack.connection.fetchval("SELECT deskclock_now()")
    await fill.running_clocks(
        stack.connection,
        first=10_000_000 + number * _DUE,
        count=_DUE,
        due_from=now,
        within=_DUE_WITHIN,
        ladder=None,
        tenant=_LAG_TENANT,
    )
    began = timesource.monotonic()
    await intake.publish(stack, _ARRIVING, prefix=f"arriving-{number}")
    while await _pending(stack):
        await timesource.pause(_SAMPLE_SECONDS)
    per_second = _ARRIVING / (timesource.monotonic() - began)
    await _until(stack, lambda: _have_fired(stack, (number + 1) * _DUE))
    return per_second, await firing.lag_of(stack, _LAG_TENANT, since=now)


async def _pending(stack: Stack) -> int:
    consumer = await stack.client.jetstream().consumer_info(subjects.TICKETS, ROUTER)
    return (consumer.num_pending or 0) + (consumer.num_ack_pending or 0)


async def _until(stack: Stack, ask: Callable[[], Awaitable[bool]]) -> None:
    until = timesource.monotonic() + _PATIENCE_SECONDS
    while not await ask():
        if timesource.monotonic() > until:
            raise TimeoutError(f"not done after {_PATIENCE_SECONDS:.0f} s")
        await timesource.pause(0.2)


async def _is_drained(stack: Stack) -> bool:
    left = await stack.connection.fetchval("SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM queued)")
    return not left and not await _pending(stack)


async def _has_begun(stack: Stack) -> bool:
    return bool(await stack.connection.fetchval("SELECT count(*) FROM policy_rollout WHERE done > 0"))


async def _is_done(stack: Stack) -> bool:
    return not await stack.connection.fetchval("SELECT count(*) FROM policy_rollout WHERE state = 'running'")


async def _have_fired(stack: Stack, count: int) -> bool:
    fired = await stack.connection.fetchval(
        "SELECT count(*) FROM clock WHERE tenant = $1 AND breached_at IS NOT NULL", _LAG_TENANT
    )
    return bool(fired >= count)
