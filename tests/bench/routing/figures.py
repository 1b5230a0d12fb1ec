"""Figures of a policy over many days, and how much better one is than another on the same days."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import inf, sqrt
from statistics import NormalDist, fmean, stdev

from msgspec import Struct

from tests.bench.routing.outcome import Count, Outcome

CONFIDENCE = 0.95


class Gain(Struct, frozen=True):
    """Mean of paired differences in percentage points, and half of its 95 % interval."""

    mean: float
    half: float

    @property
    def lower(self) -> float:
        """Where the interval begins."""
        return self.mean - self.half


class Figures(Struct, frozen=True, kw_only=True):
    """Of one policy, over all days of a scenario."""

    attainment: float
    weighted: float
    """Share of the weight of tickets answered in target."""
    gave_up: float
    p99: float
    """Lateness in targets, of all answers."""
    worst: float
    """The greatest lateness."""
    channels: dict[str, float]
    classes: dict[str, float]
    spread: float
    """Coefficient of variation of occupancy among people who are alike to the matcher."""
    occupancy: tuple[float, float]
    """Least and most of one agent on one day."""

    @property
    def worst_class(self) -> tuple[str, float]:
        """The (topic, language) with the least attainment."""
        return min(self.classes.items(), key=lambda item: item[1])


def figures(outcomes: Sequence[Outcome]) -> Figures:
    """All days as one, but for the occupancy, which is compared within each."""
    late = sorted((late for outcome in outcomes for late in outcome.lateness), reverse=True)
    above = int(sum(outcome.answered for outcome in outcomes) * 0.01)
    used = [share for outcome in outcomes for _, share in outcome.occupancy]
    return Figures(
        attainment=_all(outcome.in_target for outcome in outcomes).part,
        weighted=sum(outcome.weight_in_target for outcome in outcomes) / sum(outcome.weight for outcome in outcomes),
        gave_up=_share(_all(outcome.gave_up for outcome in outcomes)),
        p99=late[above] if len(late) > above else 0.0,
        worst=late[0] if late else 0.0,
        channels=_parts([outcome.by_channel for outcome in outcomes]),
        classes=_parts([outcome.by_class for outcome in outcomes]),
        spread=_spread(outcomes),
        occupancy=(min(used), max(used)),
    )


def gain(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> Gain:
    """How much more is answered in target; the same days in the same order."""
    differences = [100 * (one.attainment - other.attainment) for one, other in zip(ours, theirs, strict=True)]
    if len(differences) < 2:
        return Gain(fmean(differences), inf)
    half = student(len(differences) - 1) * stdev(differences) / sqrt(len(differences))
    return Gain(fmean(differences), half)


def student(freedom: int) -> float:
    """The quantile that a two-sided 95 % interval needs: Student's t by its expansion about the normal, or exactly where that is coarse."""
    exact = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447}
    if freedom in exact:
        return exact[freedom]
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )


def _all(counts: Iterable[Count]) -> Count:
    total = Count()
    for count in counts:
        total.good += count.good
        total.all += count.all
    return total


def _share(count: Count) -> float:
    return count.good / count.all if count.all else 0.0


def _parts(days: Sequence[dict[str, Count]]) -> dict[str, float]:
    return {name: _all(day[name] for day in days).part for name in days[0]}


def _spread(outcomes: Sequence[Outcome]) -> float:
    """Pooled over the groups of all days: the root of the variance within groups, by the mean."""
    squares = freedom = 0.0
    members: list[float] = []
    for outcome in outcomes:
        groups: defaultdict[float, list[float]] = defaultdict(list)
        for flex, share in outcome.occupancy:
            groups[flex].append(share)
        for group in groups.values():
            if len(group) > 1:
                mean = fmean(group)
                squares += sum((share - mean) ** 2 for share in group)
                freedom += len(group) - 1
                members += group
    return sqrt(squares / freedom) / fmean(members) if freedom else 0.0
