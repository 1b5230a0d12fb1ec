"""The example policy against what a city itself promised, on a file of its requests that is not part of the project.

The requests go through `deskclock evaluate` as anybody's would; each answer is laid beside TARGET_DT and OnTime_Status.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import Struct

from services.console.domain import requests
from services.console.domain.requests import CityVerdict, Request, Wire

ROOT = Path(__file__).parents[2]
POLICY = ROOT / "examples" / "boston" / "policy.yaml"
TOLERANCE = timedelta(seconds=60)
SINCE = datetime(2015, 2, 17, 5, tzinfo=UTC)
"""The first day after the city changed its promises."""
_PATIENCE_SECONDS = 1_800.0


class _Clock(Struct, frozen=True):
    target: str
    due_at: datetime | None
    breached_at: datetime | None


class _Answer(Struct, frozen=True):
    ticket: str
    clocks: list[_Clock]


class Share(Struct, frozen=True):
    """So many of so many."""

    good: int
    all: int

    @property
    def part(self) -> float:
        """From 0 to 1; 1 of nothing."""
        return self.good / self.all if self.all else 1.0

    def __str__(self) -> str:
        return f"{self.part:.2%} of {self.all:,}"


class Agreement(Struct, frozen=True):
    """How far the policy agrees with the city, for requests opened since the change."""

    promises: Share
    """Of the promised dates: reproduced within a minute."""
    verdicts: Share
    """Of all closed requests: judged alike. Without a promise the city says ONTIME."""
    verdicts_on_same_promise: Share
    """Of the closed requests whose promise is reproduced: judged alike."""
    verdicts_with_moves: Share
    """Of all closed requests: judged alike, once the dates that were moved by hand are told as `ticket.deadline_set`."""


def agreement(file: Path) -> Agreement:
    """Evaluate a file of requests, twice: by the rules alone, and told of the dates that were moved by hand."""
    read = requests.read(file)
    rows = [request for request in read if request.opened_at >= SINCE]
    now = max(request.opened_at for request in rows) + timedelta(days=2)
    ours = _evaluate(rows, now)
    same = [request for request in rows if _is_same(request, ours)]
    moves = {r.number: requests.moved(r, r.promised_at) for r in rows if r.promised_at and _is_moved(r, ours)}
    return Agreement(
        promises=Share(good=len(same), all=sum(request.promised_at is not None for request in rows)),
        verdicts=_verdicts(rows, ours),
        verdicts_on_same_promise=_verdicts(same, ours),
        verdicts_with_moves=_verdicts(rows, _evaluate(rows, now, moves)),
    )


def _evaluate(rows: Iterable[Request], now: datetime, moves: Mapping[str, Wire] | None = None) -> dict[str, _Clock]:
    """The resolution of each request that has one, by its number, as `deskclock evaluate` answers."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "events.ndjson"
        with file.open("wb") as out:
            for request in rows:
                told = [*requests.story(request)]
                if moves and request.number in moves:
                    told.append(moves[request.number])
                out.writelines(event.body + b"\n" for event in told)
        command = [sys.executable, "-m", "services.console", "evaluate", "--policy", str(POLICY)]
        done = subprocess.run(
            [*command, "--now", now.isoformat(), str(file)],
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            timeout=_PATIENCE_SECONDS,
        )
    decoder = msgspec.json.Decoder(_Answer)
    answers = map(decoder.decode, done.stdout.splitlines())
    return {answer.ticket: clock for answer in answers for clock in answer.clocks if clock.target == "resolution"}


def _is_same(request: Request, ours: Mapping[str, _Clock]) -> bool:
    clock = ours.get(request.number)
    if clock is None or clock.due_at is None or request.promised_at is None:
        return False
    return abs(clock.due_at - request.promised_at) <= TOLERANCE


def _is_moved(request: Request, ours: Mapping[str, _Clock]) -> bool:
    """A date that fits no rule and has no seconds was typed by somebody."""
    is_typed = request.promised_at is not None and request.promised_at.second == 0
    return is_typed and request.number in ours and not _is_same(request, ours)


def _verdicts(rows: Iterable[Request], ours: Mapping[str, _Clock]) -> Share:
    judged = [request for request in rows if request.closed_at is not None and request.verdict is not None]
    alike = sum(_verdict(request, ours) is request.verdict for request in judged)
    return Share(good=alike, all=len(judged))


def _verdict(request: Request, ours: Mapping[str, _Clock]) -> CityVerdict:
    clock = ours.get(request.number)
    return CityVerdict.OVERDUE if clock is not None and clock.breached_at is not None else CityVerdict.ONTIME
