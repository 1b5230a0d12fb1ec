"""From the outbox to JetStream: what this process has just committed at once, what a crash left behind a little later."""

import asyncio
from collections import deque
from collections.abc import Iterable
from uuid import UUID

from shared.jetstream.publish import BATCH, Message, Publisher
from shared.postgres import outbox
from shared.postgres.outbox import Batch
from shared.postgres.pool import Pool
from shared.runtime.logs import Log
from shared.runtime.periodic import TRANSIENT

ROOM = 10_000
"""Events that may wait in memory; beyond that the sweep takes them from their rows."""

_log = Log(__name__)


class Relay:
    """Publishes committed batches in order, then deletes their rows."""

    def __init__(self, publisher: Publisher, pool: Pool, *, room: int = ROOM) -> None:
        self._publisher = publisher
        self._pool = pool
        self._room = room
        self._posted: deque[Batch] = deque()
        self._ours: set[UUID] = set()
        self._events = 0
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def post(self, batch: Batch | None) -> bool:
        """Publish this soon. Never waits: a batch there is no room for is left to the sweep, and False returned."""
        if batch is None:
            return True
        if self._events and self._events + len(batch.subjects) > self._room:
            return False
        self._posted.append(batch)
        self._ours.add(batch.id)
        self._events += len(batch.subjects)
        self._idle.clear()
        self._arrived.set()
        return True

    async def run(self, stop: asyncio.Event) -> None:
        """Publish what is posted until `stop` is set, and then what is still waiting."""
        stopping = asyncio.create_task(self._wake_at(stop))
        deleting: asyncio.Task[None] | None = None
        try:
            while self._posted or not stop.is_set():
                if not self._posted:
                    self._arrived.clear()
                    await self._arrived.wait()
                    continue
                batches = self._take()
                if await self._publish(batches):
                    if deleting is not None:
                        await deleting
                    deleting = asyncio.create_task(self._delete(batches))
                else:
                    self._forget(batches)
        finally:
            stopping.cancel()
            if deleting is not None:
                await deleting

    async def sweep(self) -> int:
        """Publish rows that nobody else is about to; returns how many events. Raises NotStored or what the database raises."""
        async with self._pool.acquire() as connection, connection.transaction():
            batches = [batch for batch in await outbox.claim_left_behind(connection) if batch.id not in self._ours]
            if not batches:
                return 0
            messages = _messages(batches)
            await self._publisher.publish(messages)
            await outbox.delete(connection, [batch.id for batch in batches])
        return len(messages)

    async def flush(self) -> None:
        """Wait until everything posted so far is published and its rows are gone, or left to the sweep."""
        await self._idle.wait()

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._arrived.set()

    def _take(self) -> list[Batch]:
        """As many whole batches as fit into one publication, at least one."""
        taken = [self._posted.popleft()]
        events = len(taken[0].subjects)
        while self._posted and events + len(self._posted[0].subjects) <= BATCH:
            taken.append(self._posted.popleft())
            events += len(taken[-1].subjects)
        return taken

    async def _publish(self, batches: list[Batch]) -> bool:
        try:
            await self._publisher.publish(_messages(batches))
        except TRANSIENT as error:
            _log.warning(
                "relay_failed", "Events wait in the outbox for the next sweep", error=error, batches=len(batches)
            )
            return False
        return True

    async def _delete(self, batches: list[Batch]) -> None:
        try:
            async with self._pool.acquire() as connection:
                await outbox.delete(connection, [batch.id for batch in batches])
        except TRANSIENT as error:
            _log.warning("relay_delete_failed", "Published events stay in the outbox until the next sweep", error=error)
        finally:
            self._forget(batches)

    def _forget(self, batches: list[Batch]) -> None:
        self._ours.difference_update(batch.id for batch in batches)
        self._events -= sum(len(batch.subjects) for batch in batches)
        if not self._ours:
            self._idle.set()


def _messages(batches: Iterable[Batch]) -> list[Message]:
    messages = []
    for batch in batches:
        name = str(batch.id)
        for position, (subject, payload) in enumerate(zip(batch.subjects, batch.payloads, strict=True)):
            messages.append(Message(subject, payload, f"{name}.{position}"))
    return messages
