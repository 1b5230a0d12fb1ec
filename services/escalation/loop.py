"""How the loops pace themselves: work while there is some, else sleep until the next row is due.

What is due is found by a probe of one index; a sleep is short enough to notice rows that come meanwhile. A loop whose
work makes work for the next one wakes it: firing opens what stepping takes, and stepping writes the pages to deliver.
"""

import asyncio
from collections.abc import Awaitable, Callable

from services.escalation.store import Pulse
from shared import timesource
from shared.runtime import periodic
from shared.runtime.periodic import Health

LONGEST_SECONDS = 0.25
"""A row that becomes due earlier than the probe knew waits no longer than this."""
SHORTEST_SECONDS = 0.002
HELD_SECONDS = 0.05
"""Due rows that another worker holds are looked at again after this."""


async def follow(
    name: str,
    run_once: Callable[[], Awaitable[int]],
    pulse: Callable[[], Awaitable[Pulse]],
    *,
    health: Health,
    stop: asyncio.Event,
    wake: asyncio.Event | None = None,
    wakes: asyncio.Event | None = None,
) -> None:
    """Call `run_once` whenever something is due, until `stop`; failures are met as in every loop.

    `wake` ends a sleep early, and `wakes` is set after work that the next loop goes on with.
    """

    async def tick() -> int:
        if wake is not None:
            wake.clear()  # before looking: what rings from here on is seen by the next look
        seen = await pulse()
        is_due = seen.due_at is not None and seen.due_at <= seen.now
        if is_due and (done := await run_once()):
            if wakes is not None:
                wakes.set()
            return done
        await timesource.pause(wait_seconds(seen), unless=wake or stop)
        return 0

    await periodic.every(0.0, tick, name=name, health=health, stop=stop)


def wait_seconds(seen: Pulse) -> float:
    """Real seconds until it is worth looking again, when there was nothing to do now."""
    if seen.due_at is None or seen.rate <= 0:
        return LONGEST_SECONDS
    ahead = (seen.due_at - seen.now).total_seconds() / seen.rate
    if ahead <= 0:
        return HELD_SECONDS
    return min(max(ahead, SHORTEST_SECONDS), LONGEST_SECONDS)
