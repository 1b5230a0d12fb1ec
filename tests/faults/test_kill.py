"""`kill -9` of either service in mid-stream: afterwards everything is there once."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import httpx
from nats.aio.client import Client
from nats.js import JetStreamContext

from shared.postgres.pool import Pool
from tests.faults.outside import publish, redelivered_at_once, said, until

TICKETS = 2_000


async def test_a_router_killed_in_mid_stream_loses_and_repeats_nothing(
    pool: Pool, nats_client: Client, jetstream: JetStreamContext, spawn
) -> None:
    """Two kills of both routers while thousands of tickets pour in."""
    await publish(nats_client, TICKETS, datetime.now(UTC))  # noqa: TID251 - real services live by the real clock
    for part in (0.1, 0.5):
        router, other = (spawn("services.router", is_doomed=True) for _ in range(2))
        router.launch()
        other.launch()
        await until(pool, f"SELECT count(*) >= {int(TICKETS * part)} FROM ticket")
        router.kill()
        other.kill()
        await redelivered_at_once(jetstream)
    last = spawn("services.router")
    last.launch()
    await until(pool, f"SELECT count(*) = {TICKETS} FROM ticket")
    await until(pool, "SELECT NOT EXISTS (SELECT FROM outbox)")
    await last.ready()
    assert 0 == last.stop()
    assert TICKETS == await pool.fetchval("SELECT count(*) FROM ticket_event")
    assert TICKETS == await pool.fetchval("SELECT count(*) FROM queued")
    assert TICKETS == await pool.fetchval("SELECT count(*) FROM clock WHERE target = 'first_response'")
    routed = [one["ticket"] for one in await said(jetstream, "ticket.routed")]
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
        replicas = [spawn("services.escalation", is_doomed=True) for _ in range(2)]
        for replica in replicas:
            replica.launch()
        await until(pool, f"SELECT count(*) >= {int(clocks * part)} FROM clock WHERE state = 'breached'")
        for replica in replicas:
            replica.kill()
    last = spawn("services.escalation")
    last.launch()
    await until(pool, "SELECT NOT EXISTS (SELECT FROM clock WHERE state <> 'breached')")
    await until(pool, "SELECT NOT EXISTS (SELECT FROM outbox)")
    await last.ready()
    assert 0 == last.stop()
    breached = [one["ticket"] for one in await said(jetstream, "clock.breached")]
    assert (clocks, clocks) == (len(breached), len(set(breached)))


async def test_rule_59_events_delivered_thrice_and_both_services_killed_break_each_promise_once(
    pool: Pool, nats_client: Client, jetstream: JetStreamContext, spawn
) -> None:
    """Tickets of last week arrive three times over while routers and escalations are killed: one breach a clock, said once."""
    tickets = 200
    opened_at = datetime.now(UTC) - timedelta(days=8)  # noqa: TID251 - real services live by the real clock
    for delivery in range(3):
        await publish(nats_client, tickets, opened_at, delivery=delivery)
    names = ("services.router", "services.escalation", "services.escalation")
    first = [spawn(name, is_doomed=True) for name in names]
    for service in first:
        service.launch()
    await until(pool, f"SELECT count(*) >= {tickets // 3} FROM clock WHERE state = 'breached'")
    for service in first:
        service.kill()
    await redelivered_at_once(jetstream)
    last = [spawn(name) for name in names]
    for service in last:
        service.launch()
    await until(pool, f"SELECT count(*) = {tickets} FROM ticket")
    await until(pool, "SELECT NOT EXISTS (SELECT FROM clock WHERE state <> 'breached')")
    await until(pool, "SELECT NOT EXISTS (SELECT FROM outbox)")
    for service in last:
        await service.ready()  # it may still be starting: others did what there was to do
    assert [0, 0, 0] == [service.stop() for service in last]
    told = Counter((one["ticket"], one["target"], one["cycle"]) for one in await said(jetstream, "clock.breached"))
    assert {1} == set(told.values())
    assert len(told) == await pool.fetchval("SELECT count(*) FROM clock")
    assert tickets == len({ticket for ticket, _, _ in told})


async def test_rule_60_what_was_due_while_all_was_down_fires_on_start_in_due_order(
    pool: Pool, jetstream: JetStreamContext, spawn
) -> None:
    """250 clocks due in the hour before two replicas start: all fire, in order, each lateness measured."""
    clocks = 250
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
        SELECT id, 'first_response', 1, 'acme', 'everything else', 0, 'office', 'running', due_at - interval '4 h', due_at, due_at
        FROM (SELECT id, deskclock_now() - interval '14 s' * external_id::bigint AS due_at FROM ticket) due
        """
    )
    replicas = [spawn("services.escalation", DESKCLOCK_METRICS_OPEN="true") for _ in range(2)]
    for replica in replicas:
        await replica.start()
    await until(pool, "SELECT NOT EXISTS (SELECT FROM clock WHERE state <> 'breached')")
    await until(pool, "SELECT NOT EXISTS (SELECT FROM outbox)")

    assert [str(n) for n in range(clocks, 0, -1)] == [one["ticket"] for one in await said(jetstream, "clock.breached")]
    late = "SELECT count(*) FROM clock WHERE breached_at = due_at AND detected_at > due_at"
    assert clocks == await pool.fetchval(late)
    measured = [await sums(replica.url, "sla_firing_lag_seconds") for replica in replicas]
    assert clocks == sum(count for count, _ in measured)
    real = await pool.fetchval("SELECT sum(extract(epoch FROM detected_at - due_at))::float8 FROM clock")
    assert abs(real - sum(seconds for _, seconds in measured)) < 1
    assert [0, 0] == [replica.stop() for replica in replicas]


async def sums(url: str, histogram: str) -> tuple[float, float]:
    """Count and sum of a histogram, as a service tells Prometheus."""
    async with httpx.AsyncClient() as http:
        text = (await http.get(f"{url}/metrics")).raise_for_status().text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith(histogram))
    return float(values[f"{histogram}_count"]), float(values[f"{histogram}_sum"])
