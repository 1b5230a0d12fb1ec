"""Rules C: pause and resume, in open time of the target's calendar."""

import itertools
from datetime import timedelta

import pytest

from shared.contract.tickets import ClockState, Status, TargetKind, Urgency
from shared.sla import timeline
from shared.sla.clock import Change
from shared.sla.policy import BusinessDays, WarnAt
from tests.unit.sla.building import (
    FIRST,
    NEXT,
    RESOLUTION,
    UPDATE,
    agent,
    at,
    calendar,
    classify,
    customer,
    evaluate,
    h,
    m,
    one,
    opened,
    place,
    policy,
    status,
    target,
    urgency,
    wall,
)

OPEN, PENDING, HOLD, SOLVED = Status.OPEN, Status.PENDING_CUSTOMER, Status.ON_HOLD, Status.SOLVED
EIGHT_HOURS = policy(target({RESOLUTION: h(8)}))


def test_rule_33_a_pause_counts_in_open_time() -> None:
    """Friday 16:00 to Monday 12:00 is a pause of four hours, not of 68."""
    events = [opened("5 10:00"), status("5 16:00", PENDING), status("8 12:00", OPEN)]
    assert wall(one(evaluate(events[:1], EIGHT_HOURS, "5 11:00"), RESOLUTION).due_at) == "2026-06-08 10:00"
    assert wall(one(evaluate(events, EIGHT_HOURS, "8 12:00"), RESOLUTION).due_at) == "2026-06-08 14:00"


def test_rule_34_a_pause_in_closed_time_moves_nothing() -> None:
    """Paused over the weekend only: the due time is what it was."""
    events = [opened("5 10:00"), status("5 18:00", PENDING), status("7 12:00", OPEN)]
    assert wall(one(evaluate(events, EIGHT_HOURS, "8 09:00"), RESOLUTION).due_at) == "2026-06-08 10:00"


def test_rule_35_one_pause_after_another_is_one() -> None:
    """Pending from 10:00, on hold from 11:00, open at 13:00: three hours."""
    events = [opened("09:00"), status("10:00", PENDING), status("11:00", HOLD), status("13:00", OPEN)]
    clock = one(evaluate(events, EIGHT_HOURS, "13:00"), RESOLUTION)
    assert wall(clock.due_at) == "2026-06-02 12:00"


def test_rule_36_from_paused_straight_to_solved() -> None:
    """Only the hour before the pause was used."""
    events = [opened("09:00"), status("10:00", PENDING), status("3 15:00", SOLVED)]
    clock = one(evaluate(events, EIGHT_HOURS, "4 09:00"), RESOLUTION)
    assert (clock.state, clock.open_used, clock.met_at) == (ClockState.MET, h(1), at("3 15:00"))


def test_rule_37_breached_then_paused() -> None:
    """Two hours late, not ten: a breach stands, and the pause after it does not count as lateness."""
    late = [opened("5 10:00"), status("8 11:00", PENDING), status("9 11:00", OPEN)]
    clock = one(evaluate(late, EIGHT_HOURS, "9 12:00"), RESOLUTION)
    assert (clock.state, wall(clock.breached_at)) == (ClockState.BREACHED, "2026-06-08 10:00")
    solved = one(evaluate([*late, status("9 12:00", SOLVED)], EIGHT_HOURS, "9 13:00"), RESOLUTION)
    assert (solved.state, solved.open_used) == (ClockState.BREACHED, h(10))


def test_rule_37_a_breach_that_nobody_noticed_before_the_pause_still_fires() -> None:
    """Such a clock is not frozen: it is overdue."""
    placed = one(place([opened("5 10:00"), status("8 11:00", PENDING)], EIGHT_HOURS, "8 12:00"), RESOLUTION)
    assert (placed.state, placed.next_fire_at) == (ClockState.RUNNING, at("8 10:00"))


def test_rule_38_while_paused_nothing_is_due() -> None:
    """No due time, no warning, no breach; what was used is frozen."""
    lines = policy(target({RESOLUTION: h(8)}, warn=(WarnAt(share=0.5),)))
    clock = one(evaluate([opened("09:00"), status("11:00", PENDING)], lines, "30 09:00"), RESOLUTION)
    assert (clock.state, clock.due_at, clock.warn_at, clock.open_used) == (ClockState.PAUSED, None, (), h(2))
    assert clock.next_fire_at is None


def test_rule_38_created_paused_starts_with_the_full_budget() -> None:
    """Opened as pending: frozen at nothing used."""
    events = [opened("09:00"), status("09:00", PENDING)]
    clock = one(evaluate(events, EIGHT_HOURS, "15:00"), RESOLUTION)
    assert (clock.state, clock.open_used) == (ClockState.PAUSED, timedelta())
    resumed = one(evaluate([*events, status("16:00", OPEN)], EIGHT_HOURS, "16:00"), RESOLUTION)
    assert wall(resumed.due_at) == "2026-06-02 16:00"


LOWERED = policy(
    target({RESOLUTION: h(2)}, name="urgent", urgency=Urgency.URGENT), target({RESOLUTION: h(8)}, name="normal")
)


def test_rule_39_more_used_than_the_new_target_while_paused() -> None:
    """Three hours used, target lowered to two while paused: late from the resume on, not before."""
    events = [opened("09:00"), status("12:00", PENDING), urgency("13:00", Urgency.URGENT)]
    paused = one(evaluate(events, LOWERED, "14:00"), RESOLUTION)
    assert (paused.state, paused.due_at, paused.open_used) == (ClockState.PAUSED, None, h(3))
    resumed = one(evaluate([*events, status("15:00", OPEN)], LOWERED, "15:01"), RESOLUTION)
    assert (resumed.state, wall(resumed.breached_at)) == (ClockState.BREACHED, "2026-06-01 15:00")
    assert wall(resumed.due_at) == "2026-06-01 11:00"


def test_rule_39_solved_from_that_pause_is_late_too() -> None:
    """Three hours were used of two."""
    events = [opened("09:00"), status("12:00", PENDING), urgency("13:00", Urgency.URGENT), status("14:00", SOLVED)]
    clock = one(evaluate(events, LOWERED, "15:00"), RESOLUTION)
    assert (clock.state, wall(clock.breached_at)) == (ClockState.BREACHED, "2026-06-01 14:00")


def test_rule_40_a_pause_concerns_the_targets_that_name_it() -> None:
    """A first response is never paused; open time of the work is counted apart from the waiting."""
    lines = policy(target({FIRST: h(4), RESOLUTION: h(8)}))
    events = [
        opened("09:00"),
        status("11:00", PENDING),
        status("14:00", HOLD),
        status("15:00", OPEN),
        status("16:00", SOLVED),
    ]
    assert wall(one(evaluate(events[:2], lines, "12:00"), FIRST).due_at) == "2026-06-01 13:00"
    assert one(evaluate(events, lines, "17:00"), RESOLUTION).open_used == h(3)


def test_rule_41_a_late_pause_takes_the_breach_back() -> None:
    """Breached at 12:00; at 12:03 we hear of a pause since 11:50: the breach is retracted aloud."""
    lines = policy(target({RESOLUTION: h(3)}))
    fired = evaluate([opened("09:00")], lines, "12:01").clocks
    assert fired[0].state is ClockState.BREACHED
    placed = place([opened("09:00"), status("11:50", PENDING)], lines, "12:03")
    clocks, changes = timeline.reconcile(fired, placed.clocks, at("12:03"))
    assert [(Change.BREACH_RETRACTED, clocks[0])] == list(changes)
    assert (clocks[0].state, clocks[0].breached_at, clocks[0].open_used) == (ClockState.PAUSED, None, m(170))


def test_rule_42_the_order_of_arrival_does_not_matter() -> None:
    """A resume before its pause, duplicates, events of the same instant: the same end."""
    lines = policy(target({FIRST: h(1), NEXT: h(1), UPDATE: h(2), RESOLUTION: h(8)}))
    events = [
        opened("09:00"),
        agent("10:00"),
        status("10:00", PENDING),
        status("13:00", OPEN),
        customer("13:00"),
        status("14:00", SOLVED),
    ]
    expected = evaluate(events, lines, "15:00")
    for arrived in itertools.permutations(events):
        assert evaluate([*arrived, arrived[0]], lines, "15:00") == expected


def test_what_happened_before_the_opening_counts_as_at_it() -> None:
    """A sender's clock that is a little slow does not lose the pause."""
    events = [status("08:59:59", PENDING), opened("09:00")]
    assert one(evaluate(events, EIGHT_HOURS, "10:00"), RESOLUTION).state is ClockState.PAUSED
    answered = one(evaluate([agent("08:59"), opened("09:00")], policy(target({FIRST: h(1)})), "10:00"), FIRST)
    assert (answered.state, answered.met_at) == (ClockState.MET, at("09:00"))


def test_warnings_passed_before_a_pause_stay_behind() -> None:
    """Half was used before the pause: after it only the second warning moves, and only it is still to come."""
    lines = policy(target({RESOLUTION: h(4)}, warn=(WarnAt(share=0.5), WarnAt(left=m(30)))))
    events = [opened("09:00"), status("12:00", PENDING), status("14:00", OPEN)]
    clock = one(place(events, lines, "14:00"), RESOLUTION)
    assert [wall(instant) for instant in clock.warn_at] == ["2026-06-01 11:00", "2026-06-01 14:30"]
    assert (clock.warned, clock.next_fire_at) == (1, at("14:30"))
    assert one(place(events[:2], lines, "13:00"), RESOLUTION).warned == 1


def test_pauses_of_business_days() -> None:
    """One business day from Monday 10:00, paused for two hours, ends on Tuesday 12:00."""
    lines = policy(target({RESOLUTION: BusinessDays(1)}, warn=(WarnAt(share=0.5), WarnAt(left=h(1)))))
    events = [opened("10:00"), status("11:00", PENDING), status("13:00", OPEN)]
    plain = one(place(events[:1], lines, "10:00"), RESOLUTION)
    assert [wall(plain.due_at), *map(wall, plain.warn_at)] == [
        "2026-06-02 10:00",
        "2026-06-01 14:00",
        "2026-06-01 17:00",
    ]
    paused = one(place(events, lines, "13:00"), RESOLUTION)
    assert [wall(paused.due_at), *map(wall, paused.warn_at)] == [
        "2026-06-02 12:00",
        "2026-06-01 16:00",
        "2026-06-02 11:00",
    ]


@pytest.mark.parametrize("kind", [FIRST, RESOLUTION])
def test_a_calendar_that_never_opens_holds_its_clock_still(kind: TargetKind) -> None:
    """No due time, no firing, no error."""
    lines = policy(target({kind: h(1)}, warn=(WarnAt(share=0.5),)), office=calendar(""))
    events = [opened("09:00"), agent("10:00"), status("11:00", SOLVED)]
    clock = timeline.evaluate(events[:1], lines, classify, at("12:00")).clocks[0]
    assert (clock.state, clock.due_at, clock.next_fire_at) == (ClockState.PAUSED, None, None)
    assert timeline.evaluate(events, lines, classify, at("12:00")).clocks[0].state is ClockState.MET


def test_a_promise_used_up_exactly_when_a_pause_begins_is_in_time() -> None:
    """Paused at the due instant and solved after hours, or after a resume: not a microsecond too much was used."""
    events = [opened("09:00"), status("17:00", PENDING), status("20:00", SOLVED)]
    clock = one(evaluate(events, EIGHT_HOURS, "2 09:00"), RESOLUTION)
    assert (clock.state, clock.open_used) == (ClockState.MET, h(8))
    resumed = one(place([*events[:2], status("2 10:00", OPEN)], EIGHT_HOURS, "2 10:00"), RESOLUTION)
    assert (resumed.due_at, resumed.late_from) == (at("2 10:00"), None)


def test_a_warning_due_when_a_pause_begins_comes_with_the_resume() -> None:
    """At that instant the clock stood still already."""
    lines = policy(target({RESOLUTION: h(4)}, warn=(WarnAt(share=0.5),)))
    events = [opened("09:00"), status("11:00", PENDING), status("12:00", OPEN)]
    assert (one(place(events[:2], lines, "11:30"), RESOLUTION)).warned == 0
    assert one(place(events, lines, "12:00"), RESOLUTION).next_fire_at == at("12:00")
