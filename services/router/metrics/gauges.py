"""The state of tickets as Prometheus sees it: a few queries every scrape interval, whoever asks how often."""

from nats.aio.client import Client
from prometheus_client import CollectorRegistry, Gauge

from services.router.store import QUERIES
from shared.contract import subjects
from shared.contract.tickets import Channel, Status, Urgency
from shared.jetstream.streams import ROUTER
from shared.postgres.pool import Pool

SECONDS = 10.0
_STATES = (Status.OPEN, Status.PENDING_CUSTOMER, Status.ON_HOLD)


class Gauges:
    """Measures open tickets, the oldest wait, the outbox, and what waits in JetStream."""

    def __init__(self, pool: Pool, client: Client, registry: CollectorRegistry) -> None:
        self._pool = pool
        self._jetstream = client.jetstream()
        self._open = Gauge(
            "sla_tickets_open", "Tickets that are not solved.", ["channel", "urgency", "state"], registry=registry
        )
        self._waiting = Gauge(
            "sla_oldest_waiting_seconds",
            "How long the oldest ticket has waited for its first response.",
            ["channel", "urgency"],
            registry=registry,
        )
        self._outbox = Gauge(
            "sla_outbox_oldest_seconds", "Age of the oldest event of ours that is not published.", registry=registry
        )
        self._pending = Gauge("sla_consumer_pending", "Events waiting in JetStream for the router.", registry=registry)
        self._zero()

    async def measure(self) -> int:
        """Measure once; returns how many tickets are open."""
        async with self._pool.acquire() as connection:
            open_tickets = await connection.fetch(QUERIES["measure_open"])
            waiting = await connection.fetch(QUERIES["measure_waiting"])
            outbox_seconds = await connection.fetchval(QUERIES["measure_outbox"])
        self._zero()
        for row in open_tickets:
            self._open.labels(row["channel"], row["urgency"], row["status"]).set(row["tickets"])
        for row in waiting:
            self._waiting.labels(row["channel"], row["urgency"]).set(row["seconds"])
        self._outbox.set(outbox_seconds)
        consumer = await self._jetstream.consumer_info(subjects.TICKETS, ROUTER)
        self._pending.set((consumer.num_pending or 0) + (consumer.num_ack_pending or 0))
        return sum(row["tickets"] for row in open_tickets)

    def _zero(self) -> None:
        for channel in Channel:
            for urgency in Urgency:
                self._waiting.labels(channel, urgency).set(0)
                for state in _STATES:
                    self._open.labels(channel, urgency, state).set(0)
