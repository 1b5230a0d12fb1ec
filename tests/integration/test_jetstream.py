"""Streams, consumers, the pull loop and publishing on a real nats-server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig

from services.console import embedded
from services.console.embedded import Embedded
from shared import timesource
from shared.contract import subjects
from shared.jetstream import publish, pull, streams
from shared.jetstream.publish import Message, NotStored, Publisher
from shared.jetstream.pull import Puller
from shared.jetstream.streams import Consumer
from shared.runtime.periodic import Health

CACHE = Path(__file__).parents[2] / ".deskclock" / "cache"


def _messages(count: int, *, of: str = "a") -> list[Message]:
    return [Message("sla.default.clock.started", b"%d" % position, f"{of}.{position}") for position in range(count)]


async def _publish_tickets(context: JetStreamContext, count: int) -> None:
    for position in range(count):
        await context.publish("tickets.default.opened", b"%d" % position)


async def _stored(context: JetStreamContext, stream: str) -> int:
    return (await context.stream_info(stream)).state.messages


async def _take(puller: Puller, count: int) -> list[Msg]:
    taken: list[Msg] = []
    stop = asyncio.Event()
    async with asyncio.timeout(30), aclosing(puller.batches(stop)) as batches:
        async for batch in batches:
            await pull.ack(batch)
            taken += batch
            if len(taken) >= count:
                stop.set()
    return taken


def _puller(client: Client, **options: object) -> Puller:
    return Puller(client, subjects.TICKETS, streams.ROUTER, health=Health(), **options)  # type: ignore[arg-type]


async def test_streams_are_made_as_declared(jetstream: JetStreamContext) -> None:
    """Each declared stream exists with its subjects."""
    expected = {stream.name: list(stream.subjects) for stream in streams.STREAMS}

    assert expected == {info.config.name: info.config.subjects for info in await jetstream.streams_info()}


async def test_making_streams_again_changes_nothing(jetstream: JetStreamContext, nats_client: Client) -> None:
    """A second run leaves streams and consumers as they are."""
    before = await jetstream.stream_info("SLA")

    await streams.ensure(nats_client)

    assert before.config == (await jetstream.stream_info("SLA")).config


async def test_a_changed_stream_is_brought_back_and_keeps_what_operators_added(
    jetstream: JetStreamContext, nats_client: Client
) -> None:
    """Declared fields return; a limit of size that somebody set stays."""
    config = (await jetstream.stream_info("TICKETS")).config
    await jetstream.update_stream(replace(config, max_age=60.0, duplicate_window=30.0, max_bytes=10_000_000))

    await streams.ensure(nats_client)

    config = (await jetstream.stream_info("TICKETS")).config
    assert (14 * 86_400.0, 10_000_000) == (config.max_age, config.max_bytes)


async def test_a_changed_consumer_is_brought_back(jetstream: JetStreamContext) -> None:
    """Its declared limits return."""
    declared = streams.CONSUMERS[0]
    info = await jetstream.consumer_info(declared.stream, declared.name)
    assert info.config is not None
    await jetstream.add_consumer(declared.stream, replace(info.config, max_deliver=3))

    await streams.ensure_consumer(jetstream, declared)

    info = await jetstream.consumer_info(declared.stream, declared.name)
    assert info.config is not None
    assert declared.max_deliver == info.config.max_deliver


async def test_a_message_that_is_never_settled_leaves_an_advisory(jetstream: JetStreamContext) -> None:
    """After the last delivery the stream of advisories holds its number."""
    await jetstream.add_consumer("TICKETS", ConsumerConfig(durable_name="hopeless", ack_wait=0.1, max_deliver=1))
    await _publish_tickets(jetstream, 1)
    advisories = await jetstream.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>", stream=streams.ADVISORIES)
    hopeless = await jetstream.pull_subscribe_bind("hopeless", "TICKETS")

    await hopeless.fetch(1)
    with pytest.raises(TimeoutError):
        await hopeless.fetch(1, timeout=0.5)

    assert b'"stream_seq":1' in (await advisories.next_msg(timeout=10)).data


async def test_pulling_gives_every_message_once_in_batches(jetstream: JetStreamContext, nats_client: Client) -> None:
    """All that was published comes, in order, and nothing is left to settle."""
    await _publish_tickets(jetstream, 1_200)

    taken = await _take(_puller(nats_client), 1_200)

    assert [b"%d" % position for position in range(1_200)] == [message.data for message in taken]
    await nats_client.flush()
    info = await jetstream.consumer_info("TICKETS", "router")
    assert (0, 0) == (info.num_pending, info.num_redelivered)


async def test_a_batch_is_bounded(jetstream: JetStreamContext, nats_client: Client) -> None:
    """No batch is longer than asked for, and no more than twice that is fetched ahead."""
    await _publish_tickets(jetstream, 100)
    puller = _puller(nats_client, batch=10)
    stop = asyncio.Event()
    lengths = []
    async with aclosing(puller.batches(stop)) as batches:
        async for batch in batches:
            lengths.append(len(batch))
            info = await jetstream.consumer_info("TICKETS", "router")
            assert 30 >= (info.num_ack_pending or 0)
            await pull.ack(batch)
            if sum(lengths) == 100:
                stop.set()

    assert 10 >= max(lengths)


async def test_what_was_fetched_and_not_handled_comes_at_once_to_the_next(
    jetstream: JetStreamContext, nats_client: Client
) -> None:
    """A stop gives messages back instead of letting them wait for their time."""
    await _publish_tickets(jetstream, 50)
    stop = asyncio.Event()
    async with aclosing(_puller(nats_client, batch=20).batches(stop)) as batches:
        first = await anext(batches)
        await pull.ack(first)
        stop.set()

    rest = await _take(_puller(nats_client), 50 - len(first))

    assert {b"%d" % position for position in range(50)} == {message.data for message in [*first, *rest]}


async def test_pulling_outlives_a_deleted_consumer(jetstream: JetStreamContext, nats_client: Client) -> None:
    """The consumer is made again and pulling goes on."""

    async def restore() -> None:
        await streams.ensure(nats_client)

    puller = _puller(nats_client, restore=restore)
    await _publish_tickets(jetstream, 1)
    stop = asyncio.Event()
    async with asyncio.timeout(30), aclosing(puller.batches(stop)) as batches:
        await pull.ack(await anext(batches))
        await jetstream.delete_consumer("TICKETS", "router")
        await jetstream.publish("tickets.default.opened", b"after")

        async for batch in batches:
            await pull.ack(batch)
            if b"after" in [message.data for message in batch]:
                stop.set()


@pytest.fixture
async def own_server() -> AsyncIterator[Embedded]:
    """Servers of this test's own, to be treated badly."""
    with embedded.start(cache=CACHE, durable=False) as servers:
        yield servers


async def test_pulling_and_publishing_outlive_a_killed_server(own_server: Embedded) -> None:
    """After a restart of nats-server both go on over the same connection."""

    async def ignore(_: Exception) -> None:
        pass

    client = await nats.connect(own_server.nats_url, max_reconnect_attempts=-1, reconnect_time_wait=0, error_cb=ignore)
    await streams.ensure(client)
    context = client.jetstream()
    await _publish_tickets(context, 1)
    stop = asyncio.Event()
    async with asyncio.timeout(60), aclosing(_puller(client).batches(stop)) as batches:
        await pull.ack(await anext(batches))
        await client.flush()
        own_server.nats.kill()
        own_server.nats.start()

        publisher = await _until_stored(client)
        await context.publish("tickets.default.opened", b"after")
        async for batch in batches:
            await pull.ack(batch)
            if b"after" in [message.data for message in batch]:
                stop.set()
    await publisher.publish(_messages(2, of="later"))
    await client.close()


async def _until_stored(client: Client) -> Publisher:
    publisher = Publisher(client, atomic=True)
    while True:
        try:
            await publisher.publish(_messages(1, of="first"))
        except NotStored:
            await timesource.pause(0.05)
        else:
            return publisher


async def test_a_batch_is_stored_in_order(jetstream: JetStreamContext, nats_client: Client) -> None:
    """More than one atomic batch keeps the order given."""
    publisher = await publish.open_publisher(nats_client)

    await publisher.publish(_messages(1_100))

    assert 1_100 == await _stored(jetstream, "SLA")
    assert b"700" == (await jetstream.get_msg("SLA", 701)).data


async def test_a_batch_that_was_stored_before_is_not_stored_twice(
    jetstream: JetStreamContext, nats_client: Client
) -> None:
    """A refused batch goes message by message, so that only what is missing is added."""
    publisher = await publish.open_publisher(nats_client)
    await publisher.publish(_messages(3))

    await publisher.publish(_messages(6))

    assert 6 == await _stored(jetstream, "SLA")


async def test_a_server_without_atomic_batches_is_served_one_by_one(
    jetstream: JetStreamContext, nats_client: Client
) -> None:
    """Everything is stored once all the same."""
    await Publisher(nats_client, atomic=False).publish(_messages(600))

    assert 600 == await _stored(jetstream, "SLA")


async def test_what_no_stream_takes_is_an_error(jetstream: JetStreamContext, nats_client: Client) -> None:
    """Publishing does not pretend."""
    await jetstream.delete_stream("SLA")

    with pytest.raises(NotStored, match=r"no stream takes sla\.default"):
        await Publisher(nats_client, atomic=True).publish(_messages(2))


async def test_a_full_stream_is_an_error(jetstream: JetStreamContext, nats_client: Client) -> None:
    """A stream at its limit refuses; nothing old is thrown away for it."""
    config = (await jetstream.stream_info("SLA")).config
    await jetstream.update_stream(replace(config, max_msgs=1))
    await Publisher(nats_client, atomic=True).publish(_messages(1))

    with pytest.raises(NotStored, match="maximum messages exceeded"):
        await Publisher(nats_client, atomic=True).publish(_messages(1, of="b"))


async def test_a_dead_letter_keeps_its_reason_and_origin(jetstream: JetStreamContext, nats_client: Client) -> None:
    """Reason, detail in one line, subject and payload can be read back; the same message is kept once."""
    publisher = Publisher(nats_client, atomic=True)

    for _ in range(2):
        await publisher.publish_dead(
            "acme",
            reason="invalid",
            detail="no time:\n give it – now",
            subject="tickets.acme.opened",
            payload=b"{",
            message_id="TICKETS.7",
        )

    assert 1 == await _stored(jetstream, "DEAD")
    kept = await jetstream.get_msg("DEAD", 1)
    assert ("dead.acme", b"{") == (kept.subject, kept.data)
    headers = kept.headers or {}
    assert ("invalid", "no time: give it ? now", "tickets.acme.opened") == (
        headers[publish.REASON],
        headers[publish.DETAIL],
        headers[publish.SUBJECT],
    )


async def test_a_dead_letter_of_any_size_is_kept(jetstream: JetStreamContext, nats_client: Client) -> None:
    """What doesn't fit beside the reason is cut, says how long it was, and the connection stays."""
    payload = b"x" * (nats_client.max_payload - 50)

    await Publisher(nats_client, atomic=True).publish_dead(
        "acme",
        reason="unparseable",
        detail="not JSON: é" * 1_000,
        subject="tickets.acme.opened",
        payload=payload,
        message_id="TICKETS.7",
    )
    await nats_client.flush()

    kept = await jetstream.get_msg("DEAD", 1)
    headers = kept.headers or {}
    assert (str(len(payload)), "TICKETS.7") == (headers[publish.TRUNCATED], headers[publish.ORIGIN])
    assert kept.data is not None
    assert payload.startswith(kept.data)
    assert nats_client.max_payload - 5_000 < len(kept.data)


async def test_a_dead_letter_that_just_fits_is_whole(jetstream: JetStreamContext, nats_client: Client) -> None:
    """The size of the headers is reckoned to the byte: one byte more would be cut."""
    publisher = Publisher(nats_client, atomic=True)
    letter = {"reason": "invalid", "detail": "", "subject": "tickets.acme.opened", "message_id": "TICKETS.7"}
    await publisher.publish_dead("acme", payload=b"x" * nats_client.max_payload, **letter)
    fits = len((await jetstream.get_msg("DEAD", 1)).data or b"") + len(f"{publish.TRUNCATED}: {1_048_576}\r\n")

    for number, size in ((8, fits), (9, fits + 1)):
        await publisher.publish_dead("acme", payload=b"x" * size, **{**letter, "message_id": f"TICKETS.{number}"})

    assert [None, str(fits + 1)] == [
        ((await jetstream.get_msg("DEAD", sequence)).headers or {}).get(publish.TRUNCATED) for sequence in (2, 3)
    ]
    assert fits == len((await jetstream.get_msg("DEAD", 2)).data or b"")


async def test_an_event_of_ours_that_is_too_large_holds_up_nothing(
    jetstream: JetStreamContext, nats_client: Client
) -> None:
    """It is kept as a dead letter, and those before and behind it are published."""
    first, last = _messages(2)
    large = Message("sla.acme.ticket.routed", b"x" * nats_client.max_payload, "large.0")

    await Publisher(nats_client, atomic=True).publish([first, large, last])
    await nats_client.flush()

    assert (2, 1) == (await _stored(jetstream, "SLA"), await _stored(jetstream, "DEAD"))
    kept = await jetstream.get_msg("DEAD", 1)
    headers = kept.headers or {}
    assert ("dead.acme", "too_large", "sla.acme.ticket.routed", "large.0") == (
        kept.subject,
        headers[publish.REASON],
        headers[publish.SUBJECT],
        headers[publish.ORIGIN],
    )


async def test_nothing_is_published_while_there_is_no_connection() -> None:
    """It fails at once instead of waiting for an answer; the events stay where they are."""
    with pytest.raises(NotStored, match="not connected"):
        await Publisher(Client(), atomic=True).publish(_messages(1))


def test_what_is_declared_is_finite() -> None:
    """No consumer delivers for ever, and no stream forgets repeated ids at once."""
    assert all(isinstance(consumer, Consumer) and consumer.max_deliver > 0 for consumer in streams.CONSUMERS)
    assert all(stream.duplicate_window >= timedelta(minutes=2) for stream in streams.STREAMS)
