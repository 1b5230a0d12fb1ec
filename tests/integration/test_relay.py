"""From the outbox to JetStream: at once, after a failure, after a crash; each event once."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext

from shared.jetstream import publish
from shared.jetstream.publish import Message, NotStored, Publisher
from shared.jetstream.relay import Relay
from shared.postgres.outbox import Batch, Outbox
from shared.postgres.pool import Pool

NOW = datetime(2026, 6, 5, 10, 0, tzinfo=UTC)


async def _save(pool: Pool, count: int = 2) -> Batch:
    outbox = Outbox(NOW)
    for position in range(count):
        outbox.add("default", "clock.started", f"t-{position}", {"position": position})
    async with pool.acquire() as connection:
        batch = await outbox.save(connection)
    assert batch is not None
    return batch


async def _age(pool: Pool) -> None:
    await pool.execute("UPDATE outbox SET written_at = written_at - interval '1 hour'")


async def _rows(pool: Pool) -> int:
    count: int = await pool.fetchval("SELECT count(*) FROM outbox")
    return count


async def _published(context: JetStreamContext) -> int:
    return (await context.stream_info("SLA")).state.messages


@pytest.fixture
async def publisher(jetstream: JetStreamContext, nats_client: Client) -> Publisher:
    """Publishes into fresh streams."""
    return await publish.open_publisher(nats_client)


class _Failing(Publisher):
    """A publisher whose server is away."""

    async def publish(self, messages: Sequence[Message]) -> None:
        raise NotStored("not there")


async def _run(relay: Relay) -> None:
    """Run until everything posted is done with."""
    stop = asyncio.Event()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(relay.run(stop))
        await relay.flush()
        stop.set()


async def test_posted_events_are_published_and_forgotten(
    pool: Pool, publisher: Publisher, jetstream: JetStreamContext
) -> None:
    """Each event is in the stream once, under its id, and no row is left."""
    relay = Relay(publisher, pool)
    batches = [await _save(pool) for _ in range(3)]
    for batch in batches:
        assert relay.post(batch)

    await _run(relay)

    assert (6, 0) == (await _published(jetstream), await _rows(pool))
    first = await jetstream.get_msg("SLA", 1)
    assert f"{batches[0].id}.0" == (first.headers or {})["Nats-Msg-Id"]


async def test_nothing_to_say_is_fine(pool: Pool, publisher: Publisher) -> None:
    """A transaction without events posts None."""
    assert Relay(publisher, pool).post(None)


async def test_a_full_relay_leaves_the_rest_to_the_sweep(
    pool: Pool, publisher: Publisher, jetstream: JetStreamContext
) -> None:
    """Posting never waits; what did not fit is found in its row."""
    relay = Relay(publisher, pool, room=3)
    assert relay.post(await _save(pool))
    assert not relay.post(await _save(pool))

    await _run(relay)
    await _age(pool)

    assert 2 == await relay.sweep()
    assert (4, 0) == (await _published(jetstream), await _rows(pool))


async def test_a_batch_larger_than_the_room_still_goes(
    pool: Pool, publisher: Publisher, jetstream: JetStreamContext
) -> None:
    """A relay with nothing else to do takes one of any size."""
    relay = Relay(publisher, pool, room=1)
    assert relay.post(await _save(pool, 1_200))

    await _run(relay)

    assert 1_200 == await _published(jetstream)


async def test_the_sweep_leaves_fresh_rows_to_their_writer(pool: Pool, publisher: Publisher) -> None:
    """A row is left behind only after a while."""
    await _save(pool)

    assert 0 == await Relay(publisher, pool).sweep()


async def test_the_sweep_publishes_what_a_crash_left(
    pool: Pool, publisher: Publisher, jetstream: JetStreamContext
) -> None:
    """Rows whose writer is gone are published by whoever finds them."""
    await _save(pool)
    await _age(pool)

    assert 2 == await Relay(publisher, pool).sweep()
    assert (2, 0) == (await _published(jetstream), await _rows(pool))


async def test_a_crash_between_publishing_and_deleting_repeats_nothing(
    pool: Pool, publisher: Publisher, jetstream: JetStreamContext
) -> None:
    """The row is published again, and JetStream drops what it has."""
    batch = await _save(pool)
    await publisher.publish(
        [
            Message(subject, payload, f"{batch.id}.{n}")
            for n, (subject, payload) in enumerate(zip(batch.subjects, batch.payloads, strict=True))
        ]
    )
    await _age(pool)

    await Relay(publisher, pool).sweep()

    assert (2, 0) == (await _published(jetstream), await _rows(pool))


async def test_two_sweeps_at_once_share_the_rows(pool: Pool, publisher: Publisher, jetstream: JetStreamContext) -> None:
    """Neither waits for the other, and nothing is published twice."""
    for _ in range(60):
        await _save(pool)
    await _age(pool)

    while await _rows(pool):
        await asyncio.gather(Relay(publisher, pool).sweep(), Relay(publisher, pool).sweep())

    assert 120 == await _published(jetstream)


async def test_events_wait_while_nats_is_away(
    pool: Pool, publisher: Publisher, nats_client: Client, jetstream: JetStreamContext
) -> None:
    """A failed publication keeps its rows, and the next sweep publishes them."""
    away = Relay(_Failing(nats_client, atomic=True), pool)
    away.post(await _save(pool))
    await _run(away)
    assert 1 == await _rows(pool)
    await _age(pool)

    with pytest.raises(NotStored):
        await away.sweep()
    assert 1 == await _rows(pool)

    assert 2 == await Relay(publisher, pool).sweep()
    assert 2 == await _published(jetstream)


async def test_a_row_that_is_posted_is_not_swept_by_the_same_process(pool: Pool, publisher: Publisher) -> None:
    """However old it is: it is next in line already."""
    relay = Relay(publisher, pool)
    relay.post(await _save(pool))
    await _age(pool)

    assert 0 == await relay.sweep()
