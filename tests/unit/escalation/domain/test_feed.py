"""What an imported calendar comes to (R25)."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from services.escalation.domain import feed
from services.escalation.domain.feed import Names
from services.escalation.domain.recipient import Person
from services.escalation.domain.rotation import Imported
from shared.policy.document import Contact
from shared.policy.ical_shifts import FedShift
from tests import effort

NOW = datetime(2026, 6, 3, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def shift(person: str, start: float, end: float) -> Imported:
    """Hours from NOW."""
    return Imported(person=person, starts_at=NOW + start * HOUR, ends_at=NOW + end * HOUR)


def fed(*names: str) -> FedShift:
    """A shift whose event says this."""
    return FedShift(names=names, starts_at=NOW, ends_at=NOW + HOUR)


ROSTER = (
    Person(key="a1", name="Ana Li", contacts=(Contact(method="email", address="Ana@Desk.test"),)),
    Person(key="a2", name="Ana", contacts=()),
    Person(key="ben", name="Ben", contacts=()),
    Person(key="ben2", name="Ben", contacts=()),
)


def test_r25_people_are_found_by_map_key_name_address_and_word() -> None:
    """The map beats the roster; a name that two have is nobody's; of names within names the longest counts."""
    names = Names({"Chief": "head", " ": "nobody", "Team meeting": None, "mailto:b@x.org": "ben"}, ROSTER)
    assert (True, "head") == names.of(("CHIEF ",))
    assert (True, None) == names.of(("team meeting",))
    assert (True, "ben") == names.of(("mailto:B@x.org", "whoever"))
    assert (True, "a1") == names.of(("mailto:ana@desk.test", "On call"))
    assert (True, "a1") == names.of(("on call: Ana Li (night)",))
    assert (True, "a2") == names.of(("on call: Ana (night)",)) == names.of(("a2",))
    assert (False, None) == names.of(("Ben",)) == names.of(("Anabel",)) == names.of(())
    assert (False, None) == names.of(("Ana or Ana Li or a2",)) == names.of(("a1 or a2",))
    found = feed.named([fed("Chief"), fed("Team meeting"), fed("x@y", "Z\x1bed"), fed()], names)
    assert (["head"], ("Zed", "an event without a name")) == ([one.person for one in found.shifts], found.unknown)


def test_r25_where_shifts_overlap_the_one_that_begins_later_wins() -> None:
    """And the longer one goes on after it."""
    shifts = [
        shift("ana", 0, 100),
        shift("ben", 10, 14),
        shift("chi", 20, 30),
        shift("dan", 25, 40),
        shift("eve", 100, 110),
    ]
    assert (
        shift("ana", 0, 10), shift("ben", 10, 14), shift("ana", 14, 20), shift("chi", 20, 25), shift("dan", 25, 40),
        shift("ana", 40, 100), shift("eve", 100, 110),
    ) == feed.one_at_a_time(shifts)  # fmt: skip
    assert (3, 0) == (
        feed.overlaps(shifts),
        feed.overlaps([shift("ana", 0, 1), shift("ben", 1, 2), shift("ben", 1, 2)]),
    )


@settings(max_examples=effort.examples(30))
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50), st.integers(1, 20)), max_size=12))
def test_r25_one_at_a_time_covers_the_same_instants_and_has_no_overlap(drawn) -> None:
    """Every hour that some shift covers is covered once, by a shift that covers it."""
    shifts = [shift(person, start, start + length) for person, start, length in drawn]
    made = feed.one_at_a_time(shifts)
    for hour in range(75):
        at = NOW + hour * HOUR
        over = [one for one in shifts if one.starts_at <= at < one.ends_at]
        mine = [one.person for one in made if one.starts_at <= at < one.ends_at]
        latest = max((one.starts_at for one in over), default=None)
        assert len(mine) == min(1, len(over))
        assert not over or mine[0] in {one.person for one in over if one.starts_at == latest}


def test_r26_an_import_changes_what_comes_not_what_was() -> None:
    """The shift of now ends now where it is given to somebody else; where it goes on it stays one."""
    old = [shift("ana", -10, 10), shift("ben", 10, 20)]
    assert (shift("ana", -10, 0), shift("chi", 0, 5), shift("ben", 5, 20)) == feed.merged(
        old, [shift("chi", -10, 5), shift("ben", 5, 20)], NOW
    )
    assert (shift("ana", -10, 12), shift("ben", 12, 20)) == feed.merged(
        old, [shift("ana", -3, 12), shift("ben", 12, 20)], NOW
    )
    assert (shift("ana", -10, 0), shift("ana", 3, 5)) == feed.merged(old, [shift("ana", 3, 5)], NOW)
    assert (shift("ana", 0, 5),) == feed.merged([], [shift("ana", -5, 5)], NOW)


def test_r25_only_a_plan_that_differs_where_it_was_known_is_another_one() -> None:
    """A further day at the end is not."""
    old = [shift("ana", 0, 10), shift("ben", 10, 20)]
    assert not feed.is_changed(old, [*old, shift("ana", 20, 30)], NOW + 21 * HOUR)
    assert feed.is_changed(old, [shift("ana", 0, 11), *old[1:]], NOW + 21 * HOUR)
    assert feed.is_changed([], old, None)
