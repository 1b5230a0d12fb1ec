"""Tickets that nobody thought of: the fold and the oracle that lives through every minute say the same."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.console.domain import judging
from shared.contract import events
from shared.policy.parse import parse_policy
from tests.conformance.judging import differences
from tests.conformance.ticket_oracle import Life
from tests.conformance.vectors import Clocks, CloudEvent, ExpectedClock, ExpectedClocks, Policy
from tests.effort import examples

START = datetime(2026, 6, 1, 6, 0, tzinfo=UTC)
LENGTHS = ("30m", "1h", "90m", "2h", "4h", "8h")
KINDS = ("first_response", "next_response", "update", "resolution")
URGENCIES = ("urgent", "high", "normal", "low")
STATUSES = ("open", "open", "pending_customer", "on_hold", "solved", "closed", "spam")
MODES = ("retroactive", "restart", {"grace": "30m"})
HOURS = ("09:00-17:00", "09:00-12:00, 13:00-17:00", "22:00-06:00")


def _line(random: Random, name: str, **more: Any) -> dict[str, Any]:
    promises = random.sample(KINDS, random.randint(1, 4))
    calendar = random.choice(["office", "office", "always"])
    modes = {"on_change": random.choice(MODES), "on_reopen": random.choice(["resume", "new_cycle", "none"])}
    return {"name": name, "calendar": calendar, **{kind: random.choice(LENGTHS) for kind in promises}, **modes, **more}


def _policy(random: Random) -> Policy:
    lines = [_line(random, name, when={"urgency": name}) for name in ("urgent", "high") if random.random() < 0.7]
    lines.append(_line(random, "all", **({"when": {"urgency": "normal"}} if random.random() < 0.3 else {})))
    if any(line["on_change"] != "retroactive" for line in lines):
        for line in lines:  # the oracle doesn't resume what a change has restarted
            line["on_reopen"] = random.choice(["new_cycle", "none"])
    if random.random() < 0.4:
        for team in ("one", "two"):
            own = {"calendar": "office", "resolution": random.choice(LENGTHS), "when": {"team": team}}
            lines.append({"name": f"team {team}", "kind": "internal", **own})
    office = {"timezone": "Europe/Berlin", "hours": {"mon-fri": random.choice(HOURS)}}
    return Policy(calendars={"office": office}, targets=lines)


def _happens(random: Random) -> tuple[str, dict[str, Any]]:
    kind = random.choice(["status_changed", "status_changed", "replied", "replied", "updated", "assigned"])
    data: dict[str, dict[str, Any]] = {
        "status_changed": {"status": random.choice(STATUSES)},
        "replied": {"by": random.choice(["customer", "agent", "agent", "bot"]), "public": random.random() < 0.85},
        "updated": {"urgency": random.choice(URGENCIES)},
        "assigned": {"team": random.choice(["one", "two"])},
    }
    return kind, data[kind]


def _ticket(random: Random) -> Clocks:
    minutes = sorted(random.sample(range(0, random.choice([600, 1500]), 5), random.randint(2, 8)))
    begun = {"by": random.choice(["customer", "customer", "agent"]), "urgency": random.choice(URGENCIES), "team": "one"}
    told = [("opened", {"channel": "email", **begun}), *(_happens(random) for _ in minutes[1:])]
    log = [
        CloudEvent(
            specversion="1.0", id=f"e{number}", source="desk", type=f"ticket.{kind}", subject="1",
            time=(START + timedelta(minutes=minute)).isoformat(), data=data,
        )
        for number, (minute, (kind, data)) in enumerate(zip(minutes, told, strict=True))
    ]  # fmt: skip
    now = START + timedelta(minutes=minutes[-1] + random.choice([1, 60, 700]))
    return Clocks(
        id="42-any",
        rule=42,
        title="a ticket",
        policy=_policy(random),
        events=log,
        now=now,
        expect=ExpectedClocks(clocks=[]),
    )


@settings(max_examples=examples(20), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False))
def test_the_fold_agrees_with_living_through_every_minute(random: Random) -> None:
    """Every field of every clock, but for when a withdrawn promise would have been due."""
    ticket = _ticket(random)
    lived = [
        {name: value for name, value in clock.items() if clock["state"] != "cancelled" or name != "due_at"}
        for clock in Life(ticket).clocks()
    ]
    expected = msgspec.structs.replace(
        ticket, expect=ExpectedClocks(clocks=[ExpectedClock(**clock) for clock in lived])
    )
    log = [events.decode("default", msgspec.json.encode(event)) for event in ticket.events]
    policy = parse_policy(msgspec.json.encode(ticket.policy).decode(), version=1)

    assert [] == differences(expected, msgspec.to_builtins(judging.judge(log, policy, ticket.now)))
