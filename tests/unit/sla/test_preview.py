"""A calendar explained interval by interval."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.sla.calendar import Calendar
from shared.sla.hours import CalendarSpec, Combination, CombinedSpec, Hours
from shared.sla.policy import BusinessDays
from shared.sla.preview import MOST_INTERVALS, preview
from tests.unit.sla.building import ALWAYS, BERLIN, EVERY_DAY, OFFICE, at, calendar, h, on, wall


def test_rule_8_every_interval_up_to_the_due_time_with_its_reasons() -> None:
    """Half a day, a holiday and a weekend lie between."""
    christmas = calendar(holidays=["2026-12-25"], closed=[on("2026-12-24", "12:00-24:00")])
    shown = preview(christmas, at("2026-12-24 11:00"), h(4))

    assert "2026-12-28 12:00" == wall(shown.due_at)
    assert [
        ("2026-12-24 11:00", "2026-12-24 12:00", True, ()),
        (
            "2026-12-24 12:00",
            "2026-12-28 09:00",
            False,
            (
                "closure 2026-12-24",
                "holiday 2026-12-25",
                "no hours on Saturdays",
                "no hours on Sundays",
                "outside hours",
            ),
        ),
        ("2026-12-28 09:00", "2026-12-28 12:00", True, ()),
    ] == [(wall(each.start_at), wall(each.end_at), each.is_open, each.reasons) for each in shown.intervals]
    assert (4 * 3600, 97 * 3600) == (shown.open_seconds, shown.wall_seconds)
    assert shown.is_complete


def test_a_yearly_closure_is_named_across_the_year() -> None:
    """24 December to 2 January."""
    shown = preview(calendar(closed=[on("12-24..01-02")]), at("2026-12-31 10:00"), None, at("2027-01-01 20:00"))
    assert [("closure 2026-12-31", "closure 2027-01-01")] == [each.reasons for each in shown.intervals]


def test_without_a_length_two_weeks_or_up_to_an_end() -> None:
    """The intervals alone; nothing is due."""
    fortnight = preview(OFFICE, at("09:00"), None)
    assert (None, timedelta(days=14)) == (fortnight.due_at, fortnight.end_at - fortnight.start_at)
    assert 80 * 3600 == fortnight.open_seconds
    hour = preview(ALWAYS, at("09:00"), None, at("10:00"))
    assert [(at("09:00"), at("10:00"), True)] == [(each.start_at, each.end_at, each.is_open) for each in hour.intervals]
    assert () == preview(OFFICE, at("09:00"), None, at("09:00")).intervals


def test_rule_15_what_is_never_due_is_shown_all_the_same() -> None:
    """Two weeks of a calendar that never opens."""
    shown = preview(calendar(""), at("09:00"), h(1))
    assert (None, False, 0) == (shown.due_at, shown.intervals[0].is_open, shown.open_seconds)


def test_rule_16_no_time_at_all_is_due_at_the_next_opening() -> None:
    """Saturday noon."""
    assert "2026-06-08 09:00" == wall(preview(OFFICE, at("6 12:00"), timedelta()).due_at)


def test_rule_21_business_days() -> None:
    """The same time of day on the next open day."""
    assert "2026-06-08 16:55" == wall(preview(OFFICE, at("5 16:55"), BusinessDays(1)).due_at)


def test_rule_30_a_combination_names_its_parts() -> None:
    """Which of them closes it, their own previews say."""
    spec = CombinedSpec(name="both", zone=BERLIN, how=Combination.UNION, parts=(OFFICE.spec, calendar(days=[5]).spec))
    shown = preview(Calendar(spec), at("6 18:00"), None, at("8 09:00"))
    assert [("union of office, office",)] == [each.reasons for each in shown.intervals]


def test_intervals_and_the_search_for_reasons_are_bounded() -> None:
    """A calendar that opens every other hour, with thousands of closures."""
    hours = tuple(Hours(hour * 3600, (hour + 1) * 3600) for hour in range(0, 24, 2))
    closed = tuple(on("1999-01-01") for _ in range(2000))
    spec = CalendarSpec(name="odd", zone=BERLIN, weekly=(hours,) * 7, closed=closed)
    shown = preview(Calendar(spec), at("2026-01-01 00:00"), None, at("2026-12-30 00:00"))
    assert (MOST_INTERVALS, False) == (len(shown.intervals), shown.is_complete)
    assert "outside hours" in shown.intervals[1].reasons
    assert () == shown.intervals[-1].reasons
    assert len(preview(calendar(days=EVERY_DAY), at("09:00"), h(8000)).intervals) == MOST_INTERVALS


@pytest.mark.parametrize(
    ("start", "until", "said"),
    [
        (datetime(1960, 1, 1, tzinfo=UTC), None, "outside the years 1970 to 2099"),
        (datetime(9999, 12, 31, tzinfo=UTC), None, "outside the years"),
        (datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), "before the start"),
    ],
)
def test_what_no_calendar_knows_is_refused(start: datetime, until: datetime | None, said: str) -> None:
    """Years that are not compiled, and an end before the start."""
    with pytest.raises(ValueError, match=said):
        preview(ALWAYS, start, None, until)
