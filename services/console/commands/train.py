"""`deskclock train`: from a helpdesk's own history to a small file of weights that says what it is worth."""

import asyncio
import io
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from services.console.failures import Failure, Refused
from services.console.output import errors, json_option, program, read_settings, tenant_option, write_json
from services.console.policies import author
from services.console.session import database
from services.console.training.history import BadHistory, Columns, History, Reading
from services.console.training.progress import Bar
from services.console.views import training as view
from services.router import trained
from shared.contract.tickets import Urgency
from shared.postgres import time as database_time

if TYPE_CHECKING:
    from services.console.training.making import Made

MOST_ROWS = 20_000
_MOST_ROWS_EVER = 200_000
_FAULTY = 0.1
"""A larger share of rows that can't be read says that the file is another one than was thought."""
_DEFAULT = Columns()


def _column(role: str, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(f"--{role}", default=name, show_default=True, metavar="COLUMN", help=f"Column of the {role}.")


@click.command()
@click.argument("tickets", type=click.Path(dir_okay=False, path_type=Path), metavar="[TICKETS.csv]", required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default="model.deskclock",
    show_default=True,
    metavar="FILE",
    help="Where the model goes.",
)
@_column("subject", _DEFAULT.subject)
@_column("text", _DEFAULT.text)
@_column("theme", _DEFAULT.theme)
@_column("urgency", _DEFAULT.urgency)
@_column("language", _DEFAULT.language)
@click.option("--means", multiple=True, metavar="NAME=URGENCY", help="What your urgencies mean, as in `P1=urgent`.")
@click.option(
    "--rows",
    type=click.IntRange(100, _MOST_ROWS_EVER),
    default=MOST_ROWS,
    show_default=True,
    metavar="N",
    help="Learn from so many at most, drawn by the seed; 10,000 of 500 characters take 400 MB and half a minute.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, metavar="N", help="Same seed, same file."
)
@click.option("--corrections", is_flag=True, help="Learn from what people corrected in the database, too, or alone.")
@click.option("--upload", is_flag=True, help="Add the model to the database, as `deskclock model add` does.")
@tenant_option
@json_option
def train(
    tickets: Path | None,
    output: Path,
    means: tuple[str, ...],
    rows: int,
    seed: int,
    corrections: bool,
    upload: bool,
    tenant: str,
    as_json: bool,
    **columns: str,
) -> None:
    """Learn themes and urgencies from tickets that people have labelled. Needs no server for that.

    TICKETS.csv has a header and a row a ticket: `subject` and/or `text`, `theme` and/or `urgency` (urgent, high, normal,
    low), and `language` if you like. `-` is standard input.

    Every class is judged on texts that were held out, near-duplicates together, beside always saying the most frequent
    class. What doesn't beat that beyond luck has learned nothing: exit code 4, and it can't be promoted.

    Rows that can't be read are named on standard error (the first 20 of them; all are counted).
    """
    meanings = _meanings(means)
    make = _maker()
    if not output.parent.is_dir():
        raise Refused(f"there is no folder {output.parent} for {output.name}")
    if tickets is None and not corrections:
        raise click.UsageError("give a file to learn from, or --corrections")
    with Bar() as bar:
        reading = Reading(most=rows, seed=seed, tick=bar.begin("reading"))
        if tickets is not None:
            _read(tickets, Columns(**columns), meanings, reading)
        if corrections:
            asyncio.run(_read_corrections(tenant, reading))
        history = _checked(reading.done())
        made = make(history, seed, bar)
    if made.header is not None:
        output.write_bytes(made.file)
    _tell(history, made, output, as_json=as_json)
    if made.header is None:
        raise Refused("nothing was learned: there are too few labelled rows, or too few that differ; see above")
    if not made.header.learned:
        raise Refused(
            f"it learned nothing: on held-out texts it does no better than chance; {output} can be tried in shadow only"
        )
    if upload:
        asyncio.run(_upload(made.file, tenant, as_json=as_json))


def _maker() -> "Callable[[History, int, Bar], Made]":
    """What learns; raises Failure without the extra."""
    try:
        from services.console.training.making import make  # noqa: PLC0415 - an optional extra, and a slow import
    except ImportError as error:
        raise Failure(f"{error.name} is missing: install the extra, as in `pip install 'deskclock[train]'`") from None
    return make


def _read(path: Path, columns: Columns, meanings: Mapping[str, Urgency], reading: Reading) -> None:
    """Read a file; raises Refused for one that can't be learned from."""
    try:
        with nullcontext(sys.stdin.buffer) if str(path) == "-" else path.open("rb") as file:
            text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="")
            reading.read(text, columns, meanings)
    except BadHistory as error:
        raise Refused(f"{path}: {error}") from None
    except OSError as error:
        raise Refused(f"{path} can't be read: {error.strerror}") from None


async def _read_corrections(tenant: str, reading: Reading) -> None:
    async with database(read_settings()) as connection:
        async for corrected in trained.corrections(connection, tenant):
            reading.add(corrected)


async def _upload(file: bytes, tenant: str, *, as_json: bool) -> None:
    async with database(read_settings()) as connection:
        added = await trained.add(connection, tenant, file, author(), await database_time.now(connection))
    if not as_json:
        click.echo(f"added as model {added.version} of tenant {tenant}")


def _checked(history: History) -> History:
    """The same; raises Refused where too many rows can't be read."""
    _tell_faults(history)
    every = history.rows + history.faults
    if history.faults > _FAULTY * every:
        raise Refused(f"{history.faults:,} of {every:,} rows can't be read, so nothing is learned from the others")
    return history


def _meanings(means: tuple[str, ...]) -> dict[str, Urgency]:
    """Names of urgencies, case-folded; raises click.UsageError."""
    found = {urgency.value: urgency for urgency in Urgency}
    for item in means:
        name, _, urgency = item.rpartition("=")
        if not name.strip() or urgency.strip() not in set(Urgency):
            raise click.UsageError(f"--means {item}: write NAME=URGENCY, with one of {', '.join(Urgency)}")
        found[name.strip().casefold()] = Urgency(urgency.strip())
    return found


def _tell_faults(history: History) -> None:
    for fault in history.first_faults:
        errors().print(f"line {fault.line}: {fault.reason}", style="yellow", markup=False)
    if history.faults > len(history.first_faults):
        more = history.faults - len(history.first_faults)
        errors().print(f"and {more:,} more rows that can't be used", style="yellow", markup=False)


def _tell(history: History, made: "Made", output: Path, *, as_json: bool) -> None:
    header = made.header
    if as_json:
        write_json(
            {
                "file": None if header is None else str(output),
                "bytes": len(made.file),
                "learned": () if header is None else header.learned,
                "model": header,
                "left_out": [{"what": item.what, "reason": item.reason} for item in made.left],
                "faults": history.faults,
                "first_faults": [{"line": fault.line, "reason": fault.reason} for fault in history.first_faults],
            }
        )
        return
    for item in made.left:
        errors().print(f"left out: {item.what}: {item.reason}", style="yellow", markup=False)
    if header is None:
        return
    if header.used < header.rows:
        click.echo(f"learned from {header.used:,} of {header.rows:,} rows, drawn by seed {header.seed} (--rows)")
    view.tell(header)
    click.echo(f"{output}: {len(made.file):,} bytes; add it with `{program()} model add {output}`")
