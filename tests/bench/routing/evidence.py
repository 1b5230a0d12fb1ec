"""What a benchmark found, ready to be shown: figures, gains over each baseline, and marks."""

from collections.abc import Sequence

from msgspec import Struct

from tests.bench.routing.figures import Figures, Gain, figures, gain
from tests.bench.routing.marks import Mark, judge
from tests.bench.routing.model import Scenario
from tests.bench.routing.policies import BASELINES, OURS
from tests.bench.routing.running import Results


class Finding(Struct, frozen=True, kw_only=True):
    """One scenario on all days."""

    scenario: str
    title: str
    tickets: float
    """Of a day, on average."""
    days: int
    figures: dict[str, Figures]
    gains: dict[str, Gain]
    """Of the production matcher, over each baseline."""
    marks: list[Mark]


class Point(Struct, frozen=True):
    """Attainment of each policy under one load."""

    load: float
    attainment: dict[str, float]


class Evidence(Struct, kw_only=True):
    """Everything one run found."""

    mix: str
    seeds: Sequence[int]
    main: list[Finding] = []
    sensitivity: list[Finding] = []
    trace: list[Finding] = []
    curves: dict[str, list[Point]] = {}
    """By the title of the team."""

    @property
    def marks(self) -> list[Mark]:
        """All that were asked."""
        return [mark for finding in self.main for mark in finding.marks]


def find(scenario: Scenario, results: Results, *, is_judged: bool = False) -> Finding:
    """What the results of a scenario say."""
    ours = results[OURS]
    shown = {name: figures(outcomes) for name, outcomes in results.items()}
    gains = {name: gain(ours, results[name]) for name in BASELINES if name in results}
    others = {name: shown[name] for name in gains}
    return Finding(
        scenario=scenario.name,
        title=scenario.title,
        tickets=sum(outcome.in_target.all for outcome in ours) / len(ours),
        days=len(ours),
        figures=shown,
        gains=gains,
        marks=list(judge(scenario.name, shown[OURS], others, gains)) if is_judged else [],
    )


def point(scenario: Scenario, results: Results) -> Point:
    """The same for the plot."""
    return Point(scenario.load, {name: figures(outcomes).attainment for name, outcomes in results.items()})
