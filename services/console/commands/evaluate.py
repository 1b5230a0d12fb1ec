"""`deskclock evaluate`: the fold, offline: a policy file and ticket events in, every promise out. No server needed.

Memory does not grow with the input: tickets are gathered in files (`services.console.gathering`).
"""

import os
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from errno import EDQUOT, ENOSPC
from functools import partial
from pathlib import Path
from typing import BinaryIO, Self

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from services.console import evaluation, evaluation_workers, gathering, output
from services.console.evaluation import Tally
from services.console.failures import Failure, Refused
from services.console.gathering import Answer, Line
from services.console.instants import INSTANT
from services.console.output import errors
from services.console.policies import read_policy, read_policy_text
from shared import timesource
from shared.policy.document import Policy

_STEP = 500
"""Lines from one movement of the progress bar to the next."""
_WORTH_WORKERS = 20_000
"""Fewer lines are judged sooner than a worker has started."""
_MOST_WORKERS = 64


@click.command()
@click.option(
    "--policy",
    "policy_file",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The policy to judge by.",
)
@click.option(
    "--now", type=INSTANT, metavar="INSTANT", help="Judge as of this instant, with an offset, else the present."
)
@click.option(
    "--jobs",
    type=click.IntRange(1, _MOST_WORKERS),
    default=1,
    show_default=True,
    metavar="N",
    help="Judge in so many processes side by side; each takes as much memory as one.",
)
@click.argument("events_file", type=click.File("rb"), metavar="EVENTS.ndjson")
def evaluate(policy_file: Path, now: datetime | None, jobs: int, events_file: BinaryIO) -> None:
    """Judge tickets offline: CloudEvents, one a line, in; one line of JSON a ticket out.

    EVENTS.ndjson may be `-` for standard input. Lines may come in any order and a ticket's lines stand anywhere; the
    answers come in the order in which the tickets first appear. Events dated after --now are taken as known.

    Memory stays the same however many tickets there are; temporary files, in the folder that TMPDIR names, take about
    as much as the input and the answers together.

    A line that can't be read is left out and named on standard error (the first 20 of them; all are counted), and the
    exit code is 4 once the rest has been judged.
    """
    now = now or datetime.fromtimestamp(timesource.unix_time(), UTC)
    policy = read_policy(policy_file)
    signal.signal(signal.SIGTERM, output.interrupt)
    tally = Tally()
    write = sys.stdout.buffer.write
    try:
        with tempfile.TemporaryDirectory(prefix="deskclock-evaluate-") as folder, _Bar(events_file) as bar:
            parts = gathering.dealt(bar.reading(evaluation.lines(events_file, tally)), Path(folder))
            bar.judging(parts)
            if jobs > 1 and tally.lines >= _WORTH_WORKERS:
                answers = []
                for done in evaluation_workers.judged(parts, read_policy_text(policy_file), now, jobs):
                    answers.append(done.answers)
                    tally.join_faults(done.faults, done.first_faults)
                    bar.advance(done.bytes)
            else:
                answers = [gathering.judged(part, partial(_judged, policy, now, tally, bar)) for part in parts]
            bar.stop()
            for text in gathering.merged(answers):
                write(text + b"\n")
        sys.stdout.buffer.flush()
    except OSError as error:
        if error.errno not in {ENOSPC, EDQUOT}:
            raise
        where = tempfile.gettempdir()
        raise Failure(
            f"no room left for the answers, or for temporary files in {where}: set TMPDIR to a larger disk for these"
        ) from None
    _tell(tally)


def _judged(policy: Policy, now: datetime, tally: Tally, bar: "_Bar", lines: Iterator[Line]) -> Iterator[Answer]:
    return evaluation.judged(bar.counted(lines), policy, now, tally)


def _tell(tally: Tally) -> None:
    """Name the faults on standard error; raises Refused if there are any."""
    if not tally.faults:
        return
    shown = tally.first_faults
    for number, reason in shown:
        errors().print(f"line {number}: {reason}", style="yellow", markup=False)
    if tally.faults > len(shown):
        errors().print(f"and {tally.faults - len(shown):,} more lines", style="yellow", markup=False)
    raise Refused(f"{tally.faults:,} of {tally.lines:,} lines could not be read; the rest was judged")


class _Bar:
    """How far it is, by bytes, on standard error where that is a terminal: first reading, then judging."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = _size(file)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("so far,"),
            TimeRemainingColumn(),
            TextColumn("to go"),
            console=errors(),
            disable=not errors().is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task("reading", total=self._size)
        self._is_on = False

    def __enter__(self) -> Self:
        self._progress.start()
        self._is_on = True
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def reading(self, lines: Iterator[Line]) -> Iterator[Line]:
        """The same lines, watched while they are read."""
        for n, line in enumerate(lines, start=1):
            yield line
            if n % _STEP == 0 and self._size is not None and not self._progress.disable:
                self._progress.update(self._task, completed=self._file.tell())

    def judging(self, parts: Iterable[Path]) -> None:
        """All is read; now these parts are to be judged."""
        self._progress.update(self._task, visible=False)
        self._task = self._progress.add_task("judging", total=sum(part.stat().st_size for part in parts))

    def counted(self, lines: Iterator[Line]) -> Iterator[Line]:
        """The same lines, watched while they are judged."""
        return lines if self._progress.disable else self._watched(lines)

    def _watched(self, lines: Iterator[Line]) -> Iterator[Line]:
        seen = 0
        for n, line in enumerate(lines, start=1):
            yield line
            seen += len(line.row)
            if n % _STEP == 0:
                self.advance(seen)
                seen = 0
        self.advance(seen)

    def advance(self, by: int) -> None:
        """So many bytes more have been judged."""
        self._progress.advance(self._task, by)

    def stop(self) -> None:
        """Leave the terminal to the answers."""
        if self._is_on:
            self._progress.stop()
            self._is_on = False


def _size(file: BinaryIO) -> int | None:
    """Bytes of a file; None of a pipe."""
    try:
        return os.fstat(file.fileno()).st_size or None
    except (OSError, ValueError):
        return None
