"""Pages sent: leased in a short transaction, sent outside of any, concluded under the lease (R31, R32).

Each channel has its own number of pages in flight, so one slow provider holds nobody else. What was being sent when a
process died is found by its lease and tried again: for pages a duplicate beats a loss (R36).
"""

import asyncio
import random
from collections import Counter as Tally
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from uuid import uuid4

from services.escalation import loop, paging
from services.escalation.channels import Channel, Page
from services.escalation.domain import notice, retry
from services.escalation.domain.ladder import MIN_ACK_WINDOW, Kind
from services.escalation.domain.retry import Outcome, Result, Trial, Verdict
from services.escalation.metrics import EscalationMetrics
from services.escalation.store import Pulse, pages
from services.escalation.store.pages import HeldEscalation, LeasedPage
from services.escalation.tokens import Tokens, digest
from shared.jetstream.relay import Relay
from shared.ledger import pages as ledger_pages
from shared.postgres import time as database_time
from shared.postgres.outbox import Outbox
from shared.postgres.pool import Connection, Pool
from shared.runtime import points
from shared.runtime.logs import Log
from shared.runtime.periodic import Health
from shared.runtime.points import Point

LEASE = timedelta(seconds=10)
"""Longer than any attempt may take; a page whose sender died is taken over after it."""
_LOST_AT_ONCE = 100
_STORING_AT_ONCE = 3
"""Answers stored at once: a storm of them must leave connections to firing and stepping."""
_LIVE = frozenset({"open", "exhausted"})

_log = Log(__name__)


class Delivery:
    """Sends due pages; any number of these may run beside each other."""

    def __init__(
        self,
        pool: Pool,
        relay: Relay,
        metrics: EscalationMetrics,
        token_maker: Tokens,
        channels: Mapping[str, Channel],
        *,
        lease_for: timedelta = LEASE,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._pool = pool
        self._relay = relay
        self._metrics = metrics
        self._tokens = token_maker
        self._channels = channels
        self._lease_for = lease_for
        self._jitter = jitter
        self._in_flight: Tally[str] = Tally()
        self._storing = asyncio.Semaphore(_STORING_AT_ONCE)

    async def pulse(self) -> Pulse:
        """Look at what is due."""
        async with self._pool.acquire() as connection:
            seen = await pages.pulse_page(connection)
        self._metrics.pages.rate = seen.rate
        return seen

    async def run(self, stop: asyncio.Event, health: Health, wake: asyncio.Event | None = None) -> None:
        """Send pages as they come due until `stop`, then wait for those in flight: each has its timeout.

        `wake` says that there are new ones.
        """
        async with asyncio.TaskGroup() as sending:

            async def launch() -> int:
                claimed = await self._claim()
                for page in claimed:
                    sending.create_task(self._deliver(page))
                return len(claimed)

            await loop.follow("delivery", launch, self.pulse, health=health, stop=stop, wake=wake)

    async def run_once(self) -> int:
        """Send what is due now and wait for the answers; returns how many pages were attempted."""
        claimed = await self._claim()
        await asyncio.gather(*(self._deliver(page) for page in claimed))
        return len(claimed)

    async def recover(self) -> int:
        """Take back pages whose sender died: nobody knows whether the provider has them (R35). Returns how many."""
        async with self._pool.acquire() as connection, connection.transaction():
            lost = await pages.claim_lost(connection, _LOST_AT_ONCE)
            if not lost:
                return 0
            now = await database_time.now(connection)
            outbox = Outbox(now)
            for page in lost:
                await self._settle(connection, outbox, page, _LOST, now)
            batch = await outbox.save(connection)
        self._relay.post(batch)
        for page in lost:
            self._metrics.pages.outcomes.labels(page.method, Result.UNKNOWN).inc()
        return len(lost)

    async def _claim(self) -> list[LeasedPage]:
        free = {
            name: channel.capabilities.concurrency - self._in_flight[name] for name, channel in self._channels.items()
        }
        free = {name: places for name, places in free.items() if places > 0}
        if not free:
            return []
        async with self._pool.acquire() as connection:
            now = await database_time.now(connection)
            claimed = await pages.claim(connection, free, now, uuid4(), self._lease_for)
        self._in_flight.update(page.method for page in claimed)
        for page in claimed:
            if page.attempts == 1 and page.kind is not Kind.RESOLVE:
                planned_at = None if page.body.fallback_of else page.due_at
                self._metrics.pages.attempted(planned_at, page.committed_at, page.attempted_at)
        return claimed

    async def _deliver(self, page: LeasedPage) -> None:
        try:
            points.passing(Point.K6_CLAIMED)
            outcome = await self._send(page)
            points.passing(Point.K8_ANSWERED)
            await self._conclude(page, outcome)
        except Exception as error:  # noqa: BLE001 - one page's trouble, or the database's, must not end the others
            _log.error(
                "page_outcome_lost",
                "What became of a page could not be stored; it is tried again after its lease",
                error=error,
                page=str(page.id),
            )
        finally:
            self._in_flight[page.method] -= 1

    async def _send(self, page: LeasedPage) -> Outcome:
        channel = self._channels[page.method]
        seconds = channel.capabilities.timeout.total_seconds()
        link = "" if page.token_hash is None else self._tokens.link(page.id)
        made = Page(
            id=page.id,
            kind=page.kind,
            address=page.address,
            secret=page.secret,
            options=page.options,
            urgency=page.urgency,
            attempt=page.attempts,
            recipient=page.recipient,
            person=page.person,
            facts=page.body,
            text=notice.text(page.body, page.evidence, page.kind, link),
            link=link,
        )
        hashed = digest(self._tokens.token(page.id))
        if (
            page.token_hash is not None and hashed != page.token_hash
        ):  # the key of the links was changed since the page was made
            async with self._pool.acquire() as connection:
                await pages.renew_token(connection, page, hashed)
        try:
            async with asyncio.timeout(seconds):
                return await channel.send(made)
        except TimeoutError:
            return Outcome(result=Result.UNKNOWN, detail=f"no answer within {seconds:g} seconds")
        except Exception as error:  # noqa: BLE001 - whatever a provider answers, the other pages go on
            _log.error("channel_failed", "A paging channel failed", error=error, channel=page.method, page=str(page.id))
            return Outcome(result=Result.UNKNOWN, detail=f"the channel failed: {type(error).__name__}")

    async def _conclude(self, page: LeasedPage, outcome: Outcome) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            held = await pages.lock_escalation(connection, page.escalation_id)
            now = await database_time.now(connection)
            outbox = Outbox(now)
            state = await self._settle(connection, outbox, page, outcome, now, held)
            batch = await outbox.save(connection)
        points.passing(Point.K9_CONCLUDED)
        self._relay.post(batch)
        self._count(page, outcome, state, now)

    async def _settle(
        self,
        connection: Connection,
        outbox: Outbox,
        page: LeasedPage,
        outcome: Outcome,
        now: datetime,
        held: HeldEscalation | None = None,
    ) -> str | None:
        """Store what became of an attempt and what follows; None, and nothing, where the lease is another's by now."""
        held = held or await pages.lock_escalation(connection, page.escalation_id)
        verdict = self._judge(page, outcome, held, now)
        state = _state(page, verdict, held)
        if not await pages.conclude(
            connection, page, state, verdict.retry_at if state == "pending" else None, outcome, now
        ):
            return None
        if held.state == "resolved":
            if page.kind is not Kind.RESOLVE:  # it was in flight when its escalation ended: now we know (R14)
                await ledger_pages.resolve(connection, [page.escalation_id], now)
        elif state == "accepted":
            if page.kind is Kind.PAGE:
                await pages.extend_answer_window(connection, page.id, now + MIN_ACK_WINDOW)
        elif held.state in _LIVE and verdict.fall_back:
            await self._fall_back(connection, page, held, state, now)
        paging.announce(outbox, page, state, outcome, now)
        return state

    def _judge(self, page: LeasedPage, outcome: Outcome, held: HeldEscalation, now: datetime) -> Verdict:
        trial = Trial(
            attempts=page.attempts,
            unknowns=page.unknowns + (outcome.result is Result.UNKNOWN),
            first_at=page.attempted_at,
            budget_until=retry.budget_until(held.next_step_at, page.attempted_at),
            is_keyed=self._channels[page.method].capabilities.is_keyed,
            most_unknown=1 if page.kind is Kind.RESOLVE else 2,
        )
        return retry.judge(outcome, trial, now, self._jitter())

    async def _fall_back(
        self, connection: Connection, page: LeasedPage, held: HeldEscalation, state: str, now: datetime
    ) -> None:
        """Try the person's next contact; where none is left, the next step is due, or the console is paged (R3, R7)."""
        following = paging.by_next_contact(page, self._tokens, self._channels)
        if following is None and state == "failed":
            is_last = page.kind is Kind.WARNING or held.state == "exhausted"
            if not await pages.is_unanswerable(connection, page.id):
                return
            if not is_last:
                await pages.hurry_step(connection, page.escalation_id, now)
                return
            following = paging.by_last_resort(page, self._tokens, self._channels)
        if following is not None:
            await pages.insert(connection, [following], now)

    def _count(self, page: LeasedPage, outcome: Outcome, state: str | None, now: datetime) -> None:
        self._metrics.pages.outcomes.labels(page.method, outcome.result).inc()
        if state == "failed":
            self._metrics.pages.outcomes.labels(page.method, "failed").inc()
        if state == "accepted" and page.kind is not Kind.RESOLVE:
            self._metrics.pages.accepted(page.attempted_at, now)


_LOST = Outcome(result=Result.UNKNOWN, detail="the process stopped while it was sending")


def _state(page: LeasedPage, verdict: Verdict, held: HeldEscalation) -> str:
    if verdict.is_accepted:
        return "accepted"
    if held.state not in _LIVE and page.kind is not Kind.RESOLVE:
        return "cancelled"
    return "pending" if verdict.retry_at is not None else "failed"
