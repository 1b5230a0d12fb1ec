"""Help that the router asks for: what is due becomes an escalation of the target `routing`, once.

The request goes in the transaction that opens the escalation, so neither a crash nor a second process makes two of one.
Tickets that somebody is told of already are left alone, unless a person asks again after an acknowledgement (R8).
"""

from collections import Counter as Tally
from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
from msgspec import Struct

from services.escalation import news
from services.escalation.domain.ladder import Position, Reason
from services.escalation.metrics import EscalationMetrics
from services.escalation.metrics.ladders import HELP_OUTCOMES
from services.escalation.store import Pulse
from services.escalation.store import helping as helping_store
from services.escalation.store.helping import LiveHelp, Opening, Reopening, Wanted
from shared import ids
from shared.contract.help import ROUTING
from shared.contract.tickets import Channel, Urgency
from shared.jetstream.relay import Relay
from shared.ledger.escalations import EscalationOpened
from shared.ledger.policies import PolicyShelf
from shared.policy import calling
from shared.policy.document import Policy
from shared.postgres import time as database_time
from shared.postgres.outbox import Outbox
from shared.postgres.pool import Connection, Pool
from shared.runtime.logs import Log

BATCH = 200
OPENED, AGAIN, LIVE, UNHEARD = HELP_OUTCOMES
_UNREADABLE = "(the policy can't be read)"
"""Stands where a ladder's name does: stepping finds no such ladder and pages the console."""

_log = Log(__name__)


class _Call(Struct, frozen=True):
    """By which ladder somebody is told."""

    version: int
    ladder: str


class Helping:
    """Takes due requests for help; any number of these may run beside each other."""

    def __init__(
        self,
        pool: Pool,
        shelf: PolicyShelf,
        relay: Relay,
        metrics: EscalationMetrics,
        *,
        is_halted: Callable[[], bool] = lambda: False,
        batch: int = BATCH,
    ) -> None:
        """While `is_halted` says so, as after a jump of the database's clock, nothing is due."""
        self._pool = pool
        self._shelf = shelf
        self._relay = relay
        self._metrics = metrics
        self._is_halted = is_halted
        self._batch = batch

    async def pulse(self) -> Pulse:
        """Look at what is due."""
        async with self._pool.acquire() as connection:
            seen = await helping_store.pulse(connection)
        return Pulse(now=seen.now, rate=seen.rate, due_at=None) if self._is_halted() else seen

    async def run_once(self) -> int:
        """Take one batch of due requests; returns how many."""
        async with self._pool.acquire() as connection, connection.transaction():
            now = await database_time.now(connection)
            wanted = await helping_store.take(connection, now, self._batch)
            if not wanted:
                return 0
            outbox = Outbox(now)
            outcomes = await self._answer(connection, outbox, wanted, now)
            batch = await outbox.save(connection)
        self._relay.post(batch)
        for (reason, outcome), n in outcomes.items():
            self._metrics.ladders.help_requests.labels(reason, outcome).inc(n)
        return len(wanted)

    async def _answer(
        self, connection: Connection, outbox: Outbox, wanted: Sequence[Wanted], now: datetime
    ) -> Tally[tuple[Reason, str]]:
        outcomes: Tally[tuple[Reason, str]] = Tally()
        openings: dict[UUID, Opening] = {}
        reopenings: dict[UUID, Reopening] = {}
        live = await helping_store.lock_live(connection, [one.ticket_id for one in wanted])
        for one in sorted(wanted, key=_people_last):
            present = live.get(one.ticket_id)
            if present is not None:
                again = await self._again(connection, present, one)
                if again is None:
                    outcomes[one.reason, LIVE] += 1
                else:
                    reopenings[one.ticket_id] = again
                continue
            call = await self._call(connection, one)
            if call is None:
                outcomes[one.reason, UNHEARD] += 1
                _tell_nobody(outbox, one, now)
                continue
            if (replaced := openings.get(one.ticket_id)) is not None:
                outcomes[replaced.wanted.reason, LIVE] += 1  # a person asks for help with what nobody takes: one call
            openings[one.ticket_id] = Opening(
                id=ids.uuid7(now), wanted=one, policy_version=call.version, ladder=call.ladder
            )
        opened = await helping_store.open_all(connection, list(openings.values()), now) if openings else []
        for begun in opened:
            opening = openings.pop(begun.ticket_id)
            outcomes[opening.wanted.reason, OPENED] += 1
            _announce(outbox, begun, opening.wanted, _Call(opening.policy_version, opening.ladder))
        for raced in openings.values():
            outcomes[raced.wanted.reason, LIVE] += 1
        for begun in await helping_store.reopen_all(connection, list(reopenings.values())) if reopenings else []:
            again = reopenings[begun.ticket_id]
            outcomes[again.wanted.reason, AGAIN] += 1
            _announce(outbox, begun, again.wanted, _Call(again.live.policy_version, again.live.ladder))
        return outcomes

    async def _again(self, connection: Connection, live: LiveHelp, wanted: Wanted) -> Reopening | None:
        """Where a live escalation goes on because a person asks again; None where it goes on by itself."""
        if wanted.reason is not Reason.MANUAL or live.state == "open":
            return None
        policy = await self._policy(connection, wanted.tenant, live.policy_version)
        ladder = policy.escalations.get(live.ladder) if policy else None
        position = live.position
        if live.state == "exhausted" or ladder is None or position.loop >= max(ladder.repeat, 1):
            position = Position(0, 0)
        return Reopening(live=live, wanted=wanted, position=position)

    async def _call(self, connection: Connection, wanted: Wanted) -> _Call | None:
        """The ladder of the ticket's own version of the policy; where that has none, of the version in force."""
        own = await self._policy(connection, wanted.tenant, wanted.policy_version)
        if own is None:
            return _Call(wanted.policy_version, _UNREADABLE)
        for policy in (own, await self._policy(connection, wanted.tenant, None)):
            if policy is not None and (ladder := calling.ladder_for(policy, wanted.matched)) is not None:
                return _Call(policy.version, ladder.name)
        return None

    async def _policy(self, connection: Connection, tenant: str, version: int | None) -> Policy | None:
        """A policy version, or the one in force; None where it can't be had, so that one tenant's trouble holds nobody else."""
        try:
            if version is None:
                return await self._shelf.current(connection, tenant)
            return await self._shelf.version(connection, tenant, version)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            raise  # the database's trouble, not the policy's: the request stays
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, somebody is paged
            _log.error("policy_missing", "A policy version can't be used", error=error, tenant=tenant, version=version)
            return None


def _people_last(wanted: Wanted) -> bool:
    """What a person asks for stands in place of what the router asks for."""
    return wanted.reason is Reason.MANUAL


def _announce(outbox: Outbox, begun: helping_store.Begun, wanted: Wanted, call: _Call) -> None:
    outbox.add(
        wanted.tenant,
        "escalation.opened",
        wanted.external_id,
        EscalationOpened(
            escalation=begun.id,
            generation=begun.generation,
            source=wanted.source,
            ticket=wanted.external_id,
            channel=wanted.channel or Channel.OTHER,
            urgency=wanted.urgency or Urgency.NORMAL,
            target=ROUTING,
            cycle=begun.cycle,
            reason=wanted.reason,
            ladder=call.ladder,
            policy_version=call.version,
            anchor_at=wanted.due_at,
            about=wanted.about,
        ),
    )


def _tell_nobody(outbox: Outbox, wanted: Wanted, now: datetime) -> None:
    _log.warning(
        "nobody_to_tell",
        "A ticket needs somebody, and the policy has no escalation to call anybody by: write one under `escalations`",
        tenant=wanted.tenant,
        source=wanted.source,
        ticket=wanted.external_id,
        why=wanted.about.why,
    )
    outbox.add(
        wanted.tenant,
        "escalation.unheard",
        wanted.external_id,
        news.EscalationUnheard(
            source=wanted.source,
            ticket=wanted.external_id,
            channel=wanted.channel or Channel.OTHER,
            urgency=wanted.urgency or Urgency.NORMAL,
            target=ROUTING,
            reason=wanted.reason,
            about=wanted.about,
            at=now,
        ),
    )
