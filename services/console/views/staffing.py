"""Who is missing, for a person: a line for each lack, and the week as a map of shades."""

from collections.abc import Iterable
from datetime import timedelta

from rich.console import Group, RenderableType
from rich.text import Text

from services.console.output import moment, table
from services.console.views import palette
from services.router.domain.staffing import Heat, Line, Peak, Staffing

_NUMBERS = ("came", "waited", "share", "median", "p90", "waiting", "hours a week", "hands")
_MOST_LINES = 20
_MAPS = 3
"""Lines whose week is drawn, after that of all tickets."""
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LACK = {
    "no_skill": "nobody on the roster can",
    "offline": "all offline",
    "full": "all full",
    "excluded": "all declined",
}


def draw(report: Staffing) -> RenderableType:
    """The table, the skills one by one, and the maps."""
    stretch = f"from {moment(report.since)} to {moment(report.until)}"
    if not report.total.waited:
        came = f"{report.total.arrived:,} tickets came" if report.total.arrived else "no ticket came"
        return Text(f"nobody was missing: {came} and none waited for an owner {stretch}")
    parts: list[RenderableType] = [_lines(report, stretch)]
    if report.skills:
        parts.append(_skills(report))
    if not report.is_complete:
        parts.append(Text("there are more lines: in these most is missing", style=palette.FAIR))
    shown = [("all tickets", report.total), *((_name(line), line) for line in report.lines[:_MAPS])]
    parts += [_map(name, line.heat, report.timezone) for name, line in shown if line.heat is not None]
    return Group(*parts)


def _lines(report: Staffing, stretch: str) -> RenderableType:
    made = table("skills", "channel", "because", *_NUMBERS, "worst", title=f"Who was missing {stretch}", right=_NUMBERS)
    for line in report.lines[:_MOST_LINES]:
        made.add_row(_skill_names(line), palette.channel(line.channel or "-"), _because(line), *_figures(line))
    made.add_section()
    made.add_row(Text("all", style="bold"), "", "", *_figures(report.total))
    return _with_rest(made, len(report.lines))


def _skills(report: Staffing) -> RenderableType:
    made = table("skill", "because", *_NUMBERS, "worst", title="By skill, alone or with others", right=_NUMBERS)
    for line in report.skills[:_MOST_LINES]:
        made.add_row(_skill_names(line), _because(line), *_figures(line))
    return _with_rest(made, len(report.skills))


def _with_rest(made: RenderableType, lines: int) -> RenderableType:
    if lines <= _MOST_LINES:
        return made
    return Group(made, Text(f"and {lines - _MOST_LINES} lines more: --json has them", style=palette.FAINT))


def _figures(line: Line) -> Iterable[str]:
    took = line.minutes
    return (
        palette.number(line.arrived),
        palette.number(line.waited),
        palette.percent(line.share),
        "-" if took is None else _minutes(took.median),
        "-" if took is None else _minutes(took.p90),
        palette.number(line.waiting),
        f"{line.hours_a_week:.2f}",
        "-" if line.peak is None else f"{line.peak.hands:.2f}",
        "-" if line.peak is None else _when(line.peak),
    )


def _minutes(length: float) -> str:
    return palette.span(timedelta(minutes=length))


def _when(peak: Peak) -> str:
    return f"{_DAYS[peak.weekday]} {peak.first}-{peak.until} h"


def _name(line: Line) -> str:
    parts = (palette.channel(line.channel or ""), _skill_names(line).plain, _because(line))
    return ", ".join(part for part in parts if part)


def _skill_names(line: Line) -> Text:
    return Text(", ".join(line.skills)) if line.skills else Text("(none needed)", style=palette.FAINT)


def _because(line: Line) -> str:
    return "" if line.reason is None else _LACK[line.reason]


def _map(name: str, heat: Heat, timezone: str) -> RenderableType:
    most = max(max(row) for row in heat.hands)
    text = Text(f"\nHands missing: {name}", style="bold")
    text.append(f" ({timezone}; the darkest is {most:.2f})\n", style="not bold")
    text.append("     " + "".join(f"{hour:<6}" for hour in range(0, 24, 3)), style=f"not bold {palette.FAINT}")
    for day, row in zip(_DAYS, heat.hands, strict=True):
        text.append(f"\n{day}  ", style="not bold")
        for hands in row:
            text.append(palette.shade(hands / most if most else 0.0) * 2, style=f"not bold {_style(hands, most)}")
    return text


def _style(hands: float, most: float) -> str:
    if hands <= 0:
        return palette.FAINT
    return palette.BAD if hands >= most * 3 / 4 else palette.FAIR if hands >= most / 4 else ""
