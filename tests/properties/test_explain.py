"""Laws of an explanation: it says what the fold says, and its parts add up."""

from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.contract.events import Assigned, DeadlineSet, PolicyChanged, TicketEvent
from shared.contract.tickets import ClockState, TargetKind
from shared.sla import timeline
from shared.sla.explaining.explain import explain
from shared.sla.explaining.explained import ClockStory, IntervalState, Turn
from shared.sla.policy import ChangeMode, Judge, OnChange, SlaPolicy
from tests.effort import examples
from tests.properties.test_timeline import OPENED, POLICIES, logs, looks, offsets, policies
from tests.unit.sla.building import classify, h, policy, target

teams = st.builds(Assigned, agent=st.sampled_from(["ana", None]), team=st.sampled_from(["G1", "G2"]))
pins = st.builds(DeadlineSet, target=st.sampled_from([*TargetKind][:4]), due_at=looks | st.none())
versions = st.builds(PolicyChanged, version=st.sampled_from([2, 3]), previous=st.just(1))
changes_of_terms = st.sampled_from(
    [OnChange(), OnChange(mode=ChangeMode.RESTART), OnChange(grace=timedelta(hours=3)), OnChange()]
)


@st.composite
def eventful_logs(draw: st.DrawFn) -> list[TicketEvent]:
    """With hand-offs, deadlines by hand and changes of the policy among the events."""
    log = draw(logs())
    more = draw(st.lists(st.tuples(offsets, teams | pins | versions), max_size=5))
    return log + [
        TicketEvent(tenant="default", id=f"more {i}", source="desk", ticket="1", occurred_at=OPENED + offset, data=data)
        for i, (offset, data) in enumerate(more)
    ]


@st.composite
def changing_policies(draw: st.DrawFn) -> tuple[SlaPolicy, dict[int, Judge]]:
    """A first version, and those that come later; their lines treat running clocks in different ways."""
    first = draw(policies)
    later = {}
    for version in (2, 3):
        change = draw(changes_of_terms)
        lines = [replace(line, on_change=change) for line in draw(st.sampled_from(POLICIES)).targets]
        team = target({TargetKind.INTERNAL_RESOLUTION: h(5)}, name="team", is_internal=True, team="G2")
        later[version] = Judge(policy(*lines, team, version=version), classify)
    return first, later


@settings(max_examples=examples(100))
@given(log=eventful_logs(), chosen=changing_policies(), now=looks)
def test_what_is_explained_is_what_the_fold_says(
    log: list[TicketEvent], chosen: tuple[SlaPolicy, dict[int, Judge]], now: datetime
) -> None:
    """Every clock is there, as it stands, and the last due time among its changes is its own."""
    first, later = chosen
    now = max(now, *(event.occurred_at for event in log))
    told = explain(log, Judge(first, classify), now, later)
    clocks = timeline.evaluate(log, first, classify, now, later).clocks
    assert told is not None
    assert [(c.target, c.cycle, c.state, c.due_at, c.breached_at, c.met_at) for c in clocks] == [
        (c.target, c.cycle, c.state, c.due_at, c.breached_at, c.met_at) for c in told.clocks
    ]
    for clock, story in zip(clocks, told.clocks, strict=True):
        assert story.turns[0].turn is Turn.STARTED
        if clock.state is not ClockState.CANCELLED:
            assert story.turns[-1].due_after == clock.due_at
        assert (Turn.BREACHED in {turn.turn for turn in story.turns}) == (clock.breached_at is not None)
        if clock.is_finished or clock.due_at is None:
            assert clock.open_used.total_seconds() == story.open_seconds


@settings(max_examples=examples(100))
@given(log=eventful_logs(), chosen=changing_policies(), now=looks)
def test_intervals_and_holders_add_up_to_the_open_time_used(
    log: list[TicketEvent], chosen: tuple[SlaPolicy, dict[int, Judge]], now: datetime
) -> None:
    """One begins where the last one ends, from start to end; what counted is the open time used, whoever had the ticket."""
    first, later = chosen
    now = max(now, *(event.occurred_at for event in log))
    told = explain(log, Judge(first, classify), now, later)
    assert told is not None
    for clock in told.clocks:
        ends = clock.ended_at or max(now, clock.started_at)
        past = [interval for interval in clock.intervals if not interval.is_ahead]
        counted = [interval.open_seconds for interval in past if interval.state is IntervalState.COUNTED]
        assert micro(clock.open_seconds) == sum(map(micro, counted)) == sum(micro(i.open_seconds) for i in past)
        assert micro(clock.open_seconds) == sum(micro(holder.open_seconds) for holder in clock.holders)
        assert_contiguous(clock, ends)
    for before, after in zip(told.holdings, told.holdings[1:], strict=False):
        assert before.until == after.since


def assert_contiguous(clock: ClockStory, ends: datetime) -> None:
    """No hole and no overlap, from where it counts (or starts, if earlier) to its end, or to its due time ahead."""
    begins = min(clock.started_at, clock.counts_from)
    if begins == ends:
        return
    assert clock.intervals[0].since == begins
    for before, after in zip(clock.intervals, clock.intervals[1:], strict=False):
        assert before.until == after.since
        assert before.since < before.until
    is_running = clock.ended_at is None and clock.due_at is not None
    assert clock.intervals[-1].until == (max(ends, clock.due_at) if is_running and clock.due_at else ends)
    assert ends in {begins, *(interval.until for interval in clock.intervals)}


def micro(seconds: float) -> int:
    """Whole microseconds."""
    return round(seconds * 1_000_000)
