"""Somebody sends an escalation up by hand: the next level now, if it still stands where they saw it (escalation-rules R8)."""

from datetime import datetime
from uuid import UUID

import asyncpg
from msgspec import Struct

from services.escalation import news
from services.escalation.domain import ladder as ladders
from services.escalation.domain.ladder import Position, Reason
from services.escalation.metrics import EscalationMetrics
from services.escalation.store import raising
from services.escalation.store.raising import Raisable
from shared.jetstream.relay import Relay
from shared.ledger.policies import PolicyShelf
from shared.policy.document import Ladder
from shared.postgres.outbox import Outbox
from shared.postgres.pool import Connection, Pool
from shared.runtime.logs import Log

_log = Log(__name__)


class Seen(Struct, frozen=True, kw_only=True):
    """Where the escalation stood when whoever asks looked at it, as `GET /v1/escalations` said."""

    generation: int
    loop: int
    step: int


class Raised(Struct, frozen=True, kw_only=True):
    """What happens now."""

    escalation: UUID
    generation: int
    loop: int
    step: int
    """The step that is due now, from 0. Whom it pages is known once it is taken: one that reaches nobody new is passed over,
    and `escalation.stepped` and `GET /v1/pages` say who was paged in its place."""
    at: datetime
    """When it is due."""


class NotNow(Struct, frozen=True):
    """Why nothing was changed, and the way out."""

    detail: str


class Raising:
    """Sends escalations up."""

    def __init__(self, pool: Pool, shelf: PolicyShelf, relay: Relay, metrics: EscalationMetrics) -> None:
        self._pool = pool
        self._shelf = shelf
        self._relay = relay
        self._metrics = metrics

    async def send_up(
        self, tenant: str, escalation_id: UUID, seen: Seen, *, by: str, said: str = ""
    ) -> Raised | NotNow | None:
        """Take the next step now; None where the tenant has no such escalation.

        One that was acknowledged goes on at its next step, one that went through its ladder begins anew.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            held = await raising.lock(connection, tenant, escalation_id)
            if held is None:
                return None
            if (refusal := _refusal(held, seen)) is not None:
                return refusal
            ladder = await self._ladder(connection, held)
            raised = await _go_up(connection, held, ladder, by, said)
            outbox = Outbox(held.now)
            outbox.add(tenant, "escalation.raised", held.external_id, _told(held, raised, by, said))
            batch = await outbox.save(connection)
        self._relay.post(batch)
        self._metrics.ladders.steps.labels(held.channel, "raised", held.reason).inc()
        return raised

    async def _ladder(self, connection: Connection, held: Raisable) -> Ladder:
        try:
            policy = await self._shelf.version(connection, held.tenant, held.policy_version)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            raise  # the database's trouble, not the policy's: nothing was changed
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, somebody is paged
            _log.error(
                "policy_missing",
                "A policy version can't be used",
                error=error,
                tenant=held.tenant,
                version=held.policy_version,
            )
            return Ladder(name=held.ladder, steps=())
        return policy.escalations.get(held.ladder) or Ladder(name=held.ladder, steps=())


def _refusal(held: Raisable, seen: Seen) -> NotNow | None:
    if held.state == "resolved":
        return NotNow("it is over: nobody need see to it; ask for help with the ticket, if somebody must")
    if (held.generation, held.position) != (seen.generation, Position(seen.loop, seen.step)):
        return NotNow(
            f"it is not at generation {seen.generation}, loop {seen.loop}, step {seen.step} any more (generation "
            f"{held.generation}, loop {held.position.loop}, step {held.position.step}): look at it again"
        )
    return None


async def _go_up(connection: Connection, held: Raisable, ladder: Ladder, by: str, said: str) -> Raised:
    position, generation = held.position, held.generation
    if held.state == "open" and held.reason is not Reason.WARNED:
        await raising.hurry(connection, held.id, held.now, by, said)
    else:
        if held.reason is Reason.WARNED or held.state == "exhausted" or ladders.is_over(ladder, position):
            position = Position(0, 0)
        generation = await raising.send_up(connection, held.id, position, held.now, by, said)
    return Raised(
        escalation=held.id,
        generation=generation,
        loop=position.loop,
        step=position.step,
        at=held.now,
    )


def _told(held: Raisable, raised: Raised, by: str, said: str) -> news.EscalationRaised:
    return news.EscalationRaised(
        escalation=held.id,
        generation=raised.generation,
        source=held.source,
        ticket=held.external_id,
        target=held.target,
        cycle=held.cycle,
        was=held.state,
        by=by,
        said=said or None,
        loop=raised.loop,
        step=raised.step,
        at=held.now,
    )
