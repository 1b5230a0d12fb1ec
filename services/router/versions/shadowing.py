"""A candidate policy beside the one in force: judged on the same events, and nobody hears of it but the metrics.

Intake only marks tickets, in its own transaction. A loop folds what is marked or due, one process at a time for a
candidate, so that a slow or broken candidate costs live tickets nothing but the mark.
"""

import asyncio
from collections import Counter as Tally
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from services.router.domain import trial
from services.router.domain.standing import Touched
from services.router.domain.trial import Outcome, Trial
from services.router.metrics.tickets import RouterMetrics
from services.router.store import shadows as shadows_store
from services.router.store.shadows import Claimed, Listed, State
from shared import timesource
from shared.contract.judges import JudgedBy
from shared.contract.ledger import Ticket
from shared.ledger import tickets as ticket_rows
from shared.policy import builtin, parse
from shared.policy.document import Policy
from shared.postgres import time as database_time
from shared.postgres.pool import Connection, Pool
from shared.runtime.logs import Log, describe
from shared.runtime.periodic import TRANSIENT

SECONDS = 0.5
"""Between two looks: so soon a new candidate is noticed, and so late its clocks follow at least."""
BATCH = 250
"""Tickets of one transaction: some 20 ms, for which live tickets wait at most."""
ROUND_SECONDS = 1.0
"""After so long the list of candidates is looked at again; those that were not reached come first then."""
MOST_TICKETS = 100_000
"""On so many tickets a candidate is tried; later ones are left out."""
MOST_BEHIND = 1_000_000
"""So many marks may wait; a candidate that falls further behind is given up."""
REMOVED_AT_ONCE = 2_000
_MOST_SHADOWS = 10_000
_LONGEST_FAILURE = 500
_FAULTS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
"""Refusals by the database that come again however often one asks."""

_log = Log(__name__)


class FellBehind(Exception):
    """A candidate hears of less than happens."""

    def __str__(self) -> str:
        return f"it is behind by over {MOST_BEHIND:,} events and does not catch up"


class Shadows:
    """Tries candidates; any number of routers may do so beside each other."""

    def __init__(self, pool: Pool, metrics: RouterMetrics, *, most_tickets: int = MOST_TICKETS) -> None:
        """`most_tickets` bounds on how many tickets each is tried."""
        self._pool = pool
        self._metrics = metrics
        self._most_tickets = most_tickets
        self._since: dict[str, datetime] = {}
        """When the running candidate of a tenant started."""
        self._compiled: dict[UUID, Policy] = {}
        self._behind: dict[UUID, int] = {}
        self._turn = 0

    async def mark(self, connection: Connection, touched: Sequence[Touched]) -> None:
        """Have candidates look at what became of tickets once the caller has committed; nothing where none is tried."""
        if not self._since:
            return
        tickets = [item.standing.ticket for item in touched]
        marks = [(ticket.tenant, ticket.id) for ticket in tickets if self._is_tried(ticket)]
        if marks:
            await shadows_store.mark(connection, marks)

    async def run_once(self) -> int:
        """Look which candidates there are, and take each one batch further; returns how much there was to do."""
        async with self._pool.acquire() as connection:
            listed = await shadows_store.list_all(connection, _MOST_SHADOWS)
        self._note(listed)
        done, until = 0, timesource.monotonic() + ROUND_SECONDS
        first = self._turn % max(len(listed), 1)
        for shadow in listed[first:] + listed[:first]:
            done += await self._guarded(shadow) if shadow.state is State.RUNNING else await self._clear(shadow)
            self._turn += 1
            if timesource.monotonic() > until:
                break
        self._metrics.shadow_behind.set(sum(self._behind.values()))
        return done

    def _is_tried(self, ticket: Ticket) -> bool:
        since = self._since.get(ticket.tenant)
        return since is not None and ticket.opened_at is not None and ticket.opened_at >= since

    def _note(self, listed: Sequence[Listed]) -> None:
        running = [shadow for shadow in listed if shadow.state is State.RUNNING]
        if running and not self._since:
            self._metrics.begin_shadow()
        self._since = {shadow.tenant: shadow.started_at for shadow in running}
        self._compiled = {shadow.id: self._compiled[shadow.id] for shadow in running if shadow.id in self._compiled}
        self._behind = {shadow.id: self._behind.get(shadow.id, 0) for shadow in running}
        for state in (State.RUNNING, State.FAILED):
            self._metrics.shadows.labels(state).set(sum(shadow.state is state for shadow in listed))

    async def _guarded(self, shadow: Listed) -> int:
        """One batch of a candidate; whatever is wrong with it ends its trial, and nothing else."""
        try:
            return await self._follow(shadow)
        except _FAULTS as error:
            fault: Exception = error
        except TRANSIENT:
            raise
        except Exception as error:  # noqa: BLE001 - a candidate must harm nobody, whatever it does
            fault = error
        await self._fail(shadow, describe(fault)[:_LONGEST_FAILURE], fault)
        return 0

    async def _fail(self, shadow: Listed, reason: str, error: Exception | None = None) -> None:
        async with self._pool.acquire() as connection:
            is_news = await shadows_store.fail(connection, shadow.id, reason)
        if is_news:
            text = f"The shadow policy of tenant {shadow.tenant} is stopped, because it can't be tried: {reason}"
            _log.error("shadow_failed", text, error=error, tenant=shadow.tenant)

    async def _follow(self, shadow: Listed) -> int:
        """Fold one batch of tickets that are marked or due; returns how many."""
        async with self._pool.acquire() as connection, connection.transaction():
            claimed = await shadows_store.claim(connection, shadow.id)
            if claimed is None:
                return 0
            behind = await shadows_store.count_marks(connection, shadow.tenant)
            if behind > MOST_BEHIND:
                raise FellBehind
            now = await database_time.now(connection)
            found = await shadows_store.take_marks(connection, shadow.tenant, BATCH)
            found += await shadows_store.find_due(connection, shadow.id, now, BATCH)
            trials = await self._try_on(connection, claimed, list(dict.fromkeys(found)), now) if found else []
        self._behind[shadow.id] = max(behind - BATCH, 0)
        self._count(trials)
        return len(found)

    async def _try_on(
        self, connection: Connection, shadow: Claimed, ticket_ids: Sequence[UUID], now: datetime
    ) -> list[Trial]:
        policy = await self._policy(connection, shadow.id)
        tried = await shadows_store.load_tried(connection, shadow.id, ticket_ids)
        left = max(self._most_tickets - shadow.tickets, 0)
        tickets: list[Ticket] = []
        new: list[UUID] = []
        for ticket in await ticket_rows.read(connection, ticket_ids):
            if ticket.id in tried:
                tickets.append(ticket)
            elif len(new) < left and ticket.opened_at is not None and ticket.opened_at >= shadow.started_at:
                tickets.append(ticket)
                new.append(ticket.id)
        if not tickets:
            return []
        logs = await ticket_rows.load_logs(connection, tickets)
        stored = await shadows_store.load_clocks(connection, shadow.id, [ticket.id for ticket in tickets])
        trials = {ticket.id: trial.try_on(policy, logs[ticket.id], stored[ticket.id], now) for ticket in tickets}
        changed = {
            ticket_id: [clock for clock in tried_on.clocks if clock not in stored[ticket_id]]
            for ticket_id, tried_on in trials.items()
        }
        await shadows_store.save_clocks(connection, shadow.id, changed)
        if new:
            await shadows_store.add_tried(connection, shadow.id, new)
        return list(trials.values())

    async def _policy(self, connection: Connection, shadow_id: UUID) -> Policy:
        if shadow_id not in self._compiled:
            document = await shadows_store.load_document(connection, shadow_id)
            self._compiled[shadow_id] = await asyncio.to_thread(parse.stored_policy, document, version=builtin.VERSION)
        return self._compiled[shadow_id]

    async def _clear(self, shadow: Listed) -> int:
        """Remove some of what a candidate left behind; one that failed keeps its clocks until it is stopped."""
        gone = 0
        async with self._pool.acquire() as connection, connection.transaction():
            if shadow.tenant not in self._since:
                gone += await shadows_store.drop_marks(connection, shadow.tenant, REMOVED_AT_ONCE)
            if shadow.state is State.STOPPED:
                gone += await shadows_store.remove(connection, shadow, REMOVED_AT_ONCE)
        return gone

    def _count(self, trials: Sequence[Trial]) -> None:
        told: Tally[Outcome] = Tally(outcome for one in trials for outcome in one.outcomes)
        for outcome, n in told.items():
            self._metrics.outcomes.labels(
                outcome.target, outcome.channel, outcome.urgency, outcome.change, JudgedBy.SHADOW
            ).inc(n)
