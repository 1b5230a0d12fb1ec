"""What an answer does to an escalation, without a database."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from services.escalation.domain import answer
from services.escalation.domain.answer import Action, Standing, Subject
from services.escalation.domain.ladder import Position
from shared.contract.tickets import Urgency
from shared.policy.document import Answers, Ladder, Step

NOW = datetime(2026, 6, 1, 9, tzinfo=UTC)
LADDER = Ladder(
    name="wake",
    steps=(
        Step(after=timedelta(), page=("person/ana",)),
        Step(after=timedelta(minutes=10), page=("person/ben",)),
        Step(after=timedelta(minutes=10), page=("person/cleo",)),
    ),
    repeat=2,
)
OPEN = Subject(
    id=UUID(int=1),
    state="open",
    generation=3,
    position=Position(0, 1),
    urgency="high",
    anchor_at=NOW - timedelta(minutes=1),
    acknowledged_by=None,
    acknowledged_at=None,
    newest=Position(0, 0),
    asked=frozenset({"ana"}),
)
MINE = replace(OPEN, state="acknowledged", acknowledged_by="ana", acknowledged_at=NOW - timedelta(hours=1))
LATER = NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("subject", "action", "by", "standing"),
    [
        (OPEN, Action.ACKNOWLEDGE, "ana", Standing.NOW),
        (OPEN, Action.ACKNOWLEDGE, "somebody else", Standing.NOW),
        (replace(OPEN, state="exhausted"), Action.ACKNOWLEDGE, "ana", Standing.NOW),
        (OPEN, Action.SNOOZE, "ana", Standing.SNOOZED),
        (OPEN, Action.HAND_BACK, "ana", Standing.NOT_TAKEN),
        (MINE, Action.ACKNOWLEDGE, "ana", Standing.BEFORE),
        (MINE, Action.ACKNOWLEDGE, "ben", Standing.BEFORE),
        (MINE, Action.SNOOZE, "ana", Standing.SNOOZED),
        (MINE, Action.SNOOZE, "ben", Standing.BEFORE),
        (MINE, Action.HAND_BACK, "ana", Standing.HANDED_BACK),
        (MINE, Action.HAND_BACK, "ben", Standing.BEFORE),
        *((replace(MINE, state="resolved"), action, "ana", Standing.RESOLVED) for action in Action),
        *((replace(one, is_mine=False), action, "ana", Standing.STALE) for one in (OPEN, MINE) for action in Action),
        (replace(OPEN, is_used=True), Action.ACKNOWLEDGE, "ana", Standing.USED),
        (replace(OPEN, is_used=True), Action.SNOOZE, "ana", Standing.USED),
        (replace(MINE, is_used=True), Action.SNOOZE, "ana", Standing.SNOOZED),
        (replace(MINE, is_used=True), Action.HAND_BACK, "ana", Standing.HANDED_BACK),
    ],
)
def test_r8_to_r18_what_each_answer_meets(subject, action, by, standing):
    """And only what is told of as done changes anything."""
    met = answer.decide(subject, LADDER, action, by, NOW, LATER if action is Action.SNOOZE else None)
    assert standing is met.standing
    assert (standing in answer.CHANGING) == (met.change is not None)


def test_r16_a_snooze_keeps_when_it_was_acknowledged():
    """It moves the waking alone."""
    change = answer.decide(MINE, LADDER, Action.SNOOZE, "ana", NOW, LATER).change
    assert change is not None
    assert (MINE.acknowledged_at, LATER, "snooze") == (change.acknowledged_at, change.wakes_at, change.wakes_for)


@pytest.mark.parametrize(
    ("urgency", "wakes_at"), [("urgent", NOW + timedelta(minutes=30)), ("low", None), ("nonsense", None)]
)
def test_r12_silence_is_by_urgency(urgency, wakes_at):
    """Where none is given, an acknowledgement holds until the matter is over."""
    ladder = Ladder(name="wake", steps=LADDER.steps, silence={Urgency.URGENT: timedelta(minutes=30)})
    change = answer.decide(replace(OPEN, urgency=urgency), ladder, Action.ACKNOWLEDGE, "ana", NOW).change
    assert change is not None
    assert (wakes_at, "silence" if wakes_at else None) == (change.wakes_at, change.wakes_for)


@pytest.mark.parametrize(
    ("position", "follows", "generation"),
    [
        (Position(0, 1), Position(0, 1), 3),
        (Position(1, 2), Position(1, 2), 3),
        (Position(2, 0), Position(0, 0), 4),
    ],
)
def test_r8_giving_back_goes_on_at_the_next_step_and_after_the_last_at_the_first(position, follows, generation):
    """At once; a second walk is a generation of its own, so that its pages are new (R34)."""
    change = answer.decide(replace(MINE, position=position), LADDER, Action.HAND_BACK, "ana", NOW).change
    assert change is not None
    assert ("open", follows, generation, NOW, None) == (
        change.state,
        change.position,
        change.generation,
        change.next_step_at,
        change.acknowledged_by,
    )


def test_r8_a_warning_that_is_given_back_pages_nobody():
    """There is no next level before something is broken."""
    change = answer.decide(replace(MINE, is_warning=True, newest=None), LADDER, Action.HAND_BACK, "ana", NOW).change
    assert change is not None
    assert ("open", None) == (change.state, change.next_step_at)


@pytest.mark.parametrize(
    ("newest", "must_all"),
    [(Position(0, 0), False), (Position(0, 2), True), (Position(0, 3), False), (Position(1, 0), False), (None, False)],
)
def test_r6_steps_that_go_together_are_one(newest, must_all):
    """Where one of them asks for all answers, all who were paged with it must answer; after the end anybody will do."""
    ladder = Ladder(
        name="wake",
        steps=(
            Step(after=timedelta(), page=("person/ana",)),
            Step(after=timedelta(minutes=10), page=("person/ben",), answers=Answers.ALL),
            Step(after=timedelta(), page=("person/cleo",)),
            Step(after=timedelta(minutes=10), page=("person/dora",)),
        ),
    )
    assert must_all == answer.must_all_answer(replace(OPEN, newest=newest), ladder)


def test_r6_who_answers_twice_is_told_who_is_missing():
    """The second time changes nothing."""
    ladder = Ladder(name="wake", steps=(Step(after=timedelta(), page=("lead",), answers=Answers.ALL),))
    asked = replace(OPEN, asked=frozenset({"ana", "ben", "cleo"}), answered=("ana",))
    met = answer.decide(asked, ladder, Action.ACKNOWLEDGE, "ana", NOW)
    assert (Standing.BEFORE, None, ("ben", "cleo")) == (met.standing, met.change, met.waits_for)


@pytest.mark.parametrize(
    ("most", "offered"),
    [
        (timedelta(hours=8), 3),
        (timedelta(hours=1), 2),
        (timedelta(minutes=5), 1),
        (timedelta(), 0),
    ],
)
def test_r16_only_snoozes_that_the_ladder_allows_are_offered(most, offered):
    """Its own longest, where it allows none of the usual; none, where it allows none at all."""
    ladder = Ladder(name="wake", steps=(), snooze_at_most=most)
    lengths = answer.longest_snooze(ladder, (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4)))
    assert offered == len(lengths)
    assert all(length <= most for length in lengths)
