"""Connections to PostgreSQL, each with a timeout on every call and `jsonb` as raw JSON bytes."""

from typing import TypeAlias

import asyncpg

CONNECT_SECONDS = 10.0
STATEMENT_SECONDS = 30.0

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Record: TypeAlias = asyncpg.Record
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


async def open_pool(url: str, *, name: str, size: int = 8) -> Pool:
    """A pool of up to `size` connections; raises OSError or asyncpg.PostgresError where there is no server to talk to."""
    return await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=size,
        timeout=CONNECT_SECONDS,
        command_timeout=STATEMENT_SECONDS,
        server_settings={"application_name": name, "timezone": "UTC", "jit": "off"},
        init=_set_up,
    )


async def _set_up(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", format="binary", encoder=lambda raw: b"\x01" + raw, decoder=lambda sent: sent[1:]
    )
