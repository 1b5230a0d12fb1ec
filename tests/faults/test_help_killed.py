"""`kill -9` while tickets that nobody takes are handed on: each is asked for, opened and paged once."""

from collections import Counter
from datetime import UTC, datetime

import msgspec
from nats.aio.client import Client
from nats.js import JetStreamContext

from services.router.versions import policies
from shared.postgres.pool import Pool
from tests.faults.outside import publish, redelivered_at_once, said, until

TICKETS = 600
ROSTER = "people: {ana: {name: Ana, skills: {klingon: 1}, channels: [phone]}, chi: {name: Chi}, ben: {name: Ben, channels: [phone]}}"
POLICY = """
calendars: {always: {hours: always}}
targets: [{name: all, calendar: always, first_response: 8h, escalate: call somebody}]
escalations: {call somebody: {steps: [{page: [person/chi]}]}}
routing: {fallback: ben}
paging: {window: 0s}
"""


async def test_tickets_that_nobody_takes_survive_both_services(
    pool: Pool, nats_client: Client, jetstream: JetStreamContext, spawn
) -> None:
    """Two of each, killed twice: every ticket is the fallback's, has one escalation, and was paged for."""
    now = datetime.now(UTC)  # noqa: TID251 - real services live by the real clock
    async with pool.acquire() as connection:
        await policies.apply_roster(connection, "acme", ROSTER, "test", now)
        await policies.apply_policy(connection, "acme", POLICY, "test", now)
    await publish(nats_client, TICKETS, now)
    names = ["services.router", "services.router", "services.escalation", "services.escalation"]
    for part in (0.1, 0.5):
        doomed = [spawn(name, is_doomed=True) for name in names]
        for service in doomed:
            service.launch()
        await until(pool, f"SELECT count(*) >= {int(TICKETS * part)} FROM escalation")
        for service in doomed:
            service.kill()
        await redelivered_at_once(jetstream)
    last = [spawn(name) for name in names]
    for service in last:
        service.launch()
    await until(pool, f"SELECT count(*) = {TICKETS} FROM assignment WHERE ended_at IS NULL AND agent = 'ben'")
    await until(pool, "SELECT NOT EXISTS (SELECT FROM escalation_request)")
    await until(pool, f"SELECT count(*) = {TICKETS} FROM page WHERE accepted_at IS NOT NULL")
    await until(pool, "SELECT NOT EXISTS (SELECT FROM outbox)")
    for service in last:
        await service.ready()
    assert [0] * 4 == [service.stop() for service in last]

    assert TICKETS == await pool.fetchval("SELECT count(*) FROM escalation")
    assert TICKETS == await pool.fetchval("SELECT count(DISTINCT ticket_id) FROM escalation WHERE target = 'routing'")
    assert TICKETS == await pool.fetchval("SELECT count(*) FROM page")
    assert 0 == await pool.fetchval("SELECT count(*) FROM queued")
    ben = await pool.fetchrow(
        "SELECT primary_used + interruptible_used AS units, over_capacity FROM agent WHERE key = 'ben'"
    )
    units = await pool.fetchval("SELECT sum(units) FROM assignment WHERE ended_at IS NULL")
    assert ben is not None
    assert (units, True) == (ben["units"], ben["over_capacity"])
    for kind in ("ticket.unroutable", "escalation.opened"):
        told = Counter(one["ticket"] for one in await said(jetstream, kind))
        assert (TICKETS, {1}) == (len(told), set(told.values()))
    about = msgspec.json.decode(await pool.fetchval("SELECT about FROM escalation LIMIT 1"))
    assert {"why": "no_skill", "channel": "email"} == about
