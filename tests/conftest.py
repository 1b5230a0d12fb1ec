"""Fixtures on real servers: one PostgreSQL and one nats-server for the session, a cloned database for each test."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import asyncpg
import httpx
import nats
import pytest
from hypothesis import settings as hypothesis_settings
from msgspec import Struct
from nats.aio.client import Client
from nats.js import JetStreamContext

from services.console import embedded
from services.console.binaries import Wanted
from services.console.embedded import Embedded
from shared import timesource
from shared.jetstream import streams
from shared.postgres import time as database_time
from shared.postgres.migrate import migrate
from shared.postgres.pool import Connection, Pool, open_pool
from shared.runtime import settings

ROOT = Path(__file__).parents[1]
STATE = ROOT / ".deskclock"
TEMPLATE = "deskclock_template"
FAR_FROM_IO = {"properties", "conformance"}
"""Folders of tests that think much and reach no line that unit tests leave out: quicker when coverage looks away."""
MEMORY = Path("/dev/shm")  # noqa: S108 - the servers make private folders in it
"""Where there is such a folder, databases are made there: it takes an eighth of the time."""
_ROOM_BYTES = 2 * 2**30
_TRACED = "COVERAGE_PROCESS_CONFIG"
"""Tells a child process to take part in measuring coverage."""
_READY_SECONDS = 30.0
_ASK_SECONDS = 0.05

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let coverage look away where it only costs time."""
    for item in items:
        if FAR_FROM_IO & set(item.path.relative_to(ROOT).parts):
            item.add_marker(pytest.mark.no_cover)


@pytest.fixture(scope="session", autouse=True)
def tracing() -> dict[str, str]:
    """What a child process takes part in measuring coverage by; only services that `spawn` makes do, as it halves their speed."""
    wanted = os.environ.pop(_TRACED, None)
    return {} if wanted is None else {_TRACED: wanted}


@pytest.fixture(scope="session")
def servers() -> Iterator[Embedded]:
    """PostgreSQL and nats-server for the whole session; quick, not durable."""
    wanted = settings.load(Wanted)
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patched:
            if _has_room(MEMORY):
                patched.setattr(tempfile, "tempdir", str(MEMORY))
            started = stack.enter_context(
                embedded.start(cache=STATE / "cache", durable=False, wanted=wanted, max_connections=200)
            )
        yield started


def _has_room(folder: Path) -> bool:
    """Whether it is there, lets programs run and has room for the servers of a few sessions at once."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    is_open = os.access(folder, os.W_OK | os.X_OK) and not found.f_flag & os.ST_NOEXEC
    return is_open and found.f_bavail * found.f_frsize >= _ROOM_BYTES


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
    await _statement(servers, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
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


class Service:
    """One service in a process of its own."""

    def __init__(self, module: str, environment: dict[str, str], log: Path) -> None:
        self._module = module
        self._environment = environment
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        port_setting = next(name for name in environment if name.endswith("_PORT"))
        self.url = f"http://127.0.0.1:{environment[port_setting]}"

    def launch(self) -> None:
        """Start the process without waiting for it."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module], cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )

    async def start(self) -> None:
        """Start the process and wait until it is ready."""
        self.launch()
        await self.ready()

    async def ready(self) -> None:
        """Wait until it says so."""
        until = timesource.monotonic() + _READY_SECONDS
        async with httpx.AsyncClient() as http:
            while timesource.monotonic() < until:
                assert self._process is not None
                assert self._process.poll() is None, f"{self._module} ended: {self._log.read_text()[-2000:]}"
                with suppress(httpx.TransportError):
                    if (await http.get(f"{self.url}/health/ready")).status_code == httpx.codes.OK:
                        return
                await timesource.pause(_ASK_SECONDS)
        raise AssertionError(f"{self._module} was not ready in time: {self._log.read_text()[-2000:]}")

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to end; returns its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        return process.wait(30)

    @property
    def log(self) -> str:
        """What it has written."""
        return self._log.read_text()


class Spawn(Protocol):
    """Makes a service that isn't started yet."""

    def __call__(self, module: str, *, is_doomed: bool = False, **environment: str) -> Service: ...


@pytest.fixture
def spawn(database: Database, nats_url: str, tmp_path: Path, tracing: dict[str, str]) -> Iterator[Spawn]:
    """Services on this test's database and nats-server; whatever still runs at the end is killed.

    One that `is_doomed` to be killed isn't traced: what was covered would be lost with it.
    """
    services: list[Service] = []

    def make(module: str, *, is_doomed: bool = False, **environment: str) -> Service:
        settings = {
            **os.environ,
            **({} if is_doomed else tracing),
            "DESKCLOCK_DATABASE_URL": database.url,
            "DESKCLOCK_NATS_URL": nats_url,
            f"DESKCLOCK_{module.rpartition('.')[2].upper()}_PORT": str(_free_port()),
            **environment,
        }
        services.append(Service(module, settings, tmp_path / f"{len(services)}-{module}.log"))
        return services[-1]

    yield make
    for service in services:
        service.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
