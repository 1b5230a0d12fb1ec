"""The rate follows the lag, and the budget is kept."""

from datetime import UTC, datetime, timedelta

import pytest

from services.console.domain.governor import Governor, plan
from services.console.domain.pace import Pace, percentiles

SINCE = datetime(2015, 5, 18, 4, tzinfo=UTC)


def governor(*, is_fixed: bool = False) -> Governor:
    return Governor(plan(SINCE, days=7, weeks_after=4, rate=9_000, seconds=100, is_fixed=is_fixed))


def test_without_lag_time_passes_as_fast_as_it_may() -> None:
    """Nothing holds it up."""
    assert 9_000 == governor().rate(SINCE, 0.0)


def test_lag_slows_time_down_so_that_nobody_seems_late() -> None:
    """0.4 s of lag may be worth eight minutes of virtual time."""
    slow = governor()
    slow.note_lag(1.0, 0.4)
    assert 1_200 == slow.rate(SINCE, 1.0)


def test_lag_is_forgotten_after_a_moment() -> None:
    """The rate comes back when the machine has caught up."""
    slow = governor()
    slow.note_lag(1.0, 0.4)
    assert 9_000 == slow.rate(SINCE, 2.0)


def test_a_fixed_rate_is_kept_whatever_the_lag() -> None:
    """Who says --rate means it."""
    fixed = governor(is_fixed=True)
    fixed.note_lag(1.0, 5.0)
    assert 9_000 == fixed.rate(SINCE, 1.0)
    assert not fixed.is_traffic_over(SINCE, 1_000.0)


def test_traffic_ends_when_its_time_is_used_up() -> None:
    """A slow machine replays fewer days instead of taking longer."""
    assert not governor().is_traffic_over(SINCE + timedelta(days=1), 65.0)
    assert governor().is_traffic_over(SINCE + timedelta(days=1), 66.0)
    assert governor().is_traffic_over(SINCE + timedelta(days=7), 5.0)


def test_the_weeks_after_end_in_time_however_large_the_lag() -> None:
    """The rate never falls below what is needed."""
    late = governor()
    late.end_traffic(SINCE + timedelta(days=7), 66.0)
    late.note_lag(66.0, 10.0)
    needed = timedelta(weeks=4).total_seconds() / 34
    assert pytest.approx(needed) == late.rate(SINCE + timedelta(days=7), 66.0)


def test_progress_runs_from_nothing_to_all() -> None:
    """Two thirds for the traffic, one for the weeks after."""
    one = governor()
    assert 0.0 == one.progress(SINCE, 0.0)
    assert pytest.approx(0.33) == one.progress(SINCE + timedelta(days=3.5), 1.0)
    one.end_traffic(SINCE + timedelta(days=7), 60.0)
    assert pytest.approx(0.66) == one.progress(SINCE + timedelta(days=7), 60.0)
    assert pytest.approx(1.0) == one.progress(SINCE + timedelta(weeks=5), 90.0)


def test_spans_of_virtual_time_become_real_seconds() -> None:
    """Across changes of the rate, and outside of what is known."""
    pace = Pace(SINCE, 100.0)
    pace.change(SINCE + timedelta(seconds=1_000), 1_000.0)
    assert 10.0 == pace.took(SINCE, SINCE + timedelta(seconds=1_000))
    assert 6.0 == pace.took(SINCE + timedelta(seconds=500), SINCE + timedelta(seconds=2_000))
    assert 1.0 == pace.took(SINCE - timedelta(seconds=100), SINCE)


def test_percentiles_are_in_milliseconds_and_never_negative() -> None:
    """None of nothing."""
    assert percentiles([]) is None
    marks = percentiles([-0.5] + [n / 1000 for n in range(1, 100)])
    assert marks is not None
    assert (100, 50.0, 95.0, 99.0, 99.0) == (marks.count, marks.p50, marks.p95, marks.p99, marks.worst)
