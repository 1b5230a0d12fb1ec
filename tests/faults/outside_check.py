"""A check of another house, as there are to buy: alarms by itself when it has heard nothing for two periods."""

import asyncio
from collections import Counter

from shared import timesource


class OutsideCheck:
    """A small HTTP server that keeps count of who asked."""

    def __init__(self, period: float) -> None:
        self.heard: Counter[str] = Counter()
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK"
        self._period = period
        self._news = asyncio.Event()
        self._heard_at = timesource.monotonic()
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """Where to ask."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0)

    async def stop(self) -> None:
        """Listen no more."""
        assert self._server is not None
        self._server.close()
        for writer in self._talks:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._talks.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heard[head.split()[1].decode()] += 1
                self._heard_at = timesource.monotonic()
                self._news.set()
                writer.write(self.answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._talks.discard(writer)
            writer.close()

    async def beats(self, path: str, more: int = 1, *, within: float = 30.0) -> None:
        """Wait until this replica was heard so many times more."""
        wanted = self.heard[path] + more
        async with asyncio.timeout(within):
            while self.heard[path] < wanted:
                self._news.clear()
                await self._news.wait()

    async def alarm(self, *, within: float = 30.0) -> float:
        """Wait until nothing was heard for two periods; returns how many seconds that took from now on."""
        begun = timesource.monotonic()
        async with asyncio.timeout(within):
            while (left := self._heard_at + 2 * self._period - timesource.monotonic()) > 0:
                await timesource.pause(left)
        return timesource.monotonic() - begun
