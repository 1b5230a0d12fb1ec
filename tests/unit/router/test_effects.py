"""What another version does to running clocks, and how it is counted."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from services.router.domain.effects import EXAMPLES, Counts, Effect, Tally, TicketOutcome, effects
from shared.contract.tickets import ClockState, TargetKind
from shared.sla.clock import Clock

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
RUNNING = Clock(
    target=TargetKind.RESOLUTION,
    cycle=1,
    matched="all",
    policy_version=1,
    calendar="always",
    state=ClockState.RUNNING,
    started_at=NOW - HOUR,
    due_at=NOW + HOUR,
)
PAUSED = replace(RUNNING, state=ClockState.PAUSED, due_at=None)
LATE = replace(RUNNING, state=ClockState.BREACHED, due_at=NOW - HOUR, breached_at=NOW - HOUR, detected_at=NOW)
OVERDUE = replace(RUNNING, due_at=NOW - HOUR)
ENDED = replace(RUNNING, state=ClockState.CANCELLED, ended_at=NOW)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (RUNNING, replace(RUNNING, policy_version=2), ()),
        (RUNNING, replace(RUNNING, due_at=NOW + 2 * HOUR), (Effect.LATER,)),
        (RUNNING, replace(RUNNING, due_at=NOW + HOUR / 2), (Effect.EARLIER,)),
        (RUNNING, replace(OVERDUE, late_from=NOW), (Effect.EARLIER, Effect.BREACHED)),
        (RUNNING, PAUSED, (Effect.LATER,)),
        (PAUSED, RUNNING, (Effect.EARLIER,)),
        (RUNNING, ENDED, (Effect.CANCELLED,)),
        (LATE, ENDED, (Effect.CANCELLED,)),
        (LATE, RUNNING, (Effect.LATER, Effect.RETRACTED)),
        (LATE, LATE, ()),
        (OVERDUE, OVERDUE, ()),
        (LATE, replace(LATE, due_at=NOW - HOUR / 2, breached_at=NOW - HOUR / 2), (Effect.LATER,)),
        (None, RUNNING, (Effect.STARTED,)),
        (None, OVERDUE, (Effect.STARTED, Effect.BREACHED)),
        (ENDED, RUNNING, (Effect.STARTED,)),
        (ENDED, ENDED, ()),
    ],
)
def test_what_becomes_of_a_clock(before: Clock | None, after: Clock | None, expected: tuple[Effect, ...]) -> None:
    """Late at once is what was not late before, noticed or not."""
    found = effects([before] if before else [], [after] if after else [], NOW)
    assert [expected] * bool(expected) == [one.effects for one in found]


def outcome(number: int, *, team: str = "north", is_recomputed: bool = True) -> TicketOutcome:
    """A ticket whose clock is due later."""
    return TicketOutcome(
        ticket_id=UUID(int=number),
        source="desk",
        external_id=str(number),
        channel="email",
        team=team,
        is_recomputed=is_recomputed,
        running=2,
        effects=effects([RUNNING], [replace(RUNNING, due_at=NOW + 2 * HOUR)], NOW) if is_recomputed else (),
    )


def test_a_tally_counts_by_channel_and_team_and_keeps_some_examples() -> None:
    """The largest group first."""
    tally = Tally()
    for number in range(9):
        tally.add(outcome(number))
    tally.add(outcome(10, team="south"))
    tally.add(outcome(11, team="south", is_recomputed=False))
    summary = tally.summary()
    assert Counts(tickets=11, recomputed=10, clocks=22, later=10) == summary.counts
    assert [("north", 9), ("south", 2)] == [(group.team, group.counts.tickets) for group in summary.groups]
    assert [str(number) for number in range(EXAMPLES)] == [one.ticket for one in summary.examples[Effect.LATER]]


def test_a_tally_stays_small_however_many_teams_there_are() -> None:
    """What is too many is counted together."""
    tally = Tally()
    for number in range(600):
        tally.add(outcome(number, team=f"team {number}"))
    summary = tally.summary()
    assert (501, 100) == (len(summary.groups), summary.groups[0].counts.tickets)
    assert 600 == summary.counts.tickets
