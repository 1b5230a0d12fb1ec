"""`kill -9` of either service in mid-stream: afterwards everything is there once."""

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
from nats.aio.client import Client
from nats.js import JetStreamContext

from shared import timesource
from shared.contract import subjects
from shared.jetstream.publish import Message, Publisher
from shared.postgres.pool import Pool

TICKETS = 2_000
_PATIENCE_SECONDS = 60.0


async def _until(pool: Pool, question: str, *, seconds: float = _PATIENCE_SECONDS) -> None:
    """Wait until the database answers yes."""
    async with asyncio.timeout(seconds):
        while not await pool.fetchval(question):
            await timesource.pause(0.02)


async def _publish(client: Client, count: int, at: datetime) -> None:
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
            f"{n}-opened",
        )
        for n in range(count)
    ]
    await Publisher(client, atomic=False).publish(messages)


async def _said(context: JetStreamContext, kind: str) -> list[str]:
    """The tickets of all our events of a kind, as they stand in the stream."""
    subscription = await context.subscribe(f"sla.acme.{kind}", ordered_consumer=True)
    found = []
    info = await subscription.consumer_info()
    for _ in range(info.num_pending + info.delivered.consumer_seq):
        message = await subscription.next_msg(timeout=5)
        found.append(msgspec.json.decode(message.data)["data"]["ticket"])
        if message.metadata.num_pending == 0:
            break
    await subscription.unsubscribe()
    return found


async def test_a_router_killed_in_mid_stream_loses_and_repeats_nothing(
    pool: Pool, nats_client: Client, jetstream: JetStreamContext, spawn
) -> None:
    """Two kills of both routers while thousands of tickets pour in."""
    await _publish(nats_client, TICKETS, datetime.now(UTC))  # noqa: TID251 - real services live by the real clock
    for part in (0.1, 0.5):
        router, other = spawn("services.router"), spawn("services.router")
        router.launch()
        other.launch()
        await _until(pool, f"SELECT count(*) >= {int(TICKETS * part)} FROM ticket")
        router.kill()
        other.kill()
    last = spawn("services.router")
    last.launch()
    await _until(pool, f"SELECT count(*) = {TICKETS} FROM ticket")
    await _until(pool, "SELECT NOT EXISTS (SELECT FROM outbox)")
    assert 0 == last.stop()
    assert TICKETS == await pool.fetchval("SELECT count(*) FROM ticket_event")
    assert TICKETS == await pool.fetchval("SELECT count(*) FROM queued")
    assert TICKETS == await pool.fetchval("SELECT count(*) FROM clock WHERE target = 'first_response'")
    routed = await _said(jetstream, "ticket.routed")
    assert (TICKETS, TICKETS) == (len(routed), len(set(routed)))


async def test_rule_59_escalations_killed_while_firing_fire_each_clock_once(
    pool: Pool, nats_client: Client, jetstream: JetStreamContext, spawn
) -> None:
    """Two replicas, killed again and again: one breach a clock, each said once."""
    clocks = 3_000
    await pool.execute(
        """
        INSERT INTO ticket (id, tenant, source, external_id, status, opened_at, channel, urgency, policy_version)
        SELECT gen_random_uuid(), 'acme', 'helpdesk', n::text, 'open', deskclock_now(), 'email', 'normal', 0
        FROM generate_series(1, $1::bigint) n
        """,
        clocks,
    )
    await pool.execute(
        """
        INSERT INTO clock (ticket_id, target, cycle, tenant, matched, policy_version, calendar, state, started_at, due_at,
                           next_fire_at)
        SELECT id, 'first_response', 1, 'acme', 'everything else', 0, 'office', 'running', $1::timestamptz - interval '1 h', $1, $1
        FROM ticket
        """,
        datetime.now(UTC) - timedelta(seconds=1),  # noqa: TID251 - real services live by the real clock
    )
    for part in (0.1, 0.5):
        replicas = [spawn("services.escalation"), spawn("services.escalation")]
        for replica in replicas:
            replica.launch()
        await _until(pool, f"SELECT count(*) >= {int(clocks * part)} FROM clock WHERE state = 'breached'")
        for replica in replicas:
            replica.kill()
    last = spawn("services.escalation")
    last.launch()
    await _until(pool, "SELECT NOT EXISTS (SELECT FROM clock WHERE state <> 'breached')")
    await _until(pool, "SELECT NOT EXISTS (SELECT FROM outbox)")
    assert 0 == last.stop()
    breached = await _said(jetstream, "clock.breached")
    assert (clocks, clocks) == (len(breached), len(set(breached)))
