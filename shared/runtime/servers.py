"""Connections to the servers a process needs: opened with one clear line where a server is missing, closed at the end."""

import asyncio
import socket
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import asyncpg
import nats
import nats.errors
from nats.aio.client import Client

from shared import timesource
from shared.postgres import migrate
from shared.postgres import time as database_time
from shared.postgres.pool import Pool, open_pool
from shared.runtime.logs import Log, describe
from shared.runtime.run import CannotStart

CONNECT_SECONDS = 10.0
_CLOSE_SECONDS = 10.0
_RECONNECT_SECONDS = 1
_PING_SECONDS = 5
_PINGS = 2
"""A server that is silent for three times these seconds is gone, whatever TCP says."""
_UNSENT_SECONDS = 15.0
_LOOK_SECONDS = 1.0

_log = Log(__name__)


async def open_database(stack: AsyncExitStack, url: str, *, name: str, size: int = 8) -> Pool:
    """A pool that closes with the stack. Raises CannotStart."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            pool = await open_pool(url, name=name, size=size)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CannotStart(
            f"PostgreSQL at {shown(url)} does not answer: {describe(error)}; start it or set DESKCLOCK_DATABASE_URL"
        ) from None
    stack.push_async_callback(_close_pool, pool)
    return pool


async def require_fit(pool: Pool, *, environment: str) -> None:
    """Raises CannotStart where the database's schema isn't this program's, or its time was moved and this is production."""
    async with pool.acquire() as connection:
        try:
            await migrate.require_current(connection)
        except migrate.MigrationError as error:
            raise CannotStart(str(error)) from None
        if environment == "production" and await database_time.is_warped(connection):
            raise CannotStart(
                "the time of this database was moved for a trial (table time_warp), and DESKCLOCK_ENVIRONMENT says "
                "production: use another database, or delete that row"
            )


async def open_nats(stack: AsyncExitStack, url: str, *, name: str) -> Client:
    """A client that reconnects for ever and is drained when the stack closes. Raises CannotStart.

    A long-lived process runs `stay_open` on it too.
    """
    client = Client()

    async def on_reconnected() -> None:
        _limit_unsent(client)
        _log.info("nats_reconnected", "The connection to NATS is back")

    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await client.connect(
                url,
                name=name,
                allow_reconnect=True,
                connect_timeout=2,
                max_reconnect_attempts=-1,
                reconnect_time_wait=_RECONNECT_SECONDS,
                ping_interval=_PING_SECONDS,
                max_outstanding_pings=_PINGS,
                error_cb=_on_error,
                disconnected_cb=_on_disconnected,
                reconnected_cb=on_reconnected,
            )
    except (OSError, ValueError, nats.errors.Error) as error:
        await client.close()
        raise CannotStart(
            f"NATS at {shown(url)} does not answer: {describe(error)}; start it or set DESKCLOCK_NATS_URL"
        ) from None
    _limit_unsent(client)
    stack.push_async_callback(_close_nats, client)
    return client


class NatsClosed(RuntimeError):
    """The client has given its connection up and will never reconnect."""


async def stay_open(client: Client, stop: asyncio.Event) -> None:
    """A part of each process that uses NATS: lives until `stop` is set. Raises NatsClosed.

    Some errors of the server (a violation of its protocol or limits) close the client for good; only a new process helps.
    """
    while not await timesource.pause(_LOOK_SECONDS, unless=stop):
        if client.is_closed:
            raise NatsClosed(f"the connection to NATS is closed for good: {client.last_error or 'no reason given'}")


def _limit_unsent(client: Client) -> None:
    """Let TCP give up on what the other side doesn't take; the client can't reconnect before its old socket is closed."""
    writer = getattr(client._transport, "_io_writer", None)  # noqa: SLF001 - there is no other way to the socket
    connected = writer and writer.get_extra_info("socket")
    if connected and hasattr(socket, "TCP_USER_TIMEOUT"):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(_UNSENT_SECONDS * 1_000))


def shown(url: str) -> str:
    """A server's address without its secrets."""
    try:
        parts = urlsplit(url)
        where = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
    except ValueError:
        return "(unreadable address)"
    folder = dict(pair.partition("=")[::2] for pair in parts.query.split("&")).get("host", "")
    return f"{where or folder}{parts.path}" or "(no address)"


async def _close_pool(pool: Pool) -> None:
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await pool.close()
    except (OSError, asyncpg.InterfaceError):
        pool.terminate()


async def _close_nats(client: Client) -> None:
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            if client.is_connected:
                await client.flush()
            await client.close()
    except (OSError, nats.errors.Error) as error:
        _log.warning("nats_close_failed", "NATS did not close in good order", error=error)


async def _on_error(error: Exception) -> None:
    _log.warning("nats_error", "NATS reports an error", error=error)


async def _on_disconnected() -> None:
    _log.warning("nats_disconnected", "The connection to NATS is lost; reconnecting")
