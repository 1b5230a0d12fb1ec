"""What agents say of themselves: whether they are there. Who comes gets what waits for them at once."""

import asyncpg

from services.router.assignment import Assignment
from services.router.store import agents as agents_store
from services.router.store.agents import AgentStatus, AgentView
from shared.postgres.pool import Pool


class Agents:
    """The agents of all tenants."""

    def __init__(self, pool: Pool, assignment: Assignment) -> None:
        self._pool = pool
        self._assignment = assignment

    async def list(self, tenant: str, *, after: str = "", limit: int = 50) -> list[AgentView]:
        """Agents in the order of their keys, from after the key `after`."""
        async with self._pool.acquire() as connection:
            return await agents_store.list_agents(connection, tenant, after, limit)

    async def find(self, tenant: str, key: str) -> AgentView | None:
        """One agent, or None."""
        async with self._pool.acquire() as connection:
            return await agents_store.load_agent(connection, tenant, key)

    async def set_status(self, tenant: str, key: str, status: AgentStatus) -> AgentView | None:
        """Say whether an agent is there; None where nobody of that key is on the roster.

        It holds until it is changed. Who goes keeps what they have; who comes is given what waits before this returns.
        """
        async with self._pool.acquire() as connection:
            saved = await agents_store.save_status(connection, tenant, key, status)
        if saved is None:
            return None
        try:
            given = await self._assignment.run_agents(tenant, [key])
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            return saved  # said is said: the sweep matches within a second
        return await self.find(tenant, key) if given else saved
