"""Somebody takes responsibility: the escalation stops climbing, in one transaction with the pages not yet begun (R9).

The first answer counts and is told to everybody after (R10). One that was resolved meanwhile stays resolved.
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from services.escalation import news, tokens
from services.escalation.metrics import EscalationMetrics
from services.escalation.store import answers
from services.escalation.store.answers import Answerable, Held
from shared.jetstream.relay import Relay
from shared.postgres.outbox import Batch, Outbox
from shared.postgres.pool import Connection, Pool
from shared.runtime import points
from shared.runtime.points import Point


class Standing(StrEnum):
    """What an answer met."""

    NOW = "acknowledged"
    """It was the first."""
    BEFORE = "acknowledged_before"
    RESOLVED = "resolved"


class Answer(Struct, frozen=True, kw_only=True):
    """Where the escalation stands after somebody answered."""

    escalation: UUID
    standing: Standing
    acknowledged_by: str | None
    """Whoever answered first; None where it was resolved unanswered."""
    acknowledged_at: datetime | None
    resolution: str | None = None


class Answering:
    """Takes acknowledgements, by the link of a page or by API key."""

    def __init__(self, pool: Pool, relay: Relay, metrics: EscalationMetrics) -> None:
        self._pool = pool
        self._relay = relay
        self._metrics = metrics

    async def look(self, token: str) -> Answerable | None:
        """What a link leads to; changes nothing, so scanners and previews may follow it (R11)."""
        async with self._pool.acquire() as connection:
            return await answers.find_by_token(connection, tokens.digest(token))

    async def by_token(self, token: str) -> Answer | None:
        """Acknowledge as the person the page was sent to; None where no page has this token."""
        found = await self.look(token)
        if found is None:
            return None
        return await self._answer(found.tenant, found.escalation_id, found.person or found.recipient, found.page_id)

    async def by_key(self, tenant: str, escalation_id: UUID, by: str) -> Answer | None:
        """Acknowledge in somebody's name; None where the tenant has no such escalation."""
        return await self._answer(tenant, escalation_id, by, None)

    async def _answer(self, tenant: str, escalation_id: UUID, by: str, page_id: UUID | None) -> Answer | None:
        batch = None
        async with self._pool.acquire() as connection, connection.transaction():
            held = await answers.lock(connection, tenant, escalation_id)
            if held is None:
                return None
            if held.state in ("open", "exhausted"):
                batch = await self._acknowledge(connection, held, by, page_id)
                answer = Answer(escalation=held.id, standing=Standing.NOW, acknowledged_by=by, acknowledged_at=held.now)
            else:
                answer = _standing(held)
            points.passing(Point.K10_ANSWERING)
        self._relay.post(batch)
        return answer

    async def _acknowledge(self, connection: Connection, held: Held, by: str, page_id: UUID | None) -> Batch | None:
        await answers.acknowledge(connection, held.id, by, held.now)
        if page_id is not None:
            accepted_at = await answers.mark_page_answered(connection, page_id, held.now)
            if accepted_at is not None:
                self._metrics.pages.acknowledged(accepted_at, held.now)
        outbox = Outbox(held.now)
        outbox.add(
            held.tenant,
            "escalation.acknowledged",
            held.external_id,
            news.EscalationAcknowledged(
                escalation=held.id,
                generation=held.generation,
                source=held.source,
                ticket=held.external_id,
                target=held.target,
                cycle=held.cycle,
                by=by,
                at=held.now,
                page=page_id,
            ),
        )
        return await outbox.save(connection)


def _standing(held: Held) -> Answer:
    return Answer(
        escalation=held.id,
        standing=Standing.RESOLVED if held.state == "resolved" else Standing.BEFORE,
        acknowledged_by=held.acknowledged_by,
        acknowledged_at=held.acknowledged_at,
        resolution=held.resolution,
    )
