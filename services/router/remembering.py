"""What models and people made of tickets, kept in the transaction of the batch: scores to compare, corrections to learn from."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from services.router.domain import opinions
from services.router.domain.opinions import Scores
from services.router.domain.standing import Touched
from services.router.domain.weights import Field
from services.router.store import trained as trained_store
from services.router.store.trained import Correction
from shared import ids
from shared.contract.events import Opened, Scored, TicketEvent, Updated
from shared.postgres.pool import Connection


def scored_events(arrived: Iterable[TicketEvent], scores: Scores, now: datetime) -> list[TicketEvent]:
    """What the model in force says of the openings among new events, for the tickets' own logs."""
    return [
        opinions.event_of(event, scored, f"scored:{ids.uuid7(now)}")
        for event in arrived
        if isinstance(event.data, Opened) and (scored := scores.in_force.get((event.tenant, event.id))) is not None
    ]


async def keep_scores(
    connection: Connection, touched: Sequence[Touched], scores: Scores, now: datetime
) -> Mapping[tuple[str, bool], int]:
    """Keep what models said of tickets opened in this batch; returns how many were scored, by use and by whether it was sure."""
    rows: list[tuple[str, UUID, Scored]] = []
    tally: Counter[tuple[str, bool]] = Counter()
    for item in touched:
        ticket = item.standing.ticket
        if ticket.opened_at is None or (item.before is not None and item.before.opened_at is not None):
            continue
        opening = next((event for event in item.arrived if isinstance(event.data, Opened)), None)
        said = scores.all.get((opening.tenant, opening.id), ()) if opening is not None else ()
        for use, scored in said:
            rows.append((ticket.tenant, ticket.id, scored))
            confidence = scored.theme_confidence if scored.theme is not None else scored.urgency_confidence
            tally[use, confidence >= item.standing.policy.model.confidence] += 1
    if rows:
        await trained_store.insert_scores(connection, rows, now)
    return tally


async def keep_corrections(connection: Connection, touched: Sequence[Touched]) -> None:
    """Keep what people said of stored tickets that had been judged otherwise."""
    found = [
        Correction(ticket.tenant, ticket.id, event.id, field, was, said, event.occurred_at)
        for item in touched
        if (ticket := item.before) is not None and ticket.opened_at is not None
        for event in item.arrived
        if isinstance(event.data, Updated)
        for field, was, said in (
            (Field.THEME, ticket.theme, event.data.theme),
            (Field.URGENCY, ticket.urgency, event.data.urgency),
        )
        if said is not None and was is not None and said != was
    ]
    if found:
        await trained_store.insert_corrections(connection, found)
