"""Many days under many policies, on all processors; what comes out doesn't depend on how many there are."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeAlias

from tests.bench.routing import day, trace
from tests.bench.routing.model import Scenario
from tests.bench.routing.outcome import Outcome, play
from tests.bench.routing.policies import POLICIES

Results: TypeAlias = Mapping[str, Sequence[Outcome]]
"""By policy, in the order of the seeds."""


def run(
    scenarios: Iterable[Scenario],
    seeds: Sequence[int],
    *,
    policies: Sequence[str] = tuple(POLICIES),
    processes: int | None = None,
    tell: Callable[[int, int], None] = lambda _done, _all: None,
) -> list[Results]:
    """Every scenario on every seed's day under every policy; `tell` hears of days done."""
    tasks = [(scenario, seed, tuple(policies)) for scenario in scenarios for seed in seeds]
    processes = processes or len(os.sched_getaffinity(0))
    found: list[dict[str, Outcome]] = []
    with ProcessPoolExecutor(min(processes, max(len(tasks), 1))) as pool:
        outcomes = map(_day, tasks) if processes == 1 else pool.map(_day, tasks)
        for outcome in outcomes:
            found.append(outcome)
            tell(len(found), len(tasks))
    return [
        {policy: [outcome[policy] for outcome in found[first : first + len(seeds)]] for policy in policies}
        for first in range(0, len(found), len(seeds))
    ]


def _day(task: tuple[Scenario, int, tuple[str, ...]]) -> dict[str, Outcome]:
    scenario, seed, policies = task
    drawn = trace.draw(scenario, seed) if scenario.family == "trace" else day.draw(scenario, seed)
    return {policy: play(drawn, POLICIES[policy]) for policy in policies}
