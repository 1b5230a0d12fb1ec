"""What an answer does to an escalation: acknowledge it, snooze it, or give it back.

Pure: whoever calls it holds the escalation. The first acknowledgement counts (R10), what is over stays over, a snooze is an
acknowledgement with a time to wake at (R16), and whoever gives it back lets the next step page now, like R8.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from services.escalation.domain import ladder as ladders
from services.escalation.domain.ladder import Position
from shared.contract.tickets import Urgency
from shared.policy.document import Answers, Ladder


class Action(StrEnum):
    """What somebody does who was paged."""

    ACKNOWLEDGE = "acknowledge"
    SNOOZE = "snooze"
    HAND_BACK = "hand_back"


class Standing(StrEnum):
    """What an answer met."""

    NOW = "acknowledged"
    """It was the first."""
    SNOOZED = "snoozed"
    HANDED_BACK = "handed_back"
    BEFORE = "acknowledged_before"
    """Somebody has it already; nothing was changed."""
    RESOLVED = "resolved"
    """There is nothing left to do."""
    STALE = "stale"
    """It went on since: the link, or what was seen, is of an older generation (R18). Nothing was changed."""
    USED = "used"
    """The link was used before, and what it took over is somebody else's to take now. Nothing was changed."""
    NOT_TAKEN = "not_acknowledged"
    """Nobody has it who could give it back. Nothing was changed."""


CHANGING = frozenset({Standing.NOW, Standing.SNOOZED, Standing.HANDED_BACK})


class Subject(Struct, frozen=True, kw_only=True):
    """An escalation, as it stands before the answer."""

    id: UUID
    state: str
    generation: int
    position: Position
    """The next step to take."""
    urgency: str
    anchor_at: datetime
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    answered: tuple[str, ...] = ()
    """Of a step that all must answer: who has (R6)."""
    newest: Position | None = None
    """The newest step that was taken in this generation; None before the first, and of a warning."""
    asked: frozenset[str] = frozenset()
    """Whom it paged."""
    is_warning: bool = False
    """Nothing is broken yet: no step follows."""
    is_mine: bool = True
    """The link is of this generation."""
    is_used: bool = False
    """The link was used before."""


class Change(Struct, frozen=True, kw_only=True):
    """How the escalation stands after an answer."""

    state: str
    generation: int
    position: Position
    anchor_at: datetime
    """Where it goes up again: when the position is to be taken, from which the steps behind it are planned."""
    next_step_at: datetime | None
    """Meant where the state is open and `goes_on` isn't set."""
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    answered: tuple[str, ...] = ()
    wakes_at: datetime | None = None
    wakes_for: str | None = None
    goes_on: bool = False
    """Its next step stays when it is: others of the step have not answered yet (R6)."""


class Decision(Struct, frozen=True, kw_only=True):
    """What an answer met, and what it changes; None: nothing."""

    standing: Standing
    change: Change | None = None
    waits_for: tuple[str, ...] = ()
    """Of a step that all must answer: who hasn't."""


def decide(
    subject: Subject, ladder: Ladder, action: Action, by: str, now: datetime, until: datetime | None = None
) -> Decision:
    """What comes of it when `by` does this; `until` is when a snooze ends."""
    if subject.state == "resolved":
        return Decision(standing=Standing.RESOLVED)
    if not subject.is_mine:
        return Decision(standing=Standing.STALE)
    if action is Action.HAND_BACK:
        return _give_back(subject, ladder, by, now)
    if subject.state == "acknowledged":
        if action is Action.SNOOZE and subject.acknowledged_by == by:
            return _taken(subject, ladder, by, subject.acknowledged_at or now, now, until)
        return Decision(standing=Standing.BEFORE)
    return _take(subject, ladder, by, now, until)


def must_all_answer(subject: Subject, ladder: Ladder) -> bool:
    """Whether the newest step stops paging only those who answer (R6)."""
    newest = subject.newest
    if newest is None or ladders.is_over(ladder, newest) or newest.step >= len(ladder.steps):
        return False
    first = ladders.begins_with(ladder, newest).step
    return any(step.answers is Answers.ALL for step in ladder.steps[first : newest.step + 1])


def longest_snooze(ladder: Ladder, offered: tuple[timedelta, ...]) -> tuple[timedelta, ...]:
    """Those of the offered lengths that the ladder allows; its longest, where it allows none of them."""
    allowed = tuple(length for length in offered if length <= ladder.snooze_at_most)
    return allowed or ((ladder.snooze_at_most,) if ladder.snooze_at_most else ())


def _take(subject: Subject, ladder: Ladder, by: str, now: datetime, until: datetime | None) -> Decision:
    if by in subject.answered:
        return Decision(standing=Standing.BEFORE, waits_for=_missing(subject, subject.answered))
    if subject.is_used:
        return Decision(standing=Standing.USED)
    answered = (*subject.answered, by)
    if must_all_answer(subject, ladder) and (missing := _missing(subject, answered)):
        change = Change(
            state=subject.state,
            generation=subject.generation,
            position=subject.position,
            anchor_at=subject.anchor_at,
            next_step_at=None,
            answered=answered,
            goes_on=True,
        )
        return Decision(standing=Standing.NOW, change=change, waits_for=missing)
    return _taken(subject, ladder, by, now, now, until)


def _taken(subject: Subject, ladder: Ladder, by: str, at: datetime, now: datetime, until: datetime | None) -> Decision:
    silence = ladder.silence.get(Urgency(subject.urgency)) if subject.urgency in _URGENCIES else None
    wakes_at = until or (now + silence if silence else None)
    return Decision(
        standing=Standing.SNOOZED if until else Standing.NOW,
        change=Change(
            state="acknowledged",
            generation=subject.generation,
            position=subject.position,
            anchor_at=subject.anchor_at,
            next_step_at=None,
            acknowledged_by=by,
            acknowledged_at=at,
            answered=subject.answered,
            wakes_at=wakes_at,
            wakes_for=None if wakes_at is None else "snooze" if until else "silence",
        ),
    )


def _give_back(subject: Subject, ladder: Ladder, by: str, now: datetime) -> Decision:
    """The next step pages now, and those behind it keep their distance; after the end of the ladder it begins anew."""
    if subject.state != "acknowledged":
        return Decision(standing=Standing.NOT_TAKEN)
    if subject.acknowledged_by != by:
        return Decision(standing=Standing.BEFORE)
    position, generation = subject.position, subject.generation
    if subject.is_warning:
        quiet = Change(
            state="open", generation=generation, position=position, anchor_at=subject.anchor_at, next_step_at=None
        )
        return Decision(standing=Standing.HANDED_BACK, change=quiet)
    if position.loop >= max(ladder.repeat, 1) or subject.newest is None or not ladder.steps:
        position, generation = Position(0, 0), generation + 1
    return Decision(
        standing=Standing.HANDED_BACK,
        change=Change(
            state="open",
            generation=generation,
            position=position,
            anchor_at=now,
            next_step_at=now,
        ),
    )


def _missing(subject: Subject, answered: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(subject.asked.difference(answered)))


_URGENCIES = frozenset(Urgency)
