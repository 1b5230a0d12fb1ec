"""Which verdicts a report of kept promises is about, and how they are told apart."""

from datetime import UTC, datetime, timedelta

import pytest

from services.router.domain.attainment import Dimension, Kept, in_order, read_by
from shared.contract.questions import UnclearQuestion, span
from shared.contract.tickets import TargetKind, Urgency

NOW = datetime(2026, 6, 8, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def test_dimensions_are_read_in_the_order_of_the_report() -> None:
    """Each once."""
    assert (Dimension.TARGET, Dimension.TEAM) == read_by("team, target,team")


@pytest.mark.parametrize("text", ["", "agent", "target,", "target;team"])
def test_other_dimensions_are_refused_with_those_there_are(text: str) -> None:
    """All of them by name."""
    with pytest.raises(UnclearQuestion, match="some of target, channel, urgency, team, matched") as refused:
        read_by(text)
    assert "by" == refused.value.parameter


def test_seven_days_where_nobody_says_how_long() -> None:
    """Up to now, or up to the end that was given; from a given start up to now."""
    assert (NOW - 7 * DAY, NOW) == span(None, None, NOW)
    assert (NOW - 10 * DAY, NOW - 3 * DAY) == span(None, NOW - 3 * DAY, NOW)
    assert (NOW - 30 * DAY, NOW) == span(NOW - 30 * DAY, None, NOW)


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        (NOW, NOW, "must come before the end"),
        (NOW + DAY, None, "must come before the end"),
        (NOW - 367 * DAY, NOW, "366 days"),
        (None, datetime(1, 1, 2, tzinfo=UTC), "outside the years"),
    ],
)
def test_other_stretches_are_refused(since: datetime | None, until: datetime | None, said: str) -> None:
    """With what is allowed."""
    with pytest.raises(UnclearQuestion, match=said):
        span(since, until, NOW)


def test_lines_stand_in_the_order_of_targets_and_urgencies() -> None:
    """Not of the alphabet, nor of their counts."""
    lines = [
        Kept(target=target, urgency=urgency, met=1, breached=0, attainment=1, answered=0, open_seconds=None, wall_seconds=None)
        for target in (TargetKind.RESOLUTION, TargetKind.FIRST_RESPONSE)
        for urgency in (Urgency.LOW, Urgency.URGENT)
    ]  # fmt: skip
    assert [lines[3], lines[2], lines[1], lines[0]] == list(in_order(lines))
