"""The checks of readiness that every service of ours has."""

from nats.aio.client import Client

from shared.postgres.pool import Pool
from shared.runtime.periodic import Health
from shared.web.health import Check


def standard(pool: Pool, client: Client, health: Health) -> dict[str, Check]:
    """PostgreSQL answers, NATS is connected, the loops go round, and the process isn't ending."""

    async def database() -> str | None:
        async with pool.acquire() as connection:
            await connection.fetchval("SELECT 1")
        return None

    async def nats() -> str | None:
        return (
            None
            if client.is_connected
            else "no connection to NATS; it is being restored, and events wait in the outbox"
        )

    async def loops() -> str | None:
        stale = health.stale()
        return f"no success for too long: {', '.join(stale)}; the log says why" if stale else None

    async def serving() -> str | None:
        return "the process is ending" if health.draining else None

    return {"database": database, "nats": nats, "loops": loops, "serving": serving}
