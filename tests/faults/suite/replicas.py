"""One copy of a service in a process of its own, behind links of its own; armed, killed, stopped and asked how it is."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from shared import timesource
from tests.faults.suite.links import Link

ROOT = Path(__file__).parents[3]
READY_SECONDS = 90.0
_ASK_SECONDS = 0.05
_ANSWER_SECONDS = 5.0


class Replica:
    """A router or an escalation."""

    def __init__(self, module: str, environment: Mapping[str, str], links: Mapping[str, Link], log: Path) -> None:
        self.module = module
        self.links = links
        """By server: `postgres` and `nats`."""
        self.port = free_port()
        self.log = log
        self._environment = dict(environment)
        self.deaths = 0
        """How often it was killed and started again."""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """As in `router`."""
        return self.module.rpartition(".")[2]

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def launch(self, *, armed: str = "", skew: float = 0.0) -> None:
        """Start it without waiting; `armed` is where it is to die, `skew` how many seconds its host's clock is off."""
        self.deaths += self.was_killed
        environment = {
            **self._environment,
            f"DESKCLOCK_{self.name.upper()}_PORT": str(self.port),
            "DESKCLOCK_FAULT_POINT": armed,
        }
        command = ["-m", self.module] if not skew else ["-m", "tests.faults.suite.skewed", self.module, str(skew)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, env=environment, stdout=log, stderr=log
            )

    async def ready(self) -> None:
        """Wait until it says that it is; one that died meanwhile, as it was armed to, is let go."""
        until = timesource.monotonic() + READY_SECONDS
        while timesource.monotonic() < until and not self.is_dead:
            if await self.ask("ready") == httpx.codes.OK:
                return
            await timesource.pause(_ASK_SECONDS)
        if not self.was_killed:
            code = None if self._process is None else self._process.poll()
            raise AssertionError(f"{self.module} was not ready (exit code {code}): {self.last_words}")

    async def ask(self, what: str) -> int | None:
        """The status of `/health/<what>`; None where nothing answers."""
        request = f"GET /health/{what} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    writer.write(request.encode())
                    line = await reader.readline()
                finally:
                    writer.close()
        except OSError:
            return None
        return int(line.split()[1]) if line else None

    @property
    def is_dead(self) -> bool:
        """Whether it has ended."""
        return self._process is None or self._process.poll() is not None

    @property
    def was_killed(self) -> bool:
        """Whether SIGKILL was what ended it."""
        return self._process is not None and self._process.poll() == -signal.SIGKILL

    @property
    def is_stopped(self) -> bool:
        """Whether it stands still."""
        if self._process is None or self.is_dead:
            return False
        stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8")
        return stat.rpartition(")")[2].split()[0] in {"T", "t"}

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self._process is not None and not self.is_dead:
            self._process.send_signal(number)

    async def end(self, number: signal.Signals = signal.SIGTERM, *, within: float = 45.0) -> int:
        """Send it a signal and wait until it has ended; returns its exit code."""
        self.send(number)
        if self._process is None:
            return 0
        until = timesource.monotonic() + within
        while self._process.poll() is None and timesource.monotonic() < until:
            await timesource.pause(_ASK_SECONDS)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"{self.module} did not end within {within:g} s of {number.name}: {self.last_words}")
        return self._process.returncode

    @property
    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-2000:]


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def inherited() -> dict[str, str]:
    """This process's environment without settings of ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DESKCLOCK_")}
