"""Matching runs: whoever waits in a pool gets whoever is free, one run of a pool at a time (routing-rules 3.9).

Called after everything that may let a ticket go: intake's commit, a presence change, and every second by the sweep. A
caller who finds the pool locked leaves a mark, and the run that holds it goes round again, so no wake-up is lost.
"""

from collections import Counter
from collections.abc import Sequence

import asyncpg
from msgspec import Struct

from services.router import pool_store
from services.router.assignment_metrics import UNROUTABLE, AssignmentMetrics
from services.router.assignment_news import save_news
from services.router.domain.match import Because, Matched, match
from services.router.domain.queue import Waiting
from services.router.pool_store import Given, Opening, Terms, Unroutable, Verdict
from shared import timesource
from shared.jetstream.relay import Relay
from shared.ledger.policies import PolicyShelf
from shared.policy.document import Bind
from shared.postgres import time as database_time
from shared.postgres.outbox import Batch
from shared.postgres.pool import Connection, Pool

BATCH = 500
"""Assignments of one transaction at most."""
LEAST_DEPTH = 32
"""So many tickets of each signature are read at least, where there is room for them."""
_DEEPEST = 1 << 14
_TIMERS = 5_000
"""Tickets that change their band in one transaction at most."""
_SPREAD = 1_000
"""Reasons deep in the queue that one transaction brings up to date at most, and so many transactions in a row."""
_SPREAD_ROUNDS = 5
_REFRESH_EVERY = 10
"""Each so many sweeps the reasons of tickets deep in the queue are brought up to date."""
_ATTEMPTS = 5
_RETRY_SECONDS = 0.01
_RACES = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


class RunResult(Struct, frozen=True, kw_only=True):
    """What a call of `run` did itself."""

    assigned: int = 0
    is_busy: bool = False
    """Another process holds the pool; it was told to go round again."""


class _Round(Struct, frozen=True, kw_only=True):
    """One transaction of a run."""

    dirty: int
    assigned: int = 0
    unroutable: int = 0
    outcomes: Counter[Because] = Counter()
    batch: Batch | None = None
    goes_on: bool = False
    """There is more to give at once."""
    is_blocked: bool = False
    """Tickets that wait for somebody of their own hide others: read deeper."""
    verdicts: frozenset[Verdict] = frozenset()
    """Why tickets of the kinds that were read wait."""


class Assignment:
    """Runs the matcher on the pools of all tenants."""

    def __init__(self, pool: Pool, shelf: PolicyShelf, metrics: AssignmentMetrics, relay: Relay) -> None:
        self._pool = pool
        self._shelf = shelf
        self._metrics = metrics
        self._relay = relay
        self._sweeps = 0

    async def run(self, tenant: str, pool: str, *, refresh: bool = False) -> RunResult:
        """Give what can be given in one pool, until nothing more can be.

        `refresh` judges anew why the others wait, also those deep in the queue. Raises asyncpg's errors where the
        database is away; then the sweep does it later.
        """
        assigned = 0
        depth = LEAST_DEPTH
        has_told = False
        async with self._pool.acquire() as connection:
            terms = await self._terms(connection, tenant)
            while True:
                done = await self._round(connection, tenant, pool, depth, terms, refresh=refresh)
                if done is None:
                    if has_told:
                        return RunResult(assigned=assigned, is_busy=True)
                    await pool_store.mark_dirty(connection, tenant, pool)
                    has_told = True
                    continue
                if refresh and done.verdicts:
                    await self._spread(connection, tenant, pool, list(done.verdicts))
                has_told = refresh = False
                assigned += done.assigned
                if done.is_blocked and depth < _DEEPEST:
                    depth *= 4
                elif not done.goes_on and done.dirty == await pool_store.load_dirty(connection, tenant, pool):
                    return RunResult(assigned=assigned)

    async def run_tenant(self, tenant: str) -> int:
        """Run all pools of a tenant in which somebody waits, as after a presence change; returns assignments made."""
        async with self._pool.acquire() as connection:
            pools = await pool_store.list_pools_of_tenant(connection, tenant)
        return sum([(await self.run(tenant, pool, refresh=True)).assigned for pool in pools])

    async def sweep(self) -> int:
        """Run every pool in which somebody waits: the safety net, and what wakes tickets whose time has come.

        Called every second; returns assignments made. Where nobody waits it costs one index probe.
        """
        self._sweeps += 1
        refresh = self._sweeps % _REFRESH_EVERY == 0
        async with self._pool.acquire() as connection:
            waiting = await pool_store.list_waiting_pools(connection)
        return sum([(await self.run(tenant, pool, refresh=refresh)).assigned for tenant, pool in waiting])

    async def reconcile_counters(self) -> int:
        """Set loads right where they aren't the sum of active assignments; returns by how many units they weren't.

        Called every minute; what it finds is counted, because it is a fault.
        """
        async with self._pool.acquire() as connection:
            drift = await pool_store.reconcile_counters(connection)
        if drift:
            self._metrics.drift.inc(drift)
        return drift

    async def measure(self) -> int:
        """Show the queue to Prometheus; once per scrape interval is enough. Returns how many tickets wait."""
        async with self._pool.acquire() as connection:
            gauges = await pool_store.measure_queue(connection)
        self._metrics.show_queue(gauges)
        return sum(gauge.depth for gauge in gauges)

    async def _round(
        self,
        connection: Connection,
        tenant: str,
        pool: str,
        depth: int,
        terms: Terms,
        *,
        refresh: bool,
    ) -> _Round | None:
        """One transaction, again after a deadlock; None where another process holds the pool."""
        started = timesource.monotonic()
        attempt = 1
        done: _Round | None = None
        while True:
            try:
                async with connection.transaction():
                    done = await _transact(connection, tenant, pool, depth, terms, refresh=refresh)
            except _RACES:
                if attempt == _ATTEMPTS:
                    raise
                self._metrics.retries.inc()
                await timesource.pause(attempt * _RETRY_SECONDS)
                attempt += 1
            else:
                break
        if done is not None:
            self._tell(pool, done, timesource.monotonic() - started)
        return done

    async def _spread(self, connection: Connection, tenant: str, pool: str, verdicts: Sequence[Verdict]) -> None:
        """Say of tickets deep in the queue what was found of the first of their kind; in small transactions of their own."""
        for _ in range(_SPREAD_ROUNDS):
            async with connection.transaction():
                changed, unroutable = await pool_store.spread_reasons(connection, tenant, pool, verdicts, _SPREAD)
                now = await database_time.now(connection) if unroutable else None
                batch = await save_news(connection, tenant, pool, [], unroutable, now) if now else None
            self._relay.post(batch)
            if unroutable:
                self._metrics.assignments.labels(pool, UNROUTABLE).inc(len(unroutable))
            if changed < _SPREAD:
                return

    def _tell(self, pool: str, done: _Round, seconds: float) -> None:
        self._relay.post(done.batch)
        self._metrics.know_pool(pool)
        for because, n in done.outcomes.items():
            self._metrics.assignments.labels(pool, because).inc(n)
        if done.unroutable:
            self._metrics.assignments.labels(pool, UNROUTABLE).inc(done.unroutable)
        self._metrics.run_seconds.observe(seconds)

    async def _terms(self, connection: Connection, tenant: str) -> Terms:
        channels = (await self._shelf.current(connection, tenant)).channels
        return Terms(
            at_once=frozenset(channel for channel, rule in channels.items() if rule.bind is Bind.ON_ARRIVAL),
            least_real_time=min((rule.units for rule in channels.values() if not rule.interruptible), default=1),
            least_interruptible=min((rule.units for rule in channels.values() if rule.interruptible), default=1),
        )


async def _transact(
    connection: Connection,
    tenant: str,
    pool: str,
    depth: int,
    terms: Terms,
    *,
    refresh: bool,
) -> _Round | None:
    opening = await pool_store.open_run(connection, tenant, pool, terms)
    if not opening.is_mine:
        return None
    if not opening.has_waiting:
        return _Round(dirty=opening.dirty)
    if opening.has_timers and await pool_store.advance_bands(connection, tenant, pool, opening.now, _TIMERS):
        # in a transaction of its own: it locks queue rows, and whoever waits for one may hold an agent we need
        return _Round(dirty=opening.dirty, goes_on=True)
    heads, ends, onlookers = await _read_queue(
        connection, tenant, pool, opening, depth, is_at_once=bool(terms.at_once), refresh=refresh
    )
    if not heads and not onlookers:
        return _Round(dirty=opening.dirty)
    agents = await pool_store.load_desks(connection, tenant, with_busy=bool(terms.at_once))
    matched = match(heads, agents, opening.now, at_once=terms.at_once, ends=ends, onlookers=onlookers, limit=BATCH)
    given: list[Given] = []
    if matched.chosen:
        given = await pool_store.assign(connection, tenant, pool, matched.chosen, agents, opening.now)
    unroutable = await _save_reasons(connection, matched)
    return _Round(
        dirty=opening.dirty,
        assigned=len(given),
        unroutable=len(unroutable),
        outcomes=Counter(one.choice.because for one in given),
        batch=await save_news(connection, tenant, pool, given, unroutable, opening.now),
        # what was passed over in `assign` is somebody else's: going on for it alone could spin
        goes_on=bool(given) and (matched.has_more or len(given) < len(matched.chosen)),
        is_blocked=matched.is_blocked,
        verdicts=_verdicts(matched) if refresh else frozenset(),
    )


async def _read_queue(
    connection: Connection, tenant: str, pool: str, opening: Opening, depth: int, *, is_at_once: bool, refresh: bool
) -> tuple[list[Waiting], list[Waiting], list[Waiting]]:
    """The tickets to match, of these the last ones before more, and new ones that are only to be judged."""
    real_time = min(opening.real_time, BATCH)
    interruptible = min(opening.at_once if is_at_once else opening.interruptible, BATCH)
    if refresh or depth > LEAST_DEPTH:
        real_time, interruptible = max(real_time, depth), max(interruptible, depth)
    heads: list[Waiting] = []
    ends: list[Waiting] = []
    onlookers: list[Waiting] = []
    if real_time > 0 or interruptible > 0:
        heads, ends = await pool_store.load_heads(connection, tenant, pool, real_time, interruptible, BATCH, depth)
    if opening.has_new and (ends or min(real_time, interruptible) < BATCH):
        known = {ticket.ticket_id for ticket in heads}
        new = await pool_store.load_new(connection, tenant, pool, BATCH)
        onlookers = [ticket for ticket in new if ticket.ticket_id not in known]
    return heads, ends, onlookers


async def _save_reasons(connection: Connection, matched: Matched) -> list[Unroutable]:
    changed = [(ticket, reason) for ticket, reason in matched.left if ticket.reason is not reason]
    return await pool_store.save_reasons(connection, changed) if changed else []


def _verdicts(matched: Matched) -> frozenset[Verdict]:
    return frozenset(
        Verdict(ticket.signature, ticket.units, ticket.interruptible, reason)
        for ticket, reason in matched.left
        if not ticket.excluded and not ticket.previous_owner
    )
