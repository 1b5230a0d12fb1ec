"""Whoever is on call: at every instant exactly one, in every zone, whatever the clocks do (R20)."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import given
from hypothesis import strategies as st

from services.escalation.domain.rotation import shift_at
from shared.policy.document import Cadence, Rotation

ZONES = sorted(available_timezones())
EMPTY = timedelta()

rotations = st.builds(
    Rotation,
    name=st.just("support"),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    cadence=st.sampled_from(Cadence),
    handoff_weekday=st.integers(0, 6),
    handoff_time=st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    people=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=5, unique=True).map(tuple),
)
instants = st.timedeltas(timedelta(), timedelta(days=40 * 365)).map(
    lambda since: datetime(2000, 1, 1, tzinfo=UTC) + since
)


@given(rotations, instants)
def test_r20_the_shift_at_an_instant_holds_it(rotation, at):
    """From its start on, until before its end."""
    shift = shift_at(rotation, at)
    assert shift.starts_at <= at < shift.ends_at


@given(rotations, instants)
def test_r20_shifts_follow_each_other_without_gap_or_overlap(rotation, at):
    """The next one begins where this one ends; every instant of this one gives this one."""
    shift = shift_at(rotation, at)
    following = shift_at(rotation, shift.ends_at)
    assert shift.ends_at == following.starts_at
    assert shift == shift_at(rotation, shift.starts_at)
    assert shift == shift_at(rotation, shift.ends_at - timedelta(microseconds=1))


@given(rotations, instants)
def test_r20_people_take_turns_in_their_order(rotation, at):
    """After a shift comes the next of the list, unless the calendar itself skipped a day."""
    shift = shift_at(rotation, at)
    following = shift_at(rotation, shift.ends_at)
    length = timedelta(days=1 if rotation.cadence is Cadence.DAILY else 7)
    if abs(shift.ends_at - shift.starts_at - length) < timedelta(hours=12):
        turn = rotation.people.index(shift.person)
        assert rotation.people[(turn + 1) % len(rotation.people)] == following.person


@given(rotations, instants)
def test_r20_a_daily_shift_lasts_a_day_give_or_take_a_clock_change(rotation, at):
    """23 to 25 hours where clocks change by an hour; never empty."""
    shift = shift_at(rotation, at)
    days = 1 if rotation.cadence is Cadence.DAILY else 7
    lasted = shift.ends_at - shift.starts_at
    assert EMPTY < lasted
    assert abs(lasted - timedelta(days=days)) <= timedelta(hours=24)


@given(rotations, instants)
def test_r20_the_handoff_is_at_the_local_time_unless_that_does_not_exist(rotation, at):
    """A skipped local time moves forward; one that comes twice is its first."""
    shift = shift_at(rotation, at)
    local = shift.starts_at.astimezone(rotation.zone)
    if local.time() == rotation.handoff_time:
        assert 0 == local.fold
    else:
        there_and_back = datetime.combine(local.date(), rotation.handoff_time, rotation.zone).astimezone(UTC)
        is_skipped = there_and_back.astimezone(rotation.zone).time() != rotation.handoff_time
        assert is_skipped or local.date() != shift.starts_at.date()


def test_r20_a_berlin_spring_and_autumn_day():
    """The literal case: 23 hours on 29 March 2026, 25 hours on 25 October."""
    rotation = Rotation(
        name="support",
        zone=ZoneInfo("Europe/Berlin"),
        cadence=Cadence.DAILY,
        handoff_weekday=0,
        handoff_time=time(0),
        people=("ana", "ben"),
    )
    spring = shift_at(rotation, datetime(2026, 3, 29, 12, tzinfo=UTC))
    autumn = shift_at(rotation, datetime(2026, 10, 25, 12, tzinfo=UTC))
    assert timedelta(hours=23) == spring.ends_at - spring.starts_at
    assert timedelta(hours=25) == autumn.ends_at - autumn.starts_at


def test_r20_a_handoff_that_does_not_exist_moves_forward_and_one_that_comes_twice_is_the_first():
    """02:30 on the nights of the change."""
    rotation = Rotation(
        name="support",
        zone=ZoneInfo("Europe/Berlin"),
        cadence=Cadence.DAILY,
        handoff_weekday=0,
        handoff_time=time(2, 30),
        people=("ana", "ben"),
    )
    assert (
        datetime(2026, 3, 29, 1, 30, tzinfo=UTC) == shift_at(rotation, datetime(2026, 3, 29, 12, tzinfo=UTC)).starts_at
    )
    assert (
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
        == shift_at(rotation, datetime(2026, 10, 25, 12, tzinfo=UTC)).starts_at
    )


def test_r20_a_day_that_a_zone_skipped_leaves_no_gap():
    """Samoa had no 30 December 2011."""
    rotation = Rotation(
        name="support",
        zone=ZoneInfo("Pacific/Apia"),
        cadence=Cadence.DAILY,
        handoff_weekday=0,
        handoff_time=time(9),
        people=("ana", "ben", "chi"),
    )
    at = datetime(2011, 12, 29, tzinfo=UTC)
    ends = datetime(2012, 1, 2, tzinfo=UTC)
    while at < ends:
        shift = shift_at(rotation, at)
        assert shift.starts_at <= at < shift.ends_at
        at = shift.ends_at


def test_r22_a_rotation_without_people_is_a_gap():
    """Nobody, and no error."""
    rotation = Rotation(
        name="support",
        zone=ZoneInfo("UTC"),
        cadence=Cadence.WEEKLY,
        handoff_weekday=0,
        handoff_time=time(9),
        people=(),
    )
    assert shift_at(rotation, datetime(2026, 1, 1, tzinfo=UTC)) is None
