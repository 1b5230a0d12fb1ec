"""When nobody would be paged (R22, R23)."""

from datetime import UTC, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from services.escalation.domain.gaps import GapReason, gaps
from services.escalation.domain.recipient import Person
from services.escalation.domain.rotation import Duty, Imported, Override, stretch_at
from shared.policy.document import Contact, Feed, Rotation
from tests import effort
from tests.turns import daily, hours, layer, rotation

NOW = datetime(2026, 6, 1, tzinfo=UTC)  # a Monday
DAY = timedelta(days=1)
METHODS = frozenset({"console"})
PEOPLE = {
    key: Person(key=key, name=key, contacts=(Contact(method=method),))
    for key, method in (("ana", "console"), ("ben", "console"), ("mute", "pigeon"))
}


def found(duty: Duty, days: int, until: datetime | None = None) -> list[tuple[int, int, GapReason, str | None]]:
    """From and to in hours from NOW, why, and whose shift it was."""
    made = gaps(duty, NOW, NOW + days * DAY, PEOPLE, METHODS, imported_until=until)
    hour = timedelta(hours=1)
    return [((gap.starts_at - NOW) // hour, (gap.ends_at - NOW) // hour, gap.reason, gap.person) for gap in made]


def test_r22_hours_that_nobody_has_are_gaps_and_neighbours_are_one() -> None:
    """A weekend and the nights; cut to the time that was asked for."""
    duty = Duty(rotation=rotation(layer("ana", hours=hours(range(5), 8, 20))))
    nobody = (GapReason.NOBODY, None)
    assert [(0, 8, *nobody), (20, 32, *nobody), (44, 48, *nobody)] == found(duty, 2)
    assert (4 * 24 + 20, 7 * 24 + 8, *nobody) == found(duty, 8)[5]
    assert [] == found(Duty(rotation=rotation(layer("ana"))), 30)


def test_r21_r23_a_shift_of_somebody_who_cannot_be_paged_is_a_gap_with_its_reason() -> None:
    """Gone from the roster, or without a usable contact; two turns of the same are one gap, an override is its own."""
    duty = Duty(
        rotation=rotation(daily("ana", "mute", "mute", "ghost", at=time(0), begins=NOW.date())),
        overrides=(
            Override(id=UUID(int=1), person="mute", starts_at=NOW + 3 * DAY, ends_at=NOW + 3.5 * DAY, made_at=NOW),
        ),
    )
    assert [
        (24, 72, GapReason.NO_CONTACT, "mute"),
        (72, 84, GapReason.NO_CONTACT, "mute"),
        (84, 96, GapReason.NOT_ON_ROSTER, "ghost"),
    ] == found(duty, 5)


def test_r25_what_was_not_imported_is_told_from_what_nobody_has() -> None:
    """Never read, a hole in the calendar, and beyond what was read of it."""
    fed = Rotation(name="fed", zone=ZoneInfo("UTC"), feed=Feed(source="x"))
    assert [(0, 48, GapReason.NOT_IMPORTED, None)] == found(Duty(rotation=fed), 2)
    shifts = tuple(Imported(person="ana", starts_at=NOW + day * DAY, ends_at=NOW + (day + 1) * DAY) for day in (0, 2))
    duty = Duty(rotation=fed, imported=shifts, feed_version=1)
    assert [(24, 48, GapReason.NOBODY, None), (72, 96, GapReason.NOT_IMPORTED, None)] == found(duty, 4, NOW + 3 * DAY)
    assert (72, 96, GapReason.NOBODY, None) == found(duty, 4, NOW + 400 * DAY)[1]


@settings(max_examples=effort.examples(30))
@given(
    st.lists(st.tuples(st.sampled_from(["ana", "mute", "ghost"]), st.integers(-30, 80), st.integers(1, 40)), max_size=8)
)
def test_r22_an_instant_is_in_a_gap_exactly_if_nobody_would_be_paged_then(drawn: list[tuple[str, int, int]]) -> None:
    """The report says the same as asking at each hour, and its gaps are apart and in order."""
    overrides = tuple(
        Override(
            id=UUID(int=number),
            person=person,
            starts_at=NOW + timedelta(hours=start),
            ends_at=NOW + timedelta(hours=start + length),
            made_at=NOW + timedelta(seconds=number),
        )
        for number, (person, start, length) in enumerate(drawn)
    )
    duty = Duty(rotation=rotation(layer("ben", hours=hours(range(7), 6, 22))), overrides=overrides)
    made = gaps(duty, NOW, NOW + 3 * DAY, PEOPLE, METHODS)
    assert sorted(made, key=lambda gap: gap.starts_at) == made
    for hour in range(72):
        at = NOW + timedelta(hours=hour)
        person = stretch_at(duty, at).person
        holding = [gap for gap in made if gap.starts_at <= at < gap.ends_at]
        assert len(holding) == (person not in {"ana", "ben"})
