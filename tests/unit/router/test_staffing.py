"""Who is missing, put together by hand and by rule."""

import pytest

from services.router.domain import staffing, week
from services.router.domain.staffing import Arrived, Findings, Lack, Line, Minutes, Scale, Span, Waited
from shared.contract.tickets import Channel

FOUR_WEEKS = Scale(occurrences=(4.0,) * week.HOURS, weeks=4, capacity=12.0)
BILLING = ("billing", "lang:de")
SUNDAY_18 = 6 * 24 + 18


def findings(
    *waited: Waited,
    arrived: list[Arrived] | None = None,
    others: list[Arrived] | None = None,
    spans: list[Span] | None = None,
) -> Findings:
    """What the store counted."""
    return Findings(arrived=arrived or [], others=others or [], waited=waited, spans=spans or [])


def tables(found: Findings, scale: Scale = FOUR_WEEKS) -> tuple[list[Line], list[Line]]:
    return staffing.tables(found, scale)


def test_hands_are_work_that_waited_by_hour() -> None:
    """12 chats in 4 Sundays from 18 to 19 h, each of 4 units for 6 minutes: 12 x 4 x 0.1 h / 12 units / 4 times = 0.1."""
    chats = Waited(Channel.LIVE_CHAT, BILLING, Lack.OFFLINE, SUNDAY_18, 12, 2, 12 * 4 * 360.0)

    [line], skills = tables(findings(chats, arrived=[Arrived(Channel.LIVE_CHAT, BILLING, SUNDAY_18, 16)]))

    assert (16, 12, 0.75, 2) == (line.arrived, line.waited, line.share, line.waiting)
    assert pytest.approx(0.1) == line.hours_a_week
    assert line.peak is not None
    assert (6, 18, 19, pytest.approx(0.1)) == (line.peak.weekday, line.peak.first, line.peak.until, line.peak.hands)
    assert line.heat is not None
    assert (12, 16, pytest.approx(0.1)) == (line.heat.waited[6][18], line.heat.arrived[6][18], line.heat.hands[6][18])
    assert [("billing",), ("lang:de",)] == [each.skills for each in skills]
    assert [None, None] == [each.channel for each in skills]


def test_times_are_those_of_the_tickets_of_a_line() -> None:
    """Half waited no longer than the median, nine of ten no longer than the p90; single skills over all channels."""
    found = findings(
        Waited(Channel.EMAIL, ("a",), Lack.FULL, 3, 5, 0, 100.0),
        Waited(Channel.PHONE, ("a",), Lack.FULL, 3, 5, 0, 10.0),
        Waited(None, (), None, 3, 10, 0, 110.0),
        spans=[
            Span(Channel.EMAIL, ("a",), Lack.FULL, 30, 1),
            Span(Channel.EMAIL, ("a",), Lack.FULL, 7, 4),
            Span(Channel.PHONE, ("a",), Lack.FULL, 2, 5),
            Span(None, (), None, 2, 9),
            Span(None, (), None, 31, 1),
        ],
    )

    [mail, call], [skill] = tables(found)

    assert (Minutes(median=7, p90=30), Minutes(median=2, p90=2)) == (mail.minutes, call.minutes)
    assert Minutes(median=2, p90=7) == skill.minutes
    assert Minutes(median=2, p90=2) == staffing.total(found, FOUR_WEEKS).minutes


def test_an_hour_that_never_occurred_lacks_nobody() -> None:
    """Where the clocks skipped it, or somebody's clock was wrong."""
    scale = Scale(occurrences=(0.0,) * week.HOURS, weeks=1, capacity=12.0)

    [line], _ = tables(findings(Waited(Channel.EMAIL, (), Lack.FULL, 3, 1, 0, 600.0)), scale)

    assert (None, 1, 0.0) == (line.peak, line.waited, line.share)


def test_what_is_missing_most_comes_first() -> None:
    """By work, then by tickets, then by name."""
    found = findings(
        Waited(Channel.EMAIL, (), Lack.FULL, 3, 50, 0, 100.0),
        Waited(Channel.PHONE, ("a",), Lack.FULL, 3, 1, 0, 600.0),
        Waited(Channel.PHONE, ("a",), Lack.FULL, 4, 1, 0, 600.0),
        Waited(Channel.EMAIL, ("a",), Lack.NO_SKILL, 3, 1, 0, 0.0),
        Waited(Channel.EMAIL, ("b",), Lack.NO_SKILL, 3, 2, 0, 0.0),
        Waited(None, (), None, 3, 50, 0, 1e9),
    )

    lines, skills = tables(found)

    assert [(Channel.PHONE, ("a",)), (Channel.EMAIL, ()), (Channel.EMAIL, ("b",)), (Channel.EMAIL, ("a",))] == [
        (line.channel, line.skills) for line in lines
    ]
    assert [("a",), ("b",), ("a",)] == [line.skills for line in skills]


def test_a_ticket_counts_under_each_skill_and_once_in_all() -> None:
    """Over all channels; what needed no skill is in no line of skills."""
    arrived = [
        Arrived(Channel.EMAIL, ("a", "b"), 1, 4),
        Arrived(Channel.LIVE_CHAT, ("a",), 2, 2),
        Arrived(Channel.EMAIL, (), 3, 7),
    ]
    found = findings(
        Waited(Channel.EMAIL, ("a", "b"), Lack.OFFLINE, 1, 3, 1, 30.0),
        Waited(Channel.LIVE_CHAT, ("a",), Lack.OFFLINE, 2, 1, 0, 10.0),
        Waited(Channel.EMAIL, (), Lack.OFFLINE, 3, 2, 0, 20.0),
        Waited(None, (), None, 1, 3, 1, 30.0),
        Waited(None, (), None, 2, 3, 0, 30.0),
        arrived=arrived,
    )

    _, skills = tables(found)
    total = staffing.total(found, FOUR_WEEKS)

    assert [(("a",), 6, 4, 1), (("b",), 4, 3, 1)] == [
        (line.skills, line.arrived, line.waited, line.waiting) for line in skills
    ]
    assert (13, 6, 1) == (total.arrived, total.waited, total.waiting)


def test_what_waited_as_something_else_came_as_that_too() -> None:
    """So that no more wait than came; all tickets together count it once."""
    found = findings(
        Waited(Channel.EMAIL, ("b",), Lack.OFFLINE, 1, 1, 0, 30.0),
        Waited(None, (), None, 1, 1, 0, 30.0),
        arrived=[Arrived(Channel.EMAIL, ("a",), 1, 1)],
        others=[Arrived(Channel.EMAIL, ("b",), 1, 1)],
    )

    [line], _ = tables(found)

    assert (1, 1, 1.0, ("b",)) == (line.arrived, line.waited, line.share, line.skills)
    assert 1 == staffing.total(found, FOUR_WEEKS).arrived


def test_only_the_first_lines_bring_their_hours() -> None:
    """The answer stays small."""
    lines, _ = tables(
        findings(*(Waited(Channel.EMAIL, (f"s{n:02}",), Lack.FULL, n, 1, 0, 100.0 - n) for n in range(12)))
    )

    assert [True] * 10 + [False] * 2 == [line.heat is not None for line in lines]


@pytest.mark.parametrize(
    ("hands", "expected"),
    [
        ({}, None),
        ({9: 2.0, 10: 1.0, 11: 0.9}, (0, 9, 11, 2.0)),
        ({22: 1.0, 23: 1.0, 24: 1.0}, (0, 22, 24, 1.0)),
        ({24: 0.5, 25: 1.0, 27: 0.9}, (1, 0, 2, 1.0)),
        ({1: 1.0, 40: 1.0}, (0, 1, 2, 1.0)),
    ],
)
def test_peak(hands: dict[int, float], expected: tuple[int, int, int, float] | None) -> None:
    """The worst hour with its neighbours of that day that come to half of it."""
    found = staffing.peak([hands.get(hour, 0.0) for hour in range(week.HOURS)])

    assert expected == (found and (found.weekday, found.first, found.until, found.hands))


def test_what_nobody_had_is_taken_to_be_short() -> None:
    """A quarter of an hour, for every channel that isn't known."""
    held = staffing.holds({Channel.EMAIL: 60.0})

    assert (60.0, 900.0, len(Channel)) == (held[Channel.EMAIL], held[Channel.PHONE], len(held))
