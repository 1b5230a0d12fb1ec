"""What agents say of themselves: whether they are there. Who comes gets what waits for them at once."""

from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta

import asyncpg

from services.router import absence
from services.router.assignment import Assignment
from services.router.metrics.presence import PresenceMetrics
from services.router.store import agents as agents_store
from services.router.store import presence as presence_store
from services.router.store.agents import AgentStatus, AgentView, Beat
from shared.contract.tickets import Channel
from shared.jetstream.relay import Relay
from shared.ledger.policies import PolicyShelf
from shared.postgres import failures
from shared.postgres.pool import Pool

LEASE = timedelta(seconds=45)
"""Without a heartbeat for so long somebody who is known by a lease isn't there; three beats may be lost on the way."""
HEARTBEAT = timedelta(seconds=15)
"""How often a heartbeat is to come."""

_AWAY: tuple[type[Exception], ...] = (asyncpg.PostgresError, *failures.UNAVAILABLE)


class Agents:
    """The agents of all tenants."""

    def __init__(
        self, pool: Pool, shelf: PolicyShelf, assignment: Assignment, relay: Relay, metrics: PresenceMetrics
    ) -> None:
        self._pool = pool
        self._shelf = shelf
        self._assignment = assignment
        self._relay = relay
        self._metrics = metrics

    async def list(self, tenant: str, *, after: str = "", limit: int = 50) -> list[AgentView]:
        """Agents in the order of their keys, from after the key `after`."""
        async with self._pool.acquire() as connection:
            return await agents_store.list_agents(connection, tenant, after, limit)

    async def find(self, tenant: str, key: str) -> AgentView | None:
        """One agent, or None."""
        async with self._pool.acquire() as connection:
            return await agents_store.load_agent(connection, tenant, key)

    async def set_status(
        self, tenant: str, key: str, status: AgentStatus, closed: Collection[Channel] | None = None
    ) -> AgentView | None:
        """Say whether an agent is there, and which channels they don't take; None where nobody of that key is on the roster.

        It holds until it is changed, or until their next shift begins; without `closed` the channels stay as they were.
        What is offered to who goes is offered to somebody else, and who comes is given what waits, before this returns.
        """
        async with self._pool.acquire() as connection:
            if not await agents_store.save_status(connection, tenant, key, status, closed):
                return None
            saved = await agents_store.load_agent(connection, tenant, key)
        try:
            await self._hear(tenant, key)
            return await self.find(tenant, key)
        except _AWAY:
            return saved  # said is said: the loops do the rest within a second

    async def beat(self, tenant: str, key: str) -> Beat | None:
        """Somebody who is known by a lease is there, for `LEASE` from now; None where nobody of that key is on the roster.

        Who was not there before, and says that they are, is given what waits. For others it does nothing.
        """
        async with self._pool.acquire() as connection:
            beat = await agents_store.save_heartbeat(connection, tenant, key, LEASE)
        if beat is not None and beat.present_until and not beat.was_there and beat.status is AgentStatus.ONLINE:
            with suppress(*_AWAY):  # the sweep matches within a second
                await self._assignment.run_agents(tenant, [key])
        return beat

    async def _hear(self, tenant: str, key: str) -> None:
        """Let what an agent said have its effect."""
        async with self._pool.acquire() as connection:
            offered = await presence_store.offers_of_absent(connection, absence.AT_ONCE, tenant, key)
            withdrawn = await absence.withdraw_offers(connection, self._shelf, offered.get(tenant, ()))
        self._relay.post(withdrawn.batch)
        self._metrics.count(withdrawn)
        await self._assignment.run_pools(withdrawn.pools)
        await self._assignment.run_agents(tenant, [key])
