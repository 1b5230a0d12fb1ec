"""What both services need in order to work: PostgreSQL, NATS, their loops, and not being asked to end."""

from collections.abc import Mapping

from nats.aio.client import Client

from shared.postgres import time as database_time
from shared.postgres.pool import Pool
from shared.runtime.periodic import Health
from shared.web.health import Check


def standard(pool: Pool, client: Client, health: Health) -> Mapping[str, Check]:
    """The checks of `/health/ready`, by name."""

    async def postgres() -> str | None:
        async with pool.acquire() as connection:
            await database_time.now(connection)
        return None

    async def nats() -> str | None:
        return None if client.is_connected else "no connection to NATS; it is being tried again"

    async def loops() -> str | None:
        stale = health.stale()
        return f"these loops have not succeeded lately: {', '.join(stale)}; the log says why" if stale else None

    async def draining() -> str | None:
        return "this process was asked to end and takes nothing new" if health.draining else None

    return {"postgres": postgres, "nats": nats, "loops": loops, "draining": draining}
