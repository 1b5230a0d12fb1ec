"""Events in any order: one end state, whatever came when, how often, and whoever let time act in between (rules 41, 42)."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.contract.events import (
    Assigned,
    Data,
    DeadlineSet,
    Feedback,
    Opened,
    Owned,
    PolicyChanged,
    Replied,
    Scored,
    StatusChanged,
    TicketEvent,
    Unowned,
    Updated,
)
from shared.contract.tickets import Author, ClockState, Status, TargetKind, Urgency
from shared.sla import timeline
from shared.sla.clock import Change, Clock, advance
from shared.sla.fields import Classification, Facts
from shared.sla.policy import ChangeMode, FollowUp, Judge, OnChange, Reopen, SlaPolicy, WarnAt
from tests.effort import examples
from tests.unit.sla import building
from tests.unit.sla.building import FIRST, NEXT, RESOLUTION, UPDATE, at, h, m, policy, target

PERMUTATIONS = 12
"""Of each log."""
OPENED = at("1 08:00")
EARLY = m(5)
"""How far ahead of our clock an event may be dated."""
END = OPENED + timedelta(days=40)
WARN = (WarnAt(share=0.5), WarnAt(left=m(30)))
OWNERSHIP, FOLLOW_UP = TargetKind.OWNERSHIP, TargetKind.FOLLOW_UP
TEAM_FIRST, TEAM_RESOLUTION, TEAM_OWNERSHIP = (
    TargetKind.INTERNAL_FIRST_RESPONSE,
    TargetKind.INTERNAL_RESOLUTION,
    TargetKind.INTERNAL_OWNERSHIP,
)


def classify(facts: Facts) -> Classification:
    """The urgency that the helpdesk says, or a higher one that the model says."""
    verdict, scored = building.classify(facts), facts.scored
    if scored is None or scored.urgency is None or facts.is_urgency_said or scored.urgency.rank >= verdict.urgency.rank:
        return verdict
    return replace(verdict, urgency=scored.urgency)


class Rules(NamedTuple):
    """Three versions of a policy; the first judges from the opening on."""

    first: SlaPolicy
    later: dict[int, Judge]


def rules(reopen: Reopen, change: OnChange, *, promises_all: bool) -> Rules:
    """Promises that differ by urgency, team and version."""

    def version(number: int) -> SlaPolicy:
        longer = number * 0.5 + 0.5
        team = {TEAM_FIRST: h(longer), TEAM_RESOLUTION: h(5 * longer), TEAM_OWNERSHIP: m(45)}
        urgent = {FIRST: h(2 * longer), NEXT: h(1), UPDATE: h(3), RESOLUTION: h(6 * longer), OWNERSHIP: m(30)}
        high = {FIRST: h(9), RESOLUTION: h(30 / longer), OWNERSHIP: h(3)}
        rest = {FIRST: h(4 / longer), NEXT: h(3), UPDATE: h(8), RESOLUTION: h(16 * longer), OWNERSHIP: h(1)}
        lines = [
            target(urgent, name="urgent", urgency=Urgency.URGENT, warn=WARN, on_change=change, on_reopen=reopen),
            target(high, name="high", urgency=Urgency.HIGH, calendar="always", on_change=change, on_reopen=reopen),
        ]
        if promises_all:
            lines.append(target(rest, name="rest", warn=WARN, on_change=change, on_reopen=reopen))
        if number != 2:
            lines.append(target(team, name="red", team="red", is_internal=True, warn=WARN))
        if number != 1:
            lines.append(target({TEAM_RESOLUTION: h(9)}, name="blue", team="blue", is_internal=True))
        return policy(*lines, version=number, follow_up=FollowUp(after=h(16)))

    return Rules(version(1), {number: Judge(version(number), classify) for number in (2, 3)})


RULES = [
    rules(reopen, change, promises_all=promises_all)
    for reopen in Reopen
    for change in (OnChange(), OnChange(ChangeMode.RESTART), OnChange(grace=m(45)))
    for promises_all in (True, False)
]

# Quarters of an hour, so that many things happen at the same instant.
offsets = st.integers(-4, 4 * 24 * 10).map(lambda quarters: quarters * m(15))
teams = st.sampled_from(["red", "blue", None])
people = st.sampled_from(["ana", "ben", None])
deadlines = st.none() | offsets.map(lambda offset: OPENED + offset)
told = st.one_of(
    st.builds(Replied, by=st.sampled_from(Author), public=st.sampled_from([True, True, False])),
    st.builds(StatusChanged, status=st.sampled_from([*Status, Status.OPEN, Status.PENDING_CUSTOMER, Status.SOLVED])),
    st.builds(StatusChanged, status=st.sampled_from([Status.OPEN, Status.PENDING_CUSTOMER, Status.SOLVED])),
    st.builds(Updated, urgency=st.sampled_from(Urgency)),
    st.builds(Assigned, agent=people, team=teams),
    st.builds(DeadlineSet, target=st.sampled_from(TargetKind), due_at=deadlines),
    st.builds(Feedback, score=st.just(5.0)),
)
ours = st.one_of(
    st.builds(PolicyChanged, version=st.sampled_from([2, 3]), previous=st.just(1)),
    st.builds(Scored, model=st.integers(1, 2), urgency=st.sampled_from(Urgency)),
    st.builds(Owned, agent=st.sampled_from(["ana", "ben"])),
    st.builds(Unowned, agent=st.sampled_from(["ana", "ben"])),
)


@st.composite
def logs(draw: st.DrawFn, *, most: int = 14) -> list[TicketEvent]:
    """The events of one ticket over ten days, in no order; some logs never hear of an opening."""
    opening = Opened(
        channel="email",
        urgency=draw(st.sampled_from(Urgency)),
        by=draw(st.sampled_from([Author.CUSTOMER, Author.CUSTOMER, Author.AGENT])),
        team=draw(teams),
    )
    said: list[tuple[timedelta, Data]] = [(timedelta(), opening)]
    said += draw(st.lists(st.tuples(offsets, told | told | ours), max_size=most))
    return [
        TicketEvent(tenant="default", id=f"{n}", source="desk", ticket="1", occurred_at=OPENED + offset, data=data)
        for n, (offset, data) in enumerate(said)
    ]


def evaluate(log: Sequence[TicketEvent], by: Rules, now: datetime) -> timeline.Evaluation:
    """The whole fold."""
    return timeline.evaluate(log, by.first, classify, now, by.later)


looks = st.integers(0, 4 * 24 * 14).map(lambda quarters: OPENED + quarters * m(15) + timedelta(seconds=1))


@settings(max_examples=examples(250))
@given(log=logs(), by=st.sampled_from(RULES), now=looks, seed=st.randoms(use_true_random=False))
def test_rule_42_three_thousand_orders_of_arrival_end_in_one_state(
    log: list[TicketEvent], by: Rules, now: datetime, seed: random.Random
) -> None:
    """Every kind of event, shuffled, some twice or thrice, many at the same instant: the log says the same."""
    expected = evaluate(log, by, now)
    for _ in range(PERMUTATIONS):
        arrived = [*log, *seed.choices(log, k=3)]
        seed.shuffle(arrived)
        assert expected == evaluate(arrived, by, now)


class Told(NamedTuple):
    """What was announced of a clock, when we lived through a log."""

    target: TargetKind
    cycle: int
    change: Change


class Life(NamedTuple):
    """What is stored in the end, and all that was announced on the way."""

    clocks: tuple[Clock, ...]
    told: list[Told]


def live(log: Sequence[TicketEvent], by: Rules, delays: Sequence[timedelta], looks: Sequence[datetime]) -> Life:
    """Each event arrives so long after it happened; firing looks at arbitrary instants in between, and at the end."""
    arrivals = [
        (max(event.occurred_at + delay, OPENED - h(2)), False, event) for event, delay in zip(log, delays, strict=True)
    ]
    moments: list[tuple[datetime, bool, TicketEvent | None]] = [*arrivals, *((look, True, None) for look in looks)]
    stored: tuple[Clock, ...] = ()
    known: list[TicketEvent] = []
    said: list[Told] = []
    for now, _, event in [*sorted(moments, key=lambda moment: moment[:2]), (END, True, None)]:
        if event is None:
            fired = [advance(clock, now) for clock in stored]
            stored = tuple(clock for clock, _ in fired)
            said += [Told(clock.target, clock.cycle, change) for clock, changes in fired for change in changes]
            continue
        known.append(event)
        placed = timeline.place(known, by.first, classify, now, by.later)
        stored, news = timeline.reconcile(stored, placed.clocks, now, keeps_finished=False)
        said += [Told(clock.target, clock.cycle, change) for change, clock in news]
    return Life(stored, said)


def outcome(clock: Clock) -> Clock:
    """A clock without what depends on who looked when."""
    return replace(clock, detected_at=None, warned_at=None, warned=0)


delays = st.one_of(
    st.just(timedelta()),
    st.integers(-5, 5).map(m),
    st.integers(0, 300).map(h),
)


@settings(max_examples=examples(200))
@given(data=st.data(), log=logs(), by=st.sampled_from(RULES), looks=st.lists(looks, max_size=8))
def test_rule_42_what_is_stored_ends_where_one_fold_of_the_whole_log_does(
    data: st.DataObject, log: list[TicketEvent], by: Rules, looks: list[datetime]
) -> None:
    """Early by five minutes or late by days, with firing in between: state, due, breached and met are those of the log.

    Breaches are announced once and taken back once: nobody hears of a second before the first was withdrawn.
    """
    late = [
        timedelta() if isinstance(event.data, PolicyChanged | Owned | Unowned) else data.draw(delays) for event in log
    ]
    life = live(log, by, late, looks)

    expected = {(clock.target, clock.cycle): outcome(clock) for clock in evaluate(log, by, END).clocks}
    ended = {(clock.target, clock.cycle): outcome(clock) for clock in life.clocks}
    assert expected == {key: ended.get(key) for key in expected}
    beyond = [clock for key, clock in ended.items() if key not in expected]
    assert all(clock.state is ClockState.CANCELLED and clock.breached_at is None for clock in beyond)
    assert len(ended) == len(life.clocks)
    for key, clock in ended.items():
        announced = [one.change for one in life.told if (one.target, one.cycle) == key]
        breaches = [change for change in announced if change in (Change.BREACHED, Change.BREACH_RETRACTED)]
        assert breaches[::2] == [Change.BREACHED] * len(breaches[::2])
        assert breaches[1::2] == [Change.BREACH_RETRACTED] * len(breaches[1::2])
        assert (len(breaches) % 2 == 1) == (clock.breached_at is not None)
        assert Change.STARTED is announced[0]


def assert_one_end(log: Sequence[TicketEvent], *late: timedelta) -> list[Clock]:
    """That what is stored when each event came so late is what one fold says, but for what was cancelled; returns that."""
    by = rules(Reopen.RESUME, OnChange(), promises_all=False)
    expected = [outcome(clock) for clock in evaluate(log, by, END).clocks]
    stored = [outcome(clock) for clock in live(log, by, late, ()).clocks]
    beyond = [clock for clock in stored if clock not in expected]
    assert sorted(expected, key=str) == sorted((clock for clock in stored if clock not in beyond), key=str)
    assert {ClockState.CANCELLED} >= {clock.state for clock in beyond}
    return expected


def event(when: timedelta, name: str, data: Data) -> TicketEvent:
    """Something that happened so long after the opening."""
    return TicketEvent(tenant="default", id=name, source="desk", ticket="1", occurred_at=OPENED + when, data=data)


def test_rule_41_a_late_pause_takes_a_breach_back_that_another_version_judged() -> None:
    """Broken under the first version and finished under the second; then it turns out that it was paused all the time."""
    log = [
        event(h(0), "1", Opened(channel="email", urgency=Urgency.URGENT)),
        event(h(0), "2", StatusChanged(status=Status.PENDING_CUSTOMER)),
        event(h(4.25), "3", PolicyChanged(version=2, previous=1)),
        event(h(4.5), "4", StatusChanged(status=Status.CLOSED)),
    ]
    [update] = [clock for clock in assert_one_end(log, h(0), h(5), h(0), h(0)) if clock.target is UPDATE]
    assert (2, None) == (update.policy_version, update.breached_at)


def test_rule_42_clocks_of_a_ticket_to_which_nothing_was_promised_after_all_go() -> None:
    """Kept promises too: a late change shows that there were none."""
    log = [
        event(h(0), "1", Opened(channel="email", urgency=Urgency.URGENT)),
        event(h(0), "2", Updated(urgency=Urgency.NORMAL)),
        event(h(1), "3", StatusChanged(status=Status.SOLVED)),
    ]
    assert [] == [clock for clock in assert_one_end(log, h(0), h(2), h(0)) if clock.target is RESOLUTION]


def test_rule_42_a_cycle_found_late_shifts_those_of_other_versions() -> None:
    """A question and answer of the morning come in the evening: the cycles behind move up, each counted once."""
    log = [
        event(h(0), "1", Opened(channel="email", urgency=Urgency.URGENT)),
        event(h(1), "2", Replied(by=Author.AGENT)),
        event(h(2), "3", Replied(by=Author.CUSTOMER)),
        event(h(2.5), "4", Replied(by=Author.AGENT)),
        event(h(3), "5", Replied(by=Author.CUSTOMER)),
        event(h(3.5), "6", Replied(by=Author.AGENT)),
        event(h(4), "7", PolicyChanged(version=2, previous=1)),
        event(h(5), "8", Replied(by=Author.CUSTOMER)),
        event(h(5.5), "9", Replied(by=Author.AGENT)),
    ]
    expected = assert_one_end(log, *(h(0) for _ in range(2)), h(10), h(10), *(h(0) for _ in range(5)))
    assert [1, 2, 3] == [clock.cycle for clock in expected if clock.target is NEXT]


def test_rule_41_a_broken_promise_that_was_withdrawn_and_holds_again_breaks_again_only_after_a_retraction() -> None:
    """Told broken as it was withdrawn; made again at the same instant it goes on, and whoever has to is paged anew."""
    log = [
        event(h(0), "1", Opened(channel="email", urgency=Urgency.HIGH)),
        event(h(12), "2", Updated(urgency=Urgency.NORMAL)),
        event(h(12), "3", Updated(urgency=Urgency.HIGH)),
    ]
    by = rules(Reopen.RESUME, OnChange(), promises_all=False)
    told = [one.change for one in live(log, by, (h(0), h(0), h(1)), ()).told if one.target is FIRST]
    assert [
        Change.STARTED, Change.BREACHED, Change.CANCELLED, Change.BREACH_RETRACTED, Change.STARTED, Change.BREACHED,
    ] == told  # fmt: skip
    assert_one_end(log, h(0), h(0), h(1))
