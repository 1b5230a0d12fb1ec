"""Rules 51 to 58 where a line says how a change counts, a team takes over, a hand sets the deadline or a version comes."""

from datetime import timedelta

from shared.contract.tickets import ClockState, Status, TargetKind, Urgency
from shared.sla.policy import ChangeMode, OnChange, Reopen, SlaPolicy, WarnAt
from tests.unit.sla.building import (
    FIRST,
    RESOLUTION,
    UPDATE,
    agent,
    applied,
    assigned,
    at,
    calendar,
    evaluate,
    h,
    kinds,
    m,
    one,
    opened,
    pinned,
    policy,
    status,
    target,
    urgency,
    wall,
)

NORMAL, URGENT = Urgency.NORMAL, Urgency.URGENT
RESTART = OnChange(ChangeMode.RESTART)
TWO_HOURS = h(2)
TEAM = TargetKind.INTERNAL_RESOLUTION


def lines(on_change: OnChange, urgent: timedelta = TWO_HOURS) -> SlaPolicy:
    """16 hours, and less when it is urgent."""
    return policy(
        target({RESOLUTION: urgent}, name="urgent", urgency=URGENT, on_change=on_change),
        target({RESOLUTION: h(16)}, name="normal", on_change=on_change),
    )


RAISED = [opened("09:00"), urgency("13:00", URGENT)]


def test_rule_51_restart_counts_from_the_change() -> None:
    """Raised at 13:00 to two hours: due at 15:00."""
    clock = one(evaluate(RAISED, lines(RESTART), "13:00"), RESOLUTION)
    assert (clock.due_at, clock.late_from, clock.started_at) == (at("15:00"), None, at("09:00"))


def test_rule_51_restart_forgets_the_pauses_before_the_change() -> None:
    """What was paused before it is not counted twice."""
    events = [opened("09:00"), status("10:00", Status.ON_HOLD), status("11:00", Status.OPEN), RAISED[1]]
    assert one(evaluate(events, lines(RESTART), "13:00"), RESOLUTION).due_at == at("15:00")
    solved = one(evaluate([*events, status("14:00", Status.SOLVED)], lines(RESTART), "15:00"), RESOLUTION)
    assert (solved.state, solved.open_used) == (ClockState.MET, h(1))


def test_rule_51_restart_while_paused_counts_from_the_resume() -> None:
    """Raised while the customer is waited for: the whole promise is left when they answer."""
    events = [opened("09:00"), status("12:00", Status.ON_HOLD), RAISED[1]]
    assert one(evaluate(events, lines(RESTART), "14:00"), RESOLUTION).due_at is None
    events.append(status("15:00", Status.OPEN))
    assert one(evaluate(events, lines(RESTART), "15:00"), RESOLUTION).due_at == at("17:00")


def test_rule_51_grace_leaves_so_much_at_least() -> None:
    """The later of 11:00 and half an hour after the change; the original start where that is later."""
    grace = OnChange(grace=m(30))
    assert one(evaluate(RAISED, lines(grace), "13:00"), RESOLUTION).due_at == at("13:30")
    early = [opened("09:00"), urgency("09:15", URGENT)]
    assert one(evaluate(early, lines(grace), "09:15"), RESOLUTION).due_at == at("11:00")
    broken = one(evaluate(RAISED, lines(grace), "14:00"), RESOLUTION)
    assert (broken.state, broken.breached_at) == (ClockState.BREACHED, at("13:30"))


def test_rule_51_grace_is_open_time_and_stops_while_paused() -> None:
    """Twenty minutes of grace used, then an hour of waiting: ten are left."""
    grace = OnChange(grace=m(30))
    events = [*RAISED, status("13:20", Status.ON_HOLD), status("14:20", Status.OPEN)]
    assert one(evaluate(events, lines(grace), "14:20"), RESOLUTION).due_at == at("14:30")
    late = [opened("09:00"), urgency("16:45", URGENT)]
    assert wall(one(evaluate(late, lines(grace), "16:45"), RESOLUTION).due_at) == "2026-06-02 09:15"


def test_rule_51_the_same_promise_under_another_line_is_no_change() -> None:
    """Neither restarts the clock nor gives it grace."""
    for on_change in (RESTART, OnChange(grace=m(30))):
        clock = one(evaluate(RAISED, lines(on_change, h(16)), "13:00"), RESOLUTION)
        assert (wall(clock.due_at), clock.matched) == ("2026-06-02 17:00", "urgent")


def test_rule_51_raised_and_lowered_restarts_twice() -> None:
    """Each change begins anew; a broken clock stays broken (rule 52)."""
    events = [*RAISED, urgency("14:00", NORMAL)]
    assert wall(one(evaluate(events, lines(RESTART), "14:00"), RESOLUTION).due_at) == "2026-06-03 14:00"
    late = [*RAISED, urgency("15:30", NORMAL)]
    assert one(evaluate(late, lines(RESTART), "16:00"), RESOLUTION).breached_at == at("15:00")


def test_rule_54_a_version_that_promises_nothing_cancels_even_what_is_broken() -> None:
    """Both clocks end at the change."""
    first = policy(target({FIRST: h(1), RESOLUTION: h(8)}))
    nothing = policy(version=2)
    evaluation = evaluate([opened("09:00"), applied("11:00", 2)], first, "12:00", nothing)
    assert kinds(evaluation) == [(FIRST, 1, "cancelled"), (RESOLUTION, 1, "cancelled")]
    broken = one(evaluation, FIRST)
    assert (broken.ended_at, broken.breached_at, broken.policy_version) == (at("11:00"), at("10:00"), 1)
    assert (evaluation.matched, evaluation.policy_version) == (None, 2)


def test_rule_55_a_holiday_declared_moves_what_is_running() -> None:
    """4 h from Monday 15:00, due Tuesday 11:00, is due on Wednesday when Tuesday becomes a holiday."""
    before = policy(target({FIRST: h(1), RESOLUTION: h(4)}))
    after = policy(target({FIRST: h(1), RESOLUTION: h(4)}), version=2, office=calendar(holidays=["2026-06-02"]))
    events = [opened("15:00"), agent("15:30"), applied("16:00", 2)]
    evaluation = evaluate(events, before, "16:00", after)
    clock = one(evaluation, RESOLUTION)
    assert (wall(clock.due_at), clock.policy_version) == ("2026-06-03 11:00", 2)
    assert (one(evaluation, FIRST).state, one(evaluation, FIRST).policy_version) == (ClockState.MET, 1)


def test_rule_55_a_version_judges_as_though_it_had_always_held_where_it_is_dated_so() -> None:
    """Dated at the opening, it takes the place of all older ones, also of one that came later in time."""
    first, second, third = (policy(target({RESOLUTION: h(hours)}), version=n) for n, hours in ((1, 8), (2, 6), (3, 4)))
    events = [opened("09:00"), applied("11:00", 2), applied("09:00", 3, over=2)]
    evaluation = evaluate(events, first, "12:00", second, third)
    clock = one(evaluation, RESOLUTION)
    assert (clock.due_at, clock.late_from, clock.policy_version) == (at("13:00"), None, 3)
    assert evaluation.policy_version == 3


def test_rule_56_a_hand_off_restarts_the_team_and_not_the_customer() -> None:
    """G1 two hours from 09:00; at 10:30 to G2 with one: its clock is due 11:30, the customer's counts from 09:00."""
    teams = policy(
        target({RESOLUTION: h(8)}, name="customer"),
        target({TEAM: h(2)}, name="G1", team="G1", is_internal=True),
        target({TEAM: h(1)}, name="G2", team="G2", is_internal=True),
    )
    events = [opened("09:00"), assigned("09:00", None, team="G1"), assigned("10:30", None, team="G2")]
    evaluation = evaluate(events, teams, "10:30")
    first, second = one(evaluation, TEAM), one(evaluation, TEAM, 2)
    assert (first.state, first.open_used, first.matched) == (ClockState.MET, m(90), "G1")
    assert (second.due_at, second.started_at, second.matched) == (at("11:30"), at("10:30"), "G2")
    assert (one(evaluation, RESOLUTION).due_at, one(evaluation, RESOLUTION).started_at) == (at("17:00"), at("09:00"))
    same = evaluate([*events, assigned("11:00", "bob", team="G2")], teams, "11:00")
    assert one(same, TEAM, 2).due_at == at("11:30")


def test_rule_56_a_late_team_stays_late_when_it_hands_on() -> None:
    """Its clock broke at 11:00; the next team's is its own."""
    teams = policy(target({TEAM: h(2)}, name="any team", is_internal=True))
    events = [opened("09:00"), assigned("12:00", None, team="G2"), status("12:30", Status.SOLVED)]
    evaluation = evaluate(events, teams, "13:00")
    assert kinds(evaluation) == [(TEAM, 1, "breached"), (TEAM, 2, "met")]
    assert one(evaluation, TEAM).breached_at == at("11:00")


def test_rule_58_a_deadline_set_by_hand_is_moved_by_nothing() -> None:
    """Neither by pauses, nor by urgency, nor by a version without promises."""
    events = [
        opened("09:00"),
        pinned("09:30", "16:00"),
        status("10:00", Status.PENDING_CUSTOMER),
        urgency("11:00", URGENT),
        applied("11:30", 2),
    ]
    clock = one(evaluate(events, lines(RESTART), "12:00", policy(version=2)), RESOLUTION)
    assert (clock.state, clock.due_at, clock.late_from) == (ClockState.RUNNING, at("16:00"), None)
    broken = one(evaluate(events, lines(RESTART), "16:01", policy(version=2)), RESOLUTION)
    assert (broken.state, broken.breached_at) == (ClockState.BREACHED, at("16:00"))


def test_rule_58_one_in_the_past_is_late_from_when_it_was_set() -> None:
    """Nobody could have kept it before."""
    clock = one(evaluate([opened("09:00"), pinned("12:00", "10:00")], lines(RESTART), "12:01"), RESOLUTION)
    assert (clock.due_at, clock.breached_at) == (at("10:00"), at("12:00"))


def test_rule_58_taken_back_it_is_the_policy_s_again() -> None:
    """As if it had never been set, pauses included."""
    events = [
        opened("09:00"),
        pinned("09:30", "16:00"),
        status("10:00", Status.ON_HOLD),
        status("11:00", Status.OPEN),
        pinned("11:30", None),
    ]
    assert wall(one(evaluate(events, lines(RESTART), "12:00"), RESOLUTION).due_at) == "2026-06-03 10:00"


def test_rule_58_the_last_of_several_holds_and_warns_by_its_own_length() -> None:
    """Half of the two hours from 09:00 to the second deadline."""
    warned = policy(target({RESOLUTION: h(16)}, warn=(WarnAt(share=0.5),)))
    clock = one(
        evaluate([opened("09:00"), pinned("09:10", "15:00"), pinned("09:20", "11:00")], warned, "09:30"), RESOLUTION
    )
    assert (clock.due_at, clock.warn_at) == (at("11:00"), (at("10:00"),))


def test_rule_58_where_nothing_was_promised_it_makes_a_clock_of_its_own() -> None:
    """Somebody promised, so there is a promise; only for what is still waited for."""
    evaluation = evaluate([opened("09:00"), pinned("09:30", "11:00", UPDATE)], policy(), "10:00")
    clock = one(evaluation, UPDATE)
    assert (clock.due_at, clock.matched, clock.calendar) == (at("11:00"), "set by hand", "always")
    solved = [opened("09:00"), pinned("09:30", "11:00"), status("10:00", Status.SOLVED)]
    assert one(evaluate(solved, policy(), "10:00"), RESOLUTION).open_used == m(30)
    assert (
        kinds(evaluate([opened("09:00"), pinned("09:30", "11:00", TargetKind.NEXT_RESPONSE)], policy(), "10:00")) == []
    )


def test_rule_58_a_resumed_promise_keeps_its_deadline() -> None:
    """Solved and reopened: still what was said to the customer."""
    events = [opened("09:00"), pinned("09:30", "16:00"), status("10:00", Status.SOLVED), status("11:00", Status.OPEN)]
    assert one(evaluate(events, lines(RESTART), "12:00"), RESOLUTION, 2).due_at == at("16:00")


def test_rule_51_a_change_while_the_ticket_is_solved_counts_from_its_reopening() -> None:
    """Raised between the two: a whole promise, or its grace, is left when the customer comes back."""
    events = [opened("09:00"), status("10:00", Status.SOLVED), urgency("11:00", URGENT), status("12:00", Status.OPEN)]
    assert one(evaluate(events, lines(RESTART), "12:00"), RESOLUTION, 2).due_at == at("14:00")
    assert one(evaluate(events, lines(OnChange(grace=m(90))), "12:00"), RESOLUTION, 2).due_at == at("13:30")
    assert one(evaluate(events, lines(OnChange()), "12:00"), RESOLUTION, 2).due_at == at("13:00")


def test_rule_51_what_was_restarted_is_resumed_as_it_stood() -> None:
    """Two hours from 13:00, of which one was used when it was solved."""
    events = [*RAISED, status("14:00", Status.SOLVED), status("14:30", Status.OPEN)]
    assert one(evaluate(events, lines(RESTART), "14:30"), RESOLUTION, 2).due_at == at("15:30")
    again = [*events, status("15:00", Status.SOLVED), status("16:00", Status.OPEN)]
    assert one(evaluate(again, lines(RESTART), "16:00"), RESOLUTION, 3).due_at == at("16:30")


def test_rule_56_a_ticket_to_which_nothing_is_promised_any_more_starts_no_team_s_clock() -> None:
    """Reopened under `on_reopen: none`, then handed on."""
    teams = policy(
        target({RESOLUTION: h(8)}, on_reopen=Reopen.NONE), target({TEAM: h(2)}, name="any team", is_internal=True)
    )
    events = [
        opened("09:00"),
        status("10:00", Status.SOLVED),
        status("11:00", Status.OPEN),
        assigned("12:00", None, team="G2"),
    ]
    assert kinds(evaluate(events, teams, "13:00")) == [(RESOLUTION, 1, "met"), (TEAM, 1, "met")]
