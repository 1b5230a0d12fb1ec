"""The dry run of a policy file on a terminal: how far it is, and what it comes to."""

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from services.console.output import console, errors, moment, table
from services.router.domain.effects import Counts, Effect, Tally
from services.router.versions.planning import DryRun, Forecast
from shared.postgres.pool import Connection

_WORDS = {
    Effect.EARLIER: "due earlier",
    Effect.LATER: "due later",
    Effect.STARTED: "started",
    Effect.CANCELLED: "cancelled",
    Effect.BREACHED: "late at once",
    Effect.RETRACTED: "no longer late",
}
_MOST_GROUPS = 20


async def look(run: DryRun, connection: Connection, *, is_quiet: bool) -> Forecast:
    """Look at all tickets the file would be for; says how far it is."""
    tally, looked_at = Tally(), 0
    columns = TextColumn("trying"), BarColumn(), TaskProgressColumn(), TextColumn("{task.description}")
    with Progress(*columns, TimeRemainingColumn(), console=errors(), disable=is_quiet or not run.tickets) as bar:
        shown = bar.add_task("", total=run.tickets)
        async for chunk in run.chunks(connection):
            for outcome in chunk.outcomes:
                tally.add(outcome)
            looked_at += len(chunk.outcomes)
            bar.update(shown, completed=looked_at, description=f"{looked_at:,} of {run.tickets:,} tickets")
    return run.forecast(tally.summary(), is_complete=True)


def tell(forecast: Forecast) -> None:
    """What applying would do to tickets that are open already."""
    counts = forecast.effects.counts
    print_ = console().print
    print_(
        f"{counts.tickets:,} open tickets with {counts.clocks:,} running clocks; "
        f"{counts.recomputed:,} of the tickets would be judged anew, the others can't move"
    )
    moved = [f"{getattr(counts, effect.value):,} {words}" for effect, words in _WORDS.items() if getattr(counts, effect.value)]  # fmt: skip
    print_("clocks: " + (", ".join(moved) if moved else "all stay as they are"))
    if moved:
        _tell_groups(forecast)
    for effect, examples in forecast.effects.examples.items():
        print_(f"{_WORDS[effect]}, for example:")
        for one in examples:
            print_(
                f"  {one.source} {one.ticket} {one.target}: {moment(one.due_before)} -> {moment(one.due_after)}",
                markup=False,
            )


def _tell_groups(forecast: Forecast) -> None:
    names = ("tickets", "clocks", *_WORDS.values())
    lines = table("channel", "team", *names, right=names)
    groups = forecast.effects.groups
    for group in groups[:_MOST_GROUPS]:
        lines.add_row(group.channel, group.team or "-", *_numbers(group.counts))
    console().print(lines)
    if len(groups) > _MOST_GROUPS:
        console().print(f"and {len(groups) - _MOST_GROUPS} more: --json has them all")


def _numbers(counts: Counts) -> list[str]:
    return [f"{number:,}" for number in (counts.tickets, counts.clocks, *(getattr(counts, effect.value) for effect in _WORDS))]  # fmt: skip
