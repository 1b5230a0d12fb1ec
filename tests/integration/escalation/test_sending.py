"""Who may send how much: throttles, fairness, what providers ask for, broken accounts, pages given up (R29, R30, R36 to R39)."""

import asyncio
import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from services.escalation.channels.client import HttpClient
from services.escalation.channels.secrets import Secrets
from services.escalation.channels.webhook import Webhook
from services.escalation.domain.ladder import Kind
from services.escalation.domain.notice import Facts
from services.escalation.domain.recipient import Evidence
from services.escalation.domain.retry import Outcome, Result
from services.escalation.store import QUERIES, pages
from services.escalation.store.pages import NewPage
from shared.policy.document import Contact, Ladder, Step
from shared.runtime.periodic import Health

START = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def canary(
    number: int,
    *,
    tenant: str = "default",
    account: str = "webhook a",
    address: str = "a",
    method: str = "webhook",
    kind: Kind = Kind.CANARY,
    urgency: str = "normal",
    fallback: tuple[Contact, ...] = (),
    secret: str = "",
    due_at: datetime = START,
) -> NewPage:
    """A page that needs no escalation."""
    return NewPage(
        id=UUID(int=number + 1),
        tenant=tenant,
        escalation_id=None,
        kind=kind,
        step=0,
        loop=0,
        recipient="person/ana",
        person="ana",
        method=method,
        address=address,
        secret=secret,
        account=account,
        urgency=urgency,
        evidence=Evidence(policy_version=1, generation=1, fallback=fallback),
        body=Facts(
            source="deskclock", ticket="1", channel="other", urgency=urgency, target="test", due_at=None, reason="test",
            at=START, recipient="person/ana",
        ),
        due_at=due_at,
        token_hash=None,
    )  # fmt: skip


async def put(world: Any, *made: NewPage) -> None:
    """Store pages, due now."""
    async with world.pool.acquire() as connection, connection.transaction():
        await pages.insert(connection, made, await connection.fetchval("SELECT deskclock_now()"))


def slow(world: Any, **changes: Any) -> None:
    """Let the provider bear less."""
    world.provider.capabilities = msgspec.structs.replace(world.provider.capabilities, **changes)


def sample(world: Any, name: str, **labels: str) -> float | None:
    """A metric."""
    return world.registry.get_sample_value(name, labels)


async def deferred(world: Any) -> list[tuple[str, datetime]]:
    """What is held back: why and until when."""
    rows = await world.pool.fetch(
        "SELECT deferred_for, deferred_until FROM page WHERE deferred_for IS NOT NULL ORDER BY deferred_until, id"
    )
    return [(row["deferred_for"], row["deferred_until"]) for row in rows]


async def broken(world: Any, clock_control: Any, *contacts: Contact, ladder: Ladder | None = None) -> None:
    """A promise to Ana's customer is broken, and her page stored."""
    await world.people("ana", contacts=contacts or [Contact(method="webhook", address="a")])
    await world.people("ben", "head")
    world.use(
        ladder
        or Ladder(
            name="wake the lead",
            steps=(
                Step(after=timedelta(), page=("person/ana",)),
                Step(after=timedelta(minutes=10), page=("person/ben",)),
            ),
            otherwise=("person/head",),
        )
    )
    await world.ticket(due_in=timedelta(minutes=1))
    await clock_control.advance(seconds=61)
    await world.firing.run_once()
    await world.stepping.run_once()


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


FAILS = Outcome(result=Result.RETRYABLE, detail="HTTP 503")


async def break_it(world: Any, clock_control: Any) -> None:
    """Five failures in a row of the account `webhook a`."""
    world.provider.answers = [FAILS] * 5
    await put(world, *(canary(n) for n in range(5)))
    await world.delivery.run_once()
    await world.pool.execute("UPDATE page SET state = 'cancelled', next_attempt_at = NULL WHERE state = 'pending'")
    await world.tidying.measure()


async def test_r38_a_broken_account_is_passed_over_and_its_pages_go_the_other_way_at_once(world, clock_control):
    """Nothing is sent by it, the console gets the page, and the metric names no account."""
    await broken(world, clock_control, Contact(method="webhook", address="a"), Contact(method="console"))
    await world.pool.execute("UPDATE page SET next_attempt_at = next_attempt_at + interval '1 s'")
    await break_it(world, clock_control)
    assert 1.0 == sample(world, "sla_breaker_open", transport="webhook")
    await world.pool.execute("UPDATE page SET state = 'pending', next_attempt_at = deskclock_now() WHERE kind = 'page'")
    calls = len(world.provider.sent)
    await world.delivery.run_once()
    await world.delivery.run_once()
    assert calls == len(world.provider.sent)
    assert "BROKEN" in world.printed.getvalue()
    rows = await world.pool.fetch("SELECT method, state FROM page WHERE kind = 'page' ORDER BY method")
    assert [("console", "accepted"), ("webhook", "cancelled")] == [(row["method"], row["state"]) for row in rows]


async def test_r38_without_another_way_pages_wait_for_one_probe_and_go_when_it_got_through(world, clock_control):
    """Fifteen seconds later one page tries it, whoever asks; then all go."""
    await break_it(world, clock_control)
    await put(world, *(canary(n) for n in range(10, 16)))
    assert 0 == await world.delivery.run_once()
    assert [("breaker", START + timedelta(seconds=15))] * 6 == await deferred(world)
    await clock_control.advance(seconds=15)
    workers = [world.delivery, world.another_delivery(), world.another_delivery()]
    assert 1 == sum(await asyncio.gather(*(worker.run_once() for worker in workers)))
    assert 5 == await world.delivery.run_once()
    await world.tidying.measure()
    assert 0.0 == sample(world, "sla_breaker_open", transport="webhook")
    assert 0.0 == sample(world, "sla_pages_deferred", reason="breaker")


async def test_r38_a_probe_that_fails_doubles_the_wait_and_loses_nothing(world, clock_control):
    """Fifteen seconds, then as long as it has been broken, up to five minutes."""
    await break_it(world, clock_control)
    await put(world, canary(10), canary(11))
    waits = []
    for _ in range(6):
        await world.delivery.run_once()
        account = await world.pool.fetchrow("SELECT probe_at, deskclock_now() AS now FROM sending_account")
        waits.append((account["probe_at"] - account["now"]).total_seconds())
        world.provider.answers = [FAILS]
        await clock_control.advance(seconds=waits[-1])
    assert [15.0, 15.0, 30.0, 60.0, 120.0, 240.0] == waits
    rows = await world.pool.fetch("SELECT state FROM page WHERE id = ANY($1::uuid[])", [UUID(int=11), UUID(int=12)])
    assert ["pending", "pending"] == [row["state"] for row in rows]


async def test_r38_an_answer_that_refuses_a_page_keeps_the_account_well(world, clock_control):
    """A wrong address is no broken provider."""
    for first, answers in ((0, [FAILS] * 4), (10, [Outcome(result=Result.REJECTED)]), (20, [FAILS] * 4)):
        world.provider.answers = list(answers)
        await put(world, *(canary(first + n) for n in range(len(answers))))
        await world.delivery.run_once()
    assert [None] == [row["opened_at"] for row in await world.pool.fetch("SELECT opened_at FROM sending_account")]


async def test_r38_a_sender_that_died_says_nothing_of_the_provider(world, clock_control):
    """Six pages in the hands of a process that was killed go again at once: nobody's account is broken by it."""
    await put(world, *(canary(n) for n in range(6)))
    assert 6 == len(await world.another_delivery(lease_for=timedelta(0))._claim())
    assert 6 == await world.delivery.recover()
    await clock_control.advance(seconds=2)
    assert 6 == await world.delivery.run_once()


async def test_r39_a_page_that_was_given_up_alarms_through_the_catch_all_once_for_an_account(world, clock_control):
    """Two pages to people who can't be reached: the head hears of the first; both rows stay, with their reason."""
    both = Ladder(
        name="wake the lead",
        steps=(
            Step(after=timedelta(), page=("person/ana", "person/chi")),
            Step(after=timedelta(minutes=10), page=("person/ben",)),
        ),
        otherwise=("person/head",),
    )
    world.provider.account = lambda _contact: "webhook"
    await world.people("chi", contacts=[Contact(method="webhook", address="c")])
    world.provider.answers = [Outcome(result=Result.REJECTED, detail="HTTP 404")] * 2
    await broken(world, clock_control, ladder=both)
    await world.drain()
    alarms = [page for page in world.provider.sent if page.kind is Kind.ALARM]
    assert ["head"] == [page.person for page in alarms]
    assert alarms[0].text.startswith("A PAGE WAS GIVEN UP: ")
    assert "(HTTP 404)" in alarms[0].text
    assert "deskclock page replay" in alarms[0].text
    dead = await world.pool.fetch("SELECT body, state FROM page WHERE state = 'failed'")
    assert 2 == len(dead)
    assert {"881"} == {json.loads(row["body"])["ticket"] for row in dead}
    assert 2 == await world.pool.fetchval("SELECT count(*) FROM page_attempt WHERE detail = 'HTTP 404'")


async def test_r39_an_alarm_that_reaches_nobody_is_printed_on_the_console(world, clock_control, monkeypatch):
    """The head can't be reached either."""
    send = world.provider.send

    async def refuse(page: Any) -> Outcome:
        return await send(page) if page.person == "ben" else Outcome(result=Result.REJECTED)

    monkeypatch.setattr(world.provider, "send", refuse)
    await broken(world, clock_control)
    await world.drain()
    assert "A PAGE WAS GIVEN UP" in world.printed.getvalue()


async def test_r36_a_copy_is_tried_once_whatever_comes_of_it(world, clock_control):
    """Nobody need answer it; nothing follows."""
    world.provider.answers = [FAILS, FAILS]
    await put(world, canary(0, kind=Kind.COPY, fallback=(Contact(method="console"),)))
    await world.delivery.run_once()
    await clock_control.advance(minutes=1)
    assert 0 == await world.delivery.run_once()
    assert ["failed"] == [page["state"] for page in await world.pages()]


async def test_r36_a_summary_that_may_have_arrived_is_not_sent_twice_by_an_unkeyed_channel(world, clock_control):
    """An alarm, as every page, is: a duplicate beats a loss."""
    slow(world, is_keyed=False)
    for kind, times in ((Kind.COPY, 1), (Kind.ALARM, 2)):
        world.provider.answers = [Outcome(result=Result.UNKNOWN)] * 3
        world.provider.sent.clear()
        await put(world, canary(times * 10, kind=kind))
        for _ in range(4):
            await world.delivery.run_once()
            await clock_control.advance(seconds=10)
        assert times == len(world.provider.sent)


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
