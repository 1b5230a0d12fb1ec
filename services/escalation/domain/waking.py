"""Where an escalation goes on that somebody had acknowledged, when its time comes.

Pure. A snooze that is over pages the same level again (R16); an acknowledgement after which nothing came for too long
begins anew, with whoever acknowledged and whoever is on call (R12).
"""

from services.escalation.domain import ladder as ladders
from services.escalation.domain.ladder import Position, Reason
from shared.policy.document import Ladder
from shared.policy.paging import ON_CALL, PERSON

SNOOZE, SILENCE = "snooze", "silence"


def goes_on_at(ladder: Ladder, wakes_for: str, reason: Reason, newest: Position | None, position: Position) -> Position:
    """The step that is taken now: `newest` was taken last, `position` would be next. A warning warns again."""
    if reason is Reason.WARNED:
        return position
    if wakes_for == SILENCE or newest is None:
        return Position(0, 0)
    return ladders.begins_with(ladder, newest)


def besides(ladder: Ladder, wakes_for: str, acknowledged_by: str | None) -> tuple[str, ...]:
    """Recipients whom that step pages besides its own."""
    if wakes_for != SILENCE:
        return ()
    first = ladders.recipients_of(ladder, Position(0, 0))
    every = (name for step in ladder.steps for name in step.page)
    on_call = () if any(name.startswith(ON_CALL) for name in first) else [n for n in every if n.startswith(ON_CALL)][:1]
    return (*([f"{PERSON}{acknowledged_by}"] if acknowledged_by else []), *on_call)
