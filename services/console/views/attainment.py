"""Promises kept and broken for a person: a line for each sort, open time beside what the customer waited."""

from datetime import timedelta

from rich.console import Group, RenderableType
from rich.text import Text

from services.console.output import moment, table
from services.console.views import palette
from services.router.domain.attainment import Dimension, Kept, Took
from services.router.reports import Attainment

_NUMBERS = ("met", "broken", "kept", "open, median", "open, p90", "waited, median", "waited, p90")
_HEADINGS = {Dimension.TARGET: "promise", Dimension.MATCHED: "line of the policy"}


def draw(report: Attainment) -> RenderableType:
    """The table with its sum."""
    stretch = f"from {moment(report.since)} to {moment(report.until)}"
    if not report.lines:
        return Text(f"no promise was kept or broken {stretch}")
    headings = [_HEADINGS.get(each, each.value) for each in report.by]
    made = table(*headings, *_NUMBERS, title=f"Promises kept and broken {stretch}", right=_NUMBERS)
    for line in report.lines:
        made.add_row(
            *(_label(line, each) for each in report.by),
            *_counts(line.met, line.breached, line.attainment),
            *_times(line.open_seconds),
            *_times(line.wall_seconds),
        )
    if len(report.lines) > 1:
        made.add_section()
        made.add_row(
            Text("all", style="bold"),
            *[""] * (len(report.by) - 1),
            *_counts(report.met, report.breached, report.attainment),
        )
    if report.is_complete:
        return made
    return Group(made, Text("there are more sorts: these were broken most often", style=palette.FAIR))


def _label(line: Kept, by: Dimension) -> Text:
    match by:
        case Dimension.TARGET:
            return Text(palette.target(line.target or "-").replace("_", " "))
        case Dimension.CHANNEL:
            return Text(palette.channel(line.channel or "-"))
        case Dimension.URGENCY:
            return Text(line.urgency or "-", style=palette.URGENCY_STYLE.get(line.urgency or "", ""))
        case Dimension.TEAM:
            return Text(line.team) if line.team else Text(f"(pool {line.pool})", style=palette.FAINT)
        case Dimension.MATCHED:
            return Text(line.matched or "-")


def _counts(met: int, breached: int, share: float | None) -> tuple[str, str, Text]:
    return (
        palette.number(met),
        palette.number(breached),
        Text(palette.percent(share), style=palette.share_style(share)),
    )


def _times(took: Took | None) -> tuple[str, str]:
    if took is None:
        return "-", "-"
    return palette.span(timedelta(seconds=took.median)), palette.span(timedelta(seconds=took.p90))
