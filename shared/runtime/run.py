"""One process from start to end: signals, one TaskGroup for all its parts, and a stop in order.

Signal handlers stand before anything serves, else SIGTERM ends the process with nothing drained. A part that ends or
fails before it was asked to ends the process with exit code 1: something outside restarts it whole.
"""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress

import uvloop
from msgspec import Struct

from shared.runtime.logs import Log
from shared.runtime.periodic import Health, every
from shared.runtime.settings import SettingsError

STOP_SECONDS = 15.0
"""How long the parts of one stage may take to end before they are cancelled."""

_log = Log(__name__)


class CannotStart(RuntimeError):
    """Something the process needs is missing; the text says what, and the way out."""


class Part(Struct, frozen=True, kw_only=True):
    """Something that runs until its event is set."""

    name: str
    run: Callable[[asyncio.Event], Awaitable[None]]


class Service(Struct, frozen=True, kw_only=True):
    """A process: its parts in stages, stopped stage by stage (HTTP, consumers, loops, relay).

    What the stages use (connections) is on the exit stack that `assemble` was given, and closes after them.
    """

    name: str
    health: Health
    stages: Sequence[Sequence[Part]]


def looping(
    name: str, seconds: float, run_once: Callable[[], Awaitable[int]], health: Health, *, drain: bool = True
) -> Part:
    """A part that calls `run_once` every so often; see `periodic.every`."""

    async def loop(stop: asyncio.Event) -> None:
        await every(seconds, run_once, name=name, health=health, stop=stop, drain=drain)

    return Part(name=name, run=loop)


Assemble = Callable[[AsyncExitStack], Awaitable[Service]]
"""Opens what the service needs, puts its closing on the stack, and returns the service."""


def run(assemble: Assemble) -> int:
    """Run a service until SIGINT or SIGTERM; returns the exit code of the process."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_until_signal(assemble))
    except (CannotStart, SettingsError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - before and beside the log, for the person who started it
        return 1


async def _until_signal(assemble: Assemble) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return await run_until(assemble, stop)


async def run_until(assemble: Assemble, stop: asyncio.Event) -> int:
    """Run a service until `stop` is set: 0 after an ordered stop, 1 where a part died."""
    async with AsyncExitStack() as stack:
        service = await _unless(stop, assemble(stack))
        if service is None:
            return 0
        try:
            await _run_parts(service, stop)
        except ExceptionGroup as group:
            for error in _leaves(group):
                _log.error("process_failed", f"{service.name} ends: {error}", error=error, service=service.name)
            return 1
    _log.info("process_stopped", f"{service.name} has stopped", service=service.name)
    return 0


class PartEnded(RuntimeError):
    """A part of the process ended though nobody had asked it to."""


async def _run_parts(service: Service, stop: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        stages = [
            (ending := asyncio.Event(), [group.create_task(_watch(part, ending), name=part.name) for part in parts])
            for parts in service.stages
        ]
        _log.info("process_started", f"{service.name} has started", service=service.name)
        await stop.wait()
        service.health.draining = True
        _log.info("process_stopping", f"{service.name} is stopping", service=service.name)
        for ending, tasks in stages:
            ending.set()
            if tasks:
                await _end(tasks)


async def _watch(part: Part, ending: asyncio.Event) -> None:
    await part.run(ending)
    if not ending.is_set():
        raise PartEnded(f"{part.name} ended by itself")


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS)
    for task in late:
        _log.warning("part_cancelled", f"{task.get_name()} took too long to stop", part=task.get_name())
        task.cancel()
    if late:
        await asyncio.wait(late)


async def _unless(stop: asyncio.Event, opening: Awaitable[Service]) -> Service | None:
    """The service, or None where `stop` was set while it was still being opened."""
    task = asyncio.ensure_future(opening)
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return None
    finally:
        stopped.cancel()
        task.cancel()


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
