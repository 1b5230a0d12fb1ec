"""All policies by name, the production one last."""

from collections.abc import Callable, Mapping

from tests.bench.routing.baselines import (
    Queue,
    RoundRobin,
    by_age,
    by_channel,
    by_priority,
    least_loaded,
    longest_idle,
    push_least_loaded,
    push_least_work,
    push_round_robin,
)
from tests.bench.routing.day import Day
from tests.bench.routing.office import Strategy
from tests.bench.routing.production import Production, place_by_due_time

OURS = "Deskclock"
"""The production matcher."""

POLICIES: Mapping[str, Callable[[Day], Strategy]] = {
    "push, round robin": push_round_robin,
    "push, least loaded": push_least_loaded,
    "push, least work, own list in bands": push_least_work,
    "FIFO, round robin": lambda day: Queue(day, by_age, RoundRobin()),
    "FIFO, longest idle": lambda day: Queue(day, by_age, longest_idle),
    "FIFO, least loaded": lambda day: Queue(day, by_age, least_loaded),
    "priority, least loaded": lambda day: Queue(day, by_priority, least_loaded),
    "channel priority, longest idle": lambda day: Queue(day, by_channel, longest_idle),
    "earliest due, specialist": lambda day: Production(day, place_by_due_time),
    OURS: Production,
}
BASELINES = tuple(name for name in POLICIES if name != OURS)
