"""`deskclock evaluate`: the fold, offline: a policy file and ticket events in, every promise out. No server needed."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO

import click
import msgspec
from msgspec import Struct

from services.console.failures import Refused
from services.console.output import errors, write_line
from services.console.policies import read_policy
from services.router.domain.classify import classify
from shared import timesource
from shared.contract import events
from shared.contract.events import Rejected, TicketEvent
from shared.policy.document import Policy
from shared.sla import timeline
from shared.sla.clock import Clock

_TENANT = "default"


class EvaluatedClock(Struct, frozen=True, kw_only=True):
    """One promise of an evaluated ticket."""

    target: str
    cycle: int
    matched: str
    state: str
    started_at: datetime
    due_at: datetime | None
    met_at: datetime | None
    breached_at: datetime | None
    open_seconds: float
    wall_seconds: float


class Evaluated(Struct, frozen=True, kw_only=True):
    """One line of the answer."""

    source: str
    ticket: str
    urgency: str | None
    channel: str | None
    clocks: list[EvaluatedClock]


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
    "--now", "now_text", metavar="INSTANT", help="Judge as of this instant, with an offset. Default: the present."
)
@click.argument("events_file", type=click.File("rb"), metavar="EVENTS.ndjson")
def evaluate(policy_file: Path, now_text: str | None, events_file: BinaryIO) -> None:
    """Judge tickets offline: CloudEvents, one a line, in; one line of JSON a ticket out.

    EVENTS.ndjson may be `-` for standard input. Lines in any order; a line that can't be read is named on standard
    error and the rest is judged, with exit code 4 at the end.
    """
    now = _instant(now_text) if now_text else datetime.fromtimestamp(timesource.unix_time(), UTC)
    policy = read_policy(policy_file)
    logs: dict[tuple[str, str], dict[str, TicketEvent]] = {}
    bad = 0
    for number, event in _read(events_file):
        if isinstance(event, Rejected):
            bad += 1
            errors().print(f"line {number}: {event}", style="yellow", markup=False)
        else:
            logs.setdefault((event.source, event.ticket), {}).setdefault(event.id, event)
    while logs:
        identity = next(iter(logs))
        write_line(judge(list(logs.pop(identity).values()), policy, now))
    if bad:
        raise Refused(f"{bad} of the lines could not be read; the rest was judged")


def judge(log: list[TicketEvent], policy: Policy, now: datetime) -> Evaluated:
    """All promises of one ticket at `now`."""
    evaluation = timeline.evaluate(log, policy.sla, partial(classify, policy), now)
    verdict = evaluation.classification
    return Evaluated(
        source=log[0].source,
        ticket=log[0].ticket,
        urgency=verdict.urgency if verdict else None,
        channel=verdict.channel if verdict else None,
        clocks=[_clock(clock, policy, now) for clock in evaluation.clocks],
    )


def _clock(clock: Clock, policy: Policy, now: datetime) -> EvaluatedClock:
    ended_at = clock.ended_at or now
    used = clock.open_used
    if not clock.is_finished and clock.due_at is not None:
        used = policy.sla.calendars[clock.calendar].between(clock.started_at, now)
    return EvaluatedClock(
        target=clock.target,
        cycle=clock.cycle,
        matched=clock.matched,
        state=clock.state,
        started_at=clock.started_at,
        due_at=clock.due_at,
        met_at=clock.met_at,
        breached_at=clock.breached_at,
        open_seconds=used.total_seconds(),
        wall_seconds=(ended_at - clock.started_at).total_seconds(),
    )


def _read(file: BinaryIO) -> Iterator[tuple[int, TicketEvent | Rejected]]:
    for number, line in enumerate(file, start=1):
        if line.strip():
            try:
                yield number, events.decode(_TENANT, line)
            except Rejected as error:
                yield number, error


def _instant(text: str) -> datetime:
    try:
        at = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        at = None
    if at is None or at.tzinfo is None:
        raise click.UsageError(f"--now {text!r} is not an instant with an offset, as in 2026-06-05T10:00:00+02:00")
    return at.astimezone(UTC)
