"""The pull loop of a durable consumer: an inbox of our own with two pull requests under way, instead of `fetch`.

That is three times as fast, because no message costs a future and a timer, and the next messages travel while the last
ones are being handled. At most `2 * batch` messages are asked for ahead of need. A lost connection, a deleted consumer or a server without
JetStream is waited out and asked again.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from shared import timesource
from shared.runtime.logs import Log
from shared.runtime.periodic import TRANSIENT, Health

BATCH = 500
LINGER_SECONDS = 0.002
_MAX_BYTES = 16 * 1024 * 1024
_EXPIRES_SECONDS = 30.0
_HEARTBEAT_SECONDS = 5.0
_SILENCE_SECONDS = 12.0
_LOOK_SECONDS = 1.0
_RESTORE_SECONDS = 1.0
_STALE_SECONDS = 60.0

_HEARTBEAT = "100"
_NO_RESPONDERS = "503"

_log = Log(__name__)


class Puller:
    """Messages of one durable consumer, in batches."""

    def __init__(
        self,
        client: Client,
        stream: str,
        consumer: str,
        *,
        health: Health,
        restore: Callable[[], Awaitable[None]] | None = None,
        batch: int = BATCH,
        linger: float = LINGER_SECONDS,
    ) -> None:
        self._client = client
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._health = health
        self._health_name = f"pull {stream}"
        self._restore = restore
        """Makes the consumer again, should somebody have deleted it."""
        self._batch = batch
        self._linger = linger
        self._request = msgspec.json.encode(
            {
                "batch": batch,
                "max_bytes": _MAX_BYTES,
                "expires": int(_EXPIRES_SECONDS * 1e9),
                "idle_heartbeat": int(_HEARTBEAT_SECONDS * 1e9),
            }
        )
        self._inbox = client.new_inbox()
        self._buffer: deque[Msg] = deque()
        self._wanted = 0
        self._arrived = asyncio.Event()
        self._heard_at = timesource.monotonic()
        self._reconnects = 0
        self._broken = ""

    async def batches(self, stop: asyncio.Event) -> AsyncIterator[list[Msg]]:
        """Up to `batch` messages at a time until `stop` is set; what was fetched and not given out goes back at once."""
        self._health.expect(self._health_name, _STALE_SECONDS)
        stopping = asyncio.create_task(self._wake_at(stop))
        subscription = await self._client.subscribe(self._inbox, cb=self._receive)
        try:
            while not stop.is_set():
                await self._ask()
                if await self._wait() and not stop.is_set():
                    yield self._take()
        finally:
            stopping.cancel()
            await self._give_back(subscription)

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._arrived.set()

    async def _wait(self) -> bool:
        """Wait for messages, a moment longer for more of them; False after a while without any."""
        if not self._buffer:
            await timesource.pause(_LOOK_SECONDS, unless=self._arrived)
        if not self._buffer:
            self._arrived.clear()
            return False
        if len(self._buffer) < self._batch and self._linger:
            await timesource.pause(self._linger)
        return True

    def _take(self) -> list[Msg]:
        self._arrived.clear()
        if len(self._buffer) <= self._batch:
            taken = list(self._buffer)
            self._buffer.clear()
            return taken
        return [self._buffer.popleft() for _ in range(self._batch)]

    async def _ask(self) -> None:
        """Keep up to two requests under way, as long as what was fetched is being taken."""
        reconnects = self._client.stats["reconnects"]
        silent = self._wanted and timesource.monotonic() - self._heard_at > _SILENCE_SECONDS
        if silent or reconnects != self._reconnects:
            # The server has forgotten our requests, or an answer to them was lost.
            self._reconnects = reconnects
            self._wanted = 0
        if self._broken:
            await self._mend()
        try:
            while self._wanted + len(self._buffer) <= self._batch and self._client.is_connected:
                if not self._wanted:
                    self._heard_at = timesource.monotonic()
                self._wanted += self._batch
                await self._client.publish(self._subject, self._request, reply=self._inbox)
        except nats.errors.Error as error:
            self._broken = str(error)

    async def _mend(self) -> None:
        _log.warning("pull_interrupted", f"Pulling is interrupted: {self._broken}", consumer=self._subject)
        self._broken = ""
        self._wanted = 0
        await timesource.pause(_RESTORE_SECONDS)
        if self._restore is not None and self._client.is_connected:
            try:
                await self._restore()
            except TRANSIENT as error:
                self._broken = str(error) or type(error).__name__

    async def _receive(self, message: Msg) -> None:
        if message.reply.startswith("$JS.ACK"):
            self._buffer.append(message)
            self._wanted -= 1
        else:
            self._heed(message.headers or {})
        if not self._arrived.is_set():
            self._heard_at = timesource.monotonic()
            self._health.succeeded(self._health_name)
            self._arrived.set()

    def _heed(self, headers: dict[str, str]) -> None:
        """A status: a heartbeat, or the end of a request with so many messages still owed."""
        status, text = headers.get("Status", ""), headers.get("Description", "")
        if status == _HEARTBEAT:
            return
        if status == _NO_RESPONDERS or "Consumer" in text or "Shutdown" in text:
            self._broken = text or "nobody answers: no such consumer, or no JetStream"
        owed = headers.get("Nats-Pending-Messages", "")
        self._wanted = max(0, self._wanted - (int(owed) if owed.isdecimal() else self._batch))

    async def _give_back(self, subscription: Subscription) -> None:
        """Let others have what was fetched and not handled, without the wait for its acknowledgement to run out."""
        try:
            if self._client.is_connected:
                await subscription.drain()  # type: ignore[no-untyped-call]
                for message in self._buffer:
                    await message.nak()
                await self._client.flush()
        except TRANSIENT as error:
            _log.warning("pull_give_back_failed", "Fetched messages come again after their time", error=error)
        self._buffer.clear()


async def ack(messages: Iterable[Msg]) -> None:
    """Settle messages as done. A lost acknowledgement only means that a message comes again."""
    for message in messages:
        await message.ack()
