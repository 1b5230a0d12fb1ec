"""Fixtures on real servers: one PostgreSQL and one nats-server for the session, a cloned database for each test."""

import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
import nats
import pytest
from hypothesis import settings as hypothesis_settings
from msgspec import Struct
from nats.aio.client import Client
from nats.js import JetStreamContext

from services.console import embedded
from services.console.binaries import Wanted
from services.console.embedded import Embedded
from shared.jetstream import streams
from shared.postgres import time as database_time
from shared.postgres.migrate import migrate
from shared.postgres.pool import Connection, Pool, open_pool
from shared.runtime import settings

ROOT = Path(__file__).parents[1]
STATE = ROOT / ".deskclock"
TEMPLATE = "deskclock_template"

_serial = itertools.count(1)

hypothesis_settings.register_profile("deskclock", deadline=None, database=None)
hypothesis_settings.load_profile("deskclock")


class Database(Struct, frozen=True, kw_only=True):
    """One database, migrated and empty."""

    name: str
    url: str


class ClockControl:
    """The time that decides, in one database: the real one until it is frozen, advanced or run at another rate."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def now(self) -> datetime:
        """What `deskclock_now()` says."""
        return await self._with(database_time.now)

    async def freeze(self, at: datetime) -> datetime:
        """Stand still at `at`."""
        return await self._with(lambda connection: database_time.warp(connection, to=at, rate=0))

    async def run(self, *, to: datetime | None = None, rate: float = 1.0) -> datetime:
        """Run on, `rate` seconds in one."""
        return await self._with(lambda connection: database_time.warp(connection, to=to, rate=rate))

    async def advance(
        self, by: timedelta | None = None, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> datetime:
        """Let time pass at once."""
        step = (by or timedelta()) + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        return await self._with(lambda connection: database_time.advance(connection, step))

    async def _with(self, do: Callable[[Connection], Awaitable[datetime]]) -> datetime:
        async with self._pool.acquire() as connection:
            return await do(connection)


@pytest.fixture(scope="session")
def servers() -> Iterator[Embedded]:
    """PostgreSQL and nats-server for the whole session; quick, not durable."""
    wanted = settings.load(Wanted)
    with embedded.start(cache=STATE / "cache", durable=False, wanted=wanted, max_connections=200) as started:
        yield started


@pytest.fixture(scope="session")
async def template(servers: Embedded) -> str:
    """A migrated database that is cloned for each test."""
    await _statement(servers, f"CREATE DATABASE {TEMPLATE}")
    connection = await asyncpg.connect(servers.postgres.url(TEMPLATE))
    try:
        await migrate(connection)
    finally:
        await connection.close()
    return TEMPLATE


@pytest.fixture
async def database(servers: Embedded, template: str) -> AsyncIterator[Database]:
    """A database of this test's own, migrated and empty."""
    name = f"test_{os.getpid()}_{next(_serial)}"
    await _statement(servers, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log")
    yield Database(name=name, url=servers.postgres.url(name))
    await _statement(servers, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    """Connections to this test's database."""
    opened = await open_pool(database.url, name="tests", size=8)
    yield opened
    await opened.close()


@pytest.fixture
def clock_control(pool: Pool) -> ClockControl:
    """Moves the time that decides in this test's database."""
    return ClockControl(pool)


@pytest.fixture
def nats_url(servers: Embedded) -> str:
    """Of the session's nats-server."""
    return servers.nats_url


@pytest.fixture
async def nats_client(nats_url: str) -> AsyncIterator[Client]:
    """One connection to the session's nats-server."""
    client = await nats.connect(nats_url)
    yield client
    await client.close()


@pytest.fixture
async def jetstream(nats_client: Client) -> AsyncIterator[JetStreamContext]:
    """JetStream with our streams made and empty."""
    context = nats_client.jetstream()
    await _forget_streams(context)
    await streams.ensure(nats_client)
    yield context
    await _forget_streams(context)


async def _forget_streams(context: JetStreamContext) -> None:
    for info in await context.streams_info():
        if info.config.name:
            await context.delete_stream(info.config.name)


async def _statement(servers: Embedded, statement: str) -> None:
    connection = await asyncpg.connect(servers.postgres.url("postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
