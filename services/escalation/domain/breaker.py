"""When a provider's account counts as broken, and when it is tried again (R38).

Failures and unknown results in a row open it; any answer closes it: who refuses a page is there. Pure: the caller keeps
the state, shared by all processes.
"""

from datetime import datetime, timedelta

from msgspec import Struct

from services.escalation.domain.retry import Outcome, Result

OPENS_AFTER = 5
"""Failures in a row."""
FIRST_PROBE = timedelta(seconds=15)
LONGEST_PROBE = timedelta(minutes=5)


class Health(Struct, frozen=True, kw_only=True):
    """How an account stands."""

    failures: int = 0
    """In a row."""
    opened_at: datetime | None = None
    """It is broken since then; None while it is well."""
    probe_at: datetime | None = None
    """When one page may try it again."""
    held_until: datetime | None = None
    """The provider asks for silence until then (R37)."""


def after(health: Health, outcome: Outcome, now: datetime) -> Health:
    """How the account stands after an attempt; each probe that fails doubles the wait, up to five minutes."""
    if outcome.retry_after is not None:
        until = now + outcome.retry_after
        held = until if health.held_until is None else max(health.held_until, until)
        return Health(held_until=held)
    if outcome.result not in (Result.RETRYABLE, Result.UNKNOWN):
        return Health(held_until=health.held_until)
    failures = health.failures + 1
    if failures < OPENS_AFTER:
        return Health(failures=failures, held_until=health.held_until)
    opened_at = health.opened_at or now
    wait = min(max(now - opened_at, FIRST_PROBE), LONGEST_PROBE)
    return Health(failures=failures, opened_at=opened_at, probe_at=now + wait, held_until=health.held_until)
