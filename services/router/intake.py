"""The hallway behind every door: batches of ticket events, recorded once whatever happens.

A batch is one transaction. HTTP callers are put into batches with each other (group commit) and wait until theirs has
been committed and its pools matched. An event that the database can't store is found by halving its batch.
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import asyncpg
from msgspec import Struct

from services.router import owning, recording
from services.router.assignment import Assignment
from services.router.domain import opinions
from services.router.domain.opinions import Scores
from services.router.errors import IntakeFull, IntakeUnavailable
from services.router.metrics.tickets import RouterMetrics
from services.router.recording import Receipt, Recorded
from services.router.scoring import Scoring
from services.router.versions.shadowing import Shadows
from shared import timesource
from shared.contract.events import Rejected, TicketEvent
from shared.jetstream.relay import Relay
from shared.ledger.policies import PolicyShelf
from shared.postgres import failures
from shared.postgres.pool import Pool
from shared.runtime import points
from shared.runtime.logs import Log, describe
from shared.runtime.points import Point

BATCH = 500
QUEUE = 2_000
"""Callers that may wait at once; more are told to come again."""
BATCHES_AT_ONCE = 2
"""One commits while the next is prepared; more gain nothing (measured)."""
_ATTEMPTS = 5
_FIRST_RETRY_SECONDS = 0.02
_SUBMIT_SECONDS = 20.0

_RACES = (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_REFUSALS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)

_log = Log(__name__)


class _Waiting(Struct, frozen=True):
    events: Sequence[TicketEvent]
    answer: "asyncio.Future[list[Receipt]]"


class Intake:
    """Records ticket events for all doors of one process."""

    def __init__(
        self,
        pool: Pool,
        shelf: PolicyShelf,
        assignment: Assignment,
        relay: Relay,
        metrics: RouterMetrics,
        shadows: Shadows | None = None,
        scoring: Scoring | None = None,
    ) -> None:
        """Without `shadows` no candidate policy hears of what is recorded here, without `scoring` no model is asked."""
        self._pool = pool
        self._shelf = shelf
        self._assignment = assignment
        self._relay = relay
        self._metrics = metrics
        self._shadows = shadows
        self._scoring = scoring
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue(QUEUE)

    async def submit(self, events: Sequence[TicketEvent]) -> list[Receipt]:
        """Record a caller's events together with those of others; a receipt for each, in order.

        Returns when they are committed and whoever could be found owns the tickets. Raises `IntakeFull`, or
        `IntakeUnavailable`: then it may or may not be stored, and the same events can be sent again.
        """
        waiting = _Waiting(events, asyncio.get_running_loop().create_future())
        try:
            self._waiting.put_nowait(waiting)
        except asyncio.QueueFull:
            raise IntakeFull from None
        try:
            async with asyncio.timeout(_SUBMIT_SECONDS):
                return await waiting.answer
        except TimeoutError:
            raise IntakeUnavailable from None

    async def run(self, stop: asyncio.Event) -> None:
        """Serve `submit` until `stop` is set; what was taken by then is answered before this returns."""
        limit = asyncio.Semaphore(BATCHES_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            last_call = group.create_task(self._last_call(stop))
            while not last_call.done() or not self._waiting.empty():
                await limit.acquire()
                callers = await self._next_callers()
                group.create_task(self._serve(callers)).add_done_callback(lambda _: limit.release())

    async def _last_call(self, stop: asyncio.Event) -> None:
        """Wake `run` when it is to end, by a caller who wants nothing."""
        await stop.wait()
        await self._waiting.put(_Waiting((), asyncio.get_running_loop().create_future()))

    async def _next_callers(self) -> list[_Waiting]:
        callers = [await self._waiting.get()]
        size = len(callers[0].events)
        while size < BATCH and not self._waiting.empty():
            callers.append(self._waiting.get_nowait())
            size += len(callers[-1].events)
        return callers

    async def _serve(self, callers: list[_Waiting]) -> None:
        try:
            receipts = iter(await self.process([event for caller in callers for event in caller.events]))
        except IntakeUnavailable as error:
            for caller in callers:
                if not caller.answer.done():
                    caller.answer.set_exception(error)
            return
        for caller in callers:
            mine = [next(receipts) for _ in caller.events]
            if not caller.answer.done():
                caller.answer.set_result(mine)

    async def process(self, events: Sequence[TicketEvent]) -> list[Receipt]:
        """Record one batch and match its pools; raises `IntakeUnavailable` where the database stays away."""
        if not events:
            return []
        points.passing(Point.K1_RECEIVED)
        scores = opinions.NONE if self._scoring is None else await self._scoring.score(events)
        started = timesource.monotonic()
        receipts, pools = await self._record(events, scores)
        self._metrics.handling.labels(stage="record").observe(timesource.monotonic() - started)
        for tenant, pool in sorted(pools):
            try:
                await self._assignment.run(tenant, pool)
            except Exception as error:  # noqa: BLE001 - committed is committed: the sweep matches within a second
                _log.warning("matching_put_off", "Matching is left to the sweep", error=error, tenant=tenant, pool=pool)
                self._metrics.matching_put_off.inc()
        return receipts

    async def _record(
        self, events: Sequence[TicketEvent], scores: Scores
    ) -> tuple[list[Receipt], frozenset[tuple[str, str]]]:
        try:
            recorded = await self._transact(events, scores)
        except IntakeUnavailable:
            raise
        except asyncpg.LockNotAvailableError as error:
            if len(events) == 1:
                raise IntakeUnavailable from error
            return await self._record_halves(events, scores)
        except Exception as error:  # noqa: BLE001 - whatever it is, its neighbours must not suffer
            if len(events) == 1:
                refusal = _unstorable(events[0], error)
                self._metrics.rejected.labels(refusal.reason).inc()
                return [Receipt(rejected=refusal)], frozenset()
            return await self._record_halves(events, scores)
        self._relay.post(recorded.saved.announcements)
        self._metrics.count(recorded)
        if recorded.saved.happened.changed_hands:
            await self._settle_owners(recorded.saved.happened.changed_hands)
        return recorded.receipts, recorded.saved.pools

    async def _settle_owners(self, ticket_ids: Sequence[UUID]) -> None:
        """Let clocks of ownership hear of who accepted or gave back a ticket; if not now, within the minute."""
        try:
            async with self._pool.acquire() as connection:
                await owning.settle_changed(
                    connection, self._shelf, self._relay, ticket_ids, self._metrics.count_promises
                )
        except Exception as error:  # noqa: BLE001 - committed is committed
            _log.warning("owners_put_off", "Clocks of ownership are left to the next minute", error=error)

    async def _record_halves(
        self, events: Sequence[TicketEvent], scores: Scores
    ) -> tuple[list[Receipt], frozenset[tuple[str, str]]]:
        half = len(events) // 2
        first, first_pools = await self._record(events[:half], scores)
        second, second_pools = await self._record(events[half:], scores)
        return first + second, first_pools | second_pools

    async def _transact(self, events: Sequence[TicketEvent], scores: Scores) -> Recorded:
        """One transaction, again after a race or a lost connection: the events' ids make that harmless."""
        delay = _FIRST_RETRY_SECONDS
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with self._pool.acquire() as connection, connection.transaction():
                    recorded = await recording.record(connection, self._shelf, events, scores)
                    if self._shadows is not None:
                        await self._shadows.mark(connection, recorded.touched)
                    return recorded
            except _RACES:
                if attempt == _ATTEMPTS:
                    raise
                await timesource.pause(delay)
                delay *= 2
            except (*_REFUSALS, asyncpg.LockNotAvailableError):
                raise
            except failures.UNAVAILABLE as error:
                if attempt == _ATTEMPTS:
                    raise IntakeUnavailable from error
                await timesource.pause(delay)
                delay *= 3
            except asyncpg.PostgresError as error:
                # not the events' fault (a missing table, a right not granted): they wait until somebody has mended it
                raise IntakeUnavailable from error
        raise AssertionError("unreachable")


def _unstorable(event: TicketEvent, error: Exception) -> Rejected:
    """An event that breaks its transaction, by its content or by a fault of ours, is set aside for replay."""
    if not isinstance(error, _REFUSALS):
        _log.error("event_failed", f"Event {event.id} can't be recorded; this is a fault of ours", error=error)
    return Rejected("unstorable", f"can't be recorded: {describe(error)}")
