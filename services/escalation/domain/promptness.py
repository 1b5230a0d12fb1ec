"""How prompt paging is: the objective, and how pages of a stretch of time stand to it.

Only the page's own row counts. Left out is what says nothing of our speed: another way tried after one that failed, what
a group's page tells instead, and what a person's quiet hours or the provider held back, which is counted by that reason.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

OBJECTIVE = timedelta(seconds=2)
"""From the instant somebody had to be told to the first attempt to tell them."""
SHARE = 0.99
"""So many of the pages, at least."""


NOT_OURS = frozenset({"quiet_hours", "retry_after", "breaker"})
"""What may hold a page back without saying anything of our speed: whoever is to get it, or the provider. A throttle does."""


class Stage(StrEnum):
    """From one instant of a page to another."""

    DUE_TO_COMMIT = "due_to_commit"
    COMMIT_TO_ATTEMPT = "commit_to_attempt"
    DUE_TO_ATTEMPT = "due_to_attempt"
    """What the objective is about."""
    ATTEMPT_TO_ACCEPT = "attempt_to_accept"
    ACCEPT_TO_DELIVERED = "accept_to_delivered"
    ACCEPT_TO_ACKNOWLEDGED = "accept_to_acknowledged"


class Took(Struct, frozen=True, kw_only=True):
    """How long a stage took, in seconds; each figure is one that a page really took."""

    stage: Stage
    pages: int
    p50: float
    p95: float
    p99: float
    max: float


class ByMethod(Struct, frozen=True, kw_only=True):
    """The stages of pages by one channel."""

    method: str
    stages: tuple[Took, ...]


class Counted(Struct, frozen=True, kw_only=True):
    """Pages by what became of them."""

    attempted: int
    """First pages to somebody that were tried; what a throttle held back is one of them."""
    prompt: int
    """Of those, tried within the objective."""
    overdue: int
    """Not tried yet although the objective has passed: they miss it."""
    deferred: Mapping[str, int]
    """Held back before their first attempt, by reason; but for `throttle`, in none of the figures from `due` or `commit` on."""
    grouped: int
    """Told by a page about their group instead of being sent."""
    fallbacks: int
    """Another way to the same person."""
    accepted: int
    acknowledged: int
    failed: int
    unknown_attempts: int
    """Attempts of which nobody knows whether the provider has the page."""


class Promptness(Struct, frozen=True, kw_only=True):
    """Pages stored in a stretch of time."""

    since: datetime
    until: datetime
    """The first instant after it."""
    objective_seconds: float
    objective_share: float
    share: float | None
    """Tried within the objective, of those tried and overdue, from 0 to 1; null where there is none."""
    is_met: bool | None
    counted: Counted
    stages: tuple[Took, ...]
    methods: tuple[ByMethod, ...]


def judge(
    since: datetime,
    until: datetime,
    counted: Counted,
    stages: tuple[Took, ...],
    methods: tuple[ByMethod, ...],
) -> Promptness:
    """The report: whether enough pages were tried in time."""
    due = counted.attempted + counted.overdue
    share = counted.prompt / due if due else None
    return Promptness(
        since=since,
        until=until,
        objective_seconds=OBJECTIVE.total_seconds(),
        objective_share=SHARE,
        share=share,
        is_met=None if share is None else share >= SHARE,
        counted=counted,
        stages=stages,
        methods=methods,
    )
