"""The two services as child processes of `up` and `demo`: started, listened to, waited for, stopped.

A child that ends by itself ends everything, with its last words; nothing is restarted in silence. Should we die without
stopping them, a shell that reads a pipe from us does it.
"""

import asyncio
import signal
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, cast

import httpx

from services.console.failures import Failure
from shared import timesource

READY_SECONDS = 60.0
STOP_SECONDS = 20.0
_LAST_LINES = 12
_POLL_SECONDS = 0.05
_LONGEST_LINE = 1 << 20
_REAPER = """
trap '' HUP INT TERM
while read -r pid; do pids="$pids $pid"; done
for pid in $pids; do kill -TERM "$pid" 2>/dev/null; done
n=0
while [ "$n" -lt 100 ] && kill -0 $pids 2>/dev/null; do sleep 0.1; n=$((n + 1)); done
for pid in $pids; do kill -KILL "$pid" 2>/dev/null; done
"""

Sink = Callable[[str, str], None]
"""Hears each line of a child: (name of the child, line)."""


class Child:
    """One service."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, lines: asyncio.StreamReader, url: str) -> None:
        self.name = name
        self.url = url
        self._lines = lines
        self._process = process
        self._last: deque[str] = deque(maxlen=_LAST_LINES)

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    async def listen(self, sink: Sink, log: IO[str]) -> None:
        """Hand on every line until the child ends; `log` keeps them all."""
        async for raw in self._lines:
            line = raw.decode(errors="replace").rstrip()
            self._last.append(line)
            log.write(f"{line}\n")
            log.flush()
            sink(self.name, line)
        await self._process.wait()

    def died(self) -> Failure:
        """What to say when it has ended by itself."""
        code = self._process.returncode
        how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        said = " | ".join(line for line in self._last if line.strip()) or "it said nothing"
        return Failure(f"{self.name} {how}: {said}")

    async def stop(self) -> None:
        """End it in good order, by force after a while."""
        if self._process.returncode is None:
            self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        try:
            self._process.send_signal(number)
        except ProcessLookupError:
            return


@asynccontextmanager
async def services(
    urls: Mapping[str, str], environ: Mapping[str, str], logs: Path, sink: Sink
) -> AsyncIterator[Sequence[Child]]:
    """Both services, ready to serve; `urls` are theirs by name. If one ends meanwhile, its Failure ends the context."""
    with _reaper() as reaper:
        children: list[Child] = []
        try:
            async with asyncio.TaskGroup() as group:
                watchers = []
                for name, url in urls.items():
                    child = await _spawn(name, url, environ)
                    children.append(child)
                    reaper.write(f"{child.pid}\n")
                    reaper.flush()
                    watchers.append(group.create_task(_watch(child, sink, logs / f"{name}.log")))
                await _wait_ready(children)
                yield children
                for watcher in watchers:
                    watcher.cancel()
        except BaseExceptionGroup as errors:
            raise _foremost(errors) from None
        finally:
            await asyncio.shield(asyncio.gather(*(child.stop() for child in children)))


async def _spawn(name: str, url: str, environ: Mapping[str, str]) -> Child:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"services.{name}",
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C is ours to hear; we stop the children in order
        limit=_LONGEST_LINE,
    )
    if process.stdout is None:
        raise RuntimeError("a child without its output")
    return Child(name, process, process.stdout, url)


async def _watch(child: Child, sink: Sink, path: Path) -> None:
    with path.open("a", encoding="utf-8") as log:
        await child.listen(sink, log)
    raise child.died()


async def _wait_ready(children: Sequence[Child]) -> None:
    async with httpx.AsyncClient(timeout=2.0, trust_env=False) as client:
        until = timesource.monotonic() + READY_SECONDS
        for child in children:
            while not (said := await _is_ready(client, child))[0]:
                if timesource.monotonic() > until:
                    raise Failure(f"{child.name} did not get ready within {READY_SECONDS:.0f} s: {said[1]}")
                await timesource.pause(_POLL_SECONDS)


async def _is_ready(client: httpx.AsyncClient, child: Child) -> tuple[bool, str]:
    try:
        answer = await client.get(f"{child.url}/health/ready")
    except httpx.TransportError as error:
        return False, str(error) or type(error).__name__
    return answer.is_success, answer.text


def _foremost(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """What to tell: a child's death before anything that follows from it."""
    leaves = [_foremost(error) if isinstance(error, BaseExceptionGroup) else error for error in errors.exceptions]
    return next((error for error in leaves if isinstance(error, Failure)), leaves[0])


@contextmanager
def _reaper() -> Iterator[IO[str]]:
    """The pipe to a shell that ends the children if we end without having done so; it wants their process ids."""
    shell = subprocess.Popen(
        ["/bin/sh", "-c", _REAPER],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        text=True,
        start_new_session=True,
    )
    with shell:
        try:
            yield cast("IO[str]", shell.stdin)
        finally:
            shell.kill()
