"""Whom a new version of the policy is for."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from services.router.domain.reach import NEW, Reach, To, UnclearReach, reach

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("to", "start", "expected", "has_rollout"),
    [
        (None, None, NEW, False),
        (To.NEW, None, NEW, False),
        (To.OPEN, None, Reach(is_for_open=True), True),
        (None, NOW - HOUR, Reach(opened_from=NOW - HOUR), True),
        (None, NOW, Reach(opened_from=NOW), True),
        (None, NOW + HOUR, Reach(holds_from=NOW + HOUR), False),
    ],
)
def test_to_and_from_say_whom_it_is_for(
    to: To | None, start: datetime | None, expected: Reach, has_rollout: bool
) -> None:
    """An instant up to now takes in open tickets, one to come waits."""
    found = reach(to, start, NOW)
    assert (expected, has_rollout) == (found, found.has_rollout)


@pytest.mark.parametrize(
    ("to", "start", "words"),
    [
        (To.OPEN, NOW - HOUR, "exclude each other"),
        (To.NEW, NOW + HOUR, "exclude each other"),
        (None, NOW.replace(tzinfo=None), "no offset"),
        (None, NOW + timedelta(days=401), "400 days ahead"),
        (None, datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=9))), "beyond the years"),
    ],
)
def test_what_is_not_clear_is_refused_with_what_would_be(to: To | None, start: datetime, words: str) -> None:
    """Nobody is to guess whose promises move."""
    with pytest.raises(UnclearReach, match=words):
        reach(to, start, NOW)
