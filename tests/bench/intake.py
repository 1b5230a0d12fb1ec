"""Intake against its bare floor: from JetStream to committed, owner chosen, events published, settled."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from shared import timesource
from shared.contract import subjects
from shared.jetstream.publish import Message, Publisher
from shared.jetstream.streams import ROUTER
from tests.bench import fill
from tests.bench.stack import Stack

_SAMPLE_SECONDS = 0.05
_PATIENCE_SECONDS = 300.0
_FROM, _TO = 0.2, 0.95
"""The part of the way that is timed: after the start of the processes, before the last stragglers."""
_TEXT = "I was charged twice for my order and would like the second payment back. " * 9
_CHANNELS = ("email", "chat", "messaging", "social")
_KEPT = ("ticket", "ticket_event", "clock", "assignment")
"""Tables whose rows stay; what passes through the queue and the outbox is our own expense."""
_WRITTEN = """
SELECT string_agg(column_name, ', ' ORDER BY ordinal_position) FROM information_schema.columns
WHERE table_name = $1 AND is_generated = 'NEVER'
"""


class Run(Struct, frozen=True):
    """One measured run."""

    per_second: float
    events_per_ticket: float


async def product(stack: Stack, tickets: int, *, routers: int = 1) -> Run:
    """Tickets a second through so many router processes."""
    await clean(stack)
    await publish(stack, tickets)
    run = await _measure(stack, tickets, [("services.router",)] * routers)
    owned = await stack.connection.fetchval("SELECT count(*) FROM assignment WHERE ended_at IS NULL")
    waiting = await stack.connection.fetchval("SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM queued)")
    if (owned, waiting) != (tickets, 0):
        raise AssertionError(f"{owned} of {tickets} tickets have an owner, {waiting} rows wait")
    return run


async def floor(stack: Stack, tickets: int, shape: Path, *, processes: int = 1) -> Run:
    """The same bytes in, the same rows and events out, without logic."""
    await clean(stack)
    await publish(stack, tickets)
    return await _measure(stack, tickets, [("tests.bench.floor", str(shape))] * processes)


async def template(stack: Stack) -> str:
    """What the product stored and said of one ticket, as JSON for the floor to repeat."""
    ticket_id = await stack.connection.fetchval("SELECT id FROM ticket WHERE external_id = 'ticket-0'")
    tables = []
    for table in _KEPT:
        column = "id" if table == "ticket" else "ticket_id"
        written = await stack.connection.fetchval(_WRITTEN, table)
        rows = await stack.connection.fetch(f"SELECT {written} FROM {table} WHERE {column} = $1", ticket_id)
        tables.append(
            {
                "name": table,
                "columns": list(rows[0].keys()),
                "rows": [[_told(table, name, value, ticket_id) for name, value in row.items()] for row in rows],
            }
        )
    return json.dumps({"tables": tables, "events": await _events_of(stack, "ticket-0")})


def _told(table: str, column: str, value: Any, ticket_id: UUID) -> Any:
    """A value in JSON; what differs from ticket to ticket as a marker that the floor fills in."""
    told = value
    match value:
        case UUID():
            told = {"type": "ticket"} if value == ticket_id else {"type": "new"}
        case datetime():
            told = {"type": "instant", "value": value.isoformat()}
        case timedelta():
            told = {"type": "seconds", "value": value.total_seconds()}
        case list():
            told = [_told(table, column, item, ticket_id) for item in value]
        case str() if (table, column) in {("ticket", "external_id"), ("ticket_event", "event_id")}:
            told = {"type": "text"}
        case bytes():
            told = {"type": "bytes", "value": value.decode()}
    return told


async def _events_of(stack: Stack, external_id: str) -> list[dict[str, str]]:
    subscription = await stack.client.jetstream().subscribe("sla.>", ordered_consumer=True)
    found: list[dict[str, str]] = []
    async for message in subscription.messages:
        if json.loads(message.data)["subject"] == external_id:
            found.append({"subject": message.subject, "payload": message.data.decode()})
        if message.metadata.num_pending == 0:
            break
    await subscription.unsubscribe()
    return found


async def clean(stack: Stack) -> None:
    """Empty tables and streams."""
    await fill.empty(stack.connection)
    jetstream = stack.client.jetstream()
    for stream in (subjects.TICKETS, subjects.SLA):
        await jetstream.purge_stream(stream)
    await stack.connection.execute("VACUUM ANALYZE", timeout=600)
    await stack.connection.execute("CHECKPOINT", timeout=600)


async def publish(stack: Stack, tickets: int, *, prefix: str = "ticket") -> None:
    """Put so many opened tickets of 1 KB into JetStream."""
    at = (await stack.connection.fetchval("SELECT deskclock_now()")).isoformat()
    run_id = format(int(timesource.unix_time() * 1000), "x")
    messages = []
    for n in range(tickets):
        external_id = f"{prefix}-{n}"
        body = {
            "specversion": "1.0", "id": f"{external_id}-opened", "source": "bench", "type": "ticket.opened",
            "subject": external_id, "time": at,
            "data": {"source": "bench", "external_id": external_id, "channel": _CHANNELS[n % len(_CHANNELS)],
                     "subject": "Charged twice", "text": _TEXT, "language": "en", "requester": {"key": f"c-{n % 5000}"},
                     "attributes": {"product": "pay"}},
        }  # fmt: skip
        messages.append(Message(subjects.ticket(fill.TENANT, "opened"), msgspec.json.encode(body), f"{run_id}-{n}"))
    await Publisher(stack.client, atomic=False).publish(messages)


async def _measure(stack: Stack, tickets: int, processes: Sequence[tuple[str, ...]]) -> Run:
    """The rate by the events that come out, with everything settled at the end."""
    with ExitStack() as running:
        started_ones = [running.enter_context(stack.process(*arguments)) for arguments in processes]
        started = timesource.monotonic()
        samples: list[tuple[float, int]] = []
        while True:
            samples.append((timesource.monotonic() - started, await _published(stack)))
            if len(samples) > 20 and samples[-1][1] == samples[-20][1] > 0 and await _is_settled(stack, tickets):
                break
            if any(process.poll() is not None for process in started_ones):
                raise RuntimeError("a process ended by itself: see .deskclock/bench.log")
            if samples[-1][0] > _PATIENCE_SECONDS:
                raise TimeoutError(f"not done after {_PATIENCE_SECONDS:.0f} s: {samples[-1][1]} events came out")
            await timesource.pause(_SAMPLE_SECONDS)
    total = samples[-1][1]
    first, last = _at(samples, total * _FROM), _at(samples, total * _TO)
    share = (last[1] - first[1]) / total
    return Run(per_second=tickets * share / (last[0] - first[0]), events_per_ticket=total / tickets)


async def _published(stack: Stack) -> int:
    return (await stack.client.jetstream().stream_info(subjects.SLA)).state.messages


async def _is_settled(stack: Stack, tickets: int) -> bool:
    consumer = await stack.client.jetstream().consumer_info(subjects.TICKETS, ROUTER)
    stored = await stack.connection.fetchval("SELECT count(*) FROM ticket WHERE NOT EXISTS (SELECT FROM outbox)")
    return stored == tickets and not consumer.num_pending and not consumer.num_ack_pending


def _at(samples: Sequence[tuple[float, int]], count: float) -> tuple[float, int]:
    return next(sample for sample in samples if sample[1] >= count)
