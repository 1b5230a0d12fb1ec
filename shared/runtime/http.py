"""The HTTP server as one part of a process: our signal handlers, our event loop, our ordered stop."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from shared.runtime.run import CannotStart

GRACE_SECONDS = 10
_BACKLOG = 2048


class _Server(uvicorn.Server):
    """Leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install nothing: `shared.runtime.run` has done so before this server started."""
        yield


def bind(host: str, port: int, *, setting: str) -> socket.socket:
    """A listening socket; port 0 takes any free one. Raises CannotStart naming the setting that would help."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise CannotStart(f"can't listen on {host}:{port}: {error}; set DESKCLOCK_HTTP_HOST or {setting}") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise CannotStart(f"can't listen on {host}:{port}: {error}; end what is there, or set {setting}") from None
    listening.setblocking(False)
    return listening


async def serve(app: Any, listening: socket.socket, *, stop: asyncio.Event) -> None:
    """Answer requests until `stop` is set, then finish those in flight.

    Streams that stay open have to end by themselves when `stop` is set: the server waits for them.
    """
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        backlog=_BACKLOG,
    )
    server = _Server(config)

    async def end() -> None:
        await stop.wait()
        server.should_exit = True

    ending = asyncio.create_task(end())
    try:
        await server.serve(sockets=[listening])
    finally:
        ending.cancel()
        listening.close()
