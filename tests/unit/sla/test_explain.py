"""Cases of the rules, explained: what counted, what moved the due time and why, who had the ticket, what comes next."""

from datetime import datetime, timedelta

from msgspec.structs import replace

from shared.contract.events import Opened, TicketEvent
from shared.contract.tickets import ClockState, Status, TargetKind, Urgency
from shared.sla.condition import Condition, pattern, spoken
from shared.sla.explaining.explain import MOST_INTERVALS, MOST_TURNS, explain
from shared.sla.explaining.explained import ClockStory, Explanation, HolderKind, IntervalState, Turn
from shared.sla.policy import BusinessDays, ChangeMode, Judge, OnChange, Reopen, SlaPolicy, Target, WarnAt
from tests.unit.sla.building import (
    FIRST,
    RESOLUTION,
    agent,
    applied,
    assigned,
    at,
    classify,
    event,
    h,
    m,
    opened,
    owned,
    pinned,
    place,
    policy,
    released,
    status,
    target,
    urgency,
    wall,
)

EIGHT = policy(target({RESOLUTION: h(8)}))
TEAM = TargetKind.INTERNAL_RESOLUTION


def told(events: list[TicketEvent], lines: SlaPolicy, now: str, *later: SlaPolicy, **known: str) -> Explanation:
    """The explanation; `known` says when events arrived, by their ids."""
    found = explain(
        events,
        Judge(lines, classify),
        at(now),
        {item.version: Judge(item, classify) for item in later},
        arrivals={name: at(when) for name, when in known.items()},
    )
    assert found is not None
    return found


def clock(explanation: Explanation, kind: TargetKind = RESOLUTION, cycle: int = 1) -> ClockStory:
    """The story of one clock."""
    (found,) = (each for each in explanation.clocks if (each.target, each.cycle) == (kind, cycle))
    return found


def stretches(story: ClockStory) -> list[tuple[str, str | None, float]]:
    """State, end and hours of open time of every interval that is past."""
    return [(str(i.state), wall(i.until), i.open_seconds / 3600) for i in story.intervals if not i.is_ahead]


def turns(story: ClockStory) -> list[tuple[str, str | None, str | None, str]]:
    """What happened, when, the due time after it and the cause."""
    return [
        (str(turn.turn), wall(turn.at), wall(turn.due_after), turn.cause.what if turn.cause else "")
        for turn in story.turns
    ]


def test_rule_33_pause_over_a_weekend() -> None:
    """One pause of 68 hours that held back four hours of open time, and the due time before and after it."""
    events = [
        opened("5 10:00"),
        status("5 16:00", Status.PENDING_CUSTOMER),
        status("8 12:00", Status.OPEN),
    ]
    story = clock(told(events, EIGHT, "8 13:00"))
    assert [
        ("counted", "2026-06-05 16:00", 6.0),
        ("paused", "2026-06-08 12:00", 0.0),
        ("counted", "2026-06-08 13:00", 1.0),
    ] == stretches(story)
    assert (4 * 3600.0, Status.PENDING_CUSTOMER) == (story.intervals[1].held_seconds, story.intervals[1].status)
    assert [
        ("started", "2026-06-05 10:00", "2026-06-08 10:00", "opened by email"),
        ("due_changed", "2026-06-05 16:00", None, "status open -> pending_customer"),
        ("due_changed", "2026-06-08 12:00", "2026-06-08 14:00", "status pending_customer -> open"),
    ] == turns(story)
    assert (7 * 3600.0, 75 * 3600.0, 3600.0) == (story.open_seconds, story.wall_seconds, story.left_seconds)


def test_rule_35_two_statuses_are_one_pause() -> None:
    """Each status is told, one after the other; nothing counts twice."""
    events = [
        opened("09:00"),
        status("10:00", Status.PENDING_CUSTOMER),
        status("11:00", Status.ON_HOLD),
        status("13:00", Status.OPEN),
    ]
    story = clock(told(events, EIGHT, "14:00"))
    paused = [interval for interval in story.intervals if interval.state is IntervalState.PAUSED]
    assert [(Status.PENDING_CUSTOMER, 3600.0), (Status.ON_HOLD, 7200.0)] == [(i.status, i.held_seconds) for i in paused]
    assert ["started", "due_changed", "due_changed"] == [turn for turn, _, _, _ in turns(story)]
    assert 2 * 3600.0 == story.open_seconds


def test_rule_39_lowered_below_what_was_used_while_paused() -> None:
    """Late from the resume on, by the change that came during the pause."""
    lines = policy(target({RESOLUTION: h(2)}, name="urgent", urgency=Urgency.URGENT), target({RESOLUTION: h(8)}))
    events = [
        opened("09:00"),
        status("12:00", Status.PENDING_CUSTOMER),
        urgency("13:00", Urgency.URGENT),
        status("15:00", Status.OPEN),
    ]
    paused = told(events[:3], lines, "14:00")
    assert "late as soon as it goes on" in paused.outlook.next
    story = clock(told(events, lines, "15:30"))
    assert ClockState.BREACHED is story.state
    assert ("breached", "2026-06-01 15:00", "2026-06-01 11:00", "") == turns(story)[-1]
    assert "2026-06-01 15:00" == wall(story.late_from)


def test_rule_41_a_breach_that_did_not_happen_is_told() -> None:
    """We believed it until the pause arrived; what we believed and since when we knew better stay in the story."""
    lines = policy(target({RESOLUTION: h(3)}))
    late = replace(status("11:50", Status.PENDING_CUSTOMER), id="late")
    story = clock(told([opened("09:00"), late], lines, "13:00", late="12:03"))
    [retracted] = [turn for turn in story.turns if turn.turn is Turn.BREACH_RETRACTED]
    assert retracted.cause is not None
    assert ("2026-06-01 12:03", "2026-06-01 12:00", "2026-06-01 12:03") == (
        wall(retracted.at), wall(retracted.taken_back), wall(retracted.cause.known_at),
    )  # fmt: skip
    assert ClockState.PAUSED is story.state


def test_rule_49_a_reopened_promise_resumes() -> None:
    """It counts from the first start; the time while it was solved is told as a pause."""
    events = [opened("09:00"), status("13:00", Status.SOLVED), status("3 10:00", Status.OPEN)]
    story = clock(told(events, EIGHT, "3 11:00"), cycle=2)
    assert ("2026-06-01 09:00", "2026-06-03 10:00", "2026-06-03 14:00", "resume") == (
        wall(story.counts_from), wall(story.started_at), wall(story.due_at), story.on_reopen,
    )  # fmt: skip
    assert [
        ("counted", "2026-06-01 13:00", 4.0),
        ("paused", "2026-06-03 10:00", 0.0),
        ("counted", "2026-06-03 11:00", 1.0),
    ] == stretches(story)
    assert ("started", "2026-06-03 10:00", "2026-06-03 14:00", "status solved -> open") == turns(story)[0]


def test_rule_51_raised_to_urgent_is_late_on_arrival() -> None:
    """The change moved the due time into the past; late from the change on, which is also when it broke."""
    story = clock(told(RAISED, _raised(OnChange()), "14:00"))
    assert [
        ("started", "2026-06-01 09:00", "2026-06-02 17:00", "opened by email"),
        ("due_changed", "2026-06-01 13:00", "2026-06-01 11:00", "urgency normal -> urgent"),
        ("breached", "2026-06-01 13:00", "2026-06-01 11:00", ""),
    ] == turns(story)
    assert ("2026-06-01 13:00", "retroactive") == (wall(story.turns[1].late_from), story.on_change)
    assert story.match is not None
    assert ("urgent", [("urgency", ("urgent",), "urgent")]) == (
        story.match.line, [(check.field, check.wanted, check.found) for check in story.match.checks],
    )  # fmt: skip


def test_rule_51_a_restart_leaves_out_what_was_before() -> None:
    """Nothing before the change counts, and the interval says so."""
    story = clock(told(RAISED, _raised(OnChange(mode=ChangeMode.RESTART)), "14:00"))
    assert [("restarted", "2026-06-01 13:00", 0.0), ("counted", "2026-06-01 14:00", 1.0)] == stretches(story)
    assert "2026-06-01 15:00" == wall(story.due_at)


def _raised(change: OnChange) -> SlaPolicy:
    urgent = target({RESOLUTION: h(2)}, name="urgent", urgency=Urgency.URGENT, on_change=change)
    return policy(urgent, target({RESOLUTION: h(16)}, name="others"))


RAISED = [opened("09:00", urgency=Urgency.NORMAL), urgency("13:00", Urgency.URGENT)]


def test_rule_54_a_ticket_that_stops_matching() -> None:
    """The promise is withdrawn by the change, and every line is told with why it failed."""
    lines = policy(target({RESOLUTION: h(2)}, name="urgent", urgency=Urgency.URGENT))
    explained = told([opened("09:00", urgency=Urgency.URGENT), urgency("12:00", Urgency.LOW)], lines, "13:00")
    assert ("cancelled", "2026-06-01 12:00", "2026-06-01 11:00", "urgency urgent -> low") == turns(clock(explained))[-1]
    assert explained.match is not None
    assert explained.match.line is None
    [tried] = explained.match.tried
    assert ("urgent", [("urgency", "low", False)]) == (tried.line, [(c.field, c.found, c.holds) for c in tried.failed])
    assert "no target line of policy version 1 matches" in explained.outlook.next


def test_rule_56_a_hand_off_begins_the_next_teams_clock() -> None:
    """The team's clock starts with the hand-off as its cause; who had the ticket is told for the customer's."""
    lines = policy(
        target({RESOLUTION: h(6)}),
        target({TEAM: h(2)}, name="g1", is_internal=True, team="g1"),
        target({TEAM: h(1)}, name="g2", is_internal=True, team="g2"),
    )
    events = [
        event("09:00", Opened(channel="email", team="G1")),
        owned("09:30", "ana"),
        assigned("10:30", None, team="G2"),
        owned("11:00", "ben"),
    ]
    explained = told(events, lines, "11:15")
    assert (
        "started",
        "2026-06-01 10:30",
        "2026-06-01 11:30",
        "hand-off to team G2 from G1, taken from ana by hand",
    ) == (turns(clock(explained, TEAM, 2))[0])
    assert "met" == clock(explained, TEAM, 1).turns[-1].turn
    customer = clock(explained)
    assert {
        "team G1 (nobody in it yet)": 1800.0,
        "ana (team G1)": 3600.0,
        "team G2 (after a hand-off, nobody in it yet)": 1800.0,
        "ben (team G2, after a hand-off)": 900.0,
    } == {share.holder: share.open_seconds for share in customer.holders}
    assert "ben of team G2" == explained.outlook.responsible
    assert explained.internal_match is not None
    assert "g2" == explained.internal_match.line


def test_rule_58_a_deadline_by_hand() -> None:
    """The due time is a person's; pauses are told, and don't move it."""
    events = [opened("09:00"), pinned("10:00", "2 12:00"), status("11:00", Status.PENDING_CUSTOMER)]
    story = clock(told(events, EIGHT, "13:00"))
    assert ("due_changed", "2026-06-01 10:00", "2026-06-02 12:00", "deadline of the resolution set by hand") == (
        turns(story)[-1]
    )
    assert ("deadline set by hand", "2026-06-02 12:00") == (story.promise, wall(story.due_at))


def test_warnings_are_fired_or_ahead() -> None:
    """Each with its instant; a line says when it warns."""
    lines = policy(target({RESOLUTION: h(8)}, warn=(WarnAt(share=0.25), WarnAt(left=m(30)))))
    story = clock(told([opened("09:00")], lines, "12:00"))
    assert [("2026-06-01 11:00", False), ("2026-06-01 16:30", True)] == [
        (wall(w.at), w.is_ahead) for w in story.warnings
    ]
    assert ("25%", "30m") == story.warn
    assert [("counted", 5.0, True)] == [(i.state, i.open_seconds / 3600, i.is_ahead) for i in story.intervals[1:]]


def test_business_days_in_words() -> None:
    """`2bd of office`."""
    assert (
        "2bd of office"
        == clock(told([opened("09:00")], policy(target({RESOLUTION: BusinessDays(2)})), "10:00")).promise
    )


def test_with_whom_it_broke() -> None:
    """Whoever had it at the breach, and how long each had had it by the answer."""
    lines = policy(target({FIRST: h(2)}))
    events = [opened("09:00"), owned("09:15", "ana"), released("10:45", "ana"), owned("11:30", "ben"), agent("12:00")]
    explained = told(events, lines, "13:00")
    story = clock(explained, FIRST)
    assert "nobody (in the queue)" == story.broke_with
    assert [("ana", 90.0), ("nobody (in the queue)", 60.0), ("ben", 30.0)] == [
        (share.holder, share.open_seconds / 60) for share in story.holders
    ]
    assert [HolderKind.UNASSIGNED, HolderKind.AGENT, HolderKind.UNASSIGNED, HolderKind.AGENT] == [
        holding.kind for holding in explained.holdings
    ]


def test_rule_53_a_finished_cycle_is_told_under_the_version_that_judged_it() -> None:
    """A version made to hold from before changes no outcome, nor how it is explained."""
    loose, strict = policy(target({FIRST: h(4)})), policy(target({FIRST: h(1)}), version=2)
    before = [opened("09:00"), agent("12:00")]
    stored = place(before, loose, "13:00").clocks
    late = replace(applied("09:00", 2), id="late")
    found = explain([*before, late], Judge(loose, classify), at("14:00"), {2: Judge(strict, classify)}, stored=stored)
    assert found is not None
    assert ("4h of office", ClockState.MET, 1) == (
        clock(found, FIRST).promise, clock(found, FIRST).state, clock(found, FIRST).policy_version,
    )  # fmt: skip


def test_before_the_opening_arrived() -> None:
    """Nothing is promised yet, and it says what is missing."""
    explained = told([agent("09:00")], EIGHT, "10:00")
    assert ((), None) == (explained.clocks, explained.opened_at)
    assert "ticket.opened" in explained.outlook.next
    assert explain([], Judge(EIGHT, classify), at("10:00")) is None


def test_long_histories_are_cut() -> None:
    """Two thousand changes of status and two years are told in part; what is left out is counted and still adds up."""
    started = datetime.fromisoformat("2026-06-01T07:00:00+00:00")
    moves = [
        TicketEvent(
            tenant="default",
            id=f"m{n}",
            source="desk",
            ticket="1",
            occurred_at=started + n * timedelta(hours=9),
            data=status("09:00", Status.ON_HOLD if n % 2 else Status.OPEN).data,
        )
        for n in range(1, 2_001)
    ]
    lines = policy(target({RESOLUTION: h(40_000)}, calendar="always", on_reopen=Reopen.NONE))
    explained = explain([opened("09:00"), *moves], Judge(lines, classify), moves[-1].occurred_at + h(1))
    assert explained is not None
    story = clock(explained)
    assert MOST_INTERVALS >= len(story.intervals)
    [left_out] = [interval for interval in story.intervals if interval.state is IntervalState.LEFT_OUT]
    assert left_out.intervals > 1_000
    assert story.open_seconds == sum(i.open_seconds for i in story.intervals if not i.is_ahead)
    assert MOST_TURNS >= len(story.turns)
    told_of = len(story.turns) + story.turns_left_out + sum(turn.events_between for turn in story.turns)
    assert 2_000 <= told_of


def test_words_of_a_rule_are_told_as_they_were_written() -> None:
    """Not as the expression they became."""
    line = Target(
        name="outage",
        calendar="office",
        promises={FIRST: h(1)},
        when=Condition({}, tuple(pattern(entry).expression for entry in ("is down", "/can(no|')t log ?in/"))),
    )
    explained = told([event("09:00", Opened(channel="email", subject="Shop IS  down"))], policy(line), "09:10")
    assert explained.match is not None
    [check] = explained.match.checks
    assert (("is down", "/can(no|')t log ?in/"), "is down") == (check.wanted, check.found)
    assert "R&D (x)" == spoken(pattern("R&D (x)").expression)
