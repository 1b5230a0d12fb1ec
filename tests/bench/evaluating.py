"""`deskclock evaluate`: its memory from 10,000 to 1,000,000 tickets, and the fold beside a bare decode of the ticket."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct

from services.router.domain.classify import classify
from shared import timesource
from shared.contract import events
from shared.contract.events import Opened, TicketEvent
from shared.policy.parse import parse_policy
from shared.sla import timeline

ROOT = Path(__file__).parents[2]
FEW, MANY = 10_000, 1_000_000
_ROUNDS = 400
_START = datetime(2026, 6, 1, 7, tzinfo=UTC)
_NOW = _START + timedelta(days=2)
_PATIENCE_SECONDS = 3_600.0

_POLICY = """
calendars:
  office: {timezone: Europe/Berlin, hours: {mon-fri: "09:00-12:30, 13:00-17:00"}, holidays: {country: DE}}
urgency:
  - {name: outage, urgency: urgent, when: {text: ["is down", "/can(no|')t log ?in/"]}}
targets:
  - {name: gold, when: {requester.tier: gold}, calendar: office, first_response: 1h, next_response: 2h, update: 4h, resolution: 2bd, warn: [75%]}
  - {name: all, calendar: office, first_response: 4h, next_response: 4h, update: 8h, resolution: 5bd, warn: [50%, 75%]}
"""

_MEASURED = """
import sys
from services.console.__main__ import run
code = run(sys.argv[1:])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(peak.split()[1], file=sys.stderr)
sys.exit(code)
"""


class Run(Struct, frozen=True):
    """One evaluation of a file."""

    megabytes: float
    """Peak resident memory of the process."""
    seconds: float


def memory(tickets: int) -> Run:
    """Evaluate so many tickets of two events each; the two are as far apart as the file allows."""
    with tempfile.TemporaryDirectory() as folder:
        policy, file = Path(folder) / "policy.yaml", Path(folder) / "events.ndjson"
        policy.write_text(_POLICY)
        with file.open("w") as out:
            out.writelines(_line(n, "status_changed", 90, {"status": "solved"}) for n in range(tickets))
            out.writelines(_line(n, "opened", 0, _opening(n)) for n in reversed(range(tickets)))
        command = [sys.executable, "-c", _MEASURED, "evaluate", "--policy", str(policy), str(file)]
        began = timesource.monotonic()
        with (Path(folder) / "answers").open("wb") as answers:
            done = subprocess.run(
                command,
                cwd=ROOT,
                check=True,
                stdout=answers,
                stderr=subprocess.PIPE,
                text=True,
                timeout=_PATIENCE_SECONDS,
            )
        seconds = timesource.monotonic() - began
        with (Path(folder) / "answers").open("rb") as answers:
            judged = sum(1 for _ in answers)
    if judged != tickets:
        raise AssertionError(f"{judged:,} answers on {tickets:,} tickets")
    return Run(megabytes=int(done.stderr) / 1024, seconds=seconds)


class _Arrived(Struct, frozen=True):
    """A ticket as it arrives: the whole event."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: events.Instant
    data: Opened


class Cost(Struct, frozen=True):
    """Seconds, each the best of several rounds in one run."""

    decode: float
    """A bare msgspec decode of the ticket as it arrives, envelope and data in one."""
    fresh: float
    """The fold of a ticket that was just opened: a line with four targets, classified, and time let act."""
    long: float
    """The same of a ticket with thirty events."""


def cost() -> Cost:
    """The fold beside a bare decode."""
    policy = parse_policy(_POLICY, version=1)
    body = _line(1, "opened", 0, _opening(1)).encode()
    decoder = msgspec.json.Decoder(_Arrived)
    fresh = [events.decode("bench", body)]
    long = fresh + [events.decode("bench", line.encode()) for line in _conversation()]

    def fold(log: list[TicketEvent], now: datetime) -> object:
        return timeline.evaluate(log, policy.sla, partial(classify, policy), now)

    calls: tuple[tuple[Callable[[], object], int], ...] = (
        (lambda: decoder.decode(body), 200),
        (lambda: fold(fresh, _START), 4),
        (lambda: fold(long, _NOW), 1),
    )
    # Short turns, one after the other: the best of each is one that nobody interrupted.
    rounds = [[_once(call, times) for call, times in calls] for _ in range(_ROUNDS)]
    decode, bare, crowded = (min(seconds) for seconds in zip(*rounds, strict=True))
    return Cost(decode=decode, fresh=bare, long=crowded)


def _once(call: Callable[[], object], times: int) -> float:
    began = timesource.monotonic()
    for _ in range(times):
        call()
    return (timesource.monotonic() - began) / times


def _conversation() -> Iterator[str]:
    """29 events: replies from both sides, with a pause now and then."""
    for n in range(1, 30):
        match n % 6:
            case 1 | 4:
                yield _line(1, "replied", 20 * n, {"by": "agent"})
            case 2:
                yield _line(1, "status_changed", 20 * n, {"status": "pending_customer"})
            case 3:
                yield _line(1, "status_changed", 20 * n, {"status": "open"})
            case _:
                yield _line(1, "replied", 20 * n, {"by": "customer"})


def _opening(n: int) -> dict[str, object]:
    return {
        "source": "bench",
        "external_id": str(n),
        "channel": "email",
        "subject": "Charged twice",
        "text": "I was charged twice for one order and can't see why. Please send one of the two amounts back to me.",
        "language": "en",
        "requester": {"key": f"c-{n % 997}", "tier": "gold" if n % 10 == 0 else "silver"},
        "attributes": {"product": "pay", "region": "north"},
        "opened_at": (_START + timedelta(seconds=n % 50_000)).isoformat(),
    }


def _line(n: int, kind: str, minutes: int, data: dict[str, object]) -> str:
    at = _START + timedelta(minutes=minutes, seconds=n % 50_000)
    envelope = {
        "specversion": "1.0",
        "id": f"{n}-{kind}-{minutes}",
        "source": "bench",
        "type": f"ticket.{kind}",
        "subject": str(n),
        "time": at.isoformat(),
        "data": data,
    }
    return json.dumps(envelope, separators=(",", ":")) + "\n"
