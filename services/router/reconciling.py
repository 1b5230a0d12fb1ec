"""What should never be, looked for every minute: loads that drifted, tickets of people who left, tickets that got lost."""

from datetime import timedelta

from services.router import leaving, owning
from services.router.domain.staffing import MOST_WEEKS
from services.router.metrics.assignment import AssignmentMetrics
from services.router.owning import Tell
from services.router.store import upkeep as upkeep_store
from shared.jetstream.relay import Relay
from shared.ledger.policies import PolicyShelf
from shared.postgres import time as database_time
from shared.postgres.pool import Pool
from shared.runtime.logs import Log

MOST_STRANDED = 1_000
"""Tickets nobody has that are looked for at most; the gauge goes no higher."""
_NAMED = 5
FORGET_BATCH = 5_000
"""Waits that one transaction deletes at most, and so many transactions in a row."""
_FORGET_BATCHES = 20

_log = Log(__name__)


class Reconciling:
    """Sets right what can be, and counts what can't."""

    def __init__(
        self,
        pool: Pool,
        shelf: PolicyShelf,
        metrics: AssignmentMetrics,
        relay: Relay,
        *,
        tell: Tell = owning.nobody,
    ) -> None:
        """`tell` hears of the tickets whose promise of an owner turns out to be kept."""
        self._pool = pool
        self._shelf = shelf
        self._metrics = metrics
        self._relay = relay
        self._tell = tell

    async def run_once(self) -> int:
        """Look once; returns how much was found, 0 while all is well."""
        found = await self.reconcile_counters() + await self.requeue_left() + await self.find_stranded()
        found += await self.settle_ownership()
        await self.forget_waits()
        return found

    async def reconcile_counters(self) -> int:
        """Set loads right where they aren't the sum of active assignments; returns by how many units they weren't.

        What it finds is counted, because it is a fault.
        """
        async with self._pool.acquire() as connection:
            drift = await upkeep_store.reconcile_counters(connection)
        if drift:
            self._metrics.drift.inc(drift)
        return drift

    async def requeue_left(self) -> int:
        """Queue again what agents who left the roster still have, but for what they were given by hand; returns how many."""
        async with self._pool.acquire() as connection, connection.transaction():
            done = await leaving.requeue_all(connection, self._shelf, await database_time.now(connection))
        self._relay.post(done.batch)
        return done.tickets

    async def settle_ownership(self) -> int:
        """Fold tickets whose owner came or went without their clocks hearing of it; returns how many."""
        async with self._pool.acquire() as connection:
            given = await owning.settle_given(connection, self._shelf, self._relay, self._tell)
            return given + await owning.settle_released(connection, self._shelf, self._relay, self._tell)

    async def forget_waits(self) -> int:
        """Delete waits that ended before the longest report of staff begins, a bounded number at a time; returns how many."""
        forgotten = 0
        for _ in range(_FORGET_BATCHES):
            async with self._pool.acquire() as connection, connection.transaction():
                before = await database_time.now(connection) - timedelta(weeks=MOST_WEEKS)
                count = await upkeep_store.forget_waits(connection, before, FORGET_BATCH)
            forgotten += count
            if count < FORGET_BATCH:
                break
        return forgotten

    async def find_stranded(self) -> int:
        """Look for open tickets that neither wait nor are anybody's, and say so; returns how many were found."""
        async with self._pool.acquire() as connection:
            stranded = await upkeep_store.list_stranded(connection, MOST_STRANDED)
        self._metrics.stranded.set(len(stranded))
        if stranded:
            _log.error(
                "tickets_stranded",
                f"{len(stranded)} open tickets neither wait for an owner nor have one: assign them by hand, and report this",
                tickets=len(stranded),
                first=[f"{one.tenant}/{one.source}/{one.external_id}" for one in stranded[:_NAMED]],
            )
        return len(stranded)
