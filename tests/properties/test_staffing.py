"""The report of missing staff: its maps and its table say the same, and its hours are those of the zone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.domain import staffing, week
from services.router.domain.staffing import Arrived, Findings, Lack, Scale, Waited
from shared.contract.tickets import Channel

ZONES = [
    ZoneInfo(name)
    for name in (
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Asia/Kolkata",
        "Australia/Lord_Howe",
        "Pacific/Chatham",
        "Africa/Casablanca",
    )
]
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
instants = st.integers(0, 3 * 366 * 86_400).map(lambda second: FIRST + timedelta(seconds=second))
channels = st.sampled_from([Channel.EMAIL, Channel.LIVE_CHAT, Channel.PHONE])
skills = st.sampled_from([(), ("a",), ("b",), ("a", "b")])
hours = st.integers(0, week.HOURS - 1)
waits = st.builds(
    Waited,
    channels,
    skills,
    st.sampled_from(Lack),
    hours,
    st.integers(1, 50),
    st.just(0),
    st.floats(1, 1e6),
)


@given(st.sampled_from(ZONES), instants, st.integers(1, 13), st.floats(0, 1, exclude_max=True))
def test_hours_are_those_on_the_wall(zone: ZoneInfo, until: datetime, weeks: int, share: float) -> None:
    """Of every second of the window, whatever its clocks do."""
    since = until - timedelta(weeks=weeks)
    at = since + share * (until - since)
    at = at.replace(microsecond=0)
    local = at.astimezone(zone)

    found = week.offsets(zone, since, until)

    assert local.weekday() * 24 + local.hour == found.hour(at)
    assert pytest.approx(weeks * week.HOURS) == sum(week.occurrences(found, since, until))


@given(st.lists(waits, max_size=30), st.floats(0.5, 8))
def test_maps_add_up_to_the_table(waited: list[Waited], occurred: float) -> None:
    """Tickets to tickets, hands to hours of work; and no line has a share above one."""
    arrived = [Arrived(each.channel or Channel.OTHER, each.skills, each.hour, each.tickets) for each in waited]
    scale = Scale(occurrences=(occurred,) * week.HOURS, weeks=2, capacity=12.0)
    found = Findings(arrived=arrived, others=(), waited=waited, spans=())

    for lines, each_once in zip(staffing.tables(found, scale), (True, False), strict=True):
        for line in lines:
            assert 0 < line.share <= 1
            if line.heat is not None:
                assert line.waited == sum(map(sum, line.heat.waited))
                assert line.arrived == sum(map(sum, line.heat.arrived))
                hands = sum(map(sum, line.heat.hands))
                assert pytest.approx(line.hours_a_week) == hands * occurred / scale.weeks
                assert line.peak is not None
                assert line.peak.hands == max(max(row) for row in line.heat.hands)
        if each_once:
            assert sum(each.tickets for each in waited) == sum(line.waited for line in lines)
        work = [line.hours_a_week for line in lines]
        assert sorted(work, reverse=True) == pytest.approx(work)
