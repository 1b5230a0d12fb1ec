"""The only place that sleeps or reads this host's clock.

What decides about a promise is the database's time (`deskclock_now()` in SQL); the host's clock only paces loops
and measures durations.
"""

import asyncio
import time


def monotonic() -> float:
    """Seconds of a clock that never jumps; for durations and timeouts, never for promises."""
    return time.monotonic()


def unix_time() -> float:
    """Seconds since 1970 by this host's clock; for gauges and signatures, never for promises."""
    return time.time()


async def pause(seconds: float, *, unless: asyncio.Event | None = None) -> bool:
    """Wait `seconds`, or until `unless` is set; True if it was set."""
    if unless is None:
        await asyncio.sleep(seconds)
        return False
    try:
        async with asyncio.timeout(seconds):
            await unless.wait()
    except TimeoutError:
        return False
    return True
