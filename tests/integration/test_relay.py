"""From the outbox to JetStream: at once, after a failure, after a crash; each event once."""

import asyncio
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext

from shared.jetstream import publish, relay
from shared.jetstream.publish import Message, NotStored, Publisher
from shared.jetstream.relay import Relay
from shared.postgres import outbox
from shared.postgres.outbox import Batch, Outbox, Span
from shared.postgres.pool import Connection, Pool

NOW = datetime(2026, 6, 5, 10, 0, tzinfo=UTC)
_rows_so_far = itertools.count()


async def _save(pool: Pool, count: int = 2, name: str = "") -> Batch:
    said = Outbox(NOW + timedelta(seconds=next(_rows_so_far)))
    for position in range(count):
        said.add("default", "clock.started", f"t-{position}", {"position": position, "row": name})
    async with pool.acquire() as connection:
        batch = await said.save(connection)
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


class _Told(Publisher):
    """Stores nothing, remembers which rows it was given, in order; fails those times it is told to."""

    def __init__(self, *fails: bool) -> None:
        super().__init__(Client(), atomic=True)
        self.rows: list[str] = []
        self.failed = asyncio.Event()
        self._fails = iter(fails)

    async def publish(self, messages: Sequence[Message]) -> None:
        if next(self._fails, False):
            self.failed.set()
            raise NotStored("not there")
        rows = [msgspec.json.decode(message.payload)["data"]["row"] for message in messages]
        self.rows += [row for row, _ in itertools.groupby(rows)]


class _Failing(_Told):
    """Its server is away."""

    async def publish(self, messages: Sequence[Message]) -> None:
        self.failed.set()
        raise NotStored("not there")


class _Hanging(_Told):
    """Its server has taken what it was sent, and says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()

    async def publish(self, messages: Sequence[Message]) -> None:
        self.asked.set()
        await self.answer.wait()
        await super().publish(messages)


async def _run(posting: Relay) -> None:
    """Run until everything posted is done with."""
    stop = asyncio.Event()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(posting.run(stop))
        await posting.flush()
        stop.set()


async def test_posted_events_are_published_and_forgotten(
    pool: Pool, publisher: Publisher, jetstream: JetStreamContext
) -> None:
    """Each event is in the stream once, under its id, and no row is left."""
    posting = Relay(publisher, pool)
    batches = [await _save(pool) for _ in range(3)]
    for batch in batches:
        assert posting.post(batch)

    await _run(posting)

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
    posting = Relay(publisher, pool, room=3)
    assert posting.post(await _save(pool))
    assert not posting.post(await _save(pool))

    await _run(posting)
    await _age(pool)

    assert 2 == await posting.sweep()
    assert (4, 0) == (await _published(jetstream), await _rows(pool))


async def test_a_batch_larger_than_the_room_still_goes(
    pool: Pool, publisher: Publisher, jetstream: JetStreamContext
) -> None:
    """A relay with nothing else to do takes one of any size."""
    posting = Relay(publisher, pool, room=1)
    assert posting.post(await _save(pool, 1_200))

    await _run(posting)

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


async def test_events_wait_while_nats_is_away(pool: Pool, publisher: Publisher, jetstream: JetStreamContext) -> None:
    """Failed publications keep their rows, a stop meanwhile is obeyed, and the next sweep publishes them."""
    away = _Failing()
    posting = Relay(away, pool)
    posting.post(await _save(pool))
    stop = asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(posting.run(stop))
        await away.failed.wait()
        stop.set()
    assert 1 == await _rows(pool)
    await _age(pool)

    with pytest.raises(NotStored):
        await posting.sweep()
    assert 1 == await _rows(pool)

    assert 2 == await Relay(publisher, pool).sweep()
    assert 2 == await _published(jetstream)


async def test_a_server_that_does_not_answer_does_not_hold_up_the_stop(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while what is posted is left in its rows, and nobody waits for it any longer."""
    monkeypatch.setattr(relay, "DRAIN_SECONDS", 0.01)
    silent, stop = _Hanging(), asyncio.Event()
    posting = Relay(silent, pool)
    posting.post(await _save(pool))
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(posting.run(stop))
        await silent.asked.wait()
        stop.set()
        await posting.flush()

    assert 1 == await _rows(pool)


async def test_a_failed_publication_is_not_overtaken(pool: Pool) -> None:
    """What follows waits until it has gone."""
    told = _Told(True, False, True)
    posting = Relay(told, pool)
    for name in "abc":
        assert posting.post(await _save(pool, 300, name))

    await _run(posting)

    assert ["a", "b", "c"] == told.rows
    assert 0 == await _rows(pool)


async def test_what_was_refused_is_not_overtaken(pool: Pool) -> None:
    """Neither do later rows go first, nor does it go before what was posted earlier."""
    told = _Told()
    posting = Relay(told, pool, room=3)
    assert [True, False, False] == [posting.post(await _save(pool, name=name)) for name in "abc"]
    await _age(pool)
    assert 0 == await posting.sweep()

    await _run(posting)
    assert not posting.post(await _save(pool, name="d"))
    assert 6 == await posting.sweep()
    assert not posting.post(await _save(pool, name="e"))
    assert [2, 0] == [await posting.sweep(), await posting.sweep()]
    assert posting.post(await _save(pool, name="f"))
    await _run(posting)

    assert ["a", "b", "c", "d", "e", "f"] == told.rows


async def test_a_refusal_during_the_last_look_keeps_refusing(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep does not open the door while a row stands behind it."""
    posting = Relay(_Told(), pool, room=1)
    assert [True, False] == [posting.post(await _save(pool)) for _ in range(2)]
    await _run(posting)
    assert 2 == await posting.sweep()
    late = await _save(pool)
    look = outbox.has_any

    async def has_any(connection: Connection, span: Span) -> bool:
        found = await look(connection, span)
        assert not posting.post(late)
        return found

    monkeypatch.setattr(outbox, "has_any", has_any)
    assert 0 == await posting.sweep()

    assert not posting.post(late)


async def test_each_sweep_is_a_transaction_of_its_own(pool: Pool) -> None:
    """A failure rolls back one publication; what went before is done with, however much is left."""
    for name in "abc":
        await _save(pool, 400, name)
    await _age(pool)
    told = _Told(False, True)
    sweeping = Relay(told, pool)

    assert 400 == await sweeping.sweep()
    with pytest.raises(NotStored):
        await sweeping.sweep()
    assert 2 == await _rows(pool)
    assert [400, 400, 0] == [await sweeping.sweep() for _ in range(3)]

    assert ["a", "b", "c"] == told.rows


async def test_a_row_of_any_length_is_swept(pool: Pool, publisher: Publisher, jetstream: JetStreamContext) -> None:
    """By itself, where it is more than one publication."""
    await _save(pool, 1_200)
    await _save(pool)
    await _age(pool)
    sweeping = Relay(publisher, pool)

    assert [1_200, 2, 0] == [await sweeping.sweep() for _ in range(3)]
    assert 1_202 == await _published(jetstream)


async def test_a_sweep_is_not_overtaken_by_another(pool: Pool) -> None:
    """While one process publishes the oldest rows, no other publishes these or younger ones."""
    for name in "ab":
        await _save(pool, 400, name)
    await _age(pool)
    slow, told = _Hanging(), _Told()
    first = asyncio.create_task(Relay(slow, pool).sweep())
    await asyncio.wait_for(slow.asked.wait(), 10)

    assert 0 == await Relay(told, pool).sweep()
    slow.answer.set()

    assert (400, 400) == (await first, await Relay(told, pool).sweep())
    assert (["a"], ["b"]) == (slow.rows, told.rows)


async def test_posted_rows_neither_hide_others_from_the_sweep_nor_are_locked_by_it(pool: Pool) -> None:
    """However many there are."""
    told = _Hanging()
    sweeping = Relay(told, pool)
    posted = [await _save(pool, 1) for _ in range(120)]
    for batch in posted:
        sweeping.post(batch)
    await _save(pool, name="left")
    await _age(pool)

    swept = asyncio.create_task(sweeping.sweep())
    await asyncio.wait_for(told.asked.wait(), 10)
    free = await pool.fetch("SELECT FROM outbox WHERE id = ANY($1) FOR UPDATE NOWAIT", [batch.id for batch in posted])
    told.answer.set()

    assert (2, ["left"], 120) == (await swept, told.rows, len(free))


async def test_a_row_that_is_posted_is_not_swept_by_the_same_process(pool: Pool, publisher: Publisher) -> None:
    """However old it is: it is next in line already."""
    posting = Relay(publisher, pool)
    posting.post(await _save(pool))
    await _age(pool)

    assert 0 == await posting.sweep()
