"""When the next open hours end, and how many promises are due by then."""

from datetime import UTC, datetime, timedelta

import pytest

from services.router.domain.forecast import Due, Horizon, due_within, horizons, read_hours
from shared.policy import parse

POLICY = parse.parse_policy(
    """
calendars:
  office: {timezone: Europe/Berlin, hours: {mon-fri: "09:00-17:00"}}
targets: [{name: all, calendar: office, first_response: 4h}]
""",
    version=1,
)
FRIDAY = datetime(2026, 6, 5, 14, tzinfo=UTC)
"""16:00 in Berlin: an hour is left."""


def test_hours_are_open_time_of_each_calendar() -> None:
    """Four of them reach from Friday afternoon into Monday; elapsed time knows no weekend."""
    calendars = {(1, name): POLICY.sla.calendars[name] for name in ("office", "always")}
    monday = datetime(2026, 6, 8, 10, tzinfo=UTC)
    assert [
        Horizon(1, "office", 0, FRIDAY + timedelta(hours=1)),
        Horizon(1, "office", 1, monday),
        Horizon(1, "always", 0, FRIDAY + timedelta(hours=1)),
        Horizon(1, "always", 1, FRIDAY + timedelta(hours=4)),
    ] == list(horizons(calendars, (1, 4), FRIDAY))


def test_a_calendar_that_no_longer_opens_so_long_has_no_end() -> None:
    """Everything by it is due within."""
    late = datetime(2099, 12, 31, 15, 59, tzinfo=UTC)
    [end] = horizons({(1, "office"): POLICY.sla.calendars["office"]}, (8,), late)
    assert None is end.ends_at


def test_counts_hold_those_of_fewer_hours() -> None:
    """Late, paused and later ones are in none of them."""
    assert (Due(hours=1, clocks=2), Due(hours=4, clocks=2), Due(hours=8, clocks=5)) == due_within(
        (1, 4, 8), {0: 2, 2: 3, 3: 7, -1: 11, -2: 13}
    )


def test_hours_are_read_in_order_each_once() -> None:
    """As people write them."""
    assert (1, 4, 8) == read_hours("8, 1,4,1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "whole open hours"),
        ("1,", "whole open hours"),
        ("1.5", "whole open hours"),
        ("-1", "whole open hours"),
        ("٣", "whole open hours"),
        ("0", "from 1 to 1000"),
        ("1001", "from 1 to 1000"),
        ("9" * 5000, "whole open hours"),
        ("1,2,3,4,5,6,7,8,9,10,11", "up to 10"),
    ],
)
def test_other_hours_are_refused_with_what_is_allowed(text: str, said: str) -> None:
    """In one sentence."""
    with pytest.raises(ValueError, match=said):
        read_hours(text)
