"""`sla_target_seconds`: what the policies in force promise, so that panels can draw the line that counts."""

import asyncio

from prometheus_client import CollectorRegistry, Gauge

from services.router.domain import promised
from services.router.store import reports as reports_store
from services.router.store.reports import InForce
from shared.ledger.policies import PolicyShelf
from shared.policy import builtin
from shared.postgres import time as database_time
from shared.postgres.pool import Pool

MOST_TENANTS = 10_000
MOST_AT_ONCE = 20
"""So many policies are looked through in one round; the rest follow in the next ones."""


class PromiseGauge:
    """The strictest promise of all tenants, by target, channel and urgency; a policy is looked through when it changes."""

    def __init__(self, pool: Pool, shelf: PolicyShelf, registry: CollectorRegistry) -> None:
        self._pool = pool
        self._shelf = shelf
        self._known: dict[InForce, dict[tuple[str, str, str], float]] = {}
        self._passing: set[InForce] = set()
        """Policies whose lines hold for some days only: looked through in every round."""
        self._shown: set[tuple[str, str, str]] = set()
        self._seconds = Gauge(
            "sla_target_seconds",
            "Open time that is promised to a ticket of which only channel and urgency are known; the strictest tenant's.",
            ["target", "channel", "urgency"],
            registry=registry,
        )

    async def measure(self) -> int:
        """Look once; returns how many policies had to be looked through."""
        async with self._pool.acquire() as connection:
            now = await database_time.now(connection)
            in_force = await reports_store.policies_in_force(connection, MOST_TENANTS)
            in_force = in_force or [InForce("", None)]
            self._forget(set(in_force))
            fresh = [each for each in in_force if each not in self._known]
            passing = [each for each in self._known if each in self._passing]
            stale = [*fresh, *passing][:MOST_AT_ONCE]
            for each in stale:
                policy = await self._shelf.version(connection, each.tenant, each.version or builtin.VERSION)
                self._known.pop(each, None)  # those looked through longest ago stay in front
                self._known[each] = await asyncio.to_thread(promised.by_channel_and_urgency, policy.sla, now)
                if promised.changes_with_time(policy.sla.targets):
                    self._passing.add(each)
        self._show(promised.strictest(self._known.values()))
        return len(stale)

    def _forget(self, in_force: set[InForce]) -> None:
        for gone in self._known.keys() - in_force:
            del self._known[gone]
            self._passing.discard(gone)

    def _show(self, seconds: dict[tuple[str, str, str], float]) -> None:
        for labels in self._shown - seconds.keys():
            self._seconds.remove(*labels)
        for labels, value in seconds.items():
            self._seconds.labels(*labels).set(value)
        self._shown = set(seconds)
