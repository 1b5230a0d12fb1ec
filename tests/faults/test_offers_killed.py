"""Offers as the services live through them: asked over NATS, answered over NATS, lapsing while routers are killed."""

from collections import Counter
from datetime import UTC, datetime

import msgspec
from nats.aio.client import Client
from nats.js import JetStreamContext

from services.router.versions import policies
from shared.contract import subjects
from shared.jetstream.publish import Message, Publisher
from shared.postgres.pool import Pool
from tests.faults.outside import redelivered_at_once, said, until

OFFERS = 300
POLICY = """
channels: {live_chat: {units: 1, offer: 2s}}
targets: [{name: all, calendar: always, first_response: 2h}]
"""
ROSTER = """
people:
  ana: {name: Ana, channels: [live_chat], capacity: 150}
  ben: {name: Ben, channels: [live_chat], capacity: 150}
"""


async def test_offers_lapse_once_and_answers_count_once_whoever_is_killed(
    pool: Pool, nats_client: Client, jetstream: JetStreamContext, spawn
) -> None:
    """Two routers, killed while hundreds of offers lapse; a third of them were accepted before that."""
    now = datetime.now(UTC)  # noqa: TID251 - real services live by the real clock
    async with pool.acquire() as connection:
        await policies.apply_roster(connection, "acme", ROSTER, "test", now)
        await policies.apply_policy(connection, "acme", POLICY, "test", now)
    await pool.execute("UPDATE agent SET status = 'online'")
    first = [spawn("services.router", is_doomed=True) for _ in range(2)]
    for router in first:
        router.launch()
    await _tell(nats_client, {str(n): ("opened", {"channel": "live_chat"}) for n in range(OFFERS)}, now)
    await until(pool, f"SELECT count(*) = {OFFERS} FROM assignment")
    rows = await pool.fetch(
        "SELECT t.external_id, a.agent FROM assignment a JOIN ticket t ON t.id = a.ticket_id"
        " WHERE a.ended_at IS NULL AND a.state = 'offered' LIMIT 100"
    )
    answers = {row["external_id"]: ("accepted", {"agent": row["agent"]}) for row in rows}
    await _tell(nats_client, answers, datetime.now(UTC))  # noqa: TID251
    await until(pool, "SELECT EXISTS (SELECT FROM assignment WHERE end_reason = 'expired')")
    for router in first:
        router.kill()
    await redelivered_at_once(jetstream)
    last = spawn("services.router")
    await last.start()
    await until(pool, "SELECT NOT EXISTS (SELECT FROM assignment WHERE state = 'offered' AND ended_at IS NULL)")
    await until(pool, "SELECT NOT EXISTS (SELECT FROM outbox)")
    assert 0 == last.stop()
    theirs = {row["id"] for row in await pool.fetch("SELECT id FROM assignment WHERE ended_at IS NULL")}
    ended = Counter(row["end_reason"] for row in await pool.fetch("SELECT end_reason FROM assignment"))
    assert OFFERS == len(theirs) + await pool.fetchval("SELECT count(*) FROM queued")
    news = await said(jetstream, "ticket.offer_ended")
    assert (ended["expired"], {"expired"}) == (len(news), {one["outcome"] for one in news})
    assert len(theirs) == len(await said(jetstream, "ticket.assigned"))
    assert len(theirs) == await pool.fetchval("SELECT sum(primary_used) FROM agent")
    assert await pool.fetchval("SELECT bool_and(status = 'away') FROM agent")


async def _tell(client: Client, news: dict[str, tuple[str, dict[str, str]]], at: datetime) -> None:
    messages = [
        Message(
            subjects.ticket("acme", kind),
            msgspec.json.encode(
                {
                    "specversion": "1.0",
                    "id": f"{ticket}-{kind}",
                    "source": "helpdesk",
                    "type": f"ticket.{kind}",
                    "subject": ticket,
                    "time": at.isoformat(),
                    "data": data,
                }
            ),
            f"{ticket}-{kind}",
        )
        for ticket, (kind, data) in news.items()
    ]
    await Publisher(client, atomic=False).publish(messages)
