"""How one ticket is told to a person."""

import io
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
from rich.console import Console

from services.console.domain.ticket import ClockLine, TicketHead, TicketStory
from services.console.views import ticket

NOW = datetime(2026, 6, 5, 12, tzinfo=UTC)
HEAD = TicketHead(
    id=UUID(int=1),
    source="zendesk",
    external_id="881",
    status="open",
    opened_at=NOW,
    solved_at=None,
    channel="email",
    urgency="normal",
    theme=None,
    language=None,
    subject=None,
    requester_key=None,
    requester_tier=None,
    matched="all",
    needs=msgspec.Raw(b"[]"),
    prefers=(),
    rules=(),
    pool="email",
    policy_version=1,
    owner=None,
    assigned_at=None,
    waiting_reason="no_skill",
    queued_at=NOW - timedelta(seconds=22),
)
CLOCK = ClockLine(
    target="first_response",
    cycle=1,
    matched="all",
    policy_version=1,
    calendar="always",
    state="breached",
    started_at=NOW - timedelta(hours=4),
    due_at=NOW - timedelta(hours=2),
    warned=0,
    warned_at=None,
    breached_at=NOW - timedelta(hours=2),
    detected_at=NOW - timedelta(hours=2),
    met_at=None,
    ended_at=None,
    open_used=timedelta(hours=2),
    wall_used=None,
)


def told(clock: ClockLine) -> str:
    console = Console(width=160, file=io.StringIO(), record=True)
    story = TicketStory(now=NOW, head=HEAD, clocks=(clock,), events=(), assignments=(), pages=())
    console.print(ticket.show(story))
    return console.export_text()


def test_why_nobody_has_it_is_told_in_words() -> None:
    """For how long, and the reason."""
    assert "nobody: waits for 22s: nobody on the roster can take it" in told(CLOCK)


def test_a_late_answer_is_no_kept_promise() -> None:
    """It was answered, and how late."""
    answered = CLOCK.due_at + timedelta(minutes=39, seconds=57) if CLOCK.due_at else NOW
    text = told(msgspec.structs.replace(CLOCK, met_at=answered, ended_at=answered))
    assert "answered 39m 57s late" in text
    assert "kept" not in text
    assert "still open, 2h late" in told(CLOCK)
