"""The forecast of deadlines for a person: a line for each team and target."""

from rich.console import Group, RenderableType
from rich.text import Text

from services.console.output import moment, table
from services.console.views import palette
from services.router.domain.forecast import Deadlines, Forecast


def draw(forecast: Forecast) -> RenderableType:
    """The table, and what it is about."""
    at = moment(forecast.now)
    if not forecast.lines:
        return Text(f"no promise runs ({at})")
    within = [f"{hours}h" for hours in forecast.hours]
    numbers = (*within, "late", "paused", "running")
    made = table(
        "team", "promise", *numbers, "next due", "ticket", title=f"Due within so many open hours of {at}", right=numbers
    )
    for line in forecast.lines:
        made.add_row(
            _team(line),
            palette.target(line.target).replace("_", " "),
            *(palette.number(due.clocks) for due in line.due),
            Text(palette.number(line.late), style=palette.BAD if line.late else ""),
            Text(palette.number(line.paused), style=palette.FAIR if line.paused else ""),
            palette.number(line.clocks),
            "-" if line.next is None else moment(line.next.due_at),
            "-" if line.next is None else f"{line.next.source} {line.next.external_id}",
        )
    if forecast.is_complete:
        return made
    return Group(made, Text("there are more teams: these have the earliest due times", style=palette.FAIR))


def _team(line: Deadlines) -> Text:
    return Text(line.team) if line.team is not None else Text(f"(pool {line.pool})", style=palette.FAINT)
