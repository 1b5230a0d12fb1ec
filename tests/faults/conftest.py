"""The services as real processes, to be killed."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import httpx
import pytest

from shared import timesource

ROOT = Path(__file__).parents[2]
_READY_SECONDS = 30.0
_ASK_SECONDS = 0.05


class HasUrl(Protocol):
    """A database of a test."""

    url: str


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

    def __call__(self, module: str, **environment: str) -> Service: ...


@pytest.fixture
def spawn(database: HasUrl, nats_url: str, tmp_path: Path) -> Iterator[Spawn]:
    """Services on this test's database and nats-server; whatever still runs at the end is killed."""
    services: list[Service] = []

    def make(module: str, **environment: str) -> Service:
        settings = {
            **os.environ,
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
