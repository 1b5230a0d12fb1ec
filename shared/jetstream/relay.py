"""From the outbox to JetStream: what this process has just committed at once, what a crash left behind a little later.

Events leave in the order of their posting. While NATS is away they wait; what there is no room for waits in its row, and
everything after it too, until the sweep has published that row.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from uuid import UUID

from shared import timesource
from shared.jetstream.publish import BATCH, Message, Publisher
from shared.postgres import outbox
from shared.postgres.outbox import Batch, Span
from shared.postgres.pool import Pool
from shared.runtime.logs import Log
from shared.runtime.periodic import TRANSIENT

ROOM = 10_000
"""Events that may wait in memory; beyond that the sweep takes them from their rows."""

DRAIN_SECONDS = 8.0
"""How long after the stop what is posted may still be published; then it waits in its rows for the next sweep."""

SWEEP_SECONDS = 10.0
"""How long one publication of the sweep may take: its transaction is open meanwhile."""

_SHORTEST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0

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
        self._refused: Span | None = None
        self._refusals = 0
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def post(self, batch: Batch | None) -> bool:
        """Publish this soon. Never waits: a batch there is no room for is left to the sweep, and False returned.

        From then on all are refused, until the sweep has published what was.
        """
        if batch is None:
            return True
        if self._refused is not None or (self._events and self._events + len(batch.subjects) > self._room):
            self._refusals += 1
            self._refused = (self._refused or Span(batch.id, batch.id)).with_(batch.id)
            return False
        self._posted.append(batch)
        self._ours.add(batch.id)
        self._events += len(batch.subjects)
        self._idle.clear()
        self._arrived.set()
        return True

    async def run(self, stop: asyncio.Event) -> None:
        """Publish what is posted until `stop` is set, and then for a few seconds what is still waiting."""
        try:
            async with asyncio.timeout(None) as limit:
                ending = asyncio.create_task(self._end(stop, limit))
                try:
                    await self._publish_posted(stop)
                finally:
                    ending.cancel()
        except TimeoutError:
            pass
        finally:
            self._leave_behind()

    async def sweep(self) -> int:
        """Publish the oldest rows that nobody else is about to, at most one publication or row.

        Returns how many events. Raises NotStored or what the database raises; then the rows stay.
        """
        refused, refusals = self._refused, self._refusals
        async with self._pool.acquire() as connection:
            async with connection.transaction():
                batches = await outbox.claim_left_behind(
                    connection,
                    most=BATCH,
                    ours=self._ours,
                    refused=refused,
                    # What was refused comes after what is posted.
                    before=refused.first if refused and self._ours else None,
                )
                messages = _messages(batches)
                if messages:
                    async with asyncio.timeout(SWEEP_SECONDS):
                        await self._publisher.publish(messages)
                    await outbox.delete(connection, [batch.id for batch in batches])
            if refused and not messages and not await outbox.has_any(connection, refused):
                self._accept_again(refusals)
        return len(messages)

    def _accept_again(self, refusals: int) -> None:
        if refusals == self._refusals:
            self._refused = None

    async def flush(self) -> None:
        """Wait until everything posted so far is published and its rows are gone, or `run` has ended."""
        await self._idle.wait()

    async def _end(self, stop: asyncio.Event, limit: asyncio.Timeout) -> None:
        await stop.wait()
        self._arrived.set()
        limit.reschedule(asyncio.get_running_loop().time() + DRAIN_SECONDS)

    async def _publish_posted(self, stop: asyncio.Event) -> None:
        deleting: asyncio.Task[None] | None = None
        pause = _SHORTEST_PAUSE
        try:
            while self._posted or not stop.is_set():
                if not self._posted:
                    self._arrived.clear()
                    await self._arrived.wait()
                    continue
                batches = self._take()
                if await self._publish(batches):
                    pause = _SHORTEST_PAUSE
                    if deleting is not None:
                        await deleting
                    deleting = asyncio.create_task(self._delete(batches))
                    continue
                self._posted.extendleft(reversed(batches))
                if stop.is_set():
                    break
                await timesource.pause(pause, unless=stop)
                pause = min(pause * 2, _LONGEST_PAUSE)
            if deleting is not None:
                await deleting
        finally:
            if deleting is not None:
                deleting.cancel()

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
            _log.warning("relay_failed", "Events wait and are published again", error=error, batches=len(batches))
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

    def _forget(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            if batch.id in self._ours:
                self._ours.remove(batch.id)
                self._events -= len(batch.subjects)
        if not self._ours:
            self._idle.set()

    def _leave_behind(self) -> None:
        """Nothing is ours any more: whoever sweeps next publishes what is left."""
        if self._ours:
            _log.warning(
                "relay_left_events", f"{self._events} events wait in the outbox for the next sweep", events=self._events
            )
        self._posted.clear()
        self._ours.clear()
        self._events = 0
        self._idle.set()


def _messages(batches: Iterable[Batch]) -> list[Message]:
    messages = []
    for batch in batches:
        name = str(batch.id)
        for position, (subject, payload) in enumerate(zip(batch.subjects, batch.payloads, strict=True)):
            messages.append(Message(subject, payload, f"{name}.{position}"))
    return messages
