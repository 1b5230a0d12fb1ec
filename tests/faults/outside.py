"""What tests of faults see of the services from outside: the database, what goes into NATS, and what comes out."""

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.js import JetStreamContext

from shared import timesource
from shared.contract import subjects
from shared.jetstream import streams
from shared.jetstream.publish import Message, Publisher
from shared.postgres.pool import Pool

_PATIENCE_SECONDS = 60.0
_AT_ONCE_SECONDS = 0.1


async def until(pool: Pool, question: str, *, seconds: float = _PATIENCE_SECONDS) -> None:
    """Wait until the database answers yes."""
    async with asyncio.timeout(seconds):
        while not await pool.fetchval(question):
            await timesource.pause(0.02)


async def publish(client: Client, count: int, at: datetime, *, delivery: int = 0) -> None:
    """Tickets opened then; another `delivery` sends the same events in messages of their own."""
    messages = [
        Message(
            subjects.ticket("acme", "opened"),
            msgspec.json.encode(
                {
                    "specversion": "1.0",
                    "id": f"{n}-opened",
                    "source": "helpdesk",
                    "type": "ticket.opened",
                    "subject": str(n),
                    "time": at.isoformat(),
                    "data": {"channel": "email", "subject": f"ticket {n}"},
                }
            ),
            f"{n}-opened" if not delivery else f"{n}-opened-{delivery}",
        )
        for n in range(count)
    ]
    await Publisher(client, atomic=False).publish(messages)


async def redelivered_at_once(context: JetStreamContext) -> None:
    """Messages that a killed router has not settled are due again now, not only when their time is up.

    The next router that starts declares the usual time again.
    """
    info = await context.consumer_info(subjects.TICKETS, streams.ROUTER)
    assert info.config is not None
    await context.add_consumer(subjects.TICKETS, replace(info.config, ack_wait=_AT_ONCE_SECONDS))


async def said(context: JetStreamContext, kind: str) -> list[dict[str, Any]]:
    """The data of all our events of a kind, in the order in which they stand in the stream."""
    subscription = await context.subscribe(f"sla.acme.{kind}", ordered_consumer=True)
    found = []
    info = await subscription.consumer_info()
    for _ in range(info.num_pending + info.delivered.consumer_seq):
        message = await subscription.next_msg(timeout=5)
        found.append(msgspec.json.decode(message.data)["data"])
        if message.metadata.num_pending == 0:
            break
    await subscription.unsubscribe()
    return found
