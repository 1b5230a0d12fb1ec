"""Streams and consumers, declared as data and made so on the server.

What an operator has set beyond these fields (replicas, placement, limits of size) is left as it is.
"""

from dataclasses import asdict, replace
from datetime import timedelta
from enum import Enum
from typing import Any

import nats.js.errors
from msgspec import Struct
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)

from shared.contract import subjects

ADVISORIES = "ADVISORIES"
ROUTER = "router"

_ATOMIC_SINCE = (2, 12)


class Stream(Struct, frozen=True, kw_only=True):
    """One stream; a full one refuses instead of forgetting what nobody has read."""

    name: str
    subjects: tuple[str, ...]
    keep: timedelta
    duplicate_window: timedelta = timedelta(minutes=2)
    atomic: bool = False
    description: str


class Consumer(Struct, frozen=True, kw_only=True):
    """One durable pull consumer with explicit acknowledgement."""

    stream: str
    name: str
    ack_within: timedelta
    max_deliver: int
    max_ack_pending: int
    description: str


STREAMS = (
    Stream(
        name=subjects.TICKETS,
        subjects=("tickets.>",),
        keep=timedelta(days=14),
        duplicate_window=timedelta(minutes=10),
        description="Ticket events, in: tickets.<tenant>.<kind>",
    ),
    Stream(
        name=subjects.SLA,
        subjects=("sla.>",),
        keep=timedelta(days=30),
        duplicate_window=timedelta(minutes=10),
        atomic=True,
        description="What Deskclock says, out: sla.<tenant>.<kind>",
    ),
    Stream(
        name=subjects.DEAD,
        subjects=("dead.>",),
        keep=timedelta(days=90),
        description="Messages that could not be used, with the reason in their headers: dead.<tenant>",
    ),
    Stream(
        name=ADVISORIES,
        subjects=("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>",),
        keep=timedelta(days=90),
        description="Messages that were delivered as often as allowed and never settled",
    ),
)

CONSUMERS = (
    Consumer(
        stream=subjects.TICKETS,
        name=ROUTER,
        ack_within=timedelta(seconds=15),
        max_deliver=20,
        max_ack_pending=10_000,
        description="The router's replicas share it",
    ),
)


async def ensure(client: Client, *, replicas: int = 1) -> None:
    """Make every stream and consumer, or bring it to what is declared; safe to run by many at once."""
    context = client.jetstream()
    version = client.connected_server_version
    atomic = (version.major, version.minor) >= _ATOMIC_SINCE
    for stream in STREAMS:
        await _ensure_stream(context, stream, atomic=atomic, replicas=replicas)
    for consumer in CONSUMERS:
        await ensure_consumer(context, consumer)


async def _ensure_stream(context: JetStreamContext, stream: Stream, *, atomic: bool, replicas: int) -> None:
    declared: dict[str, Any] = {
        "subjects": list(stream.subjects),
        "max_age": stream.keep.total_seconds(),
        "duplicate_window": stream.duplicate_window.total_seconds(),
        "discard": DiscardPolicy.NEW,
        "description": stream.description,
        **({"allow_atomic": True} if atomic and stream.atomic else {}),
    }
    try:
        info = await context.stream_info(stream.name)
    except nats.js.errors.NotFoundError:
        config = StreamConfig(
            name=stream.name,
            storage=StorageType.FILE,
            retention=RetentionPolicy.LIMITS,
            num_replicas=replicas,
            **declared,
        )
        await context.add_stream(config)
        return
    if _differs(info.config, declared):
        await context.update_stream(replace(info.config, **declared))


async def ensure_consumer(context: JetStreamContext, consumer: Consumer) -> None:
    """Make one consumer, or bring it to what is declared; its place in the stream stays."""
    declared: dict[str, Any] = {
        "ack_wait": consumer.ack_within.total_seconds(),
        "max_deliver": consumer.max_deliver,
        "max_ack_pending": consumer.max_ack_pending,
        "description": consumer.description,
    }
    try:
        info = await context.consumer_info(consumer.stream, consumer.name)
    except nats.js.errors.NotFoundError:
        config = ConsumerConfig(
            durable_name=consumer.name,
            ack_policy=AckPolicy.EXPLICIT,
            deliver_policy=DeliverPolicy.ALL,
            **declared,
        )
        await context.add_consumer(consumer.stream, config)
        return
    if info.config is not None and _differs(info.config, declared):
        # Creating a durable consumer that exists updates it.
        await context.add_consumer(consumer.stream, replace(info.config, **declared))


def _differs(config: StreamConfig | ConsumerConfig, declared: dict[str, Any]) -> bool:
    present = asdict(config)
    return any(_plain(present[name]) != _plain(value) for name, value in declared.items())


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value
