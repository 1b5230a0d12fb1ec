"""What one attempt's outcome means for its page: done, again later, or another way.

The budget is the time to the next step, not a count (R37); a page that is never answered may be sent twice, one that is
lost may not (R36).
"""

from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from services.escalation.domain.ladder import Kind

FALLBACK_AFTER = timedelta(seconds=20)
"""Without acceptance for this long, the next way to reach the person is tried beside the first."""
LAST_BUDGET = timedelta(hours=1)
"""How long a page is tried where no next step follows."""
_FIRST_WAIT = timedelta(seconds=1)
_LONGEST_WAIT = timedelta(minutes=1)


_NO_DUPLICATES = frozenset({Kind.RESOLVE, Kind.SUMMARY, Kind.COPY})


class Result(StrEnum):
    """What became of one attempt (R35)."""

    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    REJECTED = "rejected"
    RETRYABLE = "retryable"
    UNKNOWN = "unknown"
    """Sent, but no answer: the provider may have it."""


class Outcome(Struct, frozen=True, kw_only=True):
    """The answer of a channel."""

    result: Result
    detail: str = ""
    """For a person: never a secret, never an address with one in it."""
    retry_after: timedelta | None = None
    """How long the provider asks not to be called, by anybody for this account (R37)."""
    provider_id: str | None = None
    """What the provider calls the page: a message's SID or timestamp, a request's id."""


LOST = Outcome(result=Result.UNKNOWN, detail="the process stopped while it was sending")
"""Of an attempt whose process died: unknown, and no fault of the provider's."""


class Trial(Struct, frozen=True, kw_only=True):
    """How often and how long a page has been tried, its present attempt included."""

    attempts: int
    unknowns: int
    first_at: datetime
    budget_until: datetime
    is_keyed: bool
    """The provider drops a page it already has, by its id."""
    most_unknown: int = 2
    """How often a page that may have arrived is sent to a provider that would not notice: 1 where a duplicate is worse."""
    is_tried_once: bool = False
    """Nobody need get it: whatever comes of the first attempt is the end."""


class Verdict(Struct, frozen=True, kw_only=True):
    """What happens to the page now."""

    is_accepted: bool = False
    retry_at: datetime | None = None
    """None where it isn't tried again."""
    fall_back: bool = False
    """Start the next way to reach the person, if there is one."""


def judge(outcome: Outcome, trial: Trial, now: datetime, jitter: float) -> Verdict:
    """Decide; `jitter` is a random number in [0, 1)."""
    match outcome.result:
        case Result.ACCEPTED | Result.DELIVERED:
            return Verdict(is_accepted=True)
        case _ if trial.is_tried_once:
            return Verdict()
        case Result.REJECTED:
            return Verdict(fall_back=True)
        case Result.UNKNOWN if not trial.is_keyed and trial.unknowns >= trial.most_unknown:
            return Verdict(fall_back=True)
    retry_at = now + max(_wait(trial.attempts, jitter), outcome.retry_after or timedelta())
    if retry_at >= trial.budget_until:
        return Verdict(fall_back=True)
    return Verdict(retry_at=retry_at, fall_back=retry_at - trial.first_at >= FALLBACK_AFTER)


def most_unknown(kind: Kind) -> int:
    """How often a page of this kind goes to a provider that may have it and would not notice (R36)."""
    return 1 if kind in _NO_DUPLICATES else 2


def budget_until(next_step_at: datetime | None, first_at: datetime) -> datetime:
    """Until when a page is tried: up to the next step, or an hour."""
    return next_step_at if next_step_at is not None else first_at + LAST_BUDGET


def _wait(attempts: int, jitter: float) -> timedelta:
    doublings: int = 2 ** min(attempts - 1, 10)
    return min(_LONGEST_WAIT, _FIRST_WAIT * doublings) * jitter
