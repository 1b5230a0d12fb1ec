"""`make bench-routing`: the production matcher beside what helpdesks ship, on simulated days (routing-rules 5).

Says what each policy answered in target, how sure the difference is, and whether the marks are reached; exit code 1 where not.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from rich.console import Console

from shared.contract.tickets import Channel
from tests.bench.routing import model, plot, report, running, trace
from tests.bench.routing.evidence import Evidence, find, point
from tests.bench.routing.model import LOADS, SCENARIOS, SENSITIVE, TROUBLES, ImpossibleMix, Scenario

DAYS = 30
_SENSITIVITY_DAYS = 15
_CURVE_DAYS = 6
_CURVES = {"mixed, 30 agents": ("S1", 30), "async, 20 agents": ("S4", 20)}
_PARTS = (*SCENARIOS, "sensitivity", "trace", "curve")


class _Plan(Struct, frozen=True, kw_only=True):
    """What is to be played."""

    seeds: tuple[int, ...]
    main: list[Scenario]
    troubled: list[Scenario]
    cities: list[Scenario]
    curves: dict[str, list[Scenario]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; returns the exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        plan = _plan(given)
    except ImpossibleMix as error:
        parser.error(str(error))
    evidence = _gather(plan, given.mix, given.processes)
    if evidence.curves:
        given.svg.parent.mkdir(parents=True, exist_ok=True)
        given.svg.write_text(plot.render(evidence.curves), encoding="utf-8")
    if given.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(evidence), indent=2).decode() + "\n")
    else:
        sys.stdout.write(report.render(evidence))
        if evidence.curves:
            sys.stdout.write(f"\nPlot: {given.svg}\n")
    return 0 if all(mark.is_passed for mark in evidence.marks) else 1


def _plan(given: argparse.Namespace) -> _Plan:
    parts = given.scenario or list(_PARTS)
    adapt = _adaption(given)
    return _Plan(
        seeds=model.seeds(given.seeds) if given.seed is None else model.held_out(given.seed, given.seeds),
        main=[adapt(scenario) for name, scenario in SCENARIOS.items() if name in parts],
        troubled=[
            replace(adapt(SCENARIOS[name]), name=f"{name}: {what}", title=f"{name}, {what}", trouble=trouble)
            for what, trouble in TROUBLES.items()
            for name in SENSITIVE
            if "sensitivity" in parts
        ],
        cities=[trace.scenario()] if "trace" in parts else [],
        curves={
            title: [replace(adapt(SCENARIOS[name]), agents=agents, load=load) for load in LOADS]
            for title, (name, agents) in _CURVES.items()
            if "curve" in parts
        },
    )


def _gather(plan: _Plan, mix: str, processes: int | None) -> Evidence:
    console = Console(stderr=True)
    seeds = plan.seeds
    evidence = Evidence(mix=mix, seeds=seeds)
    with console.status("") as status:

        def play(what: str, scenarios: Sequence[Scenario], days: Sequence[int]) -> list[running.Results]:
            if scenarios and not console.is_terminal:
                console.print(f"{what}: {len(scenarios) * len(days)} days")
            return running.run(
                scenarios,
                days,
                processes=processes,
                tell=lambda done, of: status.update(f"{what}: {done} of {of} days"),
            )

        for scenario, results in zip(plan.main, play("scenarios", plan.main, seeds), strict=True):
            evidence.main.append(find(scenario, results, is_judged=True))
        troubled = play("sensitivity", plan.troubled, seeds[:_SENSITIVITY_DAYS])
        evidence.sensitivity += map(find, plan.troubled, troubled)
        evidence.trace += map(find, plan.cities, play("real arrivals", plan.cities, seeds))
        for title, scenarios in plan.curves.items():
            evidence.curves[title] = list(map(point, scenarios, play(title, scenarios, seeds[:_CURVE_DAYS])))
    return evidence


def _adaption(given: argparse.Namespace) -> Callable[[Scenario], Scenario]:
    """What the asked-for mix makes of a scenario."""

    def adapt(scenario: Scenario) -> Scenario:
        if given.mix != "standard":
            scenario = model.shifted(scenario, is_staff_surprised=given.mix == "surprised")
        if given.channels or given.topics or given.languages:
            scenario = model.mixed_as(
                scenario, shares=given.channels or None, topics=given.topics, languages=given.languages
            )
        return scenario

    return adapt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.routing", description=__doc__)
    parser.add_argument(
        "--scenario", nargs="+", choices=_PARTS, metavar="PART", help=f"only these of {', '.join(_PARTS)}"
    )
    parser.add_argument(
        "--seed", type=int, help="other days than those in the repository: all that follow from this number"
    )
    parser.add_argument(
        "--seeds", type=_count, default=DAYS, metavar="N", help=f"days of each scenario, {DAYS} by default"
    )
    parser.add_argument(
        "--mix",
        choices=("standard", "shifted", "surprised"),
        default="standard",
        help="shifted: other shares of channels, topics and languages; surprised: the same, with people hired for the old ones",
    )
    parser.add_argument(
        "--channels",
        type=_shares,
        default={},
        metavar="phone=20,email=50",
        help="any shares; those left out don't arrive",
    )
    parser.add_argument("--topics", type=_numbers, default=(), metavar="40,30,20,10", help="any shares of topics")
    parser.add_argument("--languages", type=_numbers, default=(), metavar="60,30,10", help="any shares of languages")
    parser.add_argument(
        "--svg", type=Path, default=Path(".deskclock/routing-benchmark.svg"), metavar="FILE", help="where the plot goes"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON instead of tables")
    parser.add_argument("--processes", type=_count, help="as many as there are processors by default")
    return parser


def _shares(text: str) -> dict[Channel, float]:
    pairs = (part.partition("=") for part in text.split(","))
    try:
        return {Channel(name): _share(share) for name, _, share in pairs}
    except ValueError:
        names = ", ".join(Channel)
        raise argparse.ArgumentTypeError(f"{text!r} isn't NAME=SHARE,...; names are {names}") from None


def _numbers(text: str) -> tuple[float, ...]:
    try:
        shares = tuple(_share(part) for part in text.split(","))
    except ValueError:
        shares = ()
    if len(shares) < 2 or not all(shares):
        raise argparse.ArgumentTypeError(f"{text!r} isn't a list of shares such as 40,30,20,10")
    return shares


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share < inf:
        raise ValueError
    return share


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} isn't a number from 1 on")
    return int(text)


if __name__ == "__main__":
    raise SystemExit(main())
