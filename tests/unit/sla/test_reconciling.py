"""What is stored of a ticket's clocks, joined with what the fold says now (rules 41, 52, 53, 62)."""

from msgspec.structs import replace

from shared.contract.tickets import ClockState, Status, Urgency
from shared.sla import timeline
from shared.sla.clock import Change, Clock
from shared.sla.policy import WarnAt
from tests.unit.sla.building import (
    FIRST,
    NEXT,
    RESOLUTION,
    agent,
    at,
    customer,
    evaluate,
    h,
    opened,
    place,
    policy,
    status,
    target,
    urgency,
)

PENDING, OPEN, SOLVED = Status.PENDING_CUSTOMER, Status.OPEN, Status.SOLVED
LINES = policy(target({RESOLUTION: h(4)}, warn=(WarnAt(share=0.5), WarnAt(share=0.75))))


def reconcile(before: tuple[Clock, ...], placed: tuple[Clock, ...], now: str) -> tuple[Clock, list[Change]]:
    """The one clock that comes out, and what changed."""
    clocks, changes = timeline.reconcile(before, placed, at(now))
    assert all(clock in clocks for _, clock in changes)
    return clocks[-1], [change for change, _ in changes]


def test_a_new_clock_is_started() -> None:
    """And one whose life is over already is told whole."""
    placed = place([opened("09:00")], LINES, "09:00").clocks
    assert (placed[0], [Change.STARTED]) == reconcile((), placed, "09:00")
    late = place([opened("09:00"), status("15:00", SOLVED)], LINES, "15:00").clocks
    assert [Change.STARTED, Change.BREACHED, Change.MET] == reconcile((), late, "15:00")[1]
    spam = place([opened("09:00"), status("10:00", Status.SPAM)], LINES, "15:00").clocks
    assert [Change.STARTED, Change.CANCELLED] == reconcile((), spam, "15:00")[1]


def test_what_fired_stays_fired_while_the_due_time_stands() -> None:
    """An event that moves nothing says nothing; a warning and a breach are kept."""
    for now, state, warned in (("11:30", ClockState.RUNNING, 1), ("13:30", ClockState.BREACHED, 2)):
        stored = evaluate([opened("09:00")], LINES, now).clocks
        placed = place([opened("09:00"), agent("10:00")], LINES, "14:00").clocks
        clock, changes = reconcile(stored, placed, "14:00")
        assert (clock, changes) == (stored[0], [])
        assert (clock.state, clock.warned) == (state, warned)


def test_nothing_changes_when_nothing_happened() -> None:
    """Reconciling what is stored with the same fold is silent, in every state."""
    for events in (
        [opened("09:00")],
        [opened("09:00"), status("10:00", PENDING)],
        [opened("09:00"), status("15:00", SOLVED)],
        [opened("09:00"), status("10:00", Status.MERGED)],
    ):
        stored = place(events, LINES, "15:00").clocks
        assert (stored[0], []) == reconcile(stored, place(events, LINES, "16:00").clocks, "16:00")


def test_a_pause_moves_the_due_time_and_keeps_what_was_warned() -> None:
    """Warned at 11:00, paused 12:00 to 14:00: the first warning does not come again, the second does."""
    stored = evaluate([opened("09:00")], LINES, "11:30").clocks
    events = [opened("09:00"), status("12:00", PENDING)]
    paused, changes = reconcile(stored, place(events, LINES, "12:00").clocks, "12:00")
    assert (changes, paused.due_at, paused.warned, paused.warned_at) == ([Change.DUE_CHANGED], None, 1, at("11:00"))
    resumed = place([*events, status("14:00", OPEN)], LINES, "14:00").clocks
    clock, changes = reconcile((paused,), resumed, "14:00")
    assert (changes, clock.due_at, clock.warned) == ([Change.DUE_CHANGED], at("15:00"), 1)
    assert (clock.warned_at, clock.next_fire_at) == (at("11:00"), at("14:00"))


def test_other_terms_warn_again_only_at_later_instants() -> None:
    """Warned at 11:00 of four hours; of eight hours the half comes at 13:00 and is news."""
    lines = policy(
        target({RESOLUTION: h(8)}, name="low", urgency=Urgency.LOW, warn=(WarnAt(share=0.25), WarnAt(share=0.5))),
        target({RESOLUTION: h(4)}, warn=(WarnAt(share=0.5),)),
    )
    stored = evaluate([opened("09:00")], lines, "11:30").clocks
    placed = place([opened("09:00"), urgency("12:00", Urgency.LOW)], lines, "12:00").clocks
    clock, changes = reconcile(stored, placed, "12:00")
    assert (changes, clock.warned, clock.next_fire_at) == ([Change.DUE_CHANGED], 1, at("13:00"))


def test_a_warned_clock_that_is_met_is_met() -> None:
    """It remembers its warning."""
    stored = evaluate([opened("09:00")], LINES, "11:30").clocks
    clock, changes = reconcile(
        stored, place([opened("09:00"), status("12:00", SOLVED)], LINES, "12:00").clocks, "12:00"
    )
    assert (changes, clock.state, clock.warned, clock.warned_at) == ([Change.MET], ClockState.MET, 1, at("11:00"))


def test_a_late_answer_to_an_announced_breach_ends_it() -> None:
    """Noticed when it was noticed; what was promised is done, late."""
    stored = evaluate([opened("09:00")], LINES, "13:05").clocks
    clock, changes = reconcile(
        stored, place([opened("09:00"), status("14:00", SOLVED)], LINES, "14:00").clocks, "14:00"
    )
    assert (changes, clock.state, clock.detected_at) == ([Change.MET], ClockState.BREACHED, at("13:05"))


def test_a_late_answer_to_a_breach_that_nobody_noticed_tells_both() -> None:
    """The event came before firing did."""
    stored = place([opened("09:00")], LINES, "09:00").clocks
    clock, changes = reconcile(
        stored, place([opened("09:00"), status("14:00", SOLVED)], LINES, "14:00").clocks, "14:00"
    )
    assert (changes, clock.detected_at) == ([Change.BREACHED, Change.MET], at("14:00"))


def test_rule_41_a_late_answer_event_retracts_the_breach() -> None:
    """Breached at 13:00; at 13:10 we hear that it was solved at 12:30."""
    stored = evaluate([opened("09:00")], LINES, "13:05").clocks
    clock, changes = reconcile(
        stored, place([opened("09:00"), status("12:30", SOLVED)], LINES, "13:10").clocks, "13:10"
    )
    assert [Change.BREACH_RETRACTED, Change.MET] == changes
    assert (clock.state, clock.breached_at) == (ClockState.MET, None)


def test_rule_41_a_pause_heard_of_late_moves_a_breach_or_retracts_it() -> None:
    """Still overdue: the breach moves with the due time. Not due yet: it never happened."""
    stored = evaluate([opened("09:00")], LINES, "13:05").clocks
    events = [opened("09:00"), status("12:00", PENDING), status("13:00", OPEN)]
    placed = place(events, LINES, "13:10").clocks
    clock, changes = reconcile(stored, placed, "15:00")
    assert (changes, clock.state, clock.breached_at) == ([Change.DUE_CHANGED], ClockState.BREACHED, at("14:00"))
    assert clock.detected_at == at("13:05")
    assert [Change.BREACH_RETRACTED] == reconcile(stored, placed, "14:00")[1]
    clock, changes = reconcile(stored, placed, "13:10")
    assert (changes, clock.state, clock.breached_at) == ([Change.BREACH_RETRACTED], ClockState.RUNNING, None)


def test_a_breach_that_an_event_makes_moot_is_cancelled() -> None:
    """Merged after the breach: it did break, and nobody is paged any more."""
    stored = evaluate([opened("09:00")], LINES, "13:05").clocks
    merged = place([opened("09:00"), status("14:00", Status.MERGED)], LINES, "14:00").clocks
    clock, changes = reconcile(stored, merged, "14:00")
    assert (changes, clock.state, clock.breached_at) == ([Change.CANCELLED], ClockState.CANCELLED, at("13:00"))


def test_a_clock_the_fold_no_longer_knows_is_cancelled() -> None:
    """An agent's reply that was on its way answers the message for which a next response ran."""
    lines = policy(target({FIRST: h(8), NEXT: h(1)}))
    known = [opened("09:00"), agent("09:10"), customer("09:30")]
    stored = evaluate(known, lines, "11:00").clocks
    assert [ClockState.MET, ClockState.BREACHED] == [clock.state for clock in stored]
    fewer = place(known[:2], lines, "11:00").clocks
    clock, changes = reconcile(stored, fewer, "11:00")
    assert [Change.BREACH_RETRACTED, Change.CANCELLED] == changes
    assert (clock.state, clock.breached_at, clock.ended_at) == (ClockState.CANCELLED, None, at("11:00"))
    assert [] == reconcile((stored[0], clock), fewer, "12:00")[1]
    clock, changes = reconcile((stored[0], clock), place(known, lines, "12:00").clocks, "12:00")
    assert (changes, clock.state) == ([Change.STARTED], ClockState.RUNNING)
    running = place(known, lines, "09:40").clocks
    assert [Change.CANCELLED] == reconcile(running, fewer, "09:40")[1]


def test_a_finished_clock_that_a_late_event_opens_again() -> None:
    """Solved at 14:00, it seemed; it had been reopened as something else: the fold has it running."""
    solved = place([opened("09:00"), status("12:00", SOLVED)], LINES, "12:00").clocks
    running = place([opened("09:00")], LINES, "12:30").clocks
    assert (running[0], [Change.DUE_CHANGED]) == reconcile(solved, running, "12:30")
    late = place([opened("09:00"), status("14:00", SOLVED)], LINES, "14:00").clocks
    paused = place([opened("09:00"), status("12:00", PENDING)], LINES, "14:30").clocks
    assert [Change.BREACH_RETRACTED, Change.DUE_CHANGED] == reconcile(late, paused, "14:30")[1]


def test_rule_53_a_finished_cycle_keeps_the_version_that_judged_it() -> None:
    """A tighter version applied later does not turn what was met into a breach, nor forget it."""
    events = [opened("09:00"), status("12:00", SOLVED)]
    stored = place(events, LINES, "12:00").clocks
    tighter = policy(target({RESOLUTION: h(1)}), version=2)
    assert (stored[0], []) == reconcile(stored, place(events, tighter, "13:00").clocks, "13:00")
    without = policy(target({FIRST: h(1)}), version=2)
    assert (stored[0], []) == reconcile(stored, place(events[:1], without, "13:00").clocks[1:], "13:00")


def test_an_announced_breach_survives_being_paused() -> None:
    """Rule 37, with what is stored: the pause after the breach changes nothing."""
    stored = evaluate([opened("09:00")], LINES, "13:05").clocks
    placed = place([opened("09:00"), status("14:00", PENDING)], LINES, "14:00").clocks
    clock, changes = reconcile(stored, placed, "14:00")
    assert (changes, clock.state, clock.due_at) == ([], ClockState.BREACHED, at("13:00"))
    assert replace(clock, open_used=stored[0].open_used) == clock
