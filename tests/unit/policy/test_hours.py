"""Hours and dates as people write them."""

from datetime import date, time

import pytest

from shared.policy import hours
from shared.policy.reading import Unreadable
from shared.sla.hours import DAY, Dates, Exceptional, Hours, Yearly

H = 3600


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("09:00-17:00", (Hours(9 * H, 17 * H),)),
        ("9:00 \u2013 12:30, 13:00-17:00", (Hours(9 * H, 12 * H + 1800), Hours(13 * H, 17 * H))),
        ("22:00-06:00", (Hours(22 * H, DAY + 6 * H),)),
        ("00:00-24:00", (Hours(0, DAY),)),
        ("18:00-24:00", (Hours(18 * H, DAY),)),
        ("all day", (Hours(0, DAY),)),
        ("closed", ()),
    ],
)
def test_spans_of_a_day(text: str, expected: tuple[Hours, ...]) -> None:
    """24:00 ends a day; what ends before it begins runs over midnight."""
    assert expected == hours.spans(text)


@pytest.mark.parametrize(
    "text", ["9-17", "09:00", "24:00-06:00", "09:60-10:00", "25:00-26:00", "09:00-09:00", "", "09:00-17:00,"]
)
def test_bad_spans_are_refused(text: str) -> None:
    """With the way out."""
    with pytest.raises(Unreadable) as refused:
        hours.spans(text)

    assert refused.value.remedy


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mon-fri", (0, 1, 2, 3, 4)),
        ("sat", (5,)),
        ("Monday, wed", (0, 2)),
        ("fri-mon", (4, 5, 6, 0)),
        ("thurs", (3,)),
        ("sun-thu", (6, 0, 1, 2, 3)),
    ],
)
def test_days_and_ranges_of_days(text: str, expected: tuple[int, ...]) -> None:
    """A range may wrap the week."""
    assert expected == hours.weekdays(text)


@pytest.mark.parametrize("text", ["mo", "monkey", "mon-", "", "1"])
def test_what_is_no_weekday_is_refused(text: str) -> None:
    """The message lists them."""
    with pytest.raises(Unreadable, match="mon, tue"):
        hours.weekdays(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-12-24", Exceptional(days=Dates(date(2026, 12, 24), date(2026, 12, 24)))),
        (
            "2026-12-24 12:00-24:00",
            Exceptional(days=Dates(date(2026, 12, 24), date(2026, 12, 24)), hours=(Hours(12 * H, DAY),)),
        ),
        ("2026-08-03..2026-08-14", Exceptional(days=Dates(date(2026, 8, 3), date(2026, 8, 14)))),
        ("12-24..01-02", Exceptional(days=Yearly((12, 24), (1, 2)))),
        ("02-29", Exceptional(days=Yearly((2, 29), (2, 29)))),
        (
            "12-31 12:00-18:00, 20:00-24:00",
            Exceptional(days=Yearly((12, 31), (12, 31)), hours=(Hours(12 * H, 18 * H), Hours(20 * H, DAY))),
        ),
    ],
)
def test_closures_and_extra_openings(text: str, expected: Exceptional) -> None:
    """Dates, ranges and days of every year, with or without times."""
    assert expected == hours.exceptional(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-02-30", "there is no date"),
        ("13-01", "no year has"),
        ("2026-08-14..2026-08-03", "ends before it begins"),
        ("2026-08-14..12-24", "no date or range"),
        ("24.12.2026", "no date or range"),
        ("2026-12-24..", "no date or range"),
        ("2026-12-24 noon", "not opening hours"),
        ("", "no date or range"),
    ],
)
def test_bad_dates_are_refused(text: str, said: str) -> None:
    """Each for its reason."""
    with pytest.raises(Unreadable) as refused:
        hours.exceptional(text)

    assert said in refused.value.problem


def test_times_of_day() -> None:
    """For hand-offs."""
    assert time(9, 30) == hours.clock_time("9:30")
    for text in ("24:00", "9", "9:60"):
        with pytest.raises(Unreadable, match="no time of day"):
            hours.clock_time(text)
