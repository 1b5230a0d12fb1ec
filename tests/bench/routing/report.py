"""The findings as tables in Markdown, aligned so that they read well on a terminal, too."""

from collections.abc import Iterable, Sequence

from tests.bench.routing.evidence import Evidence, Finding
from tests.bench.routing.figures import Gain
from tests.bench.routing.policies import OURS


def render(evidence: Evidence) -> str:
    """Everything, marks last."""
    parts: list[str] = []
    if evidence.main:
        parts += ["### Answered in target, %", _attainment(evidence.main)]
        parts += [f"### Gain of {OURS}, percentage points with 95 % interval", _gains(evidence.main)]
        for finding in evidence.main:
            parts += [
                f"### {finding.scenario}: {finding.title}, {finding.tickets:,.0f} tickets a day",
                _detail(finding),
            ]
            parts += [_channels(finding)]
    if evidence.sensitivity:
        parts += ["### When something goes wrong: answered in target, %", _attainment(evidence.sensitivity)]
        parts += [f"### The same: gain of {OURS}", _gains(evidence.sensitivity)]
    for finding in evidence.trace:
        parts += [f"### Real arrivals: {finding.title}, {finding.tickets:,.0f} tickets a day", _detail(finding)]
        parts += [_gains([finding])]
    for title, points in evidence.curves.items():
        head = ["policy", *(f"load {point.load:g}" for point in points)]
        rows = [[name, *(_percent(point.attainment[name]) for point in points)] for name in points[0].attainment]
        parts += [f"### Answered in target by load, %: {title}", _table(head, rows)]
    if evidence.marks:
        parts += ["### Marks", _marks(evidence)]
    return "\n\n".join(parts) + "\n"


def _attainment(findings: Sequence[Finding]) -> str:
    head = ["policy", *(_name(finding) for finding in findings)]
    rows = [
        [name, *(_percent(finding.figures[name].attainment) for finding in findings)] for name in findings[0].figures
    ]
    return _table(head, rows)


def _gains(findings: Sequence[Finding]) -> str:
    head = ["over", *(_name(finding) for finding in findings)]
    rows = [[name, *(_gain(finding.gains[name]) for finding in findings)] for name in findings[0].gains]
    return _table(head, rows)


def _detail(finding: Finding) -> str:
    head = ["policy", "in target", "weighted", "gave up", "p99 late", "latest", "worst class", "spread", "occupancy"]
    rows = [
        [
            name,
            _percent(figures.attainment),
            _percent(figures.weighted),
            _percent(figures.gave_up),
            f"{figures.p99:.1f}",
            f"{figures.worst:.1f}",
            f"{_percent(figures.worst_class[1])} ({figures.worst_class[0]})",
            f"{figures.spread:.3f}",
            "{:.2f}-{:.2f}".format(*figures.occupancy),
        ]
        for name, figures in finding.figures.items()
    ]
    return _table(head, rows)


def _channels(finding: Finding) -> str:
    channels = list(finding.figures[OURS].channels)
    rows = [
        [name, *(_percent(figures.channels[channel]) for channel in channels)]
        for name, figures in finding.figures.items()
    ]
    return _table(["policy", *(channel.replace("_", " ") for channel in channels)], rows)


def _marks(evidence: Evidence) -> str:
    rows = [
        [mark.scenario, mark.what, mark.wanted, mark.found, "PASS" if mark.is_passed else "MISSED"]
        for mark in evidence.marks
    ]
    return _table(["", "mark", "wanted", "found", ""], rows)


def _name(finding: Finding) -> str:
    return finding.title if not finding.scenario.startswith("S") or ":" in finding.scenario else finding.scenario


def _percent(part: float) -> str:
    return f"{100 * part:.1f}"


def _gain(gain: Gain) -> str:
    return f"{gain.mean:+.1f} ± {gain.half:.1f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )
