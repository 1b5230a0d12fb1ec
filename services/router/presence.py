"""Presence as time moves it: shifts begin, shifts and leases end, and what people had who have gone goes to somebody else.

Several processes may do it at once; each step is right whenever it is taken, by the database's clock.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar
from uuid import UUID

from services.router import absence, owning, shifts
from services.router.assignment import Assignment
from services.router.domain.presence import goes_back
from services.router.metrics.presence import PresenceMetrics
from services.router.owning import Tell
from services.router.requeueing import Requeued
from services.router.store import presence as presence_store
from shared.jetstream.relay import Relay
from shared.ledger.policies import PolicyShelf
from shared.postgres import failures
from shared.postgres import time as database_time
from shared.postgres.pool import Connection, Pool
from shared.runtime.logs import Log

AT_ONCE = 2_000
"""People who are found gone in one go, and tickets that are looked at in one."""
_PAGES = 3
"""So many pages of tickets of one tenant are looked at in one go; the next begins where it ended."""

_log = Log(__name__)
_Done = TypeVar("_Done")


class PresenceLoop:
    """Keeps presence true, for the agents of all tenants."""

    def __init__(
        self,
        pool: Pool,
        shelf: PolicyShelf,
        assignment: Assignment,
        relay: Relay,
        metrics: PresenceMetrics,
        *,
        tell: Tell = owning.nobody,
    ) -> None:
        """`tell` hears of tickets whose promise of an owner began anew."""
        self._pool = pool
        self._shelf = shelf
        self._assignment = assignment
        self._relay = relay
        self._metrics = metrics
        self._tell_owned = tell
        self._looked_to: dict[str, tuple[str, UUID]] = {}
        self._failing: set[str] = set()

    async def advance(self) -> int:
        """Begin the shifts and end the shifts and leases whose instant has come; withdraw offers of who isn't there.

        Called every second; three index probes where nothing is due. Who comes is given what waits. Returns how much it did.
        """
        async with self._pool.acquire() as connection:
            gone = await presence_store.mark_gone(connection, AT_ONCE)
            due = await presence_store.tenants_of_due_shifts(connection)
            came = await self._for_each(due, partial(self._set_shifts, connection))
            offered = await presence_store.offers_of_absent(connection, absence.AT_ONCE)
            withdrawn = await self._for_each(offered, lambda tenant: self._withdraw(connection, offered[tenant]))
        await self._match_for(came)
        await self._match(withdrawn.values())
        return gone + sum(map(len, came.values())) + sum(done.tickets for done in withdrawn.values())

    async def set_shifts(self) -> int:
        """Bring all shifts to what the policies in force say: a version may have begun to hold. Returns how many people came."""
        async with self._pool.acquire() as connection:
            tenants = await presence_store.tenants_of_shifts(connection)
            came = await self._for_each(tenants, partial(self._set_shifts, connection))
        await self._match_for(came)
        return sum(map(len, came.values()))

    async def sweep(self) -> int:
        """Queue again what people have who have gone, as far as it can't wait for them; returns how many tickets."""
        async with self._pool.acquire() as connection:
            tenants = await presence_store.tenants_of_gone(connection)
            self._looked_to = {tenant: at for tenant, at in self._looked_to.items() if tenant in tenants}
            taken = await self._for_each(tenants, partial(self._take_back, connection))
        batches = [batch for batches in taken.values() for batch in batches]
        await self._match(batches)
        return sum(batch.tickets for batch in batches)

    async def measure(self) -> int:
        """Show Prometheus who is there; returns how many are."""
        async with self._pool.acquire() as connection:
            counts = await presence_store.measure_agents(connection)
        return self._metrics.show_agents(counts)

    async def _for_each(self, tenants: Iterable[str], work: Callable[[str], Awaitable[_Done]]) -> dict[str, _Done]:
        """What was done in each tenant; one tenant's trouble, as a policy that can't be read, is no other's."""
        done = {}
        for tenant in tenants:
            try:
                done[tenant] = await work(tenant)
            except failures.UNAVAILABLE:
                raise
            except Exception as error:  # noqa: BLE001 - the others go on
                self._metrics.failures.inc()
                if tenant not in self._failing:  # said once, counted always
                    _log.error("presence_failed", "Presence can't be kept true in a tenant", error=error, tenant=tenant)
                self._failing.add(tenant)
            else:
                self._failing.discard(tenant)
        return done

    async def _match_for(self, came: Mapping[str, Sequence[str]]) -> None:
        for tenant, keys in came.items():
            if keys:
                await self._assignment.run_agents(tenant, keys)

    async def _match(self, requeued: Iterable[Requeued]) -> None:
        await self._assignment.run_pools({pool for batch in requeued for pool in batch.pools})

    async def _set_shifts(self, connection: Connection, tenant: str) -> list[str]:
        now = await database_time.now(connection)
        return await shifts.set_shifts(connection, self._shelf, tenant, now)

    async def _withdraw(self, connection: Connection, ticket_ids: Sequence[UUID]) -> Requeued:
        return self._tell(await absence.withdraw_offers(connection, self._shelf, ticket_ids))

    async def _take_back(self, connection: Connection, tenant: str) -> list[Requeued]:
        grace = (await self._shelf.current(connection, tenant)).routing.grace
        taken: list[Requeued] = []
        after = self._looked_to.pop(tenant, presence_store.FIRST)
        for _ in range(_PAGES):
            now = await database_time.now(connection)
            page = await presence_store.work_of_gone(connection, tenant, now - grace, AT_ONCE, after=after)
            lost = [ticket_id for ticket_id, item in page.work.items() if goes_back(item, now, grace)]
            for first in range(0, len(lost), absence.AT_ONCE):
                batch = lost[first : first + absence.AT_ONCE]
                requeued = self._tell(await absence.take_back(connection, self._shelf, tenant, batch))
                await owning.settle_lost(connection, self._shelf, self._relay, requeued.lost, self._tell_owned)
                taken.append(requeued)
            if page.last is None:
                return taken
            after = page.last
        self._looked_to[tenant] = after
        return taken

    def _tell(self, requeued: Requeued) -> Requeued:
        self._relay.post(requeued.batch)
        self._metrics.count(requeued)
        return requeued
