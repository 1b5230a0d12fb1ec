"""Calendars of a policy file: made of others, fed by feeds, and what is warned of."""

from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest

from shared.policy import parse
from shared.policy.errors import PolicyErrors
from shared.policy.zones import tzdata_version
from shared.sla.calendar import Calendar
from shared.sla.hours import Combination, CombinedSpec

NY = 'ny: {timezone: America/New_York, hours: {mon-fri: "09:00-17:00"}}'
BERLIN = 'berlin: {timezone: Europe/Berlin, hours: {mon-fri: "09:00-17:00"}}'
TODAY = date(2026, 2, 1)


def text(*calendars: str, more: str = "") -> str:
    """A file of these calendars."""
    return "calendars:\n" + "".join(f"  {calendar}\n" for calendar in calendars) + more


def calendar(name: str, *calendars: str) -> Calendar:
    """One of them, compiled."""
    return parse.read_policy(text(*calendars), version=1, today=TODAY).policy.sla.calendars[name]


def faults(*calendars: str, more: str = "") -> list[str]:
    """All that is wrong with them."""
    with pytest.raises(PolicyErrors) as refused:
        parse.read_policy(text(*calendars, more=more), version=1, today=TODAY)
    return [f"{error.pointer}: {error.problem}; {error.remedy}" for error in refused.value.errors]


def warnings(*calendars: str, more: str = "", before: str | None = None, today: date = TODAY) -> list[str]:
    """What is legal but seldom meant."""
    document = None if before is None else parse.read_policy(before, version=1).document
    read = parse.read_policy(text(*calendars, more=more), version=2, today=today, before=document)
    return [f"{warning.line} {warning.pointer}: {warning.problem}" for warning in read.warnings]


@pytest.mark.parametrize(("month", "day", "hours"), [(3, 2, 2), (3, 16, 3), (4, 6, 2)])
def test_rule_30_an_intersection(month: int, day: int, hours: int) -> None:
    """The hours that New York and Berlin share."""
    both = calendar("both", NY, BERLIN, "both: {intersection: [ny, berlin]}")
    midnight = datetime(2026, month, day, tzinfo=UTC)
    assert timedelta(hours=hours) == both.between(midnight, midnight + timedelta(days=1))


def test_rule_30_the_other_forms_named_in_any_order() -> None:
    """Parts may come later in the file, and be `always`; the zone is the first part's unless one is written."""
    lines = (
        "out of hours: {from: always, without: either}",
        "either: {timezone: UTC, union: [ny, berlin]}",
        "quiet: {from: out of hours, without: [ny, berlin]}",
        NY,
        BERLIN,
    )
    out, quiet = calendar("out of hours", *lines).spec, calendar("quiet", *lines).spec
    either = calendar("either", *lines)
    assert isinstance(out, CombinedSpec)
    assert (Combination.DIFFERENCE, "UTC") == (out.how, out.zone.key)
    assert isinstance(quiet, CombinedSpec)
    assert ["out of hours", "ny", "berlin"] == [part.name for part in quiet.parts]
    assert "UTC" == either.spec.zone.key
    assert "America/New_York" == calendar("x", NY, BERLIN, "x: {union: [ny, berlin]}").spec.zone.key
    day = datetime(2026, 3, 2, tzinfo=UTC)
    assert timedelta(hours=14) == either.between(day, day + timedelta(days=1))
    assert timedelta(hours=10) == calendar("out of hours", *lines).between(day, day + timedelta(days=1))


def test_rule_30_a_stored_version_combines_the_same() -> None:
    """What is stored is the file."""
    read = parse.read_policy(text(NY, BERLIN, "both: {intersection: [ny, berlin]}"), version=1)
    stored = parse.stored_policy(read.document, version=1)
    assert read.policy.sla.calendars["both"].same_as(stored.sla.calendars["both"])


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("a: {union: [b]}", "b: {union: [c]}", "c: {from: a, without: [berlin]}", BERLIN), "it is made of itself: `a` -> `b` -> `c` -> `a`"),
        (("a: {union: [a]}",), "it is made of itself: `a` -> `a`"),
        (("a: {union: [barlin]}", BERLIN), "there is no calendar `barlin`; did you mean `berlin`?"),
        (("a: {union: [berlin], intersection: [berlin]}", BERLIN), "`union` and `intersection` can't stand together"),
        (("a: {from: berlin}", BERLIN), "`from` and `without` say nothing"),
        (("a: {without: [berlin]}", BERLIN), "`from` and `without` say nothing"),
        (("a: {union: [berlin], closed: [2026-12-24]}", BERLIN), "/calendars/a/closed: a calendar made of others has no `closed`"),
        (("a: {union: []}",), "it needs at least one entry"),
        (("a: {timezone: Berlin, union: [berlin]}", BERLIN), "there is no time zone `Berlin`"),
        (("a: {from: berlin, without: [berlin]}", BERLIN), "this calendar doesn't open within 400 days; its parts leave nothing"),
        ((BERLIN, *(f"c{n}: {{union: [{'berlin' if n == 0 else f'c{n - 1}'}]}}" for n in range(9))), "/calendars/c8: it stands for 1 calendars, 9 deep"),
        ((BERLIN, *(f"c{n}: {{union: [{', '.join(['berlin' if n == 0 else f'c{n - 1}'] * 11)}]}}" for n in range(2))), "/calendars/c1: it stands for 121 calendars"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)  # fmt: skip
def test_rule_30_combinations_that_cannot_be(lines: tuple[str, ...], said: str) -> None:
    """One fault each, where it stands."""
    [fault] = faults(*lines)
    assert said in fault


def test_a_part_that_is_faulty_is_named_once() -> None:
    """What is made of it isn't blamed."""
    [fault] = faults("berlin: {timezone: Europe/Berlin, hours: {mon: soon}}", "both: {union: [berlin]}")
    assert "/calendars/berlin/hours/mon" in fault


def test_rule_4_hours_that_overlap_are_warned_of() -> None:
    """On one day, and where a night shift runs into the next morning; touching is no overlap."""
    line = 'office: {hours: {mon-fri: "09:00-13:00, 12:00-17:00"}}'
    assert ["2 /calendars/office/hours: 09:00-13:00 and 12:00-17:00 overlap on mon"] == warnings(line)
    night = 'office: {hours: {sun: "22:00-06:00", mon: "05:00-24:00"}}'
    assert ["2 /calendars/office/hours: 00:00-06:00 and 05:00-24:00 overlap on mon"] == warnings(night)
    assert [] == warnings('office: {hours: {mon: "09:00-12:00, 12:00-17:00", sun: "22:00-06:00", tue: "06:00-07:00"}}')


def test_rule_25_an_opening_within_the_gap_is_warned_of() -> None:
    """With its date, for the next 400 days; autumn leaves out nothing."""
    line = 'early: {timezone: Europe/Berlin, hours: {sun: "02:30-10:00"}}'
    said = "2 /calendars/early/hours: on {} there is no 02:30 in Europe/Berlin: clocks go from 02:00 to 03:00, so it opens at 03:00"
    assert [said.format("2026-03-29")] == warnings(line)
    assert [said.format("2027-03-28")] == warnings(line, today=date(2026, 4, 1))
    assert [] == warnings(
        'late: {timezone: Europe/Berlin, hours: {sun: "03:00-10:00", sat: "22:00-26:00"}}'.replace("26", "02")
    )
    assert [] == warnings('all: {timezone: Europe/Berlin, hours: {mon-sun: "00:00-24:00"}}', "a: {hours: always}")


FED = "office: {timezone: Europe/Berlin, hours: {mon-fri: '09:00-17:00'}, closures: {ical: a.ics}}"


def test_a_feed_closes_and_is_kept_with_the_version() -> None:
    """Its dates stand under `feeds`; a stored version asks no feed."""
    feeds = "feeds: {office: {events: 2, closed: ['2026-06-02', '2026-06-01 12:00-24:00']}}\n"
    read = parse.read_policy(text(FED, more=feeds), version=1)
    stored = parse.stored_policy(read.document, version=1)
    monday = datetime(2026, 6, 1, tzinfo=UTC)
    for policy in (read.policy, stored):
        assert timedelta(hours=3) == policy.sla.calendars["office"].between(monday, monday + timedelta(days=2))


def test_a_feed_that_nobody_read_is_a_fault() -> None:
    """Also over HTTP: the server opens no file for anybody."""
    [fault] = faults(FED)
    assert "/calendars/office/closures: what its feed says is not in this document" in fault
    [wrong] = faults(FED, more="feeds: {office: {events: 1, closed: [soon]}}\n")
    assert "/feeds/office/closed/0" in wrong


def test_a_feed_that_shrank_is_warned_of() -> None:
    """Fewer events than in the version in force; as many, or more, say nothing."""
    feeds = "feeds: {{office: {{events: {}, closed: ['2026-06-02']}}}}\n"
    before = text(FED, more=feeds.format(12))
    assert [
        "2 /calendars/office/closures: its feed has 1 events, 12 when the version in force was applied"
    ] == warnings(FED, more=feeds.format(1), before=before)
    assert [] == warnings(FED, more=feeds.format(12), before=before)
    assert [] == warnings(FED, more=feeds.format(13), before=text(BERLIN))


def test_rule_31_the_document_says_which_time_zones_it_was_read_with() -> None:
    """The edition, as in 2026a; what an author writes there is not believed."""
    read = parse.read_policy(text(BERLIN, more="tzdata: 1999z\n"), version=1)
    assert tzdata_version() == msgspec.json.decode(read.document)["tzdata"]
    assert 5 <= len(tzdata_version()) <= 7
