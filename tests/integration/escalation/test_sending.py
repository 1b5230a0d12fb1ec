"""Who may send how much: throttles, fairness, what providers ask for, broken accounts, pages given up (R29, R30, R36 to R39)."""

import asyncio
import contextlib
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.escalation.channels.client import HttpClient
from services.escalation.channels.secrets import Secrets
from services.escalation.channels.webhook import Webhook
from services.escalation.domain.ladder import Kind
from services.escalation.domain.retry import Outcome, Result
from services.escalation.store import QUERIES
from shared.policy.document import Contact
from shared.runtime.periodic import Health
from tests.integration.escalation.waiting_pages import SECRET, START, broken, canary, deferred, put, sample, slow


async def test_r29_an_account_sends_no_more_than_its_tokens_and_the_rest_comes_one_after_the_other(
    world, clock_control
):
    """Burst 5, two a second: five at once, then two each second; what waits says until when and why, and is a gauge (R30)."""
    slow(world, per_second=2.0, burst=5.0)
    await put(world, *(canary(n) for n in range(9)))
    assert 5 == await world.delivery.run_once()
    assert [("throttle", START + timedelta(seconds=wait)) for wait in (0.5, 1.0, 1.5, 2.0)] == await deferred(world)
    await world.tidying.measure()
    assert 4.0 == sample(world, "sla_pages_deferred", reason="throttle")
    assert 0 == await world.delivery.run_once()
    await clock_control.advance(seconds=1)
    assert 2 == await world.delivery.run_once()
    await clock_control.advance(seconds=1)
    assert 2 == await world.delivery.run_once()
    await world.tidying.measure()
    assert 0.0 == sample(world, "sla_pages_deferred", reason="throttle")
    assert {None: 5, "throttle": 4} == {
        row["held_for"]: row["n"]
        for row in await world.pool.fetch("SELECT held_for, count(*) AS n FROM page GROUP BY held_for")
    }


async def test_r29_two_replicas_share_the_tokens_of_an_account(world, clock_control):
    """Four workers at once send no more than one."""
    slow(world, per_second=1.0, burst=10.0)
    await put(world, *(canary(n) for n in range(40)))
    workers = [world.another_delivery() for _ in range(4)]
    for _ in range(3):
        await asyncio.gather(*(worker.run_once() for worker in workers))
    assert 10 == len(world.provider.sent)


async def test_r29_two_replicas_share_the_places_of_an_account(world, clock_control, monkeypatch):
    """At most so many in flight for one account, whoever sends them."""
    slow(world, per_account=3, concurrency=10)
    at_once, most, hold = 0, 0, asyncio.Event()

    async def send(_page: Any) -> Outcome:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        if at_once == 3:
            hold.set()
        await hold.wait()
        at_once -= 1
        return Outcome(result=Result.ACCEPTED)

    monkeypatch.setattr(world.provider, "send", send)
    await put(world, *(canary(n) for n in range(12)))
    workers = [world.another_delivery(), world.another_delivery()]
    done = 0
    while done < 12:
        done += sum(await asyncio.gather(*(worker.run_once() for worker in workers)))
    assert 3 == most


async def test_r29_tenants_take_turns(world, clock_control):
    """A hundred pages of one tenant wait; the one of another is among the first."""
    slow(world, concurrency=4, per_account=4)
    await put(world, *(canary(n, tenant="stormy") for n in range(100)))
    await put(world, canary(200, tenant="calm", account="webhook b"))
    await world.delivery.run_once()
    assert UUID(int=201) in [page.id for page in world.provider.sent]
    assert 4 == len(world.provider.sent)


async def test_r29_a_tenant_leaves_places_to_the_others(world, clock_control):
    """However many accounts of it there are: a quarter of the channel stays free."""
    slow(world, concurrency=8, per_account=8)
    await put(world, *(canary(n, tenant="stormy", account=f"webhook {n}") for n in range(20)))
    claimed = await world.delivery._claim()
    assert 6 == len(claimed)
    await put(world, canary(200, tenant="calm"))
    assert [UUID(int=201)] == [page.id for page in await world.delivery._claim()]


async def test_r29_the_first_page_of_an_urgent_escalation_passes_the_throttle(world, clock_control):
    """The bucket is empty and a hundred wait; the urgent one goes now."""
    slow(world, per_second=1.0, burst=2.0)
    await put(world, *(canary(n) for n in range(100)))
    await world.delivery.run_once()
    await broken(world, clock_control)
    await world.pool.execute("UPDATE page SET urgency = 'urgent' WHERE kind = 'page'")
    await world.pool.execute("UPDATE sending_account SET tokens = 0, refilled_at = deskclock_now()")
    assert 1 == await world.delivery.run_once()
    assert Kind.PAGE is world.provider.sent[-1].kind


async def test_r37_retry_after_holds_the_account_for_everybody_and_nobody_else(world, clock_control):
    """429 with seven seconds: no call by that account for seven seconds; others go on."""
    world.provider.answers = [Outcome(result=Result.RETRYABLE, retry_after=timedelta(seconds=7))]
    await put(world, canary(0))
    await world.delivery.run_once()
    await put(world, canary(1), canary(2, account="webhook b"), canary(3, tenant="calm"))
    assert 2 == await world.delivery.run_once()
    assert {"retry_after"} == {why for why, _ in await deferred(world)}
    await clock_control.advance(seconds=6)
    assert 0 == await world.delivery.run_once()
    await clock_control.advance(seconds=2)
    assert 2 == await world.delivery.run_once()
    assert [0, 2, 3, 0, 1] == [page.id.int - 1 for page in world.provider.sent]


@pytest.mark.parametrize(("wait", "falls_back"), [(7, False), (25, True), (700, True)])
async def test_r37_where_the_account_is_held_for_long_another_way_is_begun_at_once(
    world, clock_control, wait, falls_back
):
    """A page that was not tried yet goes by the next contact where the wait passes 20 s or the next step; and is not forgotten."""
    await put(world, canary(0))
    world.provider.answers = [Outcome(result=Result.RETRYABLE, retry_after=timedelta(seconds=wait))]
    await world.delivery.run_once()
    await world.pool.execute("UPDATE sending_account SET held_until = held_until + interval '61 s'")
    await broken(world, clock_control, Contact(method="webhook", address="a"), Contact(method="console"))
    await world.pool.execute("UPDATE page SET account = 'webhook a' WHERE kind = 'page'")
    await world.delivery.run_once()
    await world.delivery.run_once()
    rows = await world.pool.fetch("SELECT method, state FROM page WHERE kind = 'page' ORDER BY method")
    if falls_back:
        assert [("console", "accepted"), ("webhook", "cancelled")] == [(row["method"], row["state"]) for row in rows]
    else:
        assert [("webhook", "pending")] == [(row["method"], row["state"]) for row in rows]


async def test_r37_twenty_seconds_without_an_answer_begin_another_way_while_the_attempt_hangs(
    world, clock_control, monkeypatch
):
    """The provider holds the line; by another account the person is reached meanwhile."""
    begun, over = asyncio.Event(), asyncio.Event()

    async def hang(_page: Any) -> Outcome:
        begun.set()
        await over.wait()
        return Outcome(result=Result.ACCEPTED)

    monkeypatch.setattr(world.provider, "send", hang)
    await broken(world, clock_control, Contact(method="webhook", address="a"), Contact(method="console"))
    hanging = asyncio.create_task(world.delivery.run_once())
    await begun.wait()
    await clock_control.advance(seconds=19)
    assert 0 == await world.another_delivery().run_once()
    await clock_control.advance(seconds=1)
    assert 1 == await world.another_delivery().run_once()
    assert "BROKEN" in world.printed.getvalue()
    over.set()
    assert 1 == await hanging


async def test_r37_another_way_goes_through_another_account_where_there_is_one(world, clock_control):
    """Two contacts by the provider that refused, and one by the console: the console is next, then the other."""
    refused = Outcome(result=Result.REJECTED)
    world.provider.answers = [refused, refused]
    world.provider.account = lambda _contact: "webhook"
    contacts = [
        Contact(method="webhook", address="a"),
        Contact(method="webhook", address="b"),
        Contact(method="console"),
    ]
    await broken(world, clock_control, *contacts)
    await world.delivery.run_once()
    await world.delivery.run_once()
    assert "webhook did not get through" in world.printed.getvalue()
    assert 1 == len(world.provider.sent)


class Hanging:
    """A real HTTP server that takes requests and says nothing to those of one path."""

    def __init__(self) -> None:
        self.hanging = 0
        self.over = asyncio.Event()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer, or not."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    int(line[15:]) for line in head.lower().split("\r\n") if line.startswith("content-length:")
                )
                await reader.readexactly(length)
                if head.startswith("POST /hang"):
                    self.hanging += 1
                    await self.over.wait()
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                await writer.drain()
        writer.close()


async def test_a_provider_that_hangs_on_100_pages_delays_no_other_account_and_no_other_channel(
    world, clock_control, monkeypatch
):
    """Real sockets: its account has ten places, however many pages; a page by another host and one on the console go by."""
    monkeypatch.setenv("DESKCLOCK_SECRET_PAGER", SECRET)
    server = Hanging()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    channel = Webhook(HttpClient(frozenset({"localhost", "127.0.0.1"})), Secrets())
    world.channels["webhook"] = channel
    limits = channel.capabilities
    delivery = world.another_delivery()
    hung = f"http://localhost:{port}/hang"
    account = channel.account(Contact(method="webhook", address=hung))
    await put(
        world,
        *(canary(n, address=hung, account=account, secret="env:DESKCLOCK_SECRET_PAGER") for n in range(100)),
    )
    stop, health = asyncio.Event(), Health()
    running = asyncio.create_task(delivery.run(stop, health))
    while server.hanging < limits.per_account:
        await health.next_success("delivery")
    fine = f"http://127.0.0.1:{port}/fine"
    await put(
        world,
        canary(
            200,
            address=fine,
            account=channel.account(Contact(method="webhook", address=fine)),
            secret="env:DESKCLOCK_SECRET_PAGER",
        ),
        canary(201, method="console", account="console", address=""),
    )
    begun = asyncio.get_running_loop().time()
    while 2 > await world.pool.fetchval("SELECT count(*) FROM page WHERE state = 'accepted'"):
        await health.next_success("delivery")
    assert 2.0 > asyncio.get_running_loop().time() - begun
    assert limits.per_account == server.hanging
    stop.set()
    server.over.set()
    await running
    await channel.close()
    listening.close()


async def test_r29_the_claim_finds_a_page_behind_ten_thousand_by_index(world, clock_control):
    """Lanes are hopped over in the index: no plan reads the backlog."""
    await put(world, *(canary(n, tenant="stormy") for n in range(2_000)))
    await put(world, canary(20_000, tenant="calm"))
    async with world.pool.acquire() as connection:
        await connection.execute(QUERIES["open_accounts"], START)
        plan = await connection.fetchval(
            "EXPLAIN (ANALYZE, FORMAT JSON) " + QUERIES["look_at_lanes"], START, ["webhook"], 21
        )
    [top] = json.loads(plan)
    read = [node for node in nodes(top["Plan"]) if node.get("Relation Name") == "page"]
    assert read
    assert {"Index Only Scan", "Index Scan"} >= {node["Node Type"] for node in read}
    assert 100 > sum(node["Actual Rows"] * node["Actual Loops"] for node in read)


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """A plan and all below it."""
    return [plan, *(below for part in plan.get("Plans", ()) for below in nodes(part))]


async def test_r31_a_page_of_no_escalation_is_taken_back_when_its_sender_died(world, clock_control):
    """A canary as any other."""
    await put(world, canary(0))
    dead = world.another_delivery(lease_for=timedelta(0))
    [leased] = await dead._claim()
    assert 1 == await world.delivery.recover()
    await clock_control.advance(seconds=2)
    assert 1 == await world.delivery.run_once()
    assert [leased.id] == [page.id for page in world.provider.sent]
