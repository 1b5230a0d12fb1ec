"""Rules D: which event starts, keeps or ends which promise."""

from datetime import timedelta

import pytest

from shared.contract.events import Feedback
from shared.contract.tickets import ClockState, Status, TargetKind
from shared.sla.policy import Promise, Reopen, SlaPolicy, WarnAt
from tests.unit.sla.building import (
    FIRST,
    NEXT,
    RESOLUTION,
    UPDATE,
    agent,
    assigned,
    at,
    bot,
    customer,
    evaluate,
    event,
    h,
    kinds,
    m,
    one,
    opened,
    place,
    policy,
    status,
    target,
    wall,
)

OPEN, PENDING, SOLVED, CLOSED = Status.OPEN, Status.PENDING_CUSTOMER, Status.SOLVED, Status.CLOSED
FOUR = policy(target({FIRST: h(4), NEXT: h(1), UPDATE: h(6), RESOLUTION: h(8)}))


TWO_HOURS = h(2)


def only(kind: TargetKind, promise: Promise = TWO_HOURS, on_reopen: Reopen = Reopen.RESUME) -> SlaPolicy:
    """A policy that promises one thing."""
    return policy(target({kind: promise}, on_reopen=on_reopen))


def test_rule_43_only_a_public_reply_of_an_agent_is_a_first_response() -> None:
    """A note, a program and the customer's own words don't count."""
    events = [opened("09:00"), agent("09:10", public=False), bot("09:20"), customer("09:30"), agent("10:00")]
    assert one(evaluate(events[:4], only(FIRST), "09:59"), FIRST).state is ClockState.RUNNING
    met = one(evaluate(events, only(FIRST), "10:30"), FIRST)
    assert (met.state, met.met_at, met.open_used) == (ClockState.MET, at("10:00"), h(1))


def test_rule_44_next_response_runs_from_the_oldest_unanswered_message() -> None:
    """Three messages, one promise: due two hours after the first."""
    events = [opened("09:00"), agent("09:30"), customer("10:00"), customer("10:30"), customer("11:00")]
    clock = one(evaluate(events, only(NEXT), "11:00"), NEXT)
    assert (wall(clock.started_at), wall(clock.due_at)) == ("2026-06-01 10:00", "2026-06-01 12:00")
    met = one(evaluate([*events, agent("11:30")], only(NEXT), "12:00"), NEXT)
    assert (met.state, met.open_used) == (ClockState.MET, m(90))


def test_rule_45_next_response_waits_for_the_first_response() -> None:
    """Before anybody answered, the first response is what is owed."""
    events = [opened("09:00"), customer("10:00")]
    evaluation = evaluate(events, policy(target({FIRST: h(4), NEXT: h(1)})), "10:30")
    assert [(FIRST, 1, "running")] == kinds(evaluation)
    assert wall(evaluation.clocks[0].due_at) == "2026-06-01 13:00"


def test_rule_46_no_response_is_owed_after_ours() -> None:
    """The agent spoke last: nothing runs but the promise to keep the customer informed."""
    events = [opened("09:00"), agent("09:30"), customer("10:00"), agent("10:15")]
    assert [(NEXT, 1, "met")] == kinds(evaluate(events, only(NEXT), "16:00"))


def test_rule_46_thanks_and_solved_is_not_missed() -> None:
    """A message that solving made moot is cancelled."""
    events = [opened("09:00"), agent("09:30"), customer("10:00"), status("10:30", SOLVED)]
    assert [(NEXT, 1, "cancelled")] == kinds(evaluate(events, only(NEXT), "16:00"))
    assert [(NEXT, 1, "cancelled")] == kinds(evaluate([*events, status("11:00", OPEN)], only(NEXT), "16:00"))


def test_solving_without_a_reply_makes_the_first_response_moot() -> None:
    """Solved by phone, say: the resolution is kept, a response is neither kept nor missed; a breach before it stays."""
    lines = policy(target({FIRST: h(1), RESOLUTION: h(8)}))
    soon = evaluate([opened("09:00"), status("09:30", SOLVED)], lines, "16:00")
    assert [(FIRST, 1, "cancelled"), (RESOLUTION, 1, "met")] == kinds(soon)
    late = one(evaluate([opened("09:00"), status("11:00", SOLVED)], lines, "16:00"), FIRST)
    assert (late.state, wall(late.breached_at)) == (ClockState.CANCELLED, "2026-06-01 10:00")


def test_rule_47_a_reply_at_the_due_instant_is_in_time() -> None:
    """12:00 is in time for 12:00; 12:02 is late, whether or not anybody looked in between."""
    lines = only(FIRST, h(3))
    assert one(evaluate([opened("09:00"), agent("12:00")], lines, "13:00"), FIRST).state is ClockState.MET
    late = one(evaluate([opened("09:00"), agent("12:02")], lines, "13:00"), FIRST)
    assert (late.state, late.breached_at, late.met_at) == (ClockState.BREACHED, at("12:00"), at("12:02"))
    assert late.open_used == m(182)
    assert one(evaluate([opened("09:00")], lines, "12:00"), FIRST).state is ClockState.RUNNING
    assert one(evaluate([opened("09:00")], lines, "12:00:00.000001"), FIRST).state is ClockState.BREACHED


def test_rule_48_keeping_informed_recurs_from_each_reply() -> None:
    """Begun 12:00, done 12:30: the next one is due at 13:30."""
    evaluation = evaluate([opened("12:00"), agent("12:30")], only(UPDATE, h(1)), "12:31")
    assert [(UPDATE, 1, "met"), (UPDATE, 2, "running")] == kinds(evaluation)
    assert wall(one(evaluation, UPDATE, 2).due_at) == "2026-06-01 13:30"


def test_keeping_informed_begins_with_the_ticket_and_ends_with_it() -> None:
    """It pauses while we wait for the customer, ends at the solution, and begins anew when reopened."""
    events = [opened("09:00"), status("10:00", PENDING), status("12:00", SOLVED), status("13:00", OPEN)]
    assert one(evaluate(events[:2], FOUR, "11:00"), UPDATE).state is ClockState.PAUSED
    assert one(evaluate(events[:3], FOUR, "12:30"), UPDATE).state is ClockState.CANCELLED
    again = one(evaluate(events, FOUR, "13:00"), UPDATE, 2)
    assert (wall(again.started_at), wall(again.due_at)) == ("2026-06-01 13:00", "2026-06-02 11:00")


REOPENED = (opened("09:00"), status("13:00", SOLVED), status("3 10:00", OPEN))


def test_rule_49_resume_goes_on_with_what_was_left() -> None:
    """Four of eight hours were used: due Wednesday 14:00, and the first cycle stays met."""
    evaluation = evaluate(REOPENED, only(RESOLUTION, h(8)), "3 11:00")
    assert [(RESOLUTION, 1, "met"), (RESOLUTION, 2, "running")] == kinds(evaluation)
    assert wall(one(evaluation, RESOLUTION, 2).due_at) == "2026-06-03 14:00"
    solved = evaluate([*REOPENED, status("3 12:00", SOLVED)], only(RESOLUTION, h(8)), "3 13:00")
    assert one(solved, RESOLUTION, 2).open_used == h(6)


def test_rule_49_a_new_cycle_starts_from_nothing() -> None:
    """Due Thursday 10:00."""
    evaluation = evaluate(REOPENED, only(RESOLUTION, h(8), Reopen.NEW_CYCLE), "3 11:00")
    assert wall(one(evaluation, RESOLUTION, 2).due_at) == "2026-06-04 10:00"


def test_rule_49_none_promises_nothing_more() -> None:
    """The reopened ticket has its finished clock only."""
    lines = policy(target({FIRST: h(4), UPDATE: h(6), RESOLUTION: h(8)}, on_reopen=Reopen.NONE))
    evaluation = evaluate([*REOPENED, agent("3 11:00"), status("3 12:00", SOLVED)], lines, "3 13:00")
    assert [(FIRST, 1, "cancelled"), (UPDATE, 1, "cancelled"), (RESOLUTION, 1, "met")] == kinds(evaluation)


def test_rule_49_time_while_solved_or_closed_never_counts() -> None:
    """Closed in between makes no difference; neither does a second reopening."""
    events = [*REOPENED[:2], status("2 09:00", CLOSED), REOPENED[2], status("3 11:00", SOLVED), status("4 10:00", OPEN)]
    evaluation = evaluate(events, only(RESOLUTION, h(8)), "4 10:00")
    assert wall(one(evaluation, RESOLUTION, 3).due_at) == "2026-06-04 13:00"
    assert evaluation.solved_at is None
    assert evaluate(events[:3], only(RESOLUTION, h(8)), "2 10:00").solved_at == at("13:00")


def test_rule_49_resuming_an_overrun_promise_is_late_from_the_reopening() -> None:
    """Nine of eight hours were used when it was solved: late again as soon as it is open again."""
    events = [opened("09:00"), status("2 10:00", SOLVED), status("3 10:00", OPEN)]
    evaluation = evaluate(events, only(RESOLUTION, h(8)), "3 10:01")
    assert [(RESOLUTION, 1, "breached"), (RESOLUTION, 2, "breached")] == kinds(evaluation)
    assert wall(one(evaluation, RESOLUTION, 2).breached_at) == "2026-06-03 10:00"


def test_a_reopened_ticket_that_nobody_ever_answered_is_owed_its_first_response() -> None:
    """The rest of the promise runs on."""
    evaluation = evaluate(REOPENED, only(FIRST, h(6)), "3 11:00")
    assert [(FIRST, 1, "cancelled"), (FIRST, 2, "running")] == kinds(evaluation)
    assert wall(one(evaluation, FIRST, 2).due_at) == "2026-06-03 12:00"


@pytest.mark.parametrize("reopened_first", [True, False])
def test_a_message_that_reopens_a_ticket_is_owed_a_response(*, reopened_first: bool) -> None:
    """Whether the message or the new status comes first: counted from the reopening."""
    reply, reopening = ("2 09:01", "2 09:00") if reopened_first else ("2 09:00", "2 09:01")
    events = [opened("09:00"), agent("09:30"), status("10:00", SOLVED), customer(reply), status(reopening, OPEN)]
    clock = one(evaluate(events, only(NEXT, h(1)), "2 09:30"), NEXT)
    assert (wall(clock.started_at), clock.state) == ("2026-06-02 09:01", ClockState.RUNNING)


@pytest.mark.parametrize("over", [Status.SPAM, Status.MERGED])
def test_rule_50_spam_and_merged_tickets_promise_nothing(over: Status) -> None:
    """Every clock is cancelled, and nobody counts it as solved."""
    evaluation = evaluate([opened("09:00"), status("10:00", over)], FOUR, "2 16:00")
    assert [(FIRST, 1, "cancelled"), (UPDATE, 1, "cancelled"), (RESOLUTION, 1, "cancelled")] == kinds(evaluation)
    assert evaluation.solved_at is None


def test_closing_keeps_the_resolution_as_solving_does() -> None:
    """Some helpdesks only close."""
    assert [(RESOLUTION, 1, "met")] == kinds(
        evaluate([opened("09:00"), status("10:00", CLOSED)], only(RESOLUTION), "11:00")
    )


def test_a_reply_sent_with_a_new_status_was_written_under_the_old_one() -> None:
    """Replied and solved at the same instant: the first response is kept."""
    evaluation = evaluate([status("10:00", SOLVED), agent("10:00"), opened("09:00")], only(FIRST), "11:00")
    assert [(FIRST, 1, "met")] == kinds(evaluation)


def test_before_the_opening_arrives_nothing_is_promised() -> None:
    """Later events alone say how the ticket stands and who has it."""
    evaluation = place([status("10:00", PENDING), assigned("09:30", "ana")], FOUR, "11:00")
    assert (evaluation.clocks, evaluation.opened_at, evaluation.status) == ((), None, PENDING)
    assert evaluation.assigned_by_hand == "ana"
    assert place([agent("10:00")], FOUR, "11:00").status is OPEN


def test_what_promises_nothing_changes_no_clock() -> None:
    """Feedback, a second opening, an assignment and the status it has already."""
    events = [opened("09:00"), opened("09:30", channel="phone"), status("09:40", OPEN), assigned("10:00", "ana")]
    evaluation = evaluate([*events, event("10:30", Feedback(score=5))], FOUR, "11:00")
    assert evaluation.clocks == evaluate(events[:1], FOUR, "11:00").clocks
    assert (evaluation.assigned_by_hand, evaluation.matched) == ("ana", "all")
    assert evaluate([*events, assigned("12:00", None)], FOUR, "13:00").assigned_by_hand is None


def test_warnings_by_share_and_by_time_left() -> None:
    """Rule 19: 80 % of eight hours from Friday 10:00 is Friday 16:24; time left is open time too."""
    lines = policy(target({RESOLUTION: h(8)}, warn=(WarnAt(left=m(90)), WarnAt(share=0.8), WarnAt(left=h(8)))))
    clock = one(place([opened("5 10:00")], lines, "5 10:00"), RESOLUTION)
    assert [wall(instant) for instant in clock.warn_at] == ["2026-06-05 16:24", "2026-06-05 16:30"]


def test_one_promise_is_seen_at_every_instant() -> None:
    """An elapsed-time promise of seconds."""
    lines = policy(target({FIRST: timedelta(seconds=30)}, calendar="always"))
    assert wall(one(place([opened("6 23:59:45")], lines, "7 00:00"), FIRST).due_at) == "2026-06-07 00:00:15"
