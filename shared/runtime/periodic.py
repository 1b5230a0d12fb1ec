"""Loops: something done every so often, with a deadline, a patience for failures, and a health that others can read.

A loop waits out what mends itself (a lost connection). What looks like a mistake of ours it tries a few times, and then
lets it end the process: a dead loop must never go unnoticed behind a server that answers 200.
"""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import nats.errors

from shared import timesource
from shared.runtime.logs import Log

TRANSIENT: tuple[type[Exception], ...] = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    nats.errors.Error,
)
"""Failures that waiting can mend; TimeoutError is an OSError."""

DEADLINE_SECONDS = 60.0
UNEXPECTED_FAILURES = 5
_LONGEST_BACKOFF = 2.0
"""A loop works again within 5 seconds of a restart of its database."""
_STALE_AFTER = 30.0
_STALE_ROUNDS = 10.0

_log = Log(__name__)


class LoopHealth:
    """How one loop is doing; seconds are since 1970."""

    def __init__(self, started_at: float, stale_after: float) -> None:
        self.last_success_at: float | None = None
        self.failures_in_a_row = 0
        self.runs = 0
        self._started_at = started_at
        self._stale_after = stale_after

    def is_stale(self, now: float) -> bool:
        """Whether it has not succeeded for too long."""
        return now - (self.last_success_at or self._started_at) > self._stale_after


class Health:
    """The loops of this process by name; readiness and the metric of last success are read from here."""

    def __init__(self, clock: Callable[[], float] = timesource.unix_time) -> None:
        self.loops: dict[str, LoopHealth] = {}
        self.draining = False
        """Set when the process has been asked to end."""
        self._clock = clock
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    def expect(self, name: str, stale_after: float) -> None:
        """From now on the loop has to succeed every so often."""
        self.loops[name] = LoopHealth(self._clock(), stale_after)

    def succeeded(self, name: str) -> None:
        """One run has ended well."""
        loop = self._loop(name)
        loop.last_success_at = self._clock()
        loop.failures_in_a_row = 0
        loop.runs += 1
        for waiting in self._waiting.pop(name, []):
            if not waiting.done():
                waiting.set_result(None)

    def failed(self, name: str) -> int:
        """One run has failed; returns how many have, in a row."""
        loop = self._loop(name)
        loop.failures_in_a_row += 1
        return loop.failures_in_a_row

    def stale(self) -> list[str]:
        """Names of the loops that have not succeeded for too long."""
        now = self._clock()
        return sorted(name for name, loop in self.loops.items() if loop.is_stale(now))

    def last_success(self) -> dict[str, float]:
        """Seconds since 1970 of each loop's last success; 0 where there was none."""
        return {name: loop.last_success_at or 0.0 for name, loop in self.loops.items()}

    def next_success(self, name: str) -> "asyncio.Future[None]":
        """Done when the loop next succeeds; tests wait on it instead of sleeping."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, []).append(waiting)
        return waiting

    def _loop(self, name: str) -> LoopHealth:
        if name not in self.loops:
            self.expect(name, _STALE_AFTER)
        return self.loops[name]


async def every(
    seconds: float,
    run_once: Callable[[], Awaitable[int]],
    *,
    name: str,
    health: Health,
    stop: asyncio.Event,
    drain: bool = True,
    deadline: float = DEADLINE_SECONDS,
) -> None:
    """Call `run_once` until `stop` is set, with `seconds` between runs.

    `run_once` returns how much it did. With `drain`, one that did something is called again at once.
    Raises what a run raised when that was no transient failure and has happened five times in a row.
    """
    health.expect(name, max(_STALE_AFTER, seconds * _STALE_ROUNDS))
    while not stop.is_set():
        wait = seconds
        try:
            async with asyncio.timeout(deadline):
                done = await run_once()
        except TRANSIENT as error:
            failures = health.failed(name)
            _log.warning(
                "loop_failed", f"Loop {name} failed and will try again", error=error, loop=name, failures=failures
            )
            wait = _backoff(seconds, failures)
        except Exception as error:
            failures = health.failed(name)
            _log.error("loop_failed", f"Loop {name} failed unexpectedly", error=error, loop=name, failures=failures)
            if failures >= UNEXPECTED_FAILURES:
                raise
            wait = _backoff(seconds, failures)
        else:
            health.succeeded(name)
            if drain and done:
                wait = 0.0
        await timesource.pause(wait, unless=stop)


def _backoff(seconds: float, failures: int) -> float:
    return max(seconds, min(0.1 * 2.0 ** min(failures, 10), _LONGEST_BACKOFF))
