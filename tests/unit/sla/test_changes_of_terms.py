"""Rules E as far as one policy version goes: another line of the policy holds while a clock runs."""

from shared.contract.tickets import ClockState, Status, Urgency
from shared.sla.policy import WarnAt
from tests.unit.sla.building import (
    FIRST,
    NEXT,
    RESOLUTION,
    UPDATE,
    agent,
    at,
    evaluate,
    h,
    kinds,
    one,
    opened,
    place,
    policy,
    status,
    target,
    urgency,
    wall,
)

NORMAL, URGENT, LOW = Urgency.NORMAL, Urgency.URGENT, Urgency.LOW
LINES = policy(
    target({RESOLUTION: h(2)}, name="urgent", urgency=URGENT, warn=(WarnAt(share=0.5),)),
    target({FIRST: h(4), RESOLUTION: h(16)}, name="normal", urgency=NORMAL, warn=(WarnAt(share=0.5),)),
    target({RESOLUTION: h(40)}, name="elapsed", urgency=LOW, calendar="always"),
)


def test_rule_51_retroactive_and_late_on_arrival() -> None:
    """Raised at 13:00 to two hours from 09:00: due 11:00, breached at 13:00, not at 11:00."""
    events = [opened("09:00"), urgency("13:00", URGENT)]
    assert wall(one(evaluate(events[:1], LINES, "09:00"), RESOLUTION).due_at) == "2026-06-02 17:00"
    placed = one(place(events, LINES, "13:00"), RESOLUTION)
    assert (placed.due_at, placed.late_from, placed.matched) == (at("11:00"), at("13:00"), "urgent")
    assert (placed.state, placed.next_fire_at) == (ClockState.RUNNING, at("10:00"))
    broken = one(evaluate(events, LINES, "13:01"), RESOLUTION)
    assert (broken.state, broken.due_at, broken.breached_at) == (ClockState.BREACHED, at("11:00"), at("13:00"))
    answered = one(evaluate([*events, status("14:00", Status.SOLVED)], LINES, "15:00"), RESOLUTION)
    assert (answered.state, answered.breached_at) == (ClockState.BREACHED, at("13:00"))


def test_rule_51_retroactive_and_still_in_time() -> None:
    """Raised at 10:00: due 11:00, warned at half of it."""
    clock = one(place([opened("09:00"), urgency("10:00", URGENT)], LINES, "10:00"), RESOLUTION)
    assert (clock.due_at, clock.late_from, clock.warn_at) == (at("11:00"), None, (at("10:00"),))


def test_a_change_at_the_instant_of_the_solution_judges_nobody() -> None:
    """What was solved with the last click before the change counts under the old terms."""
    events = [opened("09:00"), urgency("13:00", URGENT), status("13:00", Status.SOLVED)]
    clock = one(evaluate(events, LINES, "14:00"), RESOLUTION)
    assert (clock.state, clock.matched) == (ClockState.MET, "normal")


def test_rule_52_pauses_survive_a_change_of_terms() -> None:
    """An hour paused before the change is not counted by the new terms either."""
    events = [
        opened("09:00"),
        status("09:30", Status.PENDING_CUSTOMER),
        status("10:30", Status.OPEN),
        urgency("11:00", URGENT),
    ]
    assert one(evaluate(events, LINES, "11:00"), RESOLUTION).due_at == at("12:00")


def test_rule_52_raised_and_lowered_breaks_once() -> None:
    """The breach stands under the terms that it broke; lowering brings no second one."""
    events = [opened("09:00"), urgency("13:00", URGENT), urgency("14:00", NORMAL)]
    clock = one(evaluate(events, LINES, "5 09:00"), RESOLUTION)
    assert (clock.state, clock.breached_at, clock.matched) == (ClockState.BREACHED, at("13:00"), "urgent")


def test_rule_53_what_was_met_stays_met() -> None:
    """A first response given in time is not judged anew by tighter terms."""
    lines = policy(
        target({FIRST: h(1)}, name="urgent", urgency=URGENT),
        target({FIRST: h(4)}, name="normal"),
    )
    events = [opened("09:00"), agent("11:00"), urgency("13:00", URGENT)]
    clock = one(evaluate(events, lines, "14:00"), FIRST)
    assert (clock.state, clock.matched) == (ClockState.MET, "normal")


def test_rule_54_without_a_target_every_clock_is_cancelled() -> None:
    """The broken ones too; what it broke stays written on it."""
    lines = policy(target({FIRST: h(1), RESOLUTION: h(8)}, urgency=URGENT))
    events = [opened("09:00", urgency=URGENT), urgency("11:00", LOW)]
    evaluation = evaluate(events, lines, "12:00")
    assert [(FIRST, 1, "cancelled"), (RESOLUTION, 1, "cancelled")] == kinds(evaluation)
    assert (one(evaluation, FIRST).breached_at, evaluation.matched) == (at("10:00"), None)


def test_a_promise_made_again_is_a_new_cycle_from_the_same_start() -> None:
    """Withdrawn at 11:00 and made again at 12:00: it counts from 09:00."""
    lines = policy(target({RESOLUTION: h(8)}, urgency=URGENT))
    events = [opened("09:00", urgency=URGENT), urgency("11:00", LOW), urgency("12:00", URGENT)]
    evaluation = evaluate(events, lines, "13:00")
    assert [(RESOLUTION, 1, "cancelled"), (RESOLUTION, 2, "running")] == kinds(evaluation)
    again = one(evaluation, RESOLUTION, 2)
    assert (again.started_at, again.due_at) == (at("12:00"), at("17:00"))


def test_no_target_is_no_clock() -> None:
    """Rule 57: nothing matches, and the evaluation says so."""
    evaluation = evaluate(
        [opened("09:00", urgency=LOW), agent("10:00")], policy(target({NEXT: h(1)}, urgency=URGENT)), "12:00"
    )
    assert (evaluation.clocks, evaluation.matched) == ((), None)


def test_a_promise_that_only_the_new_terms_make() -> None:
    """It counts from the start of what is waited for, like any other."""
    lines = policy(
        target({UPDATE: h(4)}, name="urgent", urgency=URGENT),
        target({RESOLUTION: h(16)}, name="normal"),
    )
    evaluation = evaluate([opened("09:00"), urgency("10:00", URGENT)], lines, "11:00")
    assert [(RESOLUTION, 1, "cancelled"), (UPDATE, 1, "running")] == kinds(evaluation)
    assert one(evaluation, UPDATE).due_at == at("13:00")


def test_another_calendar_counts_from_the_original_start() -> None:
    """Forty elapsed hours from Monday 09:00."""
    clock = one(evaluate([opened("09:00"), urgency("13:00", LOW)], LINES, "14:00"), RESOLUTION)
    assert (wall(clock.due_at), clock.calendar) == ("2026-06-03 01:00", "always")


def test_rule_57_the_first_line_that_holds_wins() -> None:
    """Two lines would hold; the order of the policy decides."""
    lines = policy(target({FIRST: h(1)}, name="first"), target({FIRST: h(2)}, name="second"))
    assert evaluate([opened("09:00")], lines, "09:00").matched == "first"
