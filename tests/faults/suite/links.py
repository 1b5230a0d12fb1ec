"""TCP links between our processes and their servers: passed on, frozen or cut, as a scenario wants it."""

import asyncio
from collections.abc import Callable
from enum import Enum

from shared import timesource

_CHUNK = 65_536
_ANSWERED_SECONDS = 0.1


class Mode(Enum):
    """What becomes of bytes."""

    PASS = "pass"
    FREEZE = "freeze"
    """Nothing passes, nobody is told; new connections are accepted and get nowhere."""
    CUT = "cut"
    """Connections are closed and new ones refused."""


class Ambush(Enum):
    """A connection ends in the middle of something."""

    BEFORE = "before"
    """What was being sent never arrives."""
    UNANSWERED = "unanswered"
    """It arrives, and the answer doesn't."""


class Link:
    """Listens on a loopback port and passes everything on to `host` and `port`, or to a Unix socket `path`."""

    def __init__(self, *, port: int = 0, path: str = "") -> None:
        self.mode = Mode.PASS
        self.ambush: Callable[[bytes], Ambush | None] | None = None
        """Is shown what goes to the server before it goes there."""
        self.port = 0
        self._target_port = port
        self._target_path = path
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._lost: set[asyncio.StreamWriter] = set()
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def turn(self, mode: Mode) -> None:
        """From now on; what was frozen goes on where it stood, unless it was `lose`d."""
        self.mode = mode
        self._changed.set()
        self._changed = asyncio.Event()
        if mode is Mode.CUT:
            self.cut()

    def cut(self) -> None:
        """Close every connection that is open now."""
        for writer in list(self._open):
            writer.transport.abort()

    def lose(self) -> None:
        """What is open now stays frozen for ever, as after a failover of the network; new connections pass."""
        self._lost |= self._open

    async def close(self) -> None:
        """Stop listening and cut."""
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._open.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            await self._until_free(writer)
            if self._target_path:
                back, there = await asyncio.open_unix_connection(self._target_path)
            else:
                back, there = await asyncio.open_connection("127.0.0.1", self._target_port)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._send_on(reader, there, writer))
                both.create_task(self._pass_on(back, writer, writer))
        except* (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(writer)
            self._lost.discard(writer)
            for one in (writer, there):
                if one is not None:
                    one.transport.abort()

    async def _send_on(
        self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        while piece := await reader.read(_CHUNK):
            how = self.ambush(piece) if self.ambush is not None else None
            if how is Ambush.BEFORE:
                break
            await self._until_free(client)
            to.write(piece)
            await to.drain()
            if how is Ambush.UNANSWERED:
                self._lost.add(client)
                await timesource.pause(_ANSWERED_SECONDS)
                break
        raise EOFError

    async def _pass_on(
        self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        while piece := await reader.read(_CHUNK):
            await self._until_free(client)
            to.write(piece)
            await to.drain()
        raise EOFError

    async def _until_free(self, client: asyncio.StreamWriter) -> None:
        while client in self._lost or self.mode is Mode.FREEZE:
            await self._changed.wait()
        if self.mode is Mode.CUT:
            raise EOFError
