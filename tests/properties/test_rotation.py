"""Whoever is on call: at every instant exactly one, in every zone, whatever the clocks do (R20)."""

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import given, settings
from hypothesis import strategies as st

from services.escalation.domain.rotation import END, Duty, Override, shift_at, stretch_at, stretches
from shared.policy.document import Cadence, Feed, Layer, Rotation
from shared.sla.hours import Hours
from tests import effort
from tests.turns import daily, layer, rotation
from tests.walked import FIRST, LAST, Tally, walk

ZONES = sorted(available_timezones())
EMPTY = timedelta()
DAY = timedelta(days=1)

times = st.times().map(lambda at: at.replace(second=0, microsecond=0))
people = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=5, unique=True).map(tuple)
instants = st.timedeltas(EMPTY, timedelta(days=40 * 365)).map(lambda since: datetime(2000, 1, 1, tzinfo=UTC) + since)
spans = st.tuples(st.integers(0, 86_399), st.integers(1, 86_400)).map(lambda span: Hours(span[0], span[0] + span[1]))
weeks = st.tuples(*[st.lists(spans, max_size=2).map(tuple)] * 7)
plain_layers = st.builds(
    Layer,
    cadence=st.sampled_from(Cadence),
    every=st.integers(1, 9),
    handoff_weekday=st.integers(0, 6),
    handoff_time=times,
    people=people,
    begins=st.none() | st.dates(FIRST, LAST),
)
layers = st.builds(
    lambda plain, name, hours, ends: Layer(
        **{
            field: getattr(plain, field)
            for field in plain.__struct_fields__
            if field not in {"name", "hours", "valid_from", "valid_to"}
        },
        name=name,
        hours=hours,
        valid_from=ends[0] if len(ends) > 0 else None,
        valid_to=ends[1] if len(ends) > 1 else None,
    ),
    plain_layers,
    st.sampled_from("123"),
    st.none() | weeks.filter(any),
    st.lists(instants, max_size=2, unique=True).map(sorted),
)
zones = st.sampled_from(ZONES).map(ZoneInfo)
rotations = st.builds(lambda plain, zone: Rotation(name="support", zone=zone, layers=(plain,)), plain_layers, zones)
layered = st.builds(
    lambda several, zone: Rotation(name="support", zone=zone, layers=tuple(several)),
    st.lists(layers, max_size=4),
    zones,
)


@st.composite
def duties(draw):
    """A layered rotation, with overrides about an instant; and that instant."""
    at = draw(instants)
    overrides = []
    for number in range(draw(st.integers(0, 6))):
        start = at + draw(st.timedeltas(-9 * DAY, 9 * DAY))
        overrides.append(
            Override(
                id=UUID(int=number),
                person=draw(st.sampled_from("xyz")),
                starts_at=start,
                ends_at=start + draw(st.timedeltas(timedelta(seconds=1), 5 * DAY)),
                made_at=at + draw(st.timedeltas(EMPTY, timedelta(seconds=3))),
            )
        )
    return Duty(rotation=draw(layered), overrides=tuple(overrides)), at


@settings(max_examples=effort.examples(60))
@given(rotations, instants)
def test_r20_the_shift_at_an_instant_holds_it_and_follows_the_one_before(plan, at):
    """From its start on, until before its end, where the next begins; every instant of it gives it."""
    duty = Duty(rotation=plan)
    shift = shift_at(duty, at)
    following = shift_at(duty, shift.ends_at)
    assert shift.starts_at <= at < shift.ends_at == following.starts_at
    assert shift == shift_at(duty, shift.starts_at)
    assert shift == shift_at(duty, shift.ends_at - timedelta(microseconds=1))


@settings(max_examples=effort.examples(60))
@given(rotations, instants)
def test_r20_people_take_turns_in_their_order(plan, at):
    """After a shift comes the next of the list, unless the calendar itself skipped a day."""
    duty, [turns] = Duty(rotation=plan), plan.layers
    shift = shift_at(duty, at)
    following = shift_at(duty, shift.ends_at)
    length = turns.every * timedelta(days=1 if turns.cadence is Cadence.DAILY else 7)
    assert EMPTY < shift.ends_at - shift.starts_at
    assert abs(shift.ends_at - shift.starts_at - length) <= timedelta(hours=25)
    if abs(shift.ends_at - shift.starts_at - length) < timedelta(hours=12):
        turn = turns.people.index(shift.person)
        assert turns.people[(turn + 1) % len(turns.people)] == following.person


@settings(max_examples=effort.examples(60))
@given(rotations, instants)
def test_r20_the_handoff_is_at_the_local_time_unless_that_does_not_exist(plan, at):
    """A skipped local time moves forward; one that comes twice is its first."""
    shift = shift_at(Duty(rotation=plan), at)
    handoff = plan.layers[0].handoff_time
    local = shift.starts_at.astimezone(plan.zone)
    if local.time() == handoff:
        assert 0 == local.fold
    else:
        there_and_back = datetime.combine(local.date(), handoff, plan.zone).astimezone(UTC)
        is_skipped = there_and_back.astimezone(plan.zone).time() != handoff
        assert is_skipped or local.date() != shift.starts_at.date()


@settings(max_examples=effort.examples(40))
@given(duties())
def test_r20_r21_layers_and_overrides_leave_no_gap_and_no_overlap(case):
    """Whatever is on: stretches follow each other, each instant of one gives it, and none is empty."""
    duty, at = case
    found = list(stretches(duty, at - 3 * DAY, at + 3 * DAY))
    for before, after in pairwise(found):
        assert before.ends_at == after.starts_at
    for one in found:
        assert one.starts_at < one.ends_at
        assert one == stretch_at(duty, max(one.starts_at, at - 30 * DAY))
        assert one == stretch_at(duty, min(one.ends_at, at + 30 * DAY) - timedelta(microseconds=1))


@settings(max_examples=effort.examples(40))
@given(duties())
def test_r21_what_is_on_call_is_what_a_plain_reading_says(case):
    """The newest override that holds the instant, else the last layer that is on then, by its own turns."""
    duty, at = case
    found = stretch_at(duty, at)
    over = [one for one in duty.overrides if one.starts_at <= at < one.ends_at]
    if over:
        newest = max(over, key=lambda one: (one.made_at, one.id))
        assert (newest.person, newest.id, None) == (found.person, found.override, found.layer)
        return
    on = [one for one in duty.rotation.layers if _is_on(one, duty.rotation.zone, at)]
    if not on:
        assert (None, None) == (found.person, found.layer)
        return
    alone = Rotation(name="x", zone=duty.rotation.zone, layers=(_always(on[-1]),))
    assert (shift_at(Duty(rotation=alone), at).person, on[-1].name) == (found.person, found.layer)


def _always(one: Layer) -> Layer:
    fields = {name: getattr(one, name) for name in one.__struct_fields__}
    return Layer(**{**fields, "hours": None, "valid_from": None, "valid_to": None})


def _is_on(one: Layer, zone: ZoneInfo, at: datetime) -> bool:
    if not ((one.valid_from or at) <= at and (one.valid_to is None or at < one.valid_to)):
        return False
    if one.hours is None:
        return True
    today = at.astimezone(zone).date()
    for back in range(-1, 4):
        day = today - back * DAY
        midnight = datetime.combine(day, time())
        for span in one.hours[day.weekday()]:
            opens, closes = (
                (midnight + timedelta(seconds=wall)).replace(tzinfo=zone).astimezone(UTC)
                for wall in (span.opens, span.closes)
            )
            if opens <= at < closes:
                return True
    return False


@settings(max_examples=effort.examples(6), deadline=None)
@given(zones, times, st.integers(FIRST.year, LAST.year - 2))
def test_r20_two_years_of_daily_and_weekly_shifts_in_some_zone(zone, at, year):
    """No gap, no overlap, and a daily shift lasts a day less what the clocks gain: `make fuzz` walks them all."""
    tally = Tally()
    start = datetime(year, 1, 1, tzinfo=UTC)
    for turns in (daily("a", "b", at=at), layer("a", "b", at=at)):
        walk(Duty(rotation=rotation(turns, zone=zone.key)), start, start + 2 * 365 * DAY, tally)
    assert 2 * 365 + 2 * 52 <= tally.shifts + 4
    assert [] == tally.faults


def test_r20_a_berlin_spring_and_autumn_day():
    """The literal case: 23 hours on 29 March 2026, 25 hours on 25 October."""
    duty = Duty(rotation=rotation(daily("ana", "ben", at=time(0)), zone="Europe/Berlin"))
    spring = shift_at(duty, datetime(2026, 3, 29, 12, tzinfo=UTC))
    autumn = shift_at(duty, datetime(2026, 10, 25, 12, tzinfo=UTC))
    assert timedelta(hours=23) == spring.ends_at - spring.starts_at
    assert timedelta(hours=25) == autumn.ends_at - autumn.starts_at


def test_r20_a_handoff_that_does_not_exist_moves_forward_and_one_that_comes_twice_is_the_first():
    """02:30 on the nights of the change."""
    duty = Duty(rotation=rotation(daily("ana", "ben", at=time(2, 30)), zone="Europe/Berlin"))
    assert datetime(2026, 3, 29, 1, 30, tzinfo=UTC) == shift_at(duty, datetime(2026, 3, 29, 12, tzinfo=UTC)).starts_at
    assert datetime(2026, 10, 25, 0, 30, tzinfo=UTC) == shift_at(duty, datetime(2026, 10, 25, 12, tzinfo=UTC)).starts_at


def test_r20_a_day_that_a_zone_skipped_leaves_no_gap():
    """Samoa had no 30 December 2011."""
    duty = Duty(rotation=rotation(daily("ana", "ben", "chi"), zone="Pacific/Apia"))
    at = datetime(2011, 12, 29, tzinfo=UTC)
    ends = datetime(2012, 1, 2, tzinfo=UTC)
    while at < ends:
        shift = shift_at(duty, at)
        assert shift.starts_at <= at < shift.ends_at
        at = shift.ends_at


def test_r22_a_gap_without_an_end_is_walked_once():
    """A calendar that was never read, or layers that are all over: one stretch, and none after the end of all time."""
    fed = Duty(rotation=Rotation(name="x", zone=ZoneInfo("UTC"), feed=Feed(source="x")))
    over = Duty(rotation=rotation(layer("a", valid_to=datetime(2020, 1, 1, tzinfo=UTC))))
    for duty in (fed, over):
        [gap] = stretches(duty, datetime(2026, 1, 1, tzinfo=UTC), END + DAY)
        assert (None, END) == (gap.person, gap.ends_at)
        assert [] == list(stretches(duty, gap.ends_at, gap.ends_at + DAY))


def test_r22_a_rotation_without_people_is_a_gap():
    """Nobody, and no error."""
    assert shift_at(Duty(rotation=rotation(layer())), datetime(2026, 1, 1, tzinfo=UTC)) is None
    assert shift_at(Duty(rotation=rotation()), datetime(2026, 1, 1, tzinfo=UTC)) is None
