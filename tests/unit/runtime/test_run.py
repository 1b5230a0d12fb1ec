"""A process from start to end: its order, its deaths, its exit codes."""

import asyncio
import signal
import subprocess
import sys
import textwrap
from contextlib import AsyncExitStack

import httpx
import pytest

from shared.runtime import http, run, servers
from shared.runtime.periodic import Health
from shared.runtime.run import CannotStart, Part, Service


class Story:
    """What happened, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.started = asyncio.Event()

    def part(self, name: str) -> Part:
        """A part that lives until it is told to stop."""

        async def live(stop: asyncio.Event) -> None:
            self.started.set()
            await stop.wait()
            self.lines.append(name)

        return Part(name=name, run=live)


async def test_parts_stop_in_order_and_connections_close_last() -> None:
    """HTTP first, then consumers, loops, relay; then what they used."""
    story, stop, health = Story(), asyncio.Event(), Health()

    async def assemble(stack: AsyncExitStack) -> Service:
        stack.callback(story.lines.append, "pool")
        return Service(
            name="router",
            health=health,
            stages=[[story.part("http")], [story.part("consumer")], [], [story.part("relay")]],
        )

    running = asyncio.create_task(run.run_until(assemble, stop))
    await story.started.wait()
    stop.set()

    assert 0 == await running
    assert ["http", "consumer", "relay", "pool"] == story.lines
    assert health.draining


async def test_a_part_that_fails_ends_the_process() -> None:
    """Everything else is cancelled, connections are closed, the exit code is 1."""
    story = Story()

    async def fail(_: asyncio.Event) -> None:
        await story.started.wait()
        raise KeyError("a mistake")

    async def assemble(stack: AsyncExitStack) -> Service:
        stack.callback(story.lines.append, "pool")
        return Service(name="router", health=Health(), stages=[[story.part("http")], [Part(name="loop", run=fail)]])

    assert 1 == await run.run_until(assemble, asyncio.Event())
    assert ["pool"] == story.lines


async def test_a_part_that_just_ends_ends_the_process_too() -> None:
    """A loop that returns is as dead as one that raises."""

    async def finish(_: asyncio.Event) -> None:
        pass

    async def assemble(_: AsyncExitStack) -> Service:
        return Service(name="router", health=Health(), stages=[[Part(name="loop", run=finish)]])

    assert 1 == await run.run_until(assemble, asyncio.Event())


async def test_a_part_that_does_not_stop_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time, so that the process ends."""
    monkeypatch.setattr(run, "STOP_SECONDS", 0.01)
    stop = asyncio.Event()

    async def cling(_: asyncio.Event) -> None:
        stop.set()
        await asyncio.Event().wait()

    async def assemble(_: AsyncExitStack) -> Service:
        return Service(name="router", health=Health(), stages=[[Part(name="loop", run=cling)]])

    assert 0 == await run.run_until(assemble, stop)


async def test_a_stop_while_connecting_is_obeyed() -> None:
    """Ctrl-C works before the first server has answered."""
    stop = asyncio.Event()

    async def assemble(_: AsyncExitStack) -> Service:
        stop.set()
        await asyncio.Event().wait()
        raise AssertionError

    assert 0 == await run.run_until(assemble, stop)


_PROGRAM = """
import asyncio, sys
from shared.runtime.periodic import Health
from shared.runtime.run import CannotStart, Part, Service, run

async def live(stop):
    print("ready", flush=True)
    await stop.wait()
    print("stopped", flush=True)

async def assemble(stack):
    if sys.argv[1] == "missing":
        raise CannotStart("PostgreSQL does not answer; start it")
    return Service(name="router", health=Health(), stages=[[Part(name="loop", run=live)]])

sys.exit(run(assemble))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_in_order(number: signal.Signals) -> None:
    """The process drains and ends with 0, where it would have died with 143."""
    command = [sys.executable, "-c", textwrap.dedent(_PROGRAM), "fine"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        process.send_signal(number)
        assert "stopped\n" == process.stdout.read()

    assert 0 == process.returncode


def test_a_missing_server_is_one_clear_line() -> None:
    """No traceback, and exit code 1."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_PROGRAM), "missing"], capture_output=True, text=True, check=False
    )

    assert (1, "error: PostgreSQL does not answer; start it\n") == (done.returncode, done.stderr)


async def test_a_database_that_is_not_there_is_named_without_its_password() -> None:
    """Where it was looked for, and which setting to change."""
    async with AsyncExitStack() as stack:
        with pytest.raises(CannotStart) as caught:
            await servers.open_database(stack, "postgresql://user:hush@127.0.0.1:1/deskclock", name="tests")

    assert str(caught.value).startswith("PostgreSQL at 127.0.0.1:1/deskclock does not answer: ")
    assert str(caught.value).endswith("; start it or set DESKCLOCK_DATABASE_URL")


async def test_a_nats_server_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for NATS, within the time to connect."""
    monkeypatch.setattr(servers, "CONNECT_SECONDS", 0.2)
    async with AsyncExitStack() as stack:
        with pytest.raises(CannotStart, match=r"NATS at 127\.0\.0\.1:1 does not answer: .*set DESKCLOCK_NATS_URL"):
            await servers.open_nats(stack, "nats://token@127.0.0.1:1", name="tests")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://me:hush@db:5433/deskclock", "db:5433/deskclock"),
        ("postgresql://postgres@/deskclock?host=/run/pg", "/run/pg/deskclock"),
        ("nats://token@nats:4222", "nats:4222"),
        ("nats://nats:what", "(unreadable address)"),
        ("", "(no address)"),
    ],
)
def test_addresses_are_shown_without_secrets(url: str, expected: str) -> None:
    """Host, port and database are enough to find it."""
    assert expected == servers.shown(url)


def test_a_taken_port_is_named() -> None:
    """With the setting that would help."""
    with http.bind("127.0.0.1", 0, setting="DESKCLOCK_ROUTER_PORT") as listening:
        port = listening.getsockname()[1]
        with pytest.raises(CannotStart, match=f"can't listen on 127.0.0.1:{port}: .*DESKCLOCK_ROUTER_PORT"):
            http.bind("127.0.0.1", port, setting="DESKCLOCK_ROUTER_PORT")


def test_a_host_that_does_not_exist_is_named() -> None:
    """Before anything is served."""
    with pytest.raises(CannotStart, match=r"can.t listen on no\.such\.host\.invalid:80"):
        http.bind("no.such.host.invalid", 80, setting="DESKCLOCK_ROUTER_PORT")


async def _app(scope, receive, send) -> None:
    """Answers 200 to everything."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


async def test_http_answers_until_it_is_told_to_stop() -> None:
    """And then ends by itself, with the signal handlers of the process untouched."""
    before = signal.getsignal(signal.SIGTERM)
    listening = http.bind("127.0.0.1", 0, setting="DESKCLOCK_ROUTER_PORT")
    stop = asyncio.Event()
    serving = asyncio.create_task(http.serve(_app, listening, stop=stop))
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{listening.getsockname()[1]}/")
    stop.set()

    await serving

    assert (200, b"ok") == (answer.status_code, answer.content)
    assert before == signal.getsignal(signal.SIGTERM)
