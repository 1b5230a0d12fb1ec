"""Hours of the week by the clock on a wall, over changes of the clocks too."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.router.domain import week

BERLIN = ZoneInfo("Europe/Berlin")
SUNDAY_2 = 6 * 24 + 2


@pytest.mark.parametrize(
    ("zone", "at", "hour"),
    [
        ("UTC", "2026-06-01T00:00:00+00:00", 0),
        ("UTC", "2026-05-31T23:59:59.999999+00:00", 167),
        ("Europe/Berlin", "2026-06-07T18:00:00+02:00", 6 * 24 + 18),
        ("Europe/Berlin", "2026-01-04T18:59:59+01:00", 6 * 24 + 18),
        ("Asia/Kolkata", "2026-06-01T00:10:00+05:30", 0),
        ("America/New_York", "2026-05-31T22:00:00-04:00", 6 * 24 + 22),
    ],
)
def test_hour_of_the_week(zone: str, at: str, hour: int) -> None:
    """Monday midnight on the wall is hour 0."""
    when = datetime.fromisoformat(at).astimezone(UTC)
    since = when - timedelta(weeks=1)

    assert hour == week.offsets(ZoneInfo(zone), since, when + timedelta(hours=1)).hour(when)


def test_each_hour_occurs_once_a_week() -> None:
    """Whatever second the window begins at: its two ends are parts of one hour."""
    since = datetime(2026, 6, 1, 12, 20, 30, 500_000, tzinfo=UTC)
    until = since + timedelta(weeks=4)

    assert pytest.approx([4.0] * 168) == week.occurrences(week.offsets(BERLIN, since, until), since, until)


def test_an_hour_that_is_skipped_never_occurred() -> None:
    """On 29 March 2026 the clocks of Berlin go from 2:00 to 3:00."""
    since = datetime(2026, 3, 23, tzinfo=UTC)
    found = week.offsets(BERLIN, since, since + timedelta(weeks=1))

    occurred = week.occurrences(found, since, since + timedelta(weeks=1))

    assert (since + timedelta(days=6, hours=1)).timestamp() == found.starts[1]
    assert 0.0 == occurred[SUNDAY_2]
    assert (1.0, 2.0, 1.0) == tuple(occurred[:3])  # from Monday at 1:00 to Monday at 2:00
    assert 168 == sum(occurred)


def test_an_hour_that_is_repeated_lasted_twice_as_long() -> None:
    """On 25 October 2026 the clocks of Berlin go from 3:00 back to 2:00."""
    since = datetime(2026, 10, 19, 12, tzinfo=UTC)
    until = since + timedelta(weeks=2)
    found = week.offsets(BERLIN, since, until)

    occurred = week.occurrences(found, since, until)

    first, second = datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert [SUNDAY_2, SUNDAY_2] == [found.hour(first), found.hour(second)]
    assert (3.0, 2.0) == (occurred[SUNDAY_2], occurred[SUNDAY_2 - 1])


def test_rows_are_days() -> None:
    """Monday first, 24 hours each."""
    rows = week.by_day(list(range(168)))

    assert (7, {24}) == (len(rows), {len(row) for row in rows})
    assert (0, 24, 167) == (rows[0][0], rows[1][0], rows[6][23])
