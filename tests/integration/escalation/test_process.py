"""The service as a process: it starts, fires, pages, answers, and says what it misses."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import httpx
import pytest

from shared import timesource


class Process:
    """`python -m services.escalation` on this test's database."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._environ = environ
        self.port = free_port()
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", trust_env=False)
        self.running: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it is ready."""
        self.running = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.escalation",
            env={**os.environ, **self._environ, "DESKCLOCK_ESCALATION_PORT": str(self.port)},
            stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

        async def is_ready() -> bool:
            assert self.running is not None
            assert self.running.returncode is None
            try:
                return (await self.http.get("/health/ready")).status_code == 200
            except httpx.TransportError:
                return False

        await until(is_ready)

    async def end(self, number: int) -> int:
        """Send it a signal; returns its exit code."""
        assert self.running is not None
        self.running.send_signal(number)
        return await self.running.wait()


async def until(happened: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
    """Look again and again; fails after `seconds`."""
    async with asyncio.timeout(seconds):
        while not await happened():
            await timesource.pause(0.02)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
async def process(database, nats_url, jetstream) -> AsyncIterator[Process]:
    """A process that is not started yet."""
    made = Process(
        {
            "DESKCLOCK_DATABASE_URL": database.url,
            "DESKCLOCK_NATS_URL": nats_url,
            "DESKCLOCK_METRICS_OPEN": "true",
        }
    )
    yield made
    await made.http.aclose()
    if made.running is not None and made.running.returncode is None:
        made.running.kill()
        await made.running.wait()


async def test_it_fires_and_pages_and_stops_in_order(world, clock_control, process):
    """A broken promise is on the console's page a moment later; SIGTERM ends with 0."""
    await world.people("ana")
    await world.ticket(due_in=timedelta(hours=1), escalate="page the team")
    await process.start()
    await clock_control.advance(minutes=61)

    async def is_paged() -> bool:
        return [page["state"] for page in await world.pages()] == ["accepted"]

    await until(is_paged)
    metrics = (await process.http.get("/metrics")).text
    assert 'sla_loop_last_success_timestamp_seconds{loop="firing"}' in metrics
    assert 0 == await process.end(signal.SIGTERM)


async def test_a_missing_server_is_one_clear_line(process):
    """No traceback, exit code 1, and what to do."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.escalation",
        env={**os.environ, "DESKCLOCK_DATABASE_URL": f"postgresql://127.0.0.1:{free_port()}/none"},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await running.communicate()
    assert 1 == running.returncode
    [line] = said.decode().splitlines()
    assert "PostgreSQL" in line
    assert "DESKCLOCK_DATABASE_URL" in line
