"""Steps of an escalation: which one is due, whom it reaches, when the next one is.

Pure: whoever calls it says how recipients are reached. Steps are planned from the anchor, the instant the promise broke,
so a late engine moves no later step (R2). Every wait belongs to somebody who was paged: gaps are skipped at once (R22).
The first walk is for whoever is on call, at any hour; later ones remind, and keep to the promise's hours (sla-rules 63).
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from shared.policy.document import Ladder

MIN_ACK_WINDOW = timedelta(minutes=2)
"""Whoever was paged has at least this long to answer before the next step (R3)."""

LAST_RESORT = "channel/console"
"""Paged when nobody else can be: never silence (R7, R22)."""


class Reachable(Protocol):
    """A recipient resolved to somebody who can be paged."""

    @property
    def who(self) -> str:
        """The same text for the same person or channel."""


R = TypeVar("R", bound=Reachable)
Reach = Callable[[Sequence[str]], tuple[R, ...]]
"""Resolve recipients, as the policy writes them, to those who can be paged now; empty is a gap."""
Opens = Callable[[datetime], datetime]
"""The next instant at which the calendar of the promise is open: the same one where it is open then."""


def at_any_hour(at: datetime) -> datetime:
    """The `Opens` of a promise that is kept around the clock."""
    return at


class Reason(StrEnum):
    """Why an escalation was opened."""

    WARNED = "warned"
    BREACHED = "breached"
    MANUAL = "manual"
    UNROUTABLE = "unroutable"


class Kind(StrEnum):
    """What a page is for."""

    WARNING = "warning"
    PAGE = "page"
    RESOLVE = "resolve"
    """Tells whoever was sent the others that they are moot, and why (R14)."""
    SUMMARY = "summary"
    """Names the escalations that joined a group after its first page (R27)."""
    DIGEST = "digest"
    """Names what broke in an outage, in place of the backlog (R4, R30)."""
    COPY = "copy"
    """For information: nobody need answer, and it is not tried again."""
    CANARY = "canary"
    """Tries whether somebody can be reached."""
    ALARM = "alarm"
    """About ourselves: a page that was given up, an escalation that nobody ended."""


class SkipReason(StrEnum):
    """Why a step paged nobody."""

    LATE = "late"
    """A later step was due already (R4)."""
    GAP = "gap"
    """Nobody could be reached (R22, R23)."""
    SAME_PEOPLE = "same_people"
    """Everybody it reaches was paged by the step before (R22)."""


class Position(Struct, frozen=True, order=True):
    """A step of a loop; both count from 0."""

    loop: int
    step: int


class Skipped(Struct, frozen=True):
    """A step that was passed over."""

    loop: int
    step: int
    reason: SkipReason


class Standing(Struct, frozen=True, kw_only=True):
    """Where an escalation stands before its due step is taken."""

    reason: Reason
    anchor_at: datetime
    position: Position
    """The next step to take; of a warning, its number among the warnings of the clock."""
    has_reached: bool = False
    """Whether a page of it got through to anybody: then what follows the first walk reminds."""


class Climb(Struct, Generic[R], frozen=True, kw_only=True):
    """What taking the due step does."""

    kind: Kind
    taken: Position
    reached: tuple[R, ...]
    skipped: tuple[Skipped, ...] = ()
    next: Position
    next_step_at: datetime | None
    """None after a warning, and at the end."""
    is_exhausted: bool = False
    is_put_off: bool = False
    """Nothing was taken: a reminder waits for the promise's calendar to open."""


def planned_at(ladder: Ladder, anchor_at: datetime, position: Position, opens: Opens = at_any_hour) -> datetime:
    """When a step is due by the plan (R2); the position after the last loop is the end of the ladder.

    Reminders, the walks after the first and the end that follows them, come while the promise's calendar is open: one
    that would not waits for the opening, and those behind it keep their distance (sla-rules 63).
    """
    into_loop = [step.after for step in ladder.steps[: position.step + 1]]
    if position.loop >= _loops(ladder):
        into_loop = []
    if position.loop == 0 or _loops(ladder) == 1:
        return anchor_at + position.loop * _period(ladder) + sum(into_loop, timedelta())
    to_next_loop = max(ladder.steps[-1].after, MIN_ACK_WINDOW)
    at = anchor_at + sum((step.after for step in ladder.steps), timedelta())
    for _ in range(1, position.loop):
        at = opens(at + to_next_loop)
        for step in ladder.steps:
            at = opens(at + step.after)
    at = opens(at + to_next_loop)
    for after in into_loop:
        at = opens(at + after)
    return at


def climb(
    ladder: Ladder,
    standing: Standing,
    now: datetime,
    reach: "Reach[R]",
    before: frozenset[str],
    opens: Opens = at_any_hour,
) -> "Climb[R]":
    """Take the step that is due at `now`; `before` are those whom the step before it paged in the same loop."""
    if standing.reason is Reason.WARNED:
        return _warn(ladder, standing, reach)
    position, skipped = _catch_up(ladder, standing, now, opens)
    while position.loop < _loops(ladder):
        last = _together(ladder, position)
        recipients = [name for step in ladder.steps[position.step : last.step + 1] for name in step.page]
        reached = reach(recipients)
        if reached and not (before and {one.who for one in reached} <= before):
            if _is_too_late_in_the_day(ladder, standing, position, now, opens):
                return _put_off(standing, opens(now))
            return _paged(ladder, standing, now, last, reached, skipped, opens)
        reason = SkipReason.SAME_PEOPLE if reached else SkipReason.GAP
        skipped += [Skipped(position.loop, step, reason) for step in range(position.step, last.step + 1)]
        following = _after(ladder, last)
        if following.loop != position.loop:
            before = frozenset()
        position = following
    if _is_too_late_in_the_day(ladder, standing, position, now, opens):
        return _put_off(standing, opens(now))
    return Climb(
        kind=Kind.PAGE,
        taken=position,
        reached=reach(ladder.otherwise) or reach([LAST_RESORT]),
        skipped=tuple(skipped),
        next=position,
        next_step_at=None,
        is_exhausted=True,
    )


def _warn(ladder: Ladder, standing: Standing, reach: "Reach[R]") -> "Climb[R]":
    first = ladder.steps[0].page if ladder.steps else ()
    return Climb(
        kind=Kind.WARNING,
        taken=standing.position,
        reached=reach(ladder.on_warning) or reach(first) or reach([LAST_RESORT]),
        next=standing.position,
        next_step_at=None,
    )


def _is_too_late_in_the_day(
    ladder: Ladder, standing: Standing, position: Position, now: datetime, opens: Opens
) -> bool:
    """Whether taking the position would remind people who know already, outside the hours of the promise."""
    return position.loop > 0 and _loops(ladder) > 1 and standing.has_reached and opens(now) > now


def _put_off(standing: Standing, until: datetime) -> "Climb[R]":
    return Climb(
        kind=Kind.PAGE,
        taken=standing.position,
        reached=(),
        next=standing.position,
        next_step_at=until,
        is_put_off=True,
    )


def _paged(
    ladder: Ladder,
    standing: Standing,
    now: datetime,
    taken: Position,
    reached: tuple[R, ...],
    skipped: list[Skipped],
    opens: Opens,
) -> "Climb[R]":
    following = _after(ladder, taken)
    planned = planned_at(ladder, standing.anchor_at, following, opens)
    return Climb(
        kind=Kind.PAGE,
        taken=taken,
        reached=reached,
        skipped=tuple(skipped),
        next=following,
        next_step_at=planned if planned > now else now + MIN_ACK_WINDOW,
    )


def _catch_up(ladder: Ladder, standing: Standing, now: datetime, opens: Opens) -> tuple[Position, list[Skipped]]:
    """The step that is current at `now`, and those before it that nobody took (R4).

    The end of the ladder is never current unless it was next: somebody is paged first.
    """
    position = standing.position
    skipped: list[Skipped] = []
    while position.loop < _loops(ladder):
        last = _together(ladder, position)
        following = _after(ladder, last)
        if following.loop >= _loops(ladder) or planned_at(ladder, standing.anchor_at, following, opens) > now:
            break
        skipped += [Skipped(position.loop, step, SkipReason.LATE) for step in range(position.step, last.step + 1)]
        position = following
    return position, skipped


def _together(ladder: Ladder, position: Position) -> Position:
    """The last of the steps that go with this one because no time lies between them (R6)."""
    step = position.step
    while step + 1 < len(ladder.steps) and not ladder.steps[step + 1].after:
        step += 1
    return Position(position.loop, step)


def _after(ladder: Ladder, position: Position) -> Position:
    if position.step + 1 < len(ladder.steps):
        return Position(position.loop, position.step + 1)
    return Position(position.loop + 1, 0)


def _loops(ladder: Ladder) -> int:
    return max(ladder.repeat, 1) if ladder.steps else 0


def _period(ladder: Ladder) -> timedelta:
    """From one loop to the next: after the last step passes as much time as before it, at least two minutes."""
    return sum((step.after for step in ladder.steps), timedelta()) + max(ladder.steps[-1].after, MIN_ACK_WINDOW)


def recipients_of(ladder: Ladder, position: Position) -> tuple[str, ...]:
    """Whom a step is for, as the policy writes it; past the last loop, whom the end is for."""
    if position.loop >= _loops(ladder):
        return ladder.otherwise or (LAST_RESORT,)
    last = _together(ladder, position)
    return tuple(name for step in ladder.steps[position.step : last.step + 1] for name in step.page)
