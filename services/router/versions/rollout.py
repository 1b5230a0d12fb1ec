"""Brings a version of the policy to tickets that are open already, a bounded transaction at a time.

Each ticket's log is told that the version holds, and goes the way of every ticket whose log grew. How far it has come is
a row: killed anywhere, it goes on from there, and what was done stays done. It rests between batches, and two workers
never work on the same rollout.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import asyncpg

from services.router import saving
from services.router.domain.effects import Counts, counted, total
from services.router.domain.standing import Touched
from services.router.metrics.rollout import RolloutMetrics
from services.router.owning import Tell, nobody
from services.router.store import rollouts as rollouts_store
from services.router.store.rollouts import Meant, Rollout
from services.router.versions.rejudging import Kept, Rejudging, Task
from shared import timesource
from shared.jetstream.relay import Relay
from shared.ledger import tickets as ticket_rows
from shared.ledger.policies import PolicyShelf
from shared.postgres import time as database_time
from shared.postgres.outbox import Batch
from shared.postgres.pool import Connection, Pool
from shared.runtime.logs import Log
from shared.runtime.periodic import TRANSIENT

BATCH = 100
"""Tickets of one transaction: few enough that nobody waits long for their locks."""
WINDOW = 2_000
"""Tickets, open or not, among which the next batch is looked for."""
REST = 0.5
"""How long it rests after a batch, as a multiple of what that took: the rest of the time is for tickets that arrive."""
PATIENCE = timedelta(seconds=10)
"""How long it waits at most for what began before the version was there."""
MOST_FAILED = 100
"""Tickets that may fail before a rollout stops: then the fault is not theirs."""

_LONGEST_REST = 1.0
_RACES = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_REFUSALS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)

_log = Log(__name__)


class Did(StrEnum):
    """What one run did."""

    NOTHING = "nothing"
    """There is nothing to do, or others are at it."""
    WAITED = "waited"
    """Something is in the way for a moment."""
    WORKED = "worked"


class RollingOut:
    """Works on the rollouts of one tenant, or of all."""

    def __init__(
        self,
        pool: Pool,
        shelf: PolicyShelf,
        metrics: RolloutMetrics,
        *,
        relay: Relay | None = None,
        tenant: str | None = None,
        batch: int = BATCH,
        rest: float = REST,
        tell: Tell = nobody,
    ) -> None:
        """Without a relay, what there is to say waits in the outbox for a service's sweep; `tell` hears of what was judged."""
        self._pool = pool
        self._rejudging = Rejudging(shelf)
        self._metrics = metrics
        self._relay = relay
        self._tenant = tenant
        self._batch = batch
        self._limit = batch
        self._rest = rest
        self._tell = tell

    async def run_once(self) -> int:
        """One batch of one rollout; returns 0 where there is nothing to do at present."""
        return int(await self.step() is Did.WORKED)

    async def step(self) -> Did:
        """One batch of one rollout, and a rest after it."""
        began = timesource.monotonic()
        try:
            did = await self._transact()
        except _RACES:
            self._metrics.put_off.inc()
            return Did.WAITED
        except Exception as error:
            if isinstance(error, TRANSIENT) and not isinstance(error, _REFUSALS):
                raise
            await self._blame(error)
            return Did.WORKED
        if did is Did.WORKED:
            self._limit = min(self._limit * 2, self._batch)
            await timesource.pause(min((timesource.monotonic() - began) * self._rest, _LONGEST_REST))
        return did

    async def measure(self) -> int:
        """Set the gauge of what is left; returns it."""
        async with self._pool.acquire() as connection:
            left = await rollouts_store.tickets_left(connection)
        self._metrics.remaining.set(left)
        return left

    async def _transact(self) -> Did:
        async with self._pool.acquire() as connection, connection.transaction():
            rollout = await rollouts_store.claim(connection, self._tenant)
            if rollout is None:
                return Did.NOTHING
            if rollout.total is None:
                return await _begin(connection, rollout)
            await rollouts_store.wait_briefly(connection)
            counts, announcements, folded = await self._next_batch(connection, rollout)
        self._tell(folded)
        if self._relay is not None:
            self._relay.post(announcements)
        self._metrics.count(counts)
        return Did.WORKED

    async def _next_batch(
        self, connection: Connection, rollout: Rollout
    ) -> tuple[Counts, Batch | None, Sequence[Touched]]:
        task = _task(rollout)
        found = await rollouts_store.find(connection, task.meant, rollout.cursor, WINDOW, self._limit)
        tickets = await rollouts_store.lock_tickets(connection, task.meant, found.ids) if found.ids else []
        now = await database_time.now(connection)  # after the locks: what happened while we waited for them is past
        counts, announcements = Counts(), None
        folded: Sequence[Touched] = ()
        if tickets:
            rejudged = await self._rejudging.judge(connection, task, tickets, now)
            await _keep(connection, task, rejudged.kept, now)
            if rejudged.folded:
                announcements = (await saving.save(connection, rejudged.folded, now)).announcements
            counts = total(counted(outcome) for outcome in rejudged.outcomes(now))
            folded = rejudged.folded
        await rollouts_store.advance(connection, rollout, found.cursor, counts, now)
        if found.cursor is None:
            _log.info(
                "rollout_done",
                f"Policy version {rollout.version} has come to the open tickets of {rollout.tenant}",
                tenant=rollout.tenant,
                version=rollout.version,
                tickets=rollout.done + counts.tickets,
                failed=rollout.failed,
            )
        return counts, announcements, folded

    async def _blame(self, error: Exception) -> None:
        """Find the ticket that makes its batch fail by smaller batches; alone, it keeps its version and is named."""
        if self._limit > 1:
            self._limit //= 2
            return
        async with self._pool.acquire() as connection, connection.transaction():
            rollout = await rollouts_store.claim(connection, self._tenant)
            if rollout is None:
                return
            found = await rollouts_store.find(connection, _task(rollout).meant, rollout.cursor, WINDOW, 1)
            now = await database_time.now(connection)
            is_stopped = rollout.failed + len(found.ids) >= MOST_FAILED
            await rollouts_store.advance(
                connection, rollout, found.cursor, Counts(), now, failed=len(found.ids), is_stopped=is_stopped
            )
        self._metrics.failed.inc(len(found.ids))
        _log.error(
            "rollout_ticket_failed",
            "A ticket can't be judged by the new policy version and keeps its own; this is a fault of ours",
            error=error,
            tenant=rollout.tenant,
            version=rollout.version,
            tickets=[str(ticket_id) for ticket_id in found.ids],
        )
        if is_stopped:
            _log.error(
                "rollout_stopped",
                f"Policy version {rollout.version} goes to no more open tickets: {MOST_FAILED} failed; apply it again to go on",
                tenant=rollout.tenant,
                version=rollout.version,
            )


async def _begin(connection: Connection, rollout: Rollout) -> Did:
    """Count what is to be done, once nobody is left who began by an older version."""
    if rollout.seen_at is None:
        await rollouts_store.mark_seen(connection, rollout.id)
        return Did.WORKED
    if not await rollouts_store.may_begin(connection, rollout.seen_at, PATIENCE):
        return Did.WAITED
    await rollouts_store.begin(connection, rollout.id, await rollouts_store.count(connection, _task(rollout).meant))
    return Did.WORKED


async def _keep(connection: Connection, task: Task, kept: list[Kept], now: datetime) -> None:
    """Number the tickets and clocks that stay where they are."""
    if not kept:
        return
    told = [(item.ticket.id, item.event) for item in kept if item.event is not None]
    await ticket_rows.append(connection, sorted(told, key=lambda entry: entry[1].id), now)
    await rollouts_store.restamp(connection, [ticket_id for ticket_id, _ in told], task.meant.version, task.changed_at)


def _task(rollout: Rollout) -> Task:
    meant = Meant(
        tenant=rollout.tenant,
        version=rollout.version,
        rejudges=rollout.rejudges,
        opened_from=rollout.opened_from,
    )
    return Task(name=f"{rollout.version}:{rollout.id.hex[-12:]}", meant=meant, at=rollout.at)
