"""What no event of its own does: pages that became moot are cancelled, senders that died are noticed."""

from services.escalation.delivery import Delivery
from services.escalation.metrics import EscalationMetrics
from services.escalation.store import answers
from shared.postgres.pool import Pool

_AT_ONCE = 1_000


class Tidying:
    """Runs about every second."""

    def __init__(self, pool: Pool, delivery: Delivery, metrics: EscalationMetrics) -> None:
        self._pool = pool
        self._delivery = delivery
        self._metrics = metrics

    async def run_once(self) -> int:
        """Cancel moot pages and take back lost ones; returns how many."""
        async with self._pool.acquire() as connection:
            cancelled = await answers.cancel_moot_pages(connection, _AT_ONCE)
            self._metrics.outbox_oldest.set(await answers.outbox_oldest_seconds(connection))
        return cancelled + await self._delivery.recover()
