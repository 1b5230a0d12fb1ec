"""Steps of an escalation: which one is due, whom it reaches, when the next one is.

Pure: whoever calls it says how recipients are reached. Steps are planned from the anchor, mostly the instant the promise
broke, so a late engine moves no later step (R2). Every wait is somebody's who was paged: gaps are skipped at once (R22).
The first walk is for whoever is on call, at any hour; later ones remind, and keep to the promise's hours (sla-rules 63).
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from services.escalation.domain.recipient import FALLBACK
from shared.policy.document import Counts, Ladder, Step

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


class Hours(Protocol):
    """When the calendar of the promise is open, as `shared.sla.calendar.Calendar` says it."""

    def next_open(self, at: datetime) -> datetime | None:
        """The same instant where it is open then, else the next opening; None: it never opens again."""

    def add(self, start: datetime, open_time: timedelta) -> datetime | None:
        """When so much has been open since `start`, of nothing the next open instant; None: never."""


class AroundTheClock:
    """The hours of a promise that is kept at any."""

    def next_open(self, at: datetime) -> datetime:
        """At once."""
        return at

    def add(self, start: datetime, open_time: timedelta) -> datetime:
        """Elapsed time."""
        return start + open_time


ANY_HOUR = AroundTheClock()


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
    ANSWERED = "answered"
    """Everybody it reaches has answered for themselves (R6)."""


class Position(Struct, frozen=True, order=True):
    """A step of a loop; both count from 0."""

    loop: int
    step: int


_BEGINNING = Position(0, 0)


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
    since: Position | None = None
    """The step that the anchor is the planned instant of, where it isn't the instant the promise broke."""
    is_replanned: bool = False
    """Anchor or ladder changed since: the step may be due at another instant than now (R15, R17)."""
    answer_until: datetime | None = None
    """Of one that is planned anew: until when those paged last have time to answer (R3)."""
    answered: frozenset[str] = frozenset()
    """Of a step that all must answer: who has, and is not paged again (R6)."""
    also: tuple[str, ...] = ()
    """Recipients whom this step pages besides its own (R12)."""
    is_raised: bool = False
    """Somebody wants this step now: it waits for no calendar (R8)."""


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
    """Nothing was taken: a reminder waits for the promise's calendar to open, or the plan changed."""


def planned_at(
    ladder: Ladder, anchor_at: datetime, position: Position, hours: Hours = ANY_HOUR, since: Position | None = None
) -> datetime:
    """When a step is due by the plan (R2); the position after the last loop is the end of the ladder.

    The anchor is the instant the promise broke, or that of the step `since`. A step waits elapsed or open time, as it says
    (R5). Reminders, the walks after the first and the end that follows them, come while the promise's calendar is open: one
    that would not waits for the opening, and those behind it keep their distance (sla-rules 63).
    """
    loops = _loops(ladder)
    if not loops:
        return anchor_at
    at, place = anchor_at, since
    if place is None:
        at, place = _waited(ladder.steps[0], at, hours), _BEGINNING
    while place < position and place.loop < loops:
        following = _after(ladder, place)
        reminds = following.loop > 0 and loops > 1
        if following.loop != place.loop:
            at = max(_waited(ladder.steps[-1], at, hours), at + MIN_ACK_WINDOW)
            at = _opening(hours, at) if reminds else at
        if following.loop < loops:
            at = _waited(ladder.steps[following.step], at, hours)
            at = _opening(hours, at) if reminds else at
        place = following
    return at


def climb(
    ladder: Ladder,
    standing: Standing,
    now: datetime,
    reach: "Reach[R]",
    before: frozenset[str],
    hours: Hours = ANY_HOUR,
) -> "Climb[R]":
    """Take the step that is due at `now`; `before` are those whom the step before it paged in the same loop."""
    if standing.reason is Reason.WARNED:
        return _warn(ladder, standing, reach)
    if standing.is_replanned and (due_at := _replanned_at(ladder, standing, hours)) > now:
        return _put_off(standing, due_at)
    position, skipped = _catch_up(ladder, standing, now, hours)
    while position.loop < _loops(ladder):
        last = _together(ladder, position)
        recipients = [name for step in ladder.steps[position.step : last.step + 1] for name in step.page]
        found = reach([*recipients, *standing.also])
        reached = _unanswered(found, standing)
        if reached and not (before and {one.who for one in reached} <= before):
            if _is_too_late_in_the_day(ladder, standing, position, now, hours):
                return _put_off(standing, _opening(hours, now))
            return _paged(ladder, standing, now, last, reached, skipped, hours)
        reason = SkipReason.SAME_PEOPLE if reached else SkipReason.ANSWERED if found else SkipReason.GAP
        skipped += [Skipped(position.loop, step, reason) for step in range(position.step, last.step + 1)]
        following = _after(ladder, last)
        if following.loop != position.loop:
            before = frozenset()
        position = following
    if _is_too_late_in_the_day(ladder, standing, position, now, hours):
        return _put_off(standing, _opening(hours, now))
    return _ask_instead(standing, position, reach, skipped, now) or Climb(
        kind=Kind.PAGE,
        taken=position,
        reached=_unanswered(reach([*ladder.otherwise, *standing.also]), standing) or reach([LAST_RESORT]),
        skipped=tuple(skipped),
        next=position,
        next_step_at=None,
        is_exhausted=True,
    )


def _unanswered(found: "tuple[R, ...]", standing: Standing) -> "tuple[R, ...]":
    """Those of them who have not answered for themselves: nobody else is paged any more (R6)."""
    return tuple(one for one in found if one.who not in standing.answered)


def _ask_instead(
    standing: Standing, position: Position, reach: "Reach[R]", skipped: list[Skipped], now: datetime
) -> "Climb[R] | None":
    """Where every step is empty: the owner, or their lead, before the end of the ladder (R22)."""
    if standing.position != _BEGINNING or not skipped or any(one.reason is not SkipReason.GAP for one in skipped):
        return None
    for name in FALLBACK:
        if reached := reach([name]):
            return Climb(
                kind=Kind.PAGE,
                taken=position,
                reached=reached,
                skipped=tuple(skipped),
                next=Position(position.loop, position.step + 1),
                next_step_at=now + MIN_ACK_WINDOW,
            )
    return None


def _replanned_at(ladder: Ladder, standing: Standing, hours: Hours) -> datetime:
    """When the step is due by the plan as it is now; never so that those paged last lose their time to answer (R3)."""
    planned = planned_at(ladder, standing.anchor_at, standing.position, hours, standing.since)
    return planned if standing.answer_until is None else max(planned, standing.answer_until)


def _warn(ladder: Ladder, standing: Standing, reach: "Reach[R]") -> "Climb[R]":
    first = ladder.steps[0].page if ladder.steps else ()
    return Climb(
        kind=Kind.WARNING,
        taken=standing.position,
        reached=reach([*ladder.on_warning, *standing.also]) or reach(first) or reach([LAST_RESORT]),
        next=standing.position,
        next_step_at=None,
    )


def _is_too_late_in_the_day(
    ladder: Ladder, standing: Standing, position: Position, now: datetime, hours: Hours
) -> bool:
    """Whether taking the position would remind people who know already, outside the hours of the promise."""
    if standing.is_raised:
        return False
    return position.loop > 0 and _loops(ladder) > 1 and standing.has_reached and _opening(hours, now) > now


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
    hours: Hours,
) -> "Climb[R]":
    following = _after(ladder, taken)
    planned = planned_at(ladder, standing.anchor_at, following, hours, standing.since)
    return Climb(
        kind=Kind.PAGE,
        taken=taken,
        reached=reached,
        skipped=tuple(skipped),
        next=following,
        next_step_at=planned if planned > now else now + MIN_ACK_WINDOW,
    )


def _catch_up(ladder: Ladder, standing: Standing, now: datetime, hours: Hours) -> tuple[Position, list[Skipped]]:
    """The step that is current at `now`, and those before it that nobody took (R4).

    The end of the ladder is never current unless it was next: somebody is paged first.
    """
    position = standing.position
    skipped: list[Skipped] = []
    while position.loop < _loops(ladder):
        last = _together(ladder, position)
        following = _after(ladder, last)
        if (
            following.loop >= _loops(ladder)
            or planned_at(ladder, standing.anchor_at, following, hours, standing.since) > now
        ):
            break
        skipped += [Skipped(position.loop, step, SkipReason.LATE) for step in range(position.step, last.step + 1)]
        position = following
    return position, skipped


def begins_with(ladder: Ladder, taken: Position) -> Position:
    """The first of the steps that were taken together as `taken`, the last of them (R6)."""
    step = taken.step
    while taken.loop < _loops(ladder) and 0 < step < len(ladder.steps) and _joins(ladder, step):
        step -= 1
    return Position(taken.loop, step)


def is_over(ladder: Ladder, position: Position) -> bool:
    """Whether a position lies behind the last loop: the end of the ladder."""
    return position.loop >= _loops(ladder)


def before(ladder: Ladder, position: Position) -> Position:
    """The step in front of a position, from which its wait counts; the beginning has none, and is given back."""
    if position.step > 0 or position.loop == 0:
        return Position(position.loop, max(position.step - 1, 0))
    return Position(position.loop - 1, max(len(ladder.steps) - 1, 0))


def _together(ladder: Ladder, position: Position) -> Position:
    """The last of the steps that go with this one because no time lies between them (R6)."""
    step = position.step
    while step + 1 < len(ladder.steps) and _joins(ladder, step + 1):
        step += 1
    return Position(position.loop, step)


def _joins(ladder: Ladder, step: int) -> bool:
    """Whether a step goes with the one before it; one that waits for open time goes with no other kind (R5)."""
    one = ladder.steps[step]
    return not one.after and (one.counts is Counts.ELAPSED or ladder.steps[step - 1].counts is Counts.OPEN)


def _after(ladder: Ladder, position: Position) -> Position:
    if position.step + 1 < len(ladder.steps):
        return Position(position.loop, position.step + 1)
    return Position(position.loop + 1, 0)


def _loops(ladder: Ladder) -> int:
    return max(ladder.repeat, 1) if ladder.steps else 0


def _waited(step: Step, at: datetime, hours: Hours) -> datetime:
    """When the wait before a step is over that begins at `at` (R5); a calendar that never opens again holds nobody up."""
    elapsed = at + step.after
    return elapsed if step.counts is Counts.ELAPSED else hours.add(at, step.after) or elapsed


def _opening(hours: Hours, at: datetime) -> datetime:
    return hours.next_open(at) or at


def recipients_of(ladder: Ladder, position: Position) -> tuple[str, ...]:
    """Whom a step is for, as the policy writes it; past the last loop, whom the end is for."""
    if position.loop >= _loops(ladder):
        return ladder.otherwise or (LAST_RESORT,)
    last = _together(ladder, position)
    return tuple(name for step in ladder.steps[position.step : last.step + 1] for name in step.page)
