"""The auditor: looks every few seconds whether all that must hold for paging does, and only then lets the heartbeat out.

It shares no code with firing, stepping and sending, so that it doesn't share their mistakes. Any number of replicas look
and beat beside each other.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import nats.errors
from nats.aio.client import Client

from services.escalation.domain import invariants
from services.escalation.domain.invariants import Host, Invariant, Standstill, Stream
from services.escalation.metrics.watch import WatchMetrics
from services.escalation.store import auditing
from shared import timesource
from shared.contract import subjects
from shared.jetstream import streams
from shared.postgres.pool import Pool
from shared.runtime.logs import Log
from shared.runtime.periodic import TRANSIENT

_LOOKS_PER_BEAT = 3
_LOOK_SECONDS = 8.0
_STREAM_SECONDS = 3.0

_log = Log(__name__)


class Auditor:
    """Looks at the invariants of paging."""

    def __init__(
        self,
        pool: Pool,
        client: Client,
        metrics: WatchMetrics,
        beat: Callable[[], Awaitable[bool]],
        *,
        beat_seconds: float,
    ) -> None:
        """`beat` tells the outside that all is well, and answers whether it was heard."""
        self._pool = pool
        self._client = client
        self._metrics = metrics
        self._beat = beat
        self._beat_seconds = beat_seconds
        self._next_beat = 0.0
        self._last_server_at: datetime | None = None
        self._standstill: Standstill | None = None
        self.broken: dict[Invariant, str] | None = None
        """What did not hold at the last look, each with why; None before the first."""

    @property
    def look_seconds(self) -> float:
        """How long to wait between two looks."""
        return self._beat_seconds / _LOOKS_PER_BEAT

    async def run_once(self) -> int:
        """Look, tell, and beat if a heartbeat is due; returns how many invariants don't hold.

        A beat that was withheld or not heard stays due: a moment's trouble costs one look, not a whole period.
        """
        broken = await self._look()
        self._tell(broken)
        now = timesource.monotonic()
        if now + self.look_seconds / 2 < self._next_beat:
            return len(broken)
        if broken:
            self._metrics.beats.labels("withheld").inc()
            return len(broken)
        if await self._beat():
            self._next_beat = now + self._beat_seconds
            self._metrics.beats.labels("sent").inc()
            self._metrics.beat_at.set(timesource.unix_time())
        else:
            self._metrics.beats.labels("failed").inc()
        return 0

    async def check(self) -> str | None:
        """For readiness: what does not hold, or None."""
        if self.broken is None:
            return "not looked at yet"
        return "; ".join(f"{name}: {why}" for name, why in sorted(self.broken.items())) or None

    async def _look(self) -> dict[Invariant, str]:
        database, stream = await asyncio.gather(self._look_at_database(), self._look_at_stream())
        return database | stream

    async def _look_at_database(self) -> dict[Invariant, str]:
        try:
            async with asyncio.timeout(_LOOK_SECONDS), self._pool.acquire() as connection:
                seen = await auditing.look(connection)
        except TRANSIENT as error:
            self._last_server_at = None
            return {Invariant.DATABASE: f"PostgreSQL can't be asked ({type(error).__name__}): nothing is known"}
        host = Host(
            wall_at=datetime.fromtimestamp(timesource.unix_time(), UTC),
            last_server_at=self._last_server_at,
        )
        self._last_server_at = seen.server_at
        for waiting, seconds in seen.oldest_due.items():
            self._metrics.oldest_due.labels(waiting).set(seconds)
        return invariants.broken_in_database(seen, host)

    async def _look_at_stream(self) -> dict[Invariant, str]:
        if not self._client.is_connected:
            return {Invariant.NATS: "no connection to NATS"}
        try:
            async with asyncio.timeout(_STREAM_SECONDS):
                context = self._client.jetstream(timeout=_STREAM_SECONDS)
                info = await context.consumer_info(subjects.TICKETS, streams.ROUTER)
        except (OSError, nats.errors.Error) as error:
            return {Invariant.NATS: f"JetStream does not answer for the router's consumer ({type(error).__name__})"}
        delivered, floor = info.delivered, info.ack_floor
        stream = Stream(
            waiting=(info.num_pending or 0) + (info.num_ack_pending or 0),
            moved=(delivered.consumer_seq if delivered else 0) + (floor.consumer_seq if floor else 0),
        )
        now = timesource.monotonic()
        self._standstill = invariants.standstill(self._standstill, stream, now)
        why = invariants.broken_stream(now, self._standstill)
        return {} if why is None else {Invariant.NATS: why}

    def _tell(self, broken: dict[Invariant, str]) -> None:
        before = self.broken or {}
        self.broken = broken
        is_known = Invariant.DATABASE not in broken
        for invariant in Invariant:
            self._metrics.held.labels(invariant).set(
                invariant not in broken and (is_known or invariant is Invariant.NATS)
            )
            if invariant in broken and invariant not in before:
                _log.error(
                    "invariant_broken",
                    f"No heartbeat goes out: {broken[invariant]}",
                    invariant=invariant.value,
                )
            elif invariant in before and invariant not in broken and (is_known or invariant is Invariant.NATS):
                _log.info("invariant_holds", "This holds again", invariant=invariant.value)
