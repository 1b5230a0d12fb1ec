"""Laws of the fold: no order of arrival, no repetition and no instant of looking changes what a ticket's log says."""

import random
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.contract.events import Assigned, Data, Opened, Replied, StatusChanged, TicketEvent, Updated
from shared.contract.tickets import Author, ClockState, Status, TargetKind, Urgency
from shared.sla import timeline
from shared.sla.clock import Clock, advance
from shared.sla.policy import BusinessDays, Reopen, SlaPolicy, WarnAt
from tests.effort import examples
from tests.unit.sla.building import FIRST, NEXT, RESOLUTION, UPDATE, at, classify, h, m, policy, target

OPENED = at("1 08:00")
WARN = (WarnAt(share=0.5), WarnAt(left=m(30)))

POLICIES = [
    policy(
        target({FIRST: h(2), NEXT: h(1), RESOLUTION: h(6)}, name="urgent", urgency=Urgency.URGENT, warn=WARN),
        target({RESOLUTION: BusinessDays(2), UPDATE: h(5)}, name="low", urgency=Urgency.LOW, warn=WARN, on_reopen=mode),
        target({FIRST: h(9), RESOLUTION: h(30)}, name="high", urgency=Urgency.HIGH, calendar="always", on_reopen=mode),
        *(
            [target({FIRST: h(4), NEXT: h(3), UPDATE: h(8), RESOLUTION: h(16)}, warn=WARN, on_reopen=mode)]
            if promises_all
            else []
        ),
    )
    for mode in Reopen
    for promises_all in (True, False)
]

replies = st.builds(Replied, by=st.sampled_from(Author), public=st.sampled_from([True, True, False]))
moves = st.builds(StatusChanged, status=st.sampled_from([*Status, Status.OPEN, Status.PENDING_CUSTOMER, Status.SOLVED]))
changes = st.builds(Updated, urgency=st.sampled_from(Urgency))
owners = st.builds(Assigned, agent=st.sampled_from(["ana", None]))
# Quarters of an hour, so that many things happen at the same instant.
offsets = st.integers(-4, 4 * 24 * 10).map(lambda quarters: quarters * m(15))


@st.composite
def logs(draw: st.DrawFn) -> list[TicketEvent]:
    """The events of one ticket over ten days, in no order."""
    said: list[tuple[timedelta, Data]] = [
        (timedelta(), Opened(channel="email", urgency=draw(st.sampled_from(Urgency))))
    ]
    said += draw(st.lists(st.tuples(offsets, replies | moves | moves | changes | owners), max_size=14))
    return [
        TicketEvent(tenant="default", id=f"{i}", source="desk", ticket="1", occurred_at=OPENED + offset, data=data)
        for i, (offset, data) in enumerate(said)
    ]


policies = st.sampled_from(POLICIES)
looks = st.integers(0, 4 * 24 * 14).map(lambda quarters: OPENED + quarters * m(15) + timedelta(seconds=1))


def standing(clock: Clock) -> Clock:
    """Where a clock stands, without the record of when somebody looked: `detected_at`, and which warnings were in time."""
    return replace(clock, detected_at=None, warned_at=None)


@settings(max_examples=examples(100))
@given(log=logs(), policy=policies, now=looks, seed=st.randoms(use_true_random=False))
def test_rule_42_no_order_or_repetition_of_events_matters(
    log: list[TicketEvent], policy: SlaPolicy, now: datetime, seed: random.Random
) -> None:
    """Shuffled and with some events twice, the log says the same."""
    arrived = [*log, *seed.choices(log, k=3)]
    seed.shuffle(arrived)
    assert timeline.evaluate(log, policy, classify, now) == timeline.evaluate(arrived, policy, classify, now)


@settings(max_examples=examples(100))
@given(log=logs(), policy=policies, first=looks, second=looks)
def test_time_in_two_steps_is_time_in_one(
    log: list[TicketEvent], policy: SlaPolicy, first: datetime, second: datetime
) -> None:
    """What is evaluated later is what was evaluated earlier, advanced."""
    earlier, later = sorted((first, second))
    before = timeline.evaluate(log, policy, classify, earlier).clocks
    after = timeline.evaluate(log, policy, classify, later).clocks
    assert [standing(clock) for clock in after] == [standing(advance(clock, later)[0]) for clock in before]


@settings(max_examples=examples(100))
@given(log=logs(), policy=policies, now=looks)
def test_every_clock_is_one_that_can_be_stored(log: list[TicketEvent], policy: SlaPolicy, now: datetime) -> None:
    """The constraints of the tables hold, cycles count from 1 without gaps, and at most one clock of a target runs."""
    clocks = timeline.evaluate(log, policy, classify, now).clocks
    for clock in clocks:
        if clock.is_finished:
            assert (clock.state is ClockState.CANCELLED) == (clock.met_at is None)
            assert clock.state in {ClockState.MET, ClockState.BREACHED, ClockState.CANCELLED}
            assert clock.ended_at is not None
            assert clock.started_at <= clock.ended_at
        else:
            assert (clock.state is ClockState.PAUSED) == (clock.due_at is None)
            assert (clock.state is ClockState.BREACHED) == (clock.breached_at is not None)
            assert clock.state is ClockState.RUNNING or clock.next_fire_at is None
        assert clock.open_used >= timedelta()
        assert list(clock.warn_at) == sorted(clock.warn_at)
    for kind in TargetKind:
        mine = [clock for clock in clocks if clock.target is kind]
        assert [clock.cycle for clock in mine] == list(range(1, len(mine) + 1))
        assert all(clock.is_finished for clock in mine[:-1])


@settings(max_examples=examples(100))
@given(log=logs(), policy=policies, now=looks)
def test_what_is_in_time_used_no_more_than_was_promised(
    log: list[TicketEvent], policy: SlaPolicy, now: datetime
) -> None:
    """Met means met: open time used and the due time agree with the verdict."""
    for clock in timeline.evaluate(log, policy, classify, now).clocks:
        if clock.met_at is None or clock.due_at is None:
            continue
        assert (clock.state is ClockState.BREACHED) == (clock.met_at > clock.due_at)
        terms = next(line for line in policy.lines if line.target.name == clock.matched).terms[clock.target]
        if not terms.business_days:
            used = clock.open_used // timedelta(microseconds=1)
            assert used >= terms.promise if clock.state is ClockState.BREACHED else used <= terms.promise


@settings(max_examples=examples(100))
@given(
    log=logs(), policy=policies, cut=st.integers(0, 14), lag=st.integers(0, 96), seed=st.randoms(use_true_random=False)
)
def test_stored_clocks_end_where_the_fold_does(
    log: list[TicketEvent], policy: SlaPolicy, cut: int, lag: int, seed: random.Random
) -> None:
    """Whatever arrived and fired before, storing the rest and letting time act ends as if all had been known at once."""
    arrived = [*log]
    seed.shuffle(arrived)
    latest = max(event.occurred_at for event in log) + timedelta(seconds=1)
    then = latest + lag * m(15)
    stored = timeline.evaluate(arrived[:cut], policy, classify, latest).clocks
    placed = timeline.place(arrived, policy, classify, then).clocks
    joined, _ = timeline.reconcile(stored, placed, then)
    known = {(clock.target, clock.cycle) for clock in placed}
    ended = [advance(clock, then)[0] for clock in joined if (clock.target, clock.cycle) in known]
    expected = timeline.evaluate(log, policy, classify, then).clocks
    assert [outcome(clock) for clock in expected] == [outcome(clock) for clock in ended]
    assert all(clock.state is ClockState.CANCELLED for clock in joined if (clock.target, clock.cycle) not in known)


def outcome(clock: Clock) -> Clock:
    """A clock without what depends on who looked when."""
    return replace(standing(clock), warned=0)
