"""The bare floor beside intake: the same bytes in, the same rows and events out, no logic; `floor TEMPLATE`.

Rows are inserted by set, events published in the fastest durable way. TEMPLATE is a JSON file with one ticket's rows and events as the product wrote them.
"""

import asyncio
import json
import os
import signal
import sys
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nats
import uvloop

from shared import ids
from shared.contract import subjects
from shared.jetstream import streams
from shared.jetstream.publish import Message, open_publisher
from shared.jetstream.pull import Puller, ack
from shared.postgres.pool import open_pool
from shared.runtime.periodic import Health

_TICKET, _NEW, _TEXT = object(), object(), object()
_MARKERS = {"ticket": _TICKET, "new": _NEW, "text": _TEXT}


class Template:
    """The shape of what is written for one ticket."""

    def __init__(self, text: str) -> None:
        told = json.loads(text)
        self.tables: list[tuple[str, list[str], list[list[Any]]]] = [
            (table["name"], table["columns"], [[_value(value) for value in row] for row in table["rows"]])
            for table in told["tables"]
        ]
        self.events = [(event["subject"], event["payload"].encode()) for event in told["events"]]


def _value(told: Any) -> Any:
    """A column's value: fixed, or one of the markers `_TICKET`, `_NEW`, `_TEXT` that differ from ticket to ticket."""
    match told:
        case {"type": "instant", "value": text}:
            return datetime.fromisoformat(text)
        case {"type": "seconds", "value": seconds}:
            return timedelta(seconds=seconds)
        case {"type": "bytes", "value": text}:
            return text.encode()
        case {"type": kind}:
            return _MARKERS[kind]
        case list():
            return [_value(item) for item in told]
        case _:
            return told


async def _serve(template: Template) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    client = await nats.connect(os.environ["DESKCLOCK_NATS_URL"])
    publisher = await open_publisher(client)
    pool = await open_pool(os.environ["DESKCLOCK_DATABASE_URL"], name="floor", size=4)
    puller = Puller(client, subjects.TICKETS, streams.ROUTER, health=Health())
    limit = asyncio.Semaphore(2)

    async def handle(messages: list[Any]) -> None:
        now = datetime.now(UTC)  # noqa: TID251 - a floor has no time source
        tickets = [(ticket, str(ticket)) for ticket in (ids.uuid7(now) for _ in messages)]
        async with pool.acquire() as connection, connection.transaction():
            for name, columns, rows in template.tables:
                records = [
                    tuple(_fill(value, ticket, text, now) for value in row) for ticket, text in tickets for row in rows
                ]
                await connection.copy_records_to_table(name, records=records, columns=columns)
        await publisher.publish(
            [
                Message(subject, payload, f"{text}.{n}")
                for _, text in tickets
                for n, (subject, payload) in enumerate(template.events)
            ]
        )
        await ack(messages)

    async with asyncio.TaskGroup() as group:
        async for messages in puller.batches(stop):
            await limit.acquire()
            group.create_task(handle(messages)).add_done_callback(lambda _: limit.release())
    await pool.close()
    await client.close()


def _fill(value: Any, ticket: uuid.UUID, text: str, now: datetime) -> Any:
    if value is _TICKET:
        return ticket
    if value is _NEW:
        return ids.uuid7(now)
    return text if value is _TEXT else value


if __name__ == "__main__":
    uvloop.run(_serve(Template(Path(sys.argv[1]).read_text())))
