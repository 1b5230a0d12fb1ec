"""When an account of a provider counts as broken, and when it is tried again (R37, R38)."""

from datetime import UTC, datetime, timedelta

import pytest

from services.escalation.domain import breaker
from services.escalation.domain.breaker import Health
from services.escalation.domain.retry import Outcome, Result

NOW = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
FAILS = Outcome(result=Result.RETRYABLE)


def after(*outcomes: Outcome) -> Health:
    """How an account stands after these, at one instant."""
    health = Health()
    for outcome in outcomes:
        health = breaker.after(health, outcome, NOW)
    return health


def test_r38_failures_and_unknown_results_in_a_row_open_it() -> None:
    """Five of them; it is tried again after a quarter of a minute."""
    assert after(*[FAILS] * 4).opened_at is None
    health = after(*[FAILS] * 3, *[Outcome(result=Result.UNKNOWN)] * 2)
    assert (NOW, NOW + timedelta(seconds=15)) == (health.opened_at, health.probe_at)


@pytest.mark.parametrize("result", [Result.ACCEPTED, Result.DELIVERED, Result.REJECTED])
def test_r38_any_answer_closes_it(result: Result) -> None:
    """Who refuses is there."""
    assert Health() == after(*[FAILS] * 9, Outcome(result=result))


def test_r38_each_probe_that_fails_doubles_the_wait() -> None:
    """Up to five minutes."""
    health, now, waits = after(*[FAILS] * 5), NOW, []
    for _ in range(8):
        assert health.probe_at is not None
        waits.append((health.probe_at - now).total_seconds())
        now = health.probe_at
        health = breaker.after(health, FAILS, now)
    assert [15, 15, 30, 60, 120, 240, 300, 300] == waits


def test_r37_a_provider_that_asks_for_silence_is_there() -> None:
    """It is held for as long, the longest wish counts, and it is not broken."""
    long, short = (Outcome(result=Result.RETRYABLE, retry_after=timedelta(seconds=n)) for n in (7, 3))
    assert Health(held_until=NOW + timedelta(seconds=7)) == after(*[FAILS] * 5, long, short)
