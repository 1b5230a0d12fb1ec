"""Loops: what they do on success, on failure, and at the end; no test waits for a clock."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from shared.runtime import periodic
from shared.runtime.periodic import Health, every


class FakeClock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the loop wanted to wait, each time; it never really does."""
    waited: list[float] = []

    async def pause(seconds: float, *, unless: asyncio.Event | None = None) -> bool:
        waited.append(seconds)
        return unless is not None and unless.is_set()

    monkeypatch.setattr(periodic.timesource, "pause", pause)
    return waited


def _script(stop: asyncio.Event, outcomes: list[int | Exception]) -> Callable[[], Awaitable[int]]:
    """A `run_once` with these outcomes, that asks for the stop with the last one."""
    following: Iterator[int | Exception] = iter(outcomes)
    left = len(outcomes)

    async def run_once() -> int:
        nonlocal left
        left -= 1
        if left == 0:
            stop.set()
        outcome = next(following)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return run_once


async def test_a_loop_waits_when_there_was_nothing_to_do(pauses: list[float]) -> None:
    """Work is followed by the next run at once, idleness by the pause."""
    stop = asyncio.Event()

    await every(2.0, _script(stop, [3, 0, 1]), name="firing", health=Health(), stop=stop)

    assert [0.0, 2.0, 0.0] == pauses


async def test_a_loop_that_does_not_drain_always_waits(pauses: list[float]) -> None:
    """A sweep runs once a period however much it did."""
    stop = asyncio.Event()

    await every(2.0, _script(stop, [3, 1]), name="sweep", health=Health(), stop=stop, drain=False)

    assert [2.0, 2.0] == pauses


async def test_a_lost_connection_is_waited_out_longer_each_time(pauses: list[float]) -> None:
    """Failures that mend themselves never end the loop, and the waits grow up to a limit."""
    stop = asyncio.Event()
    health = Health()

    await every(0.1, _script(stop, [ConnectionError("gone")] * 12 + [0]), name="firing", health=health, stop=stop)

    assert pauses[:-1] == sorted(pauses[:-1])
    assert (0.2, 2.0, 0.1) == (pauses[0], max(pauses), pauses[-1])
    assert 0 == health.loops["firing"].failures_in_a_row


async def test_a_run_that_hangs_is_cut_off(pauses: list[float]) -> None:
    """Its deadline turns it into a failure that is tried again."""
    stop = asyncio.Event()
    health = Health()

    async def hang() -> int:
        stop.set()
        await asyncio.Event().wait()
        return 0

    await every(1.0, hang, name="firing", health=health, stop=stop, deadline=0.01)

    assert 1 == health.loops["firing"].failures_in_a_row


async def test_a_mistake_of_ours_ends_the_loop_after_five(pauses: list[float]) -> None:
    """What waiting can't mend is tried a few times, and then raised to end the process."""
    stop = asyncio.Event()

    with pytest.raises(KeyError):
        await every(1.0, _script(stop, [KeyError("x")] * 9), name="firing", health=Health(), stop=stop)

    assert 4 == len(pauses)


async def test_a_success_forgives_earlier_mistakes(pauses: list[float]) -> None:
    """Only failures in a row count."""
    stop = asyncio.Event()
    outcomes: list[int | Exception] = [*[KeyError("x")] * 4, 0, *[KeyError("x")] * 4, 0]

    await every(1.0, _script(stop, outcomes), name="firing", health=Health(), stop=stop)

    assert 10 == len(pauses)


def test_a_loop_is_stale_after_its_time() -> None:
    """A loop that never succeeded counts from its start, another from its last success."""
    clock = FakeClock()
    health = Health(clock)
    health.expect("firing", stale_after=30.0)
    health.expect("sweep", stale_after=60.0)
    clock.seconds += 31
    assert ["firing"] == health.stale()

    health.succeeded("firing")

    assert [] == health.stale()
    assert {"firing": 1_031.0, "sweep": 0.0} == health.last_success()
    clock.seconds += 61
    assert ["firing", "sweep"] == health.stale()


async def test_a_test_can_wait_for_the_next_success() -> None:
    """The signal is given once, to all who wait."""
    health = Health()
    first, second = health.next_success("firing"), health.next_success("firing")

    health.succeeded("firing")

    await asyncio.gather(first, second)
    assert not health.next_success("firing").done()
