"""Rules A: open time added, subtracted and measured. Calendar C is Monday to Friday, 09:00 to 17:00 in Berlin."""

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from shared.sla.calendar import Calendar
from shared.sla.hours import DAY, CalendarSpec, Hours
from tests.unit.sla.building import ALWAYS, BERLIN, EVERY_DAY, OFFICE, at, calendar, due, h, m, on, wall

NIGHT = "22:00-06:00"


def test_rule_1_a_holiday_is_stepped_over() -> None:
    """Eight hours from Friday 16:00 end on Tuesday 16:00 where Monday is a holiday."""
    assert due(calendar(holidays=["2026-06-08"]), "5 16:00", h(8)) == "2026-06-09 16:00"


def test_rule_2_time_outside_opening_hours_does_not_count() -> None:
    """Before opening it counts from the opening, after closing from the next one."""
    assert due(OFFICE, "3 07:00", h(2)) == "2026-06-03 11:00"
    assert due(OFFICE, "20:00", m(30)) == "2026-06-02 09:30"


def test_rule_3_due_may_equal_a_close() -> None:
    """A start on the close belongs to the next day; what ends on the close is due then, not at the next opening."""
    assert due(OFFICE, "17:00", h(1)) == "2026-06-02 10:00"
    assert due(OFFICE, "09:00", h(8)) == "2026-06-01 17:00"


def test_rule_4_several_and_overlapping_hours_a_day() -> None:
    """Lunch is left out; overlapping hours count once."""
    assert due(calendar("09:00-12:00, 13:00-17:00"), "11:30", h(2)) == "2026-06-01 14:30"
    overlapping = calendar("09:00-13:00, 12:00-17:00")
    assert overlapping.between(at("00:00"), at("2 00:00")) == h(8)


def test_rule_5_shifts_over_midnight() -> None:
    """A night shift belongs to the weekday on which it begins."""
    night = calendar(NIGHT)
    assert due(night, "23:00", h(8)) == "2026-06-02 23:00"
    assert due(night, "5 23:00", h(8)) == "2026-06-08 23:00"


def test_rule_6_a_holiday_closes_the_calendar_date() -> None:
    """A night shift stops at midnight before a holiday, and the holiday's own shift goes on after it."""
    assert due(calendar(NIGHT, holidays=["2026-06-02"]), "23:00", h(4)) == "2026-06-03 03:00"


def test_rule_7_all_day_ends_at_24() -> None:
    """24:00 leaves no hole; 23:59 leaves one minute a day."""
    assert due(calendar("00:00-24:00", days=EVERY_DAY), "00:00", h(48)) == "2026-06-03 00:00"
    assert due(calendar("00:00-23:59", days=EVERY_DAY), "00:00", h(48)) == "2026-06-03 00:02"


def test_rule_8_half_days() -> None:
    """A part-day closure before a holiday and a weekend."""
    christmas = calendar(holidays=["2026-12-25"], closed=[on("2026-12-24", "12:00-24:00")])
    assert due(christmas, "2026-12-24 11:00", h(4)) == "2026-12-28 12:00"


def test_rule_9_a_closure_within_the_day() -> None:
    """Two hours closed in mid-morning move the due time by two hours."""
    assert due(calendar(closed=[on("2026-06-01", "10:00-12:00")]), "09:00", h(4)) == "2026-06-01 15:00"


def test_rule_10_a_yearly_closure_wraps_the_year() -> None:
    """24 December to 2 January is closed in both years."""
    shutdown = calendar(closed=[on("12-24..01-02")])
    assert due(shutdown, "2026-12-23 16:00", h(2)) == "2027-01-04 10:00"
    assert due(shutdown, "2031-12-23 16:00", h(2)) == "2032-01-05 10:00"


def test_rule_11_an_extra_opening_beats_a_holiday() -> None:
    """An extra opening counts, on a Saturday and on a holiday."""
    saturday = on("2026-06-06", "10:00-14:00")
    assert due(calendar(opened=[saturday]), "5 16:00", h(3)) == "2026-06-06 12:00"
    assert due(calendar(opened=[saturday], holidays=["2026-06-06"]), "5 16:00", h(3)) == "2026-06-06 12:00"


def test_rule_11_an_extra_opening_without_hours_has_the_usual_ones() -> None:
    """Open in spite of a holiday, as on any Monday."""
    assert due(calendar(opened=[on("2026-06-08")], holidays=["2026-06-08"]), "5 16:00", h(8)) == "2026-06-08 16:00"


def test_rule_12_29_february_occurs_in_leap_years_only() -> None:
    """A yearly holiday on 29 February is absent in 2027."""
    leap = calendar(closed=[on("02-29")])
    assert due(leap, "2028-02-28 16:00", h(2)) == "2028-03-01 10:00"
    assert due(leap, "2027-02-26 16:00", h(2)) == "2027-03-01 10:00"


def test_rule_13_other_weekends() -> None:
    """Friday and Saturday are the weekend in Riyadh."""
    riyadh = ZoneInfo("Asia/Riyadh")
    sunday_to_thursday = calendar("08:00-16:00", days=[6, 0, 1, 2, 3], zone=riyadh)
    assert due(sunday_to_thursday, "4 15:00", h(2), riyadh) == "2026-06-07 09:00"


def test_rule_14_half_hour_zones() -> None:
    """Kolkata is five and a half hours ahead."""
    kolkata = ZoneInfo("Asia/Kolkata")
    found = calendar("09:30-17:45", zone=kolkata).add(at("5 17:00", kolkata), h(2))
    assert datetime(2026, 6, 8, 5, 15, tzinfo=UTC) == found


def test_rule_15_a_calendar_that_never_opens_has_no_due_time() -> None:
    """No hours, or a closure for good: no due time, in bounded work, and no error."""
    never = calendar("")
    assert never.add(at("09:00"), h(1)) is None
    assert never.subtract(at("09:00"), h(1)) is None
    assert never.next_open(at("09:00")) is None
    assert never.add_business_days(at("09:00"), 1) is None
    assert never.between(at("09:00"), at("30 09:00")) == timedelta()
    closed = calendar(closed=[on("2026-06-02..9999-12-31")])
    assert wall(closed.add(at("09:00"), h(8))) == "2026-06-01 17:00"
    assert closed.add(at("09:00"), h(9)) is None
    assert closed.add_business_days(at("09:00"), 1) is None


def test_rule_16_zero_is_the_next_open_instant() -> None:
    """Nothing added on a Saturday gives Monday's opening."""
    assert due(OFFICE, "6 12:00", timedelta()) == "2026-06-08 09:00"
    assert due(OFFICE, "10:00", timedelta()) == "2026-06-01 10:00"
    assert due(ALWAYS, "10:00", timedelta()) == "2026-06-01 10:00"


def test_rule_17_seconds_and_less_count() -> None:
    """Nothing is cut to minutes."""
    assert due(OFFICE, "09:00:45", m(30)) == "2026-06-01 09:30:45"
    assert OFFICE.between(at("10:00:50"), at("10:01:10")) == timedelta(seconds=20)
    assert due(OFFICE, "16:59:59.999999", timedelta(microseconds=2)) == "2026-06-02 09:00:00.000001"


def test_rule_18_long_targets_are_exact() -> None:
    """Ninety working days of eight hours."""
    assert due(OFFICE, "09:00", h(720)) == "2026-10-02 17:00"


def test_rule_19_backward_in_open_time() -> None:
    """An hour before Tuesday 09:30 is Monday 16:30; nights are stepped over backward too."""
    assert wall(OFFICE.subtract(at("2 09:30"), h(1))) == "2026-06-01 16:30"
    long_days = calendar("08:00-18:00")
    assert due(long_days, "17:00", h(4)) == "2026-06-02 11:00"
    assert wall(long_days.subtract(at("2 11:00"), h(1))) == "2026-06-02 10:00"
    assert wall(OFFICE.subtract(at("2 09:30"), m(30))) == "2026-06-02 09:00"
    assert wall(OFFICE.subtract(at("2019-01-01 09:00"), h(8))) == "2018-12-31 09:00"
    assert OFFICE.subtract(at("1970-01-02 09:30"), h(720)) is None
    assert wall(ALWAYS.subtract(at("09:00"), h(1))) == "2026-06-01 08:00"


def test_rule_20_nothing_is_negative() -> None:
    """Between a later and an earlier instant lies nothing; negative times are refused."""
    assert OFFICE.between(at("12:00"), at("10:00")) == timedelta()
    assert ALWAYS.between(at("10:00"), at("12:00")) == h(2)
    with pytest.raises(ValueError, match="use subtract"):
        OFFICE.add(at("10:00"), -h(1))
    with pytest.raises(ValueError, match="use add"):
        OFFICE.subtract(at("10:00"), -h(1))


@pytest.mark.parametrize("zone", ["Pacific/Apia", "America/Santiago"])
def test_rule_20_the_zone_of_the_process_changes_nothing(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    """The same due times wherever the host stands."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        office = calendar(holidays=["2026-06-08"])
        assert due(office, "5 16:00", h(8)) == "2026-06-09 16:00"
        assert wall(office.add_business_days(at("5 16:55"), 1)) == "2026-06-09 16:55"
        assert OFFICE.between(at("2026-03-27 16:00"), at("2026-03-30 10:00")) == h(2)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_rule_21_business_days_keep_the_time_of_day() -> None:
    """Eight and 24 business hours and one business day from Friday 16:55 are three different things."""
    assert due(OFFICE, "5 16:55", h(8)) == "2026-06-08 16:55"
    assert due(OFFICE, "5 16:55", h(24)) == "2026-06-10 16:55"
    assert wall(OFFICE.add_business_days(at("5 16:55"), 1)) == "2026-06-08 16:55"
    assert wall(ALWAYS.add_business_days(at("5 16:55"), 1)) == "2026-06-06 16:55"


def test_business_days_start_at_the_next_opening_and_end_at_the_last_close() -> None:
    """A start on Saturday counts as Monday's opening; a time of day that the last day lacks is its close."""
    short_friday = calendar(closed=[on("2026-06-05", "13:00-24:00")])
    assert wall(OFFICE.add_business_days(at("6 12:00"), 1)) == "2026-06-09 09:00"
    assert wall(short_friday.add_business_days(at("4 15:00"), 1)) == "2026-06-05 13:00"
    assert wall(OFFICE.add_business_days(at("2026-12-31 16:00"), 1)) == "2027-01-01 16:00"
    assert wall(calendar(NIGHT).add_business_days(at("23:00"), 1)) == "2026-06-02 23:00"


def test_business_days_over_a_change_of_offset() -> None:
    """The time of day is the wall's, on a day with a change and across one; one that does not exist is the next that does."""
    all_week = calendar("00:00-24:00", days=EVERY_DAY)
    assert wall(all_week.add_business_days(at("2026-03-28 10:00"), 1)) == "2026-03-29 10:00"
    assert wall(all_week.add_business_days(at("2026-03-28 02:30"), 1)) == "2026-03-29 03:00"
    assert wall(all_week.add_business_days(at("2026-03-29 10:00"), 1)) == "2026-03-30 10:00"
    assert wall(all_week.add_business_days(at("2026-10-24 02:30"), 2)) == "2026-10-26 02:30"
    assert wall(ALWAYS.add_business_days(at("2026-03-28 02:30"), 1)) == "2026-03-29 03:00"


def test_business_days_over_the_end_of_the_year() -> None:
    """The last evening of a western year lies in the next one of UTC: still one day, open to its end."""
    new_york = ZoneInfo("America/New_York")
    for asked_before in ("2026-06-01 09:00", "2027-06-01 09:00"):
        evenings = calendar("09:00-23:00", days=EVERY_DAY, zone=new_york)
        evenings.next_open(at(asked_before, new_york))
        start = at("2026-12-30 22:00", new_york)
        assert wall(evenings.add_business_days(start, 1), new_york) == "2026-12-31 22:00"
        assert wall(evenings.add_business_days(start, 2), new_york) == "2027-01-01 22:00"


def test_intervals_are_cut_to_what_was_asked() -> None:
    """The open spans of two days, the first one begun."""
    found = [(wall(opens), wall(closes)) for opens, closes in OFFICE.intervals(at("5 16:00"), at("8 10:00"))]
    assert found == [("2026-06-05 16:00", "2026-06-05 17:00"), ("2026-06-08 09:00", "2026-06-08 10:00")]
    assert OFFICE.intervals(at("6 10:00"), at("6 11:00")) == []
    assert ALWAYS.intervals(at("09:00"), at("10:00")) == [(at("09:00"), at("10:00"))]
    assert ALWAYS.intervals(at("10:00"), at("09:00")) == []


def test_years_are_joined_in_any_order_of_asking() -> None:
    """A calendar asked for 2030 first and for 2020 then measures the years between as one asked in order."""
    shuffled, ordered = calendar(NIGHT, days=EVERY_DAY), calendar(NIGHT, days=EVERY_DAY)
    shuffled.between(at("2030-06-01 00:00"), at("2030-06-02 00:00"))
    whole = (at("2020-06-01 23:00"), at("2030-06-01 23:30"))
    assert shuffled.between(*whole) == ordered.between(*whole)
    assert ordered.intervals(*whole) == shuffled.intervals(*whole)
    assert wall(shuffled.add(at("2029-12-31 23:00"), h(2))) == "2030-01-01 01:00"


def test_instants_far_away_count_as_the_nearest_compiled_one() -> None:
    """An event dated to the year 1 neither fails nor compiles two thousand years."""
    ancient = datetime(1, 1, 1, tzinfo=UTC)
    assert wall(OFFICE.add(ancient, h(1))) == "1970-01-01 10:00"
    assert OFFICE.next_open(datetime(9999, 1, 1, tzinfo=UTC)) is None


def test_rule_32_a_naive_instant_is_refused() -> None:
    """A time without a zone is nobody's time."""
    with pytest.raises(TypeError):
        OFFICE.add(at("09:00").replace(tzinfo=None), h(1))


def test_a_calendar_of_seconds() -> None:
    """Hours are declared to the second."""
    odd = Calendar(CalendarSpec(name="odd", zone=BERLIN, weekly=((Hours(DAY - 1, DAY),),) * 7))
    assert due(odd, "09:00", timedelta(seconds=2)) == "2026-06-03 00:00"
