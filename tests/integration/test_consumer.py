"""The JetStream door: what can be used is stored and settled, what can't is kept with its reason and holds up nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from prometheus_client import CollectorRegistry

from services.router.assignment import Assignment
from services.router.consumer import Consumer
from services.router.intake import Intake
from services.router.metrics.assignment import AssignmentMetrics
from services.router.metrics.tickets import RouterMetrics
from shared import timesource
from shared.contract import subjects
from shared.jetstream import publish, streams
from shared.jetstream.publish import open_publisher
from shared.jetstream.pull import Puller
from shared.jetstream.relay import Relay
from shared.ledger.policies import PolicyShelf
from shared.postgres.pool import Pool
from shared.runtime.periodic import Health

_PATIENCE_SECONDS = 20.0


class Door:
    """A consumer that can be started and stopped."""

    def __init__(self, consumer: Consumer, context: JetStreamContext) -> None:
        self._consumer = consumer
        self._context = context
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to consume."""
        self._running = asyncio.create_task(self._consumer.run(self._stop))

    async def stop(self) -> None:
        """Finish what is under way and end."""
        self._stop.set()
        if self._running is not None:
            await self._running

    async def settled(self) -> None:
        """Wait until nothing waits and nothing is under way."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                info = await self._context.consumer_info(subjects.TICKETS, streams.ROUTER)
                if not info.num_pending and not info.num_ack_pending:
                    return
                await timesource.pause(0.02)

    async def dead(self) -> list[tuple[str, str, dict[str, str]]]:
        """Subject, reason and headers of every dead letter."""
        last = (await self._context.stream_info(subjects.DEAD)).state.last_seq
        letters = [await self._context.get_msg(subjects.DEAD, number) for number in range(1, last + 1)]
        return [(letter.subject, letter.headers[publish.REASON], dict(letter.headers)) for letter in letters]


@pytest.fixture
async def door(pool: Pool, nats_client: Client, jetstream: JetStreamContext) -> AsyncIterator[Door]:
    """The door as the router has it, not open yet."""
    registry = CollectorRegistry()
    publisher = await open_publisher(nats_client)
    relay = Relay(publisher, pool)
    shelf = PolicyShelf()
    metrics = RouterMetrics(registry)
    intake = Intake(pool, shelf, Assignment(pool, shelf, AssignmentMetrics(registry), relay), relay, metrics)
    puller = Puller(nats_client, subjects.TICKETS, streams.ROUTER, health=Health())
    made = Door(Consumer(puller, publisher, intake, metrics), jetstream)
    yield made
    await made.stop()


def event(ticket: str, **changes: Any) -> bytes:
    """A ticket is opened."""
    return json.dumps(
        {
            "id": f"{ticket}-opened",
            "source": "helpdesk",
            "type": "ticket.opened",
            "subject": ticket,
            "time": "2026-06-05T10:00:00+02:00",
            "data": {"channel": "email"},
            **changes,
        }
    ).encode()


async def test_what_can_not_be_used_is_kept_with_its_reason_and_holds_up_nothing(
    door: Door, pool: Pool, jetstream: JetStreamContext
) -> None:
    """Good tickets before, between and behind the bad ones are stored; everything is settled."""
    await jetstream.publish("tickets.acme.opened", event("1"))
    await jetstream.publish("tickets.acme.opened", b"{oops")
    await jetstream.publish("tickets.acme.opened", event("2", type="ticket.exploded"))
    await jetstream.publish("tickets.acme.opened", b'{"data":' + b"[" * 3_000)
    await jetstream.publish("tickets.ACME.opened", event("3"))
    await jetstream.publish("tickets.acme.opened", event("4", time="2999-01-01T00:00:00Z"))
    await jetstream.publish("tickets.acme.opened", event("5", time="0001-01-01T00:00:00Z"))
    await jetstream.publish("tickets.acme.opened", event("6"))
    door.start()
    await door.settled()
    stored = await pool.fetch("SELECT external_id FROM ticket ORDER BY external_id")
    assert ["1", "6"] == [row["external_id"] for row in stored]
    letters = [(subject, reason) for subject, reason, _ in await door.dead()]
    assert sorted(letters) == sorted(
        [
            ("dead.acme", "unparseable"),
            ("dead.acme", "unknown_type"),
            ("dead.acme", "unparseable"),
            ("dead.default", "invalid"),
            ("dead.acme", "future"),
            ("dead.acme", "invalid"),
        ]
    )


async def test_events_in_binary_mode_are_read_and_keep_their_attributes_when_refused(
    door: Door, pool: Pool, jetstream: JetStreamContext
) -> None:
    """Attributes in headers, data as the body; a refused one can be sent again whole."""
    attributes = {"ce-id": "1", "ce-source": "helpdesk", "ce-subject": "1", "ce-time": "2026-06-05T10:00:00Z"}
    await jetstream.publish(
        "tickets.acme.opened", b'{"channel": "email"}', headers={**attributes, "ce-type": "ticket.opened"}
    )
    await jetstream.publish("tickets.acme.opened", b"{}", headers={**attributes, "ce-type": "ticket.opened"})
    door.start()
    await door.settled()
    assert 1 == await pool.fetchval("SELECT count(*) FROM ticket")
    [(_, reason, headers)] = await door.dead()
    assert ("invalid", "ticket.opened", "1") == (reason, headers["ce-type"], headers["ce-id"])


async def test_while_the_database_is_away_nothing_is_settled(
    door: Door, pool: Pool, jetstream: JetStreamContext
) -> None:
    """Events under way go back when the process stops meanwhile, and come again."""
    await pool.close()
    await jetstream.publish("tickets.acme.opened", event("1"))
    door.start()
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not (await jetstream.consumer_info(subjects.TICKETS, streams.ROUTER)).num_ack_pending:
            await timesource.pause(0.02)
    await door.stop()
    info = await jetstream.consumer_info(subjects.TICKETS, streams.ROUTER)
    assert 1 == (info.num_pending or 0) + (info.num_ack_pending or 0)
