"""Where an escalation goes on when it wakes."""

from datetime import timedelta

import pytest

from services.escalation.domain.ladder import Position, Reason
from services.escalation.domain.waking import SILENCE, SNOOZE, besides, goes_on_at
from shared.policy.document import Ladder, Step

TEN = timedelta(minutes=10)
LADDER = Ladder(
    name="l",
    steps=(
        Step(after=timedelta(), page=("person/ana",)),
        Step(after=TEN, page=("person/ben",)),
        Step(after=timedelta(), page=("on-call/support",)),
    ),
    repeat=2,
)


@pytest.mark.parametrize(
    ("wakes_for", "reason", "newest", "position", "expected"),
    [
        (SNOOZE, Reason.BREACHED, Position(0, 0), Position(0, 1), Position(0, 0)),
        (SNOOZE, Reason.BREACHED, Position(1, 2), Position(2, 0), Position(1, 1)),
        (SNOOZE, Reason.BREACHED, Position(2, 0), Position(2, 0), Position(2, 0)),
        (SNOOZE, Reason.MANUAL, None, Position(0, 0), Position(0, 0)),
        (SNOOZE, Reason.WARNED, None, Position(0, 3), Position(0, 3)),
        (SILENCE, Reason.BREACHED, Position(1, 2), Position(2, 0), Position(0, 0)),
        (SILENCE, Reason.WARNED, None, Position(0, 1), Position(0, 1)),
    ],
)
def test_r12_r16_a_snooze_pages_its_level_again_and_a_silence_the_first(wakes_for, reason, newest, position, expected):
    """The first of the steps that were taken together; after the end, the end."""
    assert expected == goes_on_at(LADDER, wakes_for, reason, newest, position)


def test_r12_a_silence_pages_whoever_had_it_and_whoever_is_on_call():
    """Unless the first step is theirs anyway."""
    assert ("person/cleo", "on-call/support") == besides(LADDER, SILENCE, "cleo")
    assert () == besides(LADDER, SNOOZE, "cleo")
    on_call_first = Ladder(name="l", steps=LADDER.steps[2:])
    assert ("person/cleo",) == besides(on_call_first, SILENCE, "cleo")
