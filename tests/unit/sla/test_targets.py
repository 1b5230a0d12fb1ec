"""Ownership, follow-up and who began the ticket: what starts and ends these promises (sla-rules 1, 2.D)."""

from shared.contract.events import Feedback, Opened
from shared.contract.tickets import Author, ClockState, Status, TargetKind, Urgency
from shared.sla.condition import Condition
from shared.sla.policy import BusinessDays, FollowUp, Reopen
from tests.unit.sla.building import (
    FIRST,
    NEXT,
    RESOLUTION,
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
    owned,
    policy,
    released,
    status,
    target,
    wall,
)

OWNERSHIP, FOLLOW_UP = TargetKind.OWNERSHIP, TargetKind.FOLLOW_UP
TEAM_OWNERSHIP, TEAM_FIRST = TargetKind.INTERNAL_OWNERSHIP, TargetKind.INTERNAL_FIRST_RESPONSE
OWNED = policy(target({OWNERSHIP: m(30)}))
FOLLOWED = policy(target({RESOLUTION: h(8), FOLLOW_UP: BusinessDays(2)}))


def test_ownership_is_kept_when_somebody_has_it() -> None:
    """By our own assignment or the helpdesk's hand, whichever comes first; a second owner changes nothing."""
    for taken in (owned("09:20", "ana"), assigned("09:20", "ana")):
        clock = one(evaluate([opened("09:00"), taken, owned("09:40", "ben")], OWNED, "12:00"), OWNERSHIP)
        assert (clock.state, clock.met_at, clock.open_used) == (ClockState.MET, at("09:20"), m(20))


def test_ownership_breaks_where_nobody_takes_it() -> None:
    """Late until somebody does."""
    events = [opened("09:00"), owned("10:00", "ana")]
    assert one(evaluate(events[:1], OWNED, "09:31"), OWNERSHIP).breached_at == at("09:30")
    assert one(evaluate(events, OWNED, "11:00"), OWNERSHIP).state is ClockState.BREACHED


def test_ownership_begins_anew_when_its_owner_is_gone() -> None:
    """A second cycle from the release; that of somebody who no longer has it is none."""
    events = [
        opened("09:00"),
        owned("09:10", "ana"),
        assigned("09:20", "ben"),
        released("09:21", "ana"),
        released("10:00", "ben"),
    ]
    evaluation = evaluate(events, OWNED, "10:05")
    assert kinds(evaluation) == [(OWNERSHIP, 1, "met"), (OWNERSHIP, 2, "running")]
    assert one(evaluation, OWNERSHIP, 2).due_at == at("10:30")


def test_ownership_is_moot_when_the_ticket_is_over_and_owed_again_when_it_returns() -> None:
    """Solved without an owner: cancelled. Reopened: a new cycle, unless nothing is promised to reopened tickets."""
    events = [opened("09:00"), status("09:10", Status.SOLVED), status("11:00", Status.OPEN)]
    assert kinds(evaluate(events, OWNED, "11:05")) == [(OWNERSHIP, 1, "cancelled"), (OWNERSHIP, 2, "running")]
    given = [opened("09:00"), owned("09:05", "ana"), *events[1:], released("09:10", "ana")]
    assert kinds(evaluate(given, OWNED, "11:05")) == [(OWNERSHIP, 1, "met"), (OWNERSHIP, 2, "running")]
    silent = policy(target({OWNERSHIP: m(30)}, on_reopen=Reopen.NONE))
    assert kinds(evaluate(events, silent, "11:05")) == [(OWNERSHIP, 1, "cancelled")]


def test_a_team_owes_an_owner_and_a_first_word_from_the_hand_off_on() -> None:
    """Its own clocks; the customer's first response is not theirs."""
    lines = policy(target({TEAM_OWNERSHIP: m(30), TEAM_FIRST: h(1)}, is_internal=True))
    events = [opened("09:00"), assigned("10:00", None, team="G2"), owned("10:10", "ana"), agent("10:30")]
    evaluation = evaluate(events, lines, "12:00")
    assert kinds(evaluation) == [
        (TEAM_FIRST, 1, "met"),
        (TEAM_OWNERSHIP, 1, "breached"),
        (TEAM_FIRST, 2, "met"),
        (TEAM_OWNERSHIP, 2, "met"),
    ]
    assert one(evaluation, TEAM_FIRST, 2).open_used == m(30)


def test_follow_up_is_owed_once_the_ticket_is_solved() -> None:
    """Two business days after; kept by an agent's word or the customer's verdict, not by a bot or the customer's thanks."""
    solved = [opened("09:00"), status("11:00", Status.SOLVED)]
    waiting = one(evaluate([*solved, bot("12:00"), customer("12:30")], FOLLOWED, "13:00"), FOLLOW_UP)
    assert (waiting.state, wall(waiting.due_at)) == (ClockState.RUNNING, "2026-06-03 11:00")
    for kept in (agent("2 09:00"), event("2 09:00", Feedback(score=5))):
        assert one(evaluate([*solved, kept], FOLLOWED, "9 09:00"), FOLLOW_UP).met_at == at("2 09:00")
    assert one(evaluate(solved, FOLLOWED, "9 09:00"), FOLLOW_UP).breached_at == at("3 11:00")


def test_follow_up_goes_on_when_closed_and_is_moot_when_it_returns_or_is_merged() -> None:
    """Closing is no news to the customer; a reopened ticket is followed up once it is solved again."""
    solved = [opened("09:00"), status("11:00", Status.SOLVED)]
    assert one(evaluate([*solved, status("12:00", Status.CLOSED)], FOLLOWED, "13:00"), FOLLOW_UP).state == "running"
    assert one(evaluate([*solved, status("12:00", Status.MERGED)], FOLLOWED, "13:00"), FOLLOW_UP).state == "cancelled"
    again = [*solved, status("12:00", Status.OPEN), status("14:00", Status.SOLVED)]
    assert kinds(evaluate(again, FOLLOWED, "15:00"))[-2:] == [(RESOLUTION, 2, "met"), (FOLLOW_UP, 2, "running")]


def test_the_policy_s_own_follow_up_is_for_tickets_it_asks_for() -> None:
    """It wakes nobody, is warned of at four fifths, and leaves a line's own follow-up alone."""
    rule = FollowUp(after=h(10), when=Condition({"urgency": frozenset({"high"})}))
    lines = policy(target({RESOLUTION: h(8)}, escalate="wake the lead"), follow_up=rule)
    solved = [opened("09:00", urgency=Urgency.HIGH), status("11:00", Status.SOLVED)]
    clock = one(evaluate(solved, lines, "12:00"), FOLLOW_UP)
    assert (wall(clock.due_at), [wall(warned) for warned in clock.warn_at]) == (
        "2026-06-02 13:00",
        ["2026-06-02 11:00"],
    )
    assert (clock.escalate, clock.matched) == (None, "all")
    others = [opened("09:00"), status("11:00", Status.SOLVED)]
    assert kinds(evaluate(others, lines, "12:00")) == [(RESOLUTION, 1, "met")]
    own = policy(target({FOLLOW_UP: h(1)}), follow_up=rule)
    assert one(evaluate(solved, own, "11:30"), FOLLOW_UP).due_at == at("12:00")
    nothing = policy(target({}), follow_up=rule)
    assert kinds(evaluate(solved, nothing, "12:00")) == []


def test_rule_43_where_we_began_the_customer_s_first_message_starts_the_clock() -> None:
    """What we say before counts for nothing; their first message is owed a first response."""
    lines = policy(target({FIRST: h(2), NEXT: h(1)}))
    begun = [event("09:00", Opened(channel="email", by=Author.AGENT)), agent("10:00")]
    assert kinds(evaluate(begun, lines, "16:00")) == []
    evaluation = evaluate([*begun, customer("11:00")], lines, "12:00")
    assert (one(evaluation, FIRST).started_at, one(evaluation, FIRST).due_at) == (at("11:00"), at("13:00"))
    answered = [*begun, customer("11:00"), agent("11:30"), customer("12:00")]
    assert kinds(evaluate(answered, lines, "12:10")) == [(FIRST, 1, "met"), (NEXT, 1, "running")]


def test_rule_50_a_ticket_split_off_counts_from_its_own_opening() -> None:
    """It is a ticket of its own; to let the wait before count, its helpdesk dates it back."""
    split = event("12:00", Opened(channel="email", split_from="1"))
    lines = policy(target({RESOLUTION: h(2)}))
    assert one(evaluate([split], lines, "12:00"), RESOLUTION).due_at == at("14:00")
