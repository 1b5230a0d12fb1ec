"""What models made of the tickets of a batch; known without numpy.

What the model in force says becomes an event of the ticket's log; what any model says is kept beside it, to compare.
"""

from collections.abc import Mapping
from typing import NamedTuple

from shared.contract.events import Scored, TicketEvent


class Scores(NamedTuple):
    """By (tenant, id of the opening event)."""

    in_force: Mapping[tuple[str, str], Scored]
    """Only heads that have learned something; the others are not asked."""
    all: Mapping[tuple[str, str], tuple[tuple[str, Scored], ...]]
    """Of the models in force and in shadow, with all heads and what they are used for."""


NONE = Scores({}, {})


def event_of(opening: TicketEvent, scored: Scored, event_id: str) -> TicketEvent:
    """The event for the ticket's own log, at the instant of its opening."""
    return TicketEvent(
        tenant=opening.tenant,
        id=event_id,
        source=opening.source,
        ticket=opening.ticket,
        occurred_at=opening.occurred_at,
        data=scored,
    )
