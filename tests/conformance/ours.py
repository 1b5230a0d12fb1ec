"""Deskclock's own answers, through the commands that anybody can type."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from services.console.__main__ import run
from shared.policy.parse import parse_policy
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
            return _said(["evaluate", "--policy", str(policy), "--now", vector.now.isoformat(), str(events)], output)
        case Due():
            return _said(_preview(vector, policy, "--duration", vector.duration), output)
        case Open():
            return _said(_preview(vector, policy, "--until", vector.end_at.isoformat()), output)
        case Start():
            calendar = parse_policy(policy.read_text(), version=1).sla.calendars[vector.calendar]
            return {"start_at": calendar.subtract(vector.end_at, timedelta(seconds=seconds(vector.duration)))}
        case Accept():
            code = run(["policy", "check", str(policy)])
            output()
            return {"accepted": not code}


def _preview(vector: Due | Open, policy: Path, option: str, value: str) -> list[str]:
    start = vector.start_at.isoformat()
    return ["calendar", "preview", vector.calendar, "--start", start, option, value, "--policy", str(policy), "--json"]


def _said(command: list[str], output: Output) -> dict[str, Any]:
    """The JSON that a command writes; what it refuses is an error. `evaluate` refuses lines and judges the rest."""
    code = run(command)
    text = output()
    return dict(msgspec.json.decode(text)) if text else {"error": f"exit code {code}, and nothing is said"}
