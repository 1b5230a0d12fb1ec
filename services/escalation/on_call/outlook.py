"""What on call will be like, for Prometheus: gaps of the next seven days, and calendars that nobody has read for long."""

from collections import defaultdict
from datetime import timedelta

import asyncpg

from services.escalation.metrics import EscalationMetrics
from services.escalation.metrics.on_call import NEVER
from services.escalation.on_call import rota as on_call
from services.escalation.store import on_call as store
from shared.ledger.policies import PolicyShelf
from shared.postgres.pool import Pool
from shared.runtime.logs import Log

AHEAD = timedelta(days=7)

_log = Log(__name__)


class Outlook:
    """Looks about every minute; the rotations of one tenant that can't be read leave out no others."""

    def __init__(self, pool: Pool, shelf: PolicyShelf, metrics: EscalationMetrics, methods: frozenset[str]) -> None:
        self._pool = pool
        self._shelf = shelf
        self._metrics = metrics
        self._methods = methods

    async def measure(self) -> int:
        """Measure every rotation of every tenant; returns how many."""
        gaps: defaultdict[str, float] = defaultdict(float)
        ages: dict[str, float] = {}
        async with self._pool.acquire() as connection:
            tenants = await store.tenants(connection)
        for tenant in tenants:
            try:
                async with self._pool.acquire() as connection:
                    seconds, feeds = await on_call.outlook(connection, self._shelf, tenant, AHEAD, self._methods)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                raise  # the database's trouble, not the tenant's
            except Exception as error:  # noqa: BLE001 - one tenant's policy hides no other's gaps
                _log.error("on_call_unknown", "The rotations of a tenant can't be read", error=error, tenant=tenant)
                continue
            for rotation, length in seconds.items():
                gaps[rotation] += length
            for rotation, age in feeds.items():
                ages[rotation] = max(ages.get(rotation, 0.0), NEVER if age is None else age)
        self._metrics.on_call.show(gaps, ages)
        return len(gaps)
