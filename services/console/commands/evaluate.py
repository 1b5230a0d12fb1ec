"""`deskclock evaluate`: the fold, offline: a policy file and ticket events in, every promise out. No server needed.

Memory does not grow with the input: tickets are gathered in files (`services.console.gathering`).
"""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import BinaryIO, Self

import click
import msgspec
from msgspec import Struct
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from services.console import gathering, output
from services.console.domain import judging
from services.console.failures import Failure, Refused
from services.console.gathering import Answer, Line
from services.console.output import errors
from services.console.policies import read_policy
from shared import timesource
from shared.contract import events
from shared.contract.events import Rejected, TicketEvent
from shared.policy.document import Policy

_TENANT = "default"
_LONGEST_LINE = 1024 * 1024
"""As much as one body at the doors of the services."""
_FAULTS_SHOWN = 20
_STEP = 500
"""Lines, or tickets, from one movement of the progress bar to the next."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


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
    "--now", "now_text", metavar="INSTANT", help="Judge as of this instant, with an offset, else the present."
)
@click.argument("events_file", type=click.File("rb"), metavar="EVENTS.ndjson")
def evaluate(policy_file: Path, now_text: str | None, events_file: BinaryIO) -> None:
    """Judge tickets offline: CloudEvents, one a line, in; one line of JSON a ticket out.

    EVENTS.ndjson may be `-` for standard input. Lines may come in any order and a ticket's lines stand anywhere; the
    answers come in the order in which the tickets first appear. Events dated after --now are taken as known.

    Memory stays the same however many tickets there are; temporary files take about twice the size of the input, in
    the folder that TMPDIR names.

    A line that can't be read is left out and named on standard error (the first 20 of them; all are counted), and the
    exit code is 4 once the rest has been judged.
    """
    now = _instant(now_text) if now_text is not None else datetime.fromtimestamp(timesource.unix_time(), UTC)
    policy = read_policy(policy_file)
    signal.signal(signal.SIGTERM, output.interrupt)
    faults = _Faults()
    try:
        with tempfile.TemporaryDirectory(prefix="deskclock-evaluate-") as folder, _Bar(events_file) as bar:
            evaluation = _Evaluation(policy, now, faults, bar)
            for text in gathering.gathered(evaluation.lines(events_file), evaluation.judged, Path(folder)):
                bar.stop()
                sys.stdout.buffer.write(text + b"\n")
    except OSError as error:
        if error.errno not in {ENOSPC, EDQUOT}:
            raise
        raise Failure(
            f"no room left for temporary files in {tempfile.gettempdir()}: set TMPDIR to a larger disk"
        ) from None
    sys.stdout.buffer.flush()
    faults.tell(evaluation.read)


class _Faults:
    """Lines that could not be read: all counted, the first ones kept."""

    def __init__(self) -> None:
        self._count = 0
        self._first: list[tuple[int, str]] = []

    def add(self, number: int, reason: str) -> None:
        self._count += 1
        self._first.append((number, reason))
        if len(self._first) > 2 * _FAULTS_SHOWN:
            self._first = sorted(self._first)[:_FAULTS_SHOWN]

    def tell(self, read: int) -> None:
        """Name them on standard error; raises Refused if there are any."""
        if not self._count:
            return
        shown = sorted(self._first)[:_FAULTS_SHOWN]
        for number, reason in shown:
            errors().print(f"line {number}: {reason}", style="yellow", markup=False)
        if self._count > len(shown):
            errors().print(f"and {self._count - len(shown):,} more lines", style="yellow", markup=False)
        raise Refused(f"{self._count:,} of {read:,} lines could not be read; the rest was judged")


class _Evaluation:
    """One run: lines in, answers out."""

    def __init__(self, policy: Policy, now: datetime, faults: _Faults, bar: "_Bar") -> None:
        self._policy = policy
        self._now = now
        self._faults = faults
        self._bar = bar
        self.read = 0
        """Lines that are not blank."""

    def lines(self, file: BinaryIO) -> Iterator[Line]:
        """The lines of a file with the hash of their ticket; those that name none are faults."""
        for number, text, is_whole in _lines(file):
            self._bar.moved(number, file)
            if not text:
                continue
            self.read += 1
            if not is_whole:
                self._faults.add(number, f"longer than {_LONGEST_LINE:,} bytes: no event is")
                continue
            try:
                yield Line(number, _ticket_of(text), text)
            except Rejected as error:
                self._faults.add(number, str(error))
        self._bar.judging(self.read)

    def judged(self, lines: Iterator[Line]) -> Iterator[Answer]:
        """Judge all tickets of some lines; an id that comes again is the same event, and the first one stands."""
        first: dict[tuple[str, str], int] = {}
        logs: dict[tuple[str, str], dict[str, TicketEvent]] = {}
        for line in lines:
            self._bar.judged_line()
            try:
                event = events.decode(_TENANT, line.text)
            except Rejected as error:
                self._faults.add(line.number, str(error))
                continue
            identity = event.source, event.ticket
            if identity not in first:
                first[identity] = line.number
                logs[identity] = {}
            logs[identity].setdefault(event.id, event)
        for identity, number in first.items():
            log = list(logs.pop(identity).values())
            yield number, judging.encode(judging.judge(log, self._policy, self._now))


class _Identity(Struct, frozen=True):
    source: str | None = None
    external_id: str | None = None


class _Header(Struct, frozen=True):
    """As much of an event as says whose it is."""

    source: str = ""
    subject: str | None = None
    data: _Identity = _Identity()


_header = msgspec.json.Decoder(_Header)


def _ticket_of(text: bytes) -> int:
    """Hash of the ticket of an event; raises Rejected where it names none. All the rest is read later."""
    try:
        header = _header.decode(text)
        source, ticket = header.data.source or header.source, header.subject or header.data.external_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        event = events.decode(_TENANT, text)
        source, ticket = event.source, event.ticket
    return hash((source, ticket)) & 0xFFFF_FFFF_FFFF_FFFF


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes, bool]]:
    """Number, text and whether it is whole: of a line that is too long the end is skipped."""
    number = 0
    while line := file.readline(_LONGEST_LINE + 1):
        number += 1
        is_whole = True
        while len(line) > _LONGEST_LINE and not line.endswith(b"\n"):
            is_whole = False
            line = file.readline(_LONGEST_LINE + 1) or b"\n"
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        yield number, line.strip(), is_whole


class _Bar:
    """How far it is, on standard error where that is a terminal."""

    def __init__(self, file: BinaryIO) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeRemainingColumn(),
            console=errors(),
            disable=not errors().is_terminal,
            transient=True,
        )
        self._reading: TaskID = self._progress.add_task("reading", total=_size(file), unit="bytes")
        self._judging: TaskID | None = None
        self._done = 0
        self._is_on = False

    def __enter__(self) -> Self:
        self._progress.start()
        self._is_on = True
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def moved(self, number: int, file: BinaryIO) -> None:
        """So many lines have been read."""
        if number % _STEP == 0 and not self._progress.disable:
            if self._progress.tasks[0].total is None:
                self._progress.update(self._reading, completed=number, unit="lines")
            else:
                self._progress.update(self._reading, completed=file.tell())

    def judging(self, lines: int) -> None:
        """All is read; now judge so many lines."""
        self._progress.update(self._reading, visible=False)
        self._judging = self._progress.add_task("judging", total=lines, unit="lines")

    def judged_line(self) -> None:
        """One line more is being judged."""
        self._done += 1
        if self._done % _STEP == 0 and self._judging is not None:
            self._progress.update(self._judging, completed=self._done)

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


def _instant(text: str) -> datetime:
    try:
        return msgspec.convert(text, events.Instant).astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        raise click.UsageError(
            f"--now {text!r} is not an instant with an offset, as in 2026-06-05T10:00:00+02:00"
        ) from None
