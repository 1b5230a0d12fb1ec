"""What no event of its own does: pages that became moot are cancelled, senders that died are noticed."""

from services.escalation.delivery.delivery import Delivery
from services.escalation.metrics import EscalationMetrics
from services.escalation.metrics.ladders import LIVE_STATES
from services.escalation.store import answers, groups, sending
from shared.postgres.pool import Pool

_AT_ONCE = 1_000


class Tidying:
    """Tidies about every second, measures a little less often."""

    def __init__(self, pool: Pool, delivery: Delivery, metrics: EscalationMetrics) -> None:
        self._pool = pool
        self._delivery = delivery
        self._metrics = metrics

    async def run_once(self) -> int:
        """Cancel moot pages and take back lost ones; returns how many."""
        async with self._pool.acquire() as connection:
            cancelled = await answers.cancel_moot_pages(connection, _AT_ONCE)
            cancelled += await groups.cancel_moot(connection, _AT_ONCE)
        return cancelled + await self._delivery.recover()

    async def measure(self) -> int:
        """Measure what Prometheus asks for, once for however many ask; returns how many escalations are live."""
        async with self._pool.acquire() as connection:
            live = await answers.count_live(connection)
            self._metrics.watch.outbox_oldest.set(await answers.outbox_oldest_seconds(connection))
            self._metrics.pages.held_back(
                await sending.count_deferred(connection), await sending.count_broken(connection)
            )
        for state in LIVE_STATES:
            self._metrics.ladders.live.labels(state).set(live.get(state, 0))
        return sum(live.values())
