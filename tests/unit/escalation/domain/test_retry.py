"""What one attempt's outcome means for its page."""

from datetime import UTC, datetime, timedelta

import pytest

from services.escalation.domain.retry import Outcome, Result, Trial, Verdict, budget_until, judge

NOW = datetime(2026, 6, 1, 9, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def trial(**changes: object) -> Trial:
    """The first attempt of a page that may be tried for ten minutes."""
    given = {
        "attempts": 1,
        "unknowns": 0,
        "first_at": NOW,
        "budget_until": NOW + 600 * SECOND,
        "is_keyed": True,
        **changes,
    }
    return Trial(**given)


@pytest.mark.parametrize("result", [Result.ACCEPTED, Result.DELIVERED])
def test_r35_accepted_is_done(result):
    """No more attempts."""
    assert Verdict(is_accepted=True) == judge(Outcome(result=result), trial(), NOW, 0.5)


def test_r35_rejected_is_a_hard_failure():
    """Another way, at once."""
    assert Verdict(fall_back=True) == judge(Outcome(result=Result.REJECTED), trial(), NOW, 0.5)


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 1), (2, 2), (5, 16), (7, 60), (30, 60)])
def test_r37_the_wait_doubles_up_to_a_minute(attempts, seconds):
    """With the highest jitter; the lowest is no wait at all."""
    outcome = Outcome(result=Result.RETRYABLE)
    assert NOW + seconds * SECOND == judge(outcome, trial(attempts=attempts), NOW, 1.0).retry_at
    assert NOW == judge(outcome, trial(attempts=attempts), NOW, 0.0).retry_at


def test_r37_retry_after_is_honoured():
    """Also where the jitter would be shorter."""
    outcome = Outcome(result=Result.RETRYABLE, retry_after=7 * SECOND)
    assert Verdict(retry_at=NOW + 7 * SECOND) == judge(outcome, trial(), NOW, 0.5)


def test_r37_no_attempt_after_the_budget():
    """The next step is nearer: another way now."""
    outcome = Outcome(result=Result.RETRYABLE, retry_after=600 * SECOND)
    assert Verdict(fall_back=True) == judge(outcome, trial(), NOW, 0.5)


def test_r37_after_twenty_seconds_without_acceptance_another_way_is_tried_too():
    """The first way goes on."""
    verdict = judge(Outcome(result=Result.RETRYABLE), trial(first_at=NOW - 20 * SECOND), NOW, 0.5)
    assert verdict.retry_at is not None
    assert verdict.fall_back


@pytest.mark.parametrize(("is_keyed", "unknowns", "again"), [(True, 9, True), (False, 1, True), (False, 2, False)])
def test_r36_unknown_is_retried_freely_where_keyed_and_once_where_not(is_keyed, unknowns, again):
    """At most one duplicate of an unkeyed page."""
    verdict = judge(Outcome(result=Result.UNKNOWN), trial(is_keyed=is_keyed, unknowns=unknowns), NOW, 0.5)
    assert (again, not again) == (verdict.retry_at is not None, verdict.fall_back)


def test_the_budget_is_the_time_to_the_next_step_or_an_hour():
    """Where no step follows."""
    assert NOW + SECOND == budget_until(NOW + SECOND, NOW)
    assert NOW + timedelta(hours=1) == budget_until(None, NOW)
