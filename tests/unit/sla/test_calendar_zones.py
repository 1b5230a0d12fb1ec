"""Rules B: zones and changes of offset. In 2026 Europe changes on 29 March and 25 October."""

import struct
from datetime import UTC, datetime
from io import BytesIO
from zoneinfo import ZoneInfo

import pytest

from shared.sla.calendar import Calendar
from shared.sla.hours import Combination, CombinedSpec
from tests.unit.sla.building import ALWAYS, BERLIN, EVERY_DAY, OFFICE, at, calendar, due, h, wall

SATURDAY, SUNDAY, MONDAY = 5, 6, 0


def sunday(times: str) -> Calendar:
    """Open on Sundays only."""
    return calendar(times, days=[SUNDAY])


def held_on(calendar: Calendar, day: str) -> float:
    """Open hours of one local day."""
    return calendar.between(at(f"{day} 00:00"), at(f"{day} 23:59")).total_seconds() / 3600


def test_rule_22_office_hours_over_a_change() -> None:
    """The wall's hours stay, their instants move."""
    assert OFFICE.add(at("2026-03-27 16:00"), h(2)) == datetime(2026, 3, 30, 8, tzinfo=UTC)
    assert OFFICE.add(at("2026-10-23 16:00"), h(2)) == datetime(2026, 10, 26, 9, tzinfo=UTC)


@pytest.mark.parametrize("calendar", [ALWAYS, calendar("00:00-24:00", days=EVERY_DAY)], ids=["elapsed", "24x7"])
def test_rule_23_elapsed_time_is_not_wall_time(calendar: Calendar) -> None:
    """Eight hours are eight hours, whatever the wall shows then."""
    assert due(calendar, "2026-03-28 22:00", h(8)) == "2026-03-29 07:00"
    assert due(calendar, "2026-10-24 22:00", h(8)) == "2026-10-25 05:00"


def test_rule_24_a_window_over_a_change_shrinks_or_grows() -> None:
    """The hour that is left out or repeated is."""
    assert held_on(sunday("00:00-06:00"), "2026-03-29") == 5
    assert held_on(sunday("00:00-06:00"), "2026-10-25") == 7
    assert held_on(sunday("02:00-03:00"), "2026-03-29") == 0
    assert held_on(sunday("02:00-03:00"), "2026-10-25") == 2


def test_rule_25_an_opening_within_the_gap() -> None:
    """By the wall it opens at 03:00 in spring; in autumn what the wall shows twice counts twice."""
    early = sunday("02:30-10:00")
    assert wall(early.next_open(at("2026-03-29 00:00"))) == "2026-03-29 03:00"
    assert held_on(early, "2026-03-29") == 7
    assert held_on(early, "2026-10-25") == 8


def test_rule_26_a_day_is_not_86400_seconds() -> None:
    """No day is skipped or met twice where it is longer or shorter."""
    assert due(calendar(days=[SATURDAY, SUNDAY]), "2026-03-28 23:30", h(2)) == "2026-03-29 11:00"
    assert due(calendar(days=[SUNDAY, MONDAY]), "2026-10-25 00:30", h(10)) == "2026-10-26 11:00"


def test_rule_27_a_midnight_that_does_not_exist() -> None:
    """Santiago jumps from midnight to one."""
    santiago = ZoneInfo("America/Santiago")
    assert due(calendar("00:00-24:00", days=EVERY_DAY, zone=santiago), "2026-09-05 20:00", h(6), santiago) == (
        "2026-09-06 03:00"
    )


def test_rule_28_half_an_hour_and_a_whole_day() -> None:
    """Lord Howe moves by 30 minutes; Apia had no 30 December 2011."""
    howe, apia = ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Pacific/Apia")
    assert due(calendar("00:00-24:00", days=EVERY_DAY, zone=howe), "2026-10-03 22:00", h(8), howe) == "2026-10-04 06:30"
    assert due(calendar(zone=apia), "2011-12-29 16:00", h(2), apia) == "2012-01-02 10:00"


def test_rule_29_one_instant_in_two_zones() -> None:
    """New York still works on what Moscow takes up the next morning."""
    start = datetime(2007, 1, 1, 22, tzinfo=UTC)
    new_york = calendar("09:00-18:00", zone=ZoneInfo("America/New_York"))
    moscow = calendar("09:00-18:00", zone=ZoneInfo("Europe/Moscow"))
    assert new_york.add(start, h(2)) == datetime(2007, 1, 2, 15, tzinfo=UTC)
    assert moscow.add(start, h(2)) == datetime(2007, 1, 2, 8, tzinfo=UTC)


def edition(key: str, rule: str) -> ZoneInfo:
    """A zone of this name as other tzdata would have it: one rule for all years (RFC 9636, version 2)."""
    block = (
        b"TZif2" + bytes(15) + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + struct.pack(">lbb", -6 * 3600, 0, 0) + b"CST\0"
    )
    return ZoneInfo.from_file(BytesIO(block * 2 + f"\n{rule}\n".encode()), key=key)


NEW_YORK = ZoneInfo("America/New_York")


def combined(how: Combination, *parts: Calendar, zone: ZoneInfo = BERLIN) -> Calendar:
    """A calendar made of others."""
    return Calendar(CombinedSpec(name="both", zone=zone, how=how, parts=tuple(part.spec for part in parts)))


@pytest.mark.parametrize(("day", "hours"), [("2026-03-02", 2), ("2026-03-16", 3), ("2026-04-06", 2)])
def test_rule_30_the_hours_of_both(day: str, hours: int) -> None:
    """New York and Berlin share two hours a day, three while only one of them has summer time."""
    both = combined(Combination.INTERSECTION, calendar(zone=NEW_YORK), OFFICE)
    assert held_on(both, day) == hours
    assert due(both, f"{day} 09:00", h(hours)) == f"{day} 17:00"


def test_rule_30_union_and_difference() -> None:
    """Either, and one without the other; the parts may be combinations themselves, and calendars that are always open."""
    new_york = calendar(zone=NEW_YORK)
    either = combined(Combination.UNION, new_york, OFFICE)
    assert held_on(either, "2026-03-02") == 14
    only = combined(Combination.DIFFERENCE, either, combined(Combination.INTERSECTION, new_york, OFFICE))
    assert held_on(only, "2026-03-02") == 12
    assert due(only, "2026-03-02 14:30", h(1)) == "2026-03-02 17:30"
    closed = combined(Combination.DIFFERENCE, ALWAYS, OFFICE)
    assert due(closed, "5 16:00", h(65)) == "2026-06-08 18:00"
    assert combined(Combination.INTERSECTION, OFFICE, calendar(days=[SATURDAY])).next_open(at("09:00")) is None


def test_rule_30_business_days_of_a_combination_are_those_of_its_zone() -> None:
    """Open days are local days on which any of it is open, the time of day is that zone's."""
    either = combined(Combination.UNION, calendar(zone=NEW_YORK), OFFICE)
    assert wall(either.add_business_days(at("5 22:30"), 1)) == "2026-06-08 22:30"
    short = combined(Combination.UNION, OFFICE, calendar("10:00-12:00", days=[SATURDAY]))
    assert wall(short.add_business_days(at("5 16:00"), 1)) == "2026-06-06 12:00"
    in_new_york = combined(Combination.UNION, calendar(zone=NEW_YORK), OFFICE, zone=NEW_YORK)
    assert wall(in_new_york.add_business_days(at("5 22:30"), 1), NEW_YORK) == "2026-06-08 16:30"


def test_rule_31_two_editions_of_a_zone_are_told_apart() -> None:
    """Mexico City gave up summer time in 2022: 1 May is five hours behind UTC then, six a year later.

    A zone that goes by the rules of before differs from 2023 on, and only in summer.
    """
    city = ZoneInfo("America/Mexico_City")
    for year, opens in ((2022, 14), (2023, 15)):
        monday = calendar(zone=city, days=EVERY_DAY).next_open(datetime(year, 5, 1, 6, tzinfo=UTC))
        assert datetime(year, 5, 1, opens, tzinfo=UTC) == monday
    before, now = calendar(zone=edition("America/Mexico_City", "CST6CDT,M4.1.0,M10.5.0")), calendar(zone=city)
    assert now.is_same_between(before, datetime(2020, 1, 1, tzinfo=UTC), datetime(2023, 4, 1, tzinfo=UTC))
    assert not now.is_same_between(before, datetime(2023, 4, 1, tzinfo=UTC), datetime(2023, 5, 1, tzinfo=UTC))
    assert now.is_same_between(before, datetime(2023, 11, 1, tzinfo=UTC), datetime(2024, 4, 1, tzinfo=UTC))


def test_rule_55_where_two_calendars_differ() -> None:
    """A holiday more tells two calendars apart on its day, and on no other."""
    holiday = calendar(holidays=["2026-12-08"])
    assert not OFFICE.same_as(holiday)
    assert OFFICE.same_as(calendar())
    assert OFFICE.is_same_between(holiday, at("2026-06-01 09:00"), at("2026-12-08 09:00"))
    assert not OFFICE.is_same_between(holiday, at("2026-06-01 09:00"), at("2026-12-08 09:01"))
    assert holiday.is_same_between(OFFICE, at("2026-12-08 17:00"), at("2040-12-08 17:00"))
    assert OFFICE.is_same_between(holiday, at("2026-12-08 12:00"), at("2026-12-08 12:00"))


def test_calendars_of_two_zones_are_the_same_while_their_days_are() -> None:
    """Paris keeps Berlin's time; the same instants elsewhere are other local days."""
    assert OFFICE.is_same_between(
        calendar(zone=ZoneInfo("Europe/Paris")), at("2020-01-01 00:00"), at("2030-01-01 00:00")
    )
    whole, kiev = calendar("00:00-24:00", days=EVERY_DAY), ZoneInfo("Europe/Kiev")
    assert not whole.is_same_between(calendar("00:00-24:00", days=EVERY_DAY, zone=kiev), at("09:00"), at("2 09:00"))
    assert not ALWAYS.is_same_between(OFFICE, at("10:00"), at("11:00"))
    evenings = [calendar("20:00-23:00", days=EVERY_DAY, zone=ZoneInfo("America/New_York")) for _ in range(2)]
    evenings[0].between(at("2028-01-01 00:00"), at("2028-01-02 00:00"))
    assert evenings[0].is_same_between(evenings[1], at("2027-01-01 00:00"), at("2027-12-31 23:59"))
