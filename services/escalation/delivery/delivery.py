"""Pages delivered: leased in a short transaction, sent outside of any, concluded under the lease (R31, R32).

Each channel has its own number of pages in flight, so one slow provider holds nobody else. What was being sent when a
process died is found by its lease and tried again: for pages a duplicate beats a loss (R36).
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import timedelta

from services.escalation import loop
from services.escalation.channels import Channel
from services.escalation.delivery.alarming import Alarming
from services.escalation.delivery.concluding import Concluding
from services.escalation.delivery.sending import Sending
from services.escalation.domain.retry import LOST, Outcome
from services.escalation.metrics import EscalationMetrics
from services.escalation.store import Pulse, pages
from services.escalation.store.pages import LeasedPage
from services.escalation.tokens import Tokens
from shared.jetstream.relay import Relay
from shared.ledger.policies import PolicyShelf
from shared.postgres.pool import Pool
from shared.runtime import points
from shared.runtime.logs import Log
from shared.runtime.periodic import Health
from shared.runtime.points import Point

LEASE = timedelta(seconds=10)
"""Longer than any attempt may take; a page whose sender died is taken over after it."""
_LOST_AT_ONCE = 100
_STORING_AT_ONCE = 4
"""Answers stored at once: a storm of them must leave connections to firing and stepping."""

_log = Log(__name__)


class Delivery:
    """Sends due pages; any number of these may run beside each other."""

    def __init__(
        self,
        pool: Pool,
        shelf: PolicyShelf,
        relay: Relay,
        metrics: EscalationMetrics,
        token_maker: Tokens,
        channels: Mapping[str, Channel],
        *,
        lease_for: timedelta = LEASE,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._pool = pool
        self._metrics = metrics
        self._sending = Sending(pool, metrics, token_maker, channels, lease_for)
        self._concluding = Concluding(
            pool, relay, metrics, token_maker, channels, Alarming(shelf, token_maker, channels), jitter
        )
        self._storing = asyncio.Semaphore(_STORING_AT_ONCE)
        self._wake: asyncio.Event | None = None
        self._is_another_way_due = False

    async def pulse(self) -> Pulse:
        """Look at what is due."""
        async with self._pool.acquire() as connection:
            seen, self._is_another_way_due = await pages.pulse_page(connection)
        self._metrics.pages.rate = seen.rate
        return seen

    async def run(self, stop: asyncio.Event, health: Health, wake: asyncio.Event | None = None) -> None:
        """Send pages as they come due until `stop`, then wait for those in flight: each has its timeout.

        `wake` says that there are new ones, or places for those that wait.
        """
        self._wake = wake
        async with asyncio.TaskGroup() as sending:

            async def launch() -> int:
                begun = await self._sending.begin_fallbacks() if self._is_another_way_due else 0
                claimed = await self._claim()
                for page in claimed:
                    sending.create_task(self._deliver(page))
                await self._sending.hold_back()
                return begun + len(claimed)

            await loop.follow("delivery", launch, self.pulse, health=health, stop=stop, wake=wake)

    async def run_once(self) -> int:
        """Send what is due now and wait for the answers; returns how many pages were attempted."""
        await self._sending.begin_fallbacks()
        claimed = await self._claim()
        await self._sending.hold_back()
        await asyncio.gather(*(self._deliver(page) for page in claimed))
        return len(claimed)

    async def recover(self) -> int:
        """Take back pages whose sender died: nobody knows whether the provider has them (R35). Returns how many.

        One that can't be taken back keeps no other from it; where none can, raises why.
        """
        async with self._pool.acquire() as connection:
            lost = await pages.load_lost(connection, _LOST_AT_ONCE)
        taken, wrong = 0, None
        for page in lost:
            try:
                taken += await self._conclude(page, LOST) is not None
            except Exception as error:  # noqa: BLE001 - one page's trouble must not end the others
                _log.error("page_not_taken_back", "A page can't be taken back", error=error, page=str(page.id))
                wrong = error
        if wrong is not None and not taken:
            raise wrong
        return taken

    async def _claim(self) -> list[LeasedPage]:
        return await self._sending.claim()

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
            self._sending.done(page)
            if self._wake is not None and self._sending.is_short:
                self._wake.set()

    async def _send(self, page: LeasedPage) -> Outcome:
        return await self._sending.send(page)

    async def _conclude(self, page: LeasedPage, outcome: Outcome) -> str | None:
        async with self._storing:
            return await self._concluding.conclude(page, outcome)
