"""`kill -9` of routers while they give tickets away in several pools: nobody has too much, and every ticket is somebody's once."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
from nats.aio.client import Client
from nats.js import JetStreamContext

from shared.contract import subjects
from shared.jetstream.publish import Message, Publisher
from shared.postgres.pool import Pool
from tests.faults.outside import redelivered_at_once, said, until
from tests.integration import routers_at_once
from tests.integration.routers_at_once import TENANT, look

TICKETS = 240
_PATIENCE_SECONDS = 120.0
_TOWNS = ("west", "east", "north")
_OWNED = "SELECT t.external_id FROM assignment s JOIN ticket t ON t.id = s.ticket_id WHERE s.ended_at IS NULL"
_DONE = "SELECT count(*) FROM ticket WHERE status = 'solved'"


async def test_p1_p3_p15_routers_killed_while_matching_break_nothing(
    pool: Pool, nats_client: Client, jetstream: JetStreamContext, spawn
) -> None:
    """Three times both of them; what was given is finished all the while, so that there is always something to give."""
    async with pool.acquire() as connection:
        await routers_at_once.set_up(connection, rate=1.0, at=datetime.now(UTC))  # noqa: TID251 - services live by the real clock
    await tell(nats_client, "opened", range(TICKETS))
    for part in (0.1, 0.35, 0.7):
        routers = [spawn("services.router", is_doomed=True) for _ in range(2)]
        for router in routers:
            router.launch()
        await finish(pool, nats_client, int(TICKETS * part))
        for router in routers:
            router.kill()
        assert [] == await wrong(pool)
        await redelivered_at_once(jetstream)
    last = spawn("services.router")
    last.launch()
    await finish(pool, nats_client, TICKETS)
    await until(pool, "SELECT NOT EXISTS (SELECT FROM outbox)")
    await last.ready()
    assert 0 == last.stop()

    assert [] == await wrong(pool)
    assert TICKETS == await pool.fetchval(
        "SELECT count(DISTINCT ticket_id) FROM assignment WHERE end_reason = 'solved'"
    )
    assert 0 == await pool.fetchval("SELECT count(*) FROM queued")
    assert 0 == await pool.fetchval("SELECT sum(primary_used + interruptible_used) FROM agent")
    told = [one["ticket"] for one in await said(jetstream, "ticket.assigned")]
    assert await pool.fetchval("SELECT count(*) FROM assignment") == len(told)
    assert TICKETS == len(set(told))


async def wrong(pool: Pool) -> list[routers_at_once.Wrong]:
    """What must not be, in one snapshot."""
    async with pool.acquire() as connection:
        return await look(connection)


async def finish(pool: Pool, client: Client, count: int) -> None:
    """Solve what agents have until so many tickets are; nothing is wrong at any time."""
    finished: set[str] = set()
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while await pool.fetchval(_DONE) < count:
            owned = {row["external_id"] for row in await pool.fetch(_OWNED)} - finished
            await tell(client, "status_changed", sorted(int(one) for one in owned), status="solved")
            finished |= owned
            assert [] == await wrong(pool)


async def tell(client: Client, kind: str, tickets: Iterable[int], **data: object) -> None:
    """The helpdesk says this of these tickets, once for each whatever happens."""
    at = datetime.now(UTC).isoformat()  # noqa: TID251 - real services live by the real clock
    messages = []
    for n in tickets:
        fields = data or {"channel": "email", "attributes": {"town": _TOWNS[n % 3], "skill": "ab"[n % 2]}}
        body = {
            "specversion": "1.0",
            "id": f"{n}-{kind}",
            "source": "helpdesk",
            "type": f"ticket.{kind}",
            "subject": str(n),
            "time": at,
            "data": fields,
        }
        messages.append(Message(subjects.ticket(TENANT, kind), msgspec.json.encode(body), f"{n}-{kind}"))
    if messages:
        await Publisher(client, atomic=False).publish(messages)
