"""Deskclock's own answers, through the commands that anybody can type."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from services.console.__main__ import run
from shared.policy.parse import parse_policy
from shared.sla.calendar import Calendar
from tests.conformance.oracle import seconds
from tests.conformance.vectors import Accept, Clocks, Due, Open, Start, Vector

Output = Callable[[], str]
"""What the command has written to standard output since it was last asked."""


def answer(vector: Vector, folder: Path, output: Output) -> dict[str, Any]:
    """The answer to a vector; `folder` is for the files that commands read."""
    policy = folder / "policy.json"
    policy.write_bytes(msgspec.json.encode(vector.policy))
    match vector:
        case Clocks():
            events = folder / "events.ndjson"
            events.write_bytes(b"\n".join(map(msgspec.json.encode, vector.events)))
            run(["evaluate", "--policy", str(policy), "--now", vector.now.isoformat(), str(events)])
            [line] = output().splitlines()
            return dict(msgspec.json.decode(line))
        case Due():
            return {"due_at": _due(vector, policy)}
        case Start():
            return {"start_at": _calendar(vector, policy).subtract(vector.end_at, _length(vector.duration))}
        case Open():
            between = _calendar(vector, policy).between(vector.start_at, vector.end_at)
            return {"open_seconds": between.total_seconds()}
        case Accept():
            code = run(["policy", "check", str(policy)])
            output()
            return {"accepted": not code}


def _due(vector: Due, policy: Path) -> datetime | None:
    calendar = _calendar(vector, policy)
    if vector.duration.endswith("bd"):
        return calendar.add_business_days(vector.start_at, int(vector.duration.removesuffix("bd")))
    return calendar.add(vector.start_at, _length(vector.duration))


def _calendar(vector: Due | Start | Open, policy: Path) -> Calendar:
    return parse_policy(policy.read_text(), version=1).sla.calendars[vector.calendar]


def _length(duration: str) -> timedelta:
    return timedelta(seconds=seconds(duration))
