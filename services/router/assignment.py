"""Matching runs: whoever waits in a pool gets whoever is free, one run of a pool at a time (routing-rules 3.9).

Called after everything that may let a ticket go: intake's commit, a presence change, and every second by the sweep. A
caller who finds the pool locked leaves a mark, and the run that holds it goes round again, so no wake-up is lost.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar
from uuid import UUID

import asyncpg
from msgspec import Struct

from services.router import helping, owning, widening
from services.router.assignment_news import save_news
from services.router.domain.match import Because, match
from services.router.domain.queue import Reason, Waiting
from services.router.domain.tour import BEFORE_ALL, Tour
from services.router.metrics.assignment import UNROUTABLE, AssignmentMetrics
from services.router.owning import Tell
from services.router.store import pools as pools_store
from services.router.store.pools import Extent, Given, Heads, Judged, Opening, Terms, Verdict
from shared import timesource
from shared.jetstream.relay import Relay
from shared.ledger.policies import PolicyShelf
from shared.policy.document import Bind
from shared.postgres import failures
from shared.postgres import time as database_time
from shared.postgres.outbox import Batch
from shared.postgres.pool import Connection, Pool
from shared.runtime.logs import Log

BATCH = 500
"""Assignments of one transaction at most."""
LEAST_DEPTH = 32
"""So many tickets of each signature are read at least, where there is room for them."""
_DEEPEST = 1 << 14
SIGNATURES = 500
"""Kinds of work that one transaction reads at most; a run takes more of them in turns."""
_TIMERS = 5_000
"""Tickets that change their band in one transaction at most."""
_SPREAD = 1_000
"""Reasons deep in the queue that one transaction brings up to date at most, and so many transactions in a row."""
_SPREAD_ROUNDS = 5
_REFRESH_EVERY = 10
"""Each so many sweeps the reasons of tickets deep in the queue are brought up to date."""
_BUSY = frozenset({Reason.FULL, Reason.FRAGMENTED})
_ATTEMPTS = 5
_RETRY_SECONDS = 0.01
_RACES = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)

_log = Log(__name__)

T = TypeVar("T")


class RunResult(Struct, frozen=True, kw_only=True):
    """What a call of `run` did itself."""

    assigned: int = 0
    is_busy: bool = False
    """Another process holds the pool; it was told to go round again."""


class _Round(Struct, frozen=True, kw_only=True):
    """One transaction of a run."""

    dirty: int
    given: Sequence[UUID] = ()
    """Tickets that have an owner now."""
    unroutable: int = 0
    outcomes: Counter[Because] = Counter()
    batch: Batch | None = None
    goes_on: bool = False
    """There is more to give at once."""
    is_blocked: bool = False
    """Tickets that wait for somebody of their own hide others: read deeper."""
    following: int | None = None
    """The last signature that was read, where there may be more after it."""
    verdicts: frozenset[Verdict] = frozenset()
    """Why tickets of the kinds that were read wait."""
    hosts: frozenset[str] = frozenset()
    """Pools that may have tickets of this one from now on."""


class _View(Struct, frozen=True, kw_only=True):
    """What one transaction looks at."""

    depth: int
    after: int
    """Signatures greater than this."""
    signatures: int
    refresh: bool
    """Judge also those for whom there is no room why they wait."""


class Assignment:
    """Runs the matcher on the pools of all tenants."""

    def __init__(
        self,
        pool: Pool,
        shelf: PolicyShelf,
        metrics: AssignmentMetrics,
        relay: Relay,
        *,
        signatures: int = SIGNATURES,
        tell: Tell = owning.nobody,
    ) -> None:
        """`tell` hears of the tickets whose promise of an owner a run keeps."""
        self._pool = pool
        self._shelf = shelf
        self._metrics = metrics
        self._relay = relay
        self._signatures = signatures
        self._tell_kept = tell
        self._sweeps = 0
        self._swept_to = ("", "")
        self._starts: dict[tuple[str, str], int] = {}
        self._failing: set[tuple[str, str]] = set()

    async def run(self, tenant: str, pool: str, *, refresh: bool = False) -> RunResult:
        """Give what can be given in one pool, until nothing more can be; then in those whose agents may take it by now, too.

        `refresh` judges anew why the others wait, also those deep in the queue. Raises asyncpg's errors where the
        database is away; then the sweep does it later.
        """
        hosts: set[str] = set()
        done = await self._run(tenant, pool, hosts, refresh=refresh)
        guests = sum([(await self._run(tenant, host, set(), refresh=False)).assigned for host in sorted(hosts)])
        return RunResult(assigned=done.assigned + guests, is_busy=done.is_busy)

    async def _run(self, tenant: str, pool: str, hosts: set[str], *, refresh: bool) -> RunResult:
        """The run of one pool; adds to `hosts` the pools that may have its tickets from now on."""
        given: list[UUID] = []
        depth = LEAST_DEPTH
        has_told = False
        judges_anew = has_lost = refresh
        tour = Tour(self._starts.pop((tenant, pool), BEFORE_ALL))
        async with self._pool.acquire() as connection:
            terms = await self._terms(connection, tenant)
            while True:
                view = _View(depth=depth, after=tour.after, signatures=self._signatures, refresh=judges_anew)
                done = await self._round(connection, tenant, pool, view, terms)
                if done is None:
                    if has_told:
                        await self._settle(connection, tenant, pool, terms, given, has_lost=has_lost)
                        return RunResult(assigned=len(given), is_busy=True)
                    await pools_store.mark_dirty(connection, tenant, pool)
                    has_told = True
                    continue
                if done.verdicts:
                    await self._spread(connection, tenant, pool, list(done.verdicts))
                has_told = judges_anew = False
                given += done.given
                hosts |= done.hosts
                has_lost |= done.unroutable > 0
                if done.following is not None:
                    self._starts.setdefault((tenant, pool), done.following)
                if done.is_blocked and depth < _DEEPEST:
                    depth *= 4
                elif done.goes_on:
                    continue
                elif tour.go_on(done.following):
                    depth, judges_anew = LEAST_DEPTH, refresh
                elif done.dirty == await pools_store.load_dirty(connection, tenant, pool):
                    await self._settle(connection, tenant, pool, terms, given, has_lost=has_lost)
                    return RunResult(assigned=len(given))
                else:
                    tour = Tour(BEFORE_ALL)

    async def _settle(
        self, connection: Connection, tenant: str, pool: str, terms: Terms, given: list[UUID], *, has_lost: bool
    ) -> None:
        """What a run leaves to do: the fallback gets what nobody can take, and promises of an owner are kept."""
        while has_lost and terms.fallback is not None:
            done = await self._in_transaction(connection, partial(_hand_over, connection, tenant, pool, terms.fallback))
            self._relay.post(done.batch)
            self._metrics.count(pool, helping.FALLBACK, len(done.tickets))
            given += done.tickets
            has_lost = len(done.tickets) == helping.AT_ONCE
        if given:
            try:
                await owning.settle_these(connection, self._shelf, self._relay, given, self._tell_kept)
            except _RACES:
                self._metrics.retries.inc()  # what is left out is settled within a minute

    async def run_agents(self, tenant: str, agents: Sequence[str]) -> int:
        """Run the pools of these agents in which somebody waits, as after they came or have room; returns assignments made.

        Raises as `run` does where the database is away; a pool that fails for a reason of its own is passed over.
        """
        async with self._pool.acquire() as connection:
            pools = await pools_store.list_pools_of_agents(connection, tenant, agents)
        return sum([await self._run_guarded(tenant, pool, refresh=True) for pool in pools])

    async def run_pools(self, pools: Iterable[tuple[str, str]]) -> int:
        """Run pools, as (tenant, name), to which something came; returns assignments made. Fails as `run_agents` does."""
        return sum([await self._run_guarded(tenant, pool, refresh=False) for tenant, pool in sorted(pools)])

    async def sweep(self) -> int:
        """Run every pool in which somebody waits: the safety net, and what wakes tickets whose time has come.

        Called every second; returns assignments made. Where nobody waits it costs one index probe. One that is cut short
        is followed by one that begins after the pool it came to, and a pool that fails holds up no other.
        """
        self._sweeps += 1
        refresh = self._sweeps % _REFRESH_EVERY == 0
        async with self._pool.acquire() as connection:
            waiting = sorted(await pools_store.list_waiting_pools(connection))
        self._forget_all_but(waiting)
        begin = bisect_right(waiting, self._swept_to)
        assigned = 0
        for tenant, pool in waiting[begin:] + waiting[:begin]:
            self._swept_to = (tenant, pool)  # before the run: one that never ends in time must not be the first again
            assigned += await self._run_guarded(tenant, pool, refresh=refresh)
        return assigned

    def _forget_all_but(self, waiting: Sequence[tuple[str, str]]) -> None:
        known = set(waiting)
        self._failing &= known
        self._starts = {place: start for place, start in self._starts.items() if place in known}

    async def _run_guarded(self, tenant: str, pool: str, *, refresh: bool) -> int:
        """`run`, for one pool of many: only a database that is away stops the others. Returns assignments made."""
        try:
            assigned = (await self.run(tenant, pool, refresh=refresh)).assigned
        except failures.UNAVAILABLE:
            raise
        except Exception as error:  # noqa: BLE001 - as a policy that can't be read: one tenant's trouble is no other's
            self._metrics.failures.inc()
            if (tenant, pool) not in self._failing:  # said once, counted always
                _log.error(
                    "matching_failed", "A pool can't be matched; others are", error=error, tenant=tenant, pool=pool
                )
            self._failing.add((tenant, pool))
            return 0
        if (tenant, pool) in self._failing:
            _log.info("matching_back", "A pool that could not be matched is matched again", tenant=tenant, pool=pool)
            self._failing.discard((tenant, pool))
        return assigned

    async def measure(self) -> int:
        """Show the queue to Prometheus; once per scrape interval is enough. Returns how many tickets wait."""
        async with self._pool.acquire() as connection:
            gauges = await pools_store.measure_queue(connection)
        self._metrics.show_queue(gauges)
        return sum(gauge.depth for gauge in gauges)

    async def _round(
        self,
        connection: Connection,
        tenant: str,
        pool: str,
        view: "_View",
        terms: Terms,
    ) -> _Round | None:
        """One transaction, again after a deadlock; None where another process holds the pool."""
        started = timesource.monotonic()
        done = await self._in_transaction(
            connection, partial(_transact, connection, self._shelf, tenant, pool, view, terms)
        )
        if done is not None:
            self._tell(pool, done, timesource.monotonic() - started)
        return done

    async def _spread(self, connection: Connection, tenant: str, pool: str, verdicts: Sequence[Verdict]) -> None:
        """Say of tickets deep in the queue what was found of the first of their kind; in small transactions of their own."""
        for _ in range(_SPREAD_ROUNDS):
            done = await self._in_transaction(
                connection, partial(_spread, connection, self._shelf, tenant, pool, verdicts)
            )
            self._relay.post(done.batch)
            if done.unroutable:
                self._metrics.count(pool, UNROUTABLE, done.unroutable)
            if done.changed < _SPREAD:
                return

    async def _in_transaction(self, connection: Connection, work: Callable[[], Awaitable[T]]) -> T:
        """Do it in one transaction, and again after a deadlock: that reaches no caller of ours."""
        attempt = 1
        while True:
            try:
                async with connection.transaction():
                    return await work()
            except _RACES:
                if attempt == _ATTEMPTS:
                    raise
                self._metrics.retries.inc()
                await timesource.pause(attempt * _RETRY_SECONDS)
                attempt += 1

    def _tell(self, pool: str, done: _Round, seconds: float) -> None:
        self._relay.post(done.batch)
        self._metrics.know_pool(pool)
        for because, n in done.outcomes.items():
            self._metrics.count(pool, because, n)
        if done.unroutable:
            self._metrics.count(pool, UNROUTABLE, done.unroutable)
        self._metrics.run_seconds.observe(seconds)

    async def _terms(self, connection: Connection, tenant: str) -> Terms:
        policy = await self._shelf.current(connection, tenant)
        channels = policy.channels
        return Terms(
            at_once=frozenset(channel for channel, rule in channels.items() if rule.bind is Bind.ON_ARRIVAL),
            least_real_time=min((rule.units for rule in channels.values() if not rule.interruptible), default=1),
            least_interruptible=min((rule.units for rule in channels.values() if rule.interruptible), default=1),
            fallback=policy.routing.fallback,
            at_most=tuple(
                sorted((channel, rule.at_most) for channel, rule in channels.items() if rule.at_most is not None)
            ),
            offers={channel: rule.offer for channel, rule in channels.items() if rule.offer is not None},
            parks={channel: rule.park for channel, rule in channels.items() if rule.park is not None},
            first_action=policy.routing.first_action,
        )


class _Spread(Struct, frozen=True, kw_only=True):
    """Tickets deep in the queue of which was said why they wait."""

    changed: int
    unroutable: int
    batch: Batch | None


async def _spread(
    connection: Connection, shelf: PolicyShelf, tenant: str, pool: str, verdicts: Sequence[Verdict]
) -> _Spread:
    changed = await pools_store.spread_reasons(connection, tenant, pool, verdicts, _SPREAD)
    now = await database_time.now(connection)
    await helping.see_to(connection, shelf, tenant, changed, now)
    unroutable = _unroutable(changed)
    batch = await save_news(connection, tenant, pool, [], unroutable, [], now)
    return _Spread(changed=len(changed), unroutable=len(unroutable), batch=batch)


async def _hand_over(connection: Connection, tenant: str, pool: str, fallback: str) -> helping.HandedOver:
    return await helping.hand_over(connection, tenant, pool, fallback, await database_time.now(connection))


async def _transact(
    connection: Connection,
    shelf: PolicyShelf,
    tenant: str,
    pool: str,
    view: "_View",
    terms: Terms,
) -> _Round | None:
    opening = await pools_store.open_run(connection, tenant, pool, terms)
    if not opening.is_mine:
        return None
    if not opening.has_waiting and not opening.has_guests:
        return _Round(dirty=opening.dirty)
    if opening.has_timers and await pools_store.advance_bands(connection, tenant, pool, opening.now, _TIMERS):
        # in a transaction of its own: it locks queue rows, and whoever waits for one may hold an agent we need
        return _Round(dirty=opening.dirty, goes_on=True)
    if opening.has_widening:
        due = await widening.advance(connection, tenant, pool, opening.now, _TIMERS)
        if due.changed:
            return _Round(dirty=opening.dirty, goes_on=True, hosts=due.pools)
    heads, onlookers = await _read_queue(connection, tenant, pool, opening, view, is_at_once=bool(terms.at_once))
    if not heads.tickets and not onlookers:
        return _Round(dirty=opening.dirty, following=heads.following)
    agents = await pools_store.load_desks(connection, tenant, pool, terms)
    matched = match(
        heads.tickets,
        agents,
        opening.now,
        at_once=terms.at_once,
        ends=heads.ends,
        onlookers=onlookers,
        limit=BATCH,
    )
    given: list[Given] = []
    if matched.chosen:
        given = await pools_store.assign(connection, tenant, pool, matched.chosen, agents, terms, opening.now)
    left = [(ticket, reason) for ticket, reason in matched.left if ticket.ticket_id not in heads.guests]
    verdicts = await widening.widen(connection, tenant, left, opening.now)
    judged = await _save_reasons(connection, verdicts.judged, opening.now, refresh=view.refresh)
    asks_again = await helping.see_to(connection, shelf, tenant, judged, opening.now)
    unroutable = _unroutable(judged)
    helped = await helping.given(connection, [one for one in given if one.offered_until is None], opening.now)
    return _Round(
        dirty=opening.dirty,
        given=[one.choice.ticket.ticket_id for one in given],
        unroutable=len(unroutable),
        outcomes=Counter(one.choice.because for one in given),
        batch=await save_news(connection, tenant, pool, given, unroutable, helped, opening.now),
        # what was passed over in `assign` is somebody else's: going on for it alone could spin
        goes_on=asks_again
        or verdicts.widened.changed > 0
        or (bool(given) and (matched.has_more or len(given) < len(matched.chosen))),
        is_blocked=matched.is_blocked,
        following=heads.following,
        verdicts=_kinds(left) if view.refresh else frozenset(),
        hosts=verdicts.widened.pools,
    )


async def _read_queue(
    connection: Connection, tenant: str, pool: str, opening: Opening, view: "_View", *, is_at_once: bool
) -> tuple[Heads, list[Waiting]]:
    """The tickets to match, and new ones that are only to be judged."""
    real_time = min(opening.real_time, BATCH)
    interruptible = min(opening.at_once if is_at_once else opening.interruptible, BATCH)
    if view.refresh or view.depth > LEAST_DEPTH:
        real_time, interruptible = max(real_time, view.depth), max(interruptible, view.depth)
    heads = Heads(tickets=[], ends=[], following=None)
    onlookers: list[Waiting] = []
    if real_time > 0 or interruptible > 0:
        extent = Extent(
            real_time=real_time,
            interruptible=interruptible,
            total=BATCH,
            least=view.depth,
            after=view.after,
            signatures=view.signatures,
        )
        if opening.has_waiting:
            heads = await pools_store.load_heads(connection, tenant, pool, extent)
        if opening.has_guests:
            heads = heads.and_guests(await pools_store.load_heads(connection, tenant, pool, extent, of_guests=True))
    if opening.has_new and (heads.ends or min(real_time, interruptible) < BATCH):
        known = {ticket.ticket_id for ticket in heads.tickets}
        new = await pools_store.load_new(connection, tenant, pool, BATCH)
        onlookers = [ticket for ticket in new if ticket.ticket_id not in known]
    return heads, onlookers


def _unroutable(judged: Sequence[Judged]) -> list[Judged]:
    return [one for one in judged if one.reason is Reason.NO_SKILL]


async def _save_reasons(
    connection: Connection, judged: Sequence[tuple[Waiting, Reason]], now: datetime, *, refresh: bool
) -> list[Judged]:
    """Whether it is busy people or too few units with each of them may change with every run: that can wait for a refresh."""
    changed = [
        (ticket, reason)
        for ticket, reason in judged
        if ticket.reason is not reason and (refresh or not {ticket.reason, reason} <= _BUSY)
    ]
    return await pools_store.save_reasons(connection, changed, now) if changed else []


def _kinds(left: Sequence[tuple[Waiting, Reason]]) -> frozenset[Verdict]:
    """Why tickets wait, by kind of work; those that ask for somebody of their own tell nothing of others."""
    return frozenset(
        Verdict(ticket.signature, ticket.units, ticket.interruptible, reason)
        for ticket, reason in left
        if not ticket.excluded and not ticket.previous_owner
    )
