"""Connections to servers that misbehave: refusing, silent, gone for good."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from shared.postgres.pool import SESSION, Pool, open_pool
from shared.runtime import run, servers
from shared.runtime.periodic import Health
from shared.runtime.run import Part, Service
from tests.conftest import Database

_CHUNK = 65_536
_STARTUP = 196_608
_REFUSAL = b"SFATAL\0C08P01\0Munsupported startup parameter: jit\0\0"


class Link:
    """A TCP port that passes everything on, until it is told to fall silent."""

    def __init__(self) -> None:
        self.again = asyncio.Event()
        """Set when a connection has come after the silence."""
        self._silent = asyncio.Event()

    def fall_silent(self) -> None:
        """From now on nothing is read from or written to the connections that are there; new ones work."""
        self._silent.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
        """One connection from end to end."""
        mine = self._silent
        if mine.is_set():
            self.again.set()
            mine = asyncio.Event()
        other_reader, other_writer = await asyncio.open_connection(host, port)
        pumps = [
            asyncio.create_task(_pump(reader, other_writer, mine)),
            asyncio.create_task(_pump(other_reader, writer, mine)),
        ]
        try:
            await asyncio.wait(pumps)
        finally:
            for pump in pumps:
                pump.cancel()
            writer.transport.abort()
            other_writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, silent: asyncio.Event) -> None:
    with suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            if silent.is_set():
                await asyncio.Event().wait()
            writer.write(chunk)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def _listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]],
) -> AsyncIterator[int]:
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(OSError, asyncio.CancelledError):
            await serve(reader, writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=_CHUNK)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("unsent", [0, 16_000_000])
async def test_a_nats_server_that_is_silent_is_left_for_another_connection(
    nats_url: str, monkeypatch: pytest.MonkeyPatch, unsent: int
) -> None:
    """Without a word from TCP, and though what was sent last can't be delivered."""
    monkeypatch.setattr(servers, "_PING_SECONDS", 0.05)
    monkeypatch.setattr(servers, "_UNSENT_SECONDS", 0.2)
    target = urlsplit(nats_url)
    link = Link()
    async with (
        asyncio.timeout(30),
        _listening(partial(link.carry, host=str(target.hostname), port=target.port or 4222)) as port,
        AsyncExitStack() as stack,
    ):
        client = await servers.open_nats(stack, f"nats://{target.username}@127.0.0.1:{port}", name="tests")
        await client.flush()
        link.fall_silent()
        for _ in range(unsent // 500_000):
            await client.publish("tests.unsent", b"x" * 500_000)

        await link.again.wait()
        inbox = await client.subscribe("tests.after")
        await client.publish("tests.after", b"after")

        assert b"after" == (await inbox.next_msg(timeout=10)).data


async def test_a_nats_client_that_is_closed_for_good_ends_the_process(
    nats_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With exit code 1 and the server's reason, so that something outside starts it again."""
    monkeypatch.setattr(servers, "_LOOK_SECONDS", 0.01)

    async def assemble(stack: AsyncExitStack) -> Service:
        client = await servers.open_nats(stack, nats_url, name="tests")
        await client.publish("tests.large", b"x" * client.max_payload, headers={"one": "too many"})
        return Service(
            name="router", health=Health(), stages=[[Part(name="nats", run=partial(servers.stay_open, client))]]
        )

    async with asyncio.timeout(10):
        assert 1 == await run.run_until(assemble, asyncio.Event())
    assert "closed for good: nats: maximum payload violation" in caplog.text


async def test_an_ordered_stop_closes_nats_without_a_complaint(nats_url: str) -> None:
    """Closing at the end is no reason to fail."""
    stop, opened = asyncio.Event(), []

    async def assemble(stack: AsyncExitStack) -> Service:
        client = await servers.open_nats(stack, nats_url, name="tests")
        opened.append(client)
        stop.set()
        return Service(
            name="router", health=Health(), stages=[[Part(name="nats", run=partial(servers.stay_open, client))]]
        )

    async with asyncio.timeout(10):
        assert 0 == await run.run_until(assemble, stop)
    assert opened[0].is_closed


async def _shown(pool: Pool, names: Iterable[str]) -> dict[str, str]:
    return {name: await pool.fetchval("SELECT current_setting($1)", name) for name in names}


async def test_a_session_gives_its_locks_back_in_time(pool: Pool) -> None:
    """Waiting for a lock and idling in a transaction end, also after a connection was used and given back."""
    names = ("jit", "lock_timeout", "idle_in_transaction_session_timeout", "TimeZone")

    first = await _shown(pool, names)

    assert {
        "jit": "off",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "20s",
        "TimeZone": "UTC",
    } == first
    assert first == await _shown(pool, names)


async def test_a_lock_is_not_waited_for_too_long(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one who waits is told so, and the one who idles loses its locks."""
    monkeypatch.setitem(SESSION, "lock_timeout", "50ms")
    impatient = await open_pool(database.url, name="tests", size=1)
    monkeypatch.setitem(SESSION, "idle_in_transaction_session_timeout", "200ms")
    idling = await open_pool(database.url, name="tests", size=1)
    holder = await idling.acquire()
    lost = asyncio.Event()
    holder.add_termination_listener(lambda _: lost.set())
    await holder.execute("BEGIN; LOCK outbox")

    with pytest.raises(asyncpg.LockNotAvailableError):
        await impatient.fetch("SELECT FROM outbox")
    await asyncio.wait_for(lost.wait(), 10)

    assert [] == await impatient.fetch("SELECT FROM outbox")
    idling.terminate()
    await impatient.close()


async def _pool_like_pgbouncer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, folder: str) -> None:
    """Refuse a session that asks for more than names; pass any other on."""
    head = await reader.readexactly(8)
    length, code = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")
    assert _STARTUP == code
    asked = await reader.readexactly(length - len(head))
    if b"jit" in asked or b"statement_cache_size" in asked:
        writer.write(b"E" + (len(_REFUSAL) + 4).to_bytes(4, "big") + _REFUSAL)
        await writer.drain()
        writer.close()
        return
    other_reader, other_writer = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")
    other_writer.write(head + asked)
    never = asyncio.Event()
    await asyncio.gather(_pump(reader, other_writer, never), _pump(other_reader, writer, never))


async def test_a_pooler_that_refuses_session_settings_is_used_without_them(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """PgBouncer takes only the settings it knows; the log says what to do for the others.

    What the address says of prepared statements is for the client, not for the server.
    """
    target = urlsplit(database.url)
    folder = parse_qs(target.query)["host"][0]
    async with _listening(partial(_pool_like_pgbouncer, folder=folder)) as port:
        opened = await open_pool(
            f"postgresql://{target.username}@127.0.0.1:{port}{target.path}?sslmode=disable&statement_cache_size=0",
            name="tests",
            size=1,
        )
        assert {"TimeZone": "UTC", "application_name": "tests"} == await _shown(
            opened, ("TimeZone", "application_name")
        )
        await opened.close()

    assert "give them to the role" in caplog.text
