"""The time that decides: `deskclock_now()` of the database, and the warp that tests and the demo put on it."""

from datetime import datetime, timedelta

from shared.postgres.pool import Connection


async def now(connection: Connection) -> datetime:
    """The instant that decides about promises, aware UTC."""
    instant: datetime = await connection.fetchval("SELECT deskclock_now()")
    return instant


async def warp(connection: Connection, *, to: datetime | None = None, rate: float | None = None) -> datetime:
    """Set the time that decides, or how many seconds of it pass in one; what isn't given stays. Returns the new time.

    Only for tests, the demo and trials: callers refuse where the environment says production.
    """
    instant: datetime = await connection.fetchval(
        """
        INSERT INTO time_warp (real_anchor, virtual_anchor, rate)
        SELECT clock_timestamp(), coalesce($1, deskclock_now()), coalesce($2, (SELECT rate FROM time_warp), 1)
        ON CONFLICT (singleton) DO UPDATE
        SET real_anchor = excluded.real_anchor, virtual_anchor = excluded.virtual_anchor, rate = excluded.rate
        RETURNING virtual_anchor
        """,
        to,
        rate,
    )
    return instant


async def advance(connection: Connection, by: timedelta) -> datetime:
    """Let `by` pass at once; returns the new time."""
    return await warp(connection, to=await now(connection) + by)


async def is_warped(connection: Connection) -> bool:
    """Whether somebody has moved the time of this database for a trial."""
    warped: bool = await connection.fetchval("SELECT EXISTS (SELECT FROM time_warp)")
    return warped
