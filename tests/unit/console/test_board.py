"""The board is drawn from a snapshot alone, in every size of terminal."""

import io
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from rich.console import Console

from services.console.domain.snapshot import (
    AgentLoad,
    ClockCount,
    DueSoon,
    PageLine,
    PageTotals,
    Snapshot,
    TicketCount,
    Waiting,
)
from services.console.views import board

NOW = datetime(2015, 3, 2, 19, 5, tzinfo=UTC)
BOSTON = ZoneInfo("America/New_York")


def page(**fields: object) -> PageLine:
    known: dict[str, object] = {
        "id": UUID(int=1),
        "kind": "page",
        "state": "accepted",
        "step": 0,
        "recipient": "on-call/streets",
        "person": "ana",
        "external_id": "101",
        "target": "resolution",
        "reason": "breached",
        "due_at": NOW,
        "accepted_at": NOW,
        "acknowledged_at": None,
    }
    return PageLine(**(known | fields))  # type: ignore[arg-type]


SNAPSHOT = Snapshot(
    now=NOW,
    rate=8000,
    total=2400,
    over=1200,
    tickets=(
        TicketCount(channel="phone", urgency="normal", open=700, waiting=12, owned=688),
        TicketCount(channel="phone", urgency="urgent", open=3, waiting=1, owned=2),
        TicketCount(channel="messaging", urgency="high", open=41, waiting=0, owned=41),
    ),
    clocks=(
        ClockCount(target="first_response", calm=10, at_risk=2, late=1, kept=97, broken=2),
        ClockCount(target="resolution", calm=600, at_risk=40, late=30, paused=5, kept=800, broken=70),
    ),
    due=(DueSoon(external_id="4711", channel="phone", urgency="urgent", target="resolution", due_at=NOW + timedelta(minutes=12), is_warned=True, owner="ana"),),
    agents=tuple(
        AgentLoad(key=f"a{n}", name=f"Agent {n}", status="online" if n % 2 else "offline", capacity=12, primary_used=n, interruptible_used=0, over_capacity=False, tickets=n)
        for n in range(12)
    ),
    queue=(Waiting(reason="full", tickets=13, oldest_at=NOW - timedelta(hours=3, minutes=5)),),
    escalations={"open": 2},
    pages=(page(), page(acknowledged_at=NOW + timedelta(minutes=4)), page(kind="warning"), page(state="failed", accepted_at=None)),
    page_totals=PageTotals(pages=3, warnings=1, accepted=2, acknowledged=1, failed=1),
)  # fmt: skip


def drawn(snapshot: Snapshot, width: int = 130, height: int = 40, **options: object) -> str:
    console = Console(record=True, width=width, height=height, force_terminal=False, file=io.StringIO())
    console.print(board.draw(snapshot, title="Deskclock", zone=BOSTON, height=height, width=width, **options))  # type: ignore[arg-type]
    return console.export_text()


def test_the_board_shows_tickets_promises_owners_and_pages() -> None:
    """Everything of the snapshot is on a wide board."""
    text = drawn(SNAPSHOT, progress=0.42)
    for expected in ("Mon 02 Mar 14:05", "x8,000", "2,400 tickets", "744 open", "the oldest for 3h 5m: 13 all full", "97.0 %", "4711", "12m",
                     "Agent 11", "11/12", "6 of 12 at work", "taken in 4m", "1 failed", "42.0 %"):  # fmt: skip
        assert expected in text, expected


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (130, 40), (220, 60)])
def test_no_line_is_wider_than_the_terminal(width: int, height: int) -> None:
    """The board fits the terminal that it was drawn for."""
    lines = drawn(SNAPSHOT, width, height).splitlines()
    assert max(len(line) for line in lines) <= width
    assert len(lines) <= height + 1


def test_an_empty_board_says_what_to_do() -> None:
    """Before anything has arrived the board stands, and names the next step."""
    text = drawn(Snapshot(now=NOW, rate=1))
    assert "nobody waits" in text
    assert "deskclock roster apply FILE" in text


def test_the_newest_broken_promises_stand_above_what_is_due() -> None:
    """Each with how late it is and who has it; a few at most, so that what can be saved keeps its place."""
    [clock] = SNAPSHOT.due
    late = tuple(
        msgspec.structs.replace(clock, external_id=f"9{n}", due_at=NOW - timedelta(minutes=17 + n)) for n in range(9)
    )
    lines = drawn(msgspec.structs.replace(SNAPSHOT, late=late)).splitlines()
    shown = [line for line in lines if "✗ 9" in line]
    assert 4 == len(shown)
    assert ["✗", "90", "phone", "resolution", "17m", "late", "ana"] == shown[0].replace("│", " ").split()[:7]
    assert lines.index(shown[-1]) + 1 == next(n for n, line in enumerate(lines) if "▲ 4711" in line)


def test_late_promises_alone_are_no_empty_panel() -> None:
    """`no clock runs` would be beside the point."""
    snapshot = msgspec.structs.replace(SNAPSHOT, late=SNAPSHOT.due, due=())
    assert "no clock runs" not in drawn(snapshot)


def test_one_line_tells_the_board_to_a_pipe() -> None:
    """Without a terminal the board is one line of numbers."""
    assert (
        "Mon 02 Mar 14:05  tickets 2,400 (open 744, waiting 13)  at risk 42  kept 897  broken 103"
        "  pages 3 (acknowledged 1)  agents on 6"
    ) == board.line(SNAPSHOT, BOSTON)
