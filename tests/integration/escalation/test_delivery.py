"""Pages reach their provider once, are retried, fall back, and stop when somebody answers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec
import pytest
from standardwebhooks import Webhook as Verifier

from services.escalation.channels.client import HttpClient
from services.escalation.channels.secrets import Secrets
from services.escalation.channels.webhook import Webhook
from services.escalation.domain.invariants import Invariant
from services.escalation.domain.ladder import Kind
from services.escalation.domain.retry import Outcome, Result
from services.escalation.tokens import Tokens
from shared.policy.document import Contact, Ladder, Step
from shared.runtime.periodic import Health

START = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
DUE = START + timedelta(hours=1)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


class Receiver:
    """A real HTTP server that keeps what it gets and answers as told."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[bytes] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.port = 0

    @property
    def url(self) -> str:
        """Where pages are posted."""
        return f"http://localhost:{self.port}/pages"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests on one connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                line, *lines = head.strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
                body = await reader.readexactly(int(headers["content-length"]))
                self.requests.append((line, headers, body))
                await self.hold.wait()
                writer.write(self.answers.pop(0) if self.answers else b"HTTP/1.1 204 No Content\r\n\r\n")
                await writer.drain()
        writer.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A webhook receiver on this host."""
    made = Receiver()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    made.hold.set()
    server.close()


@pytest.fixture
async def webhook(world, monkeypatch) -> AsyncIterator[Webhook]:
    """The real channel in place of the scripted one."""
    monkeypatch.setenv("DESKCLOCK_SECRET_PAGER", f"{SECRET} {OLD_SECRET}")
    channel = Webhook(HttpClient(frozenset({"localhost"})), Secrets())
    world.channels["webhook"] = channel
    yield channel
    await channel.close()


def answer(status: str, *headers: str) -> bytes:
    """A response without a body."""
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "content-length: 0", "", ""]).encode()


async def broken(world, clock_control, *contacts: Contact) -> None:
    """A broken promise, and a page for Ana by these contacts."""
    await world.people("ana", contacts=contacts or [Contact(method="webhook", address="x")])
    await world.people("ben", "head")
    await world.ticket(due_in=timedelta(hours=1))
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.firing.run_once()
    await world.stepping.run_once()


async def test_a_page_is_a_signed_webhook_that_a_receiver_can_verify(world, clock_control, receiver, webhook):
    """Checked with the reference implementation, for both secrets of a rotation."""
    await broken(
        world, clock_control, Contact(method="webhook", address=receiver.url, secret="env:DESKCLOCK_SECRET_PAGER")
    )
    assert 1 == await world.delivery.run_once()
    [(line, headers, body)] = receiver.requests
    [page] = await world.pages()
    assert "POST /pages HTTP/1.1" == line
    assert str(page["id"]) == headers["webhook-id"]
    for secret in (SECRET, OLD_SECRET):
        told = Verifier(secret).verify(body, headers)
    assert "page.triggered" == told["type"]
    assert "881" == told["data"]["ticket"]
    assert "accepted" == page["state"]
    assert ["page.accepted"] == [kind for kind in world.relay.kinds() if kind.startswith("page.")]
    assert {"accepted": 1} == await outcomes(world)


async def outcomes(world) -> dict[str, int]:
    """Attempts by outcome."""
    rows = await world.pool.fetch("SELECT outcome, count(*) AS n FROM page_attempt GROUP BY outcome")
    return {row["outcome"]: row["n"] for row in rows}


async def test_no_request_goes_to_a_private_address_that_is_not_allowed(world, clock_control, receiver, monkeypatch):
    """Not by name, not by number: the page is given up, and Ben is next at once."""
    monkeypatch.setenv("DESKCLOCK_SECRET_PAGER", SECRET)
    channel = Webhook(HttpClient(), Secrets())
    world.channels["webhook"] = channel
    https = receiver.url.replace("http:", "https:")
    await broken(world, clock_control, Contact(method="webhook", address=https, secret="env:DESKCLOCK_SECRET_PAGER"))
    await world.delivery.run_once()
    await channel.close()
    assert [] == receiver.requests
    [attempt] = await world.pool.fetch("SELECT * FROM page_attempt")
    assert "rejected" == attempt["outcome"]
    assert "DESKCLOCK_PAGE_ALLOW_HOSTS" in attempt["detail"]


async def test_redirects_are_not_followed(world, clock_control, receiver, webhook):
    """A receiver can't send us elsewhere."""
    receiver.answers = [answer("302 Found", f"location: http://localhost:{receiver.port}/other")]
    await broken(
        world, clock_control, Contact(method="webhook", address=receiver.url, secret="env:DESKCLOCK_SECRET_PAGER")
    )
    await world.delivery.run_once()
    assert 1 == len(receiver.requests)
    assert {"rejected": 1} == await outcomes(world)


async def test_r37_a_retryable_answer_is_tried_again_when_the_provider_says(world, clock_control, receiver, webhook):
    """429 with Retry-After 7: no call for seven seconds, then the same id and body again."""
    receiver.answers = [answer("429 Too Many Requests", "retry-after: 7")]
    await broken(
        world, clock_control, Contact(method="webhook", address=receiver.url, secret="env:DESKCLOCK_SECRET_PAGER")
    )
    await world.delivery.run_once()
    await clock_control.advance(seconds=6)
    assert 0 == await world.delivery.run_once()
    await clock_control.advance(seconds=1)
    assert 1 == await world.delivery.run_once()
    first, second = receiver.requests
    assert first[1]["webhook-id"] == second[1]["webhook-id"]
    assert first[2] == second[2]
    assert {"retryable": 1, "accepted": 1} == await outcomes(world)


async def test_r37_a_hard_failure_falls_back_to_the_next_contact(world, clock_control):
    """Rejected by webhook: the same person by the console, at once."""
    world.provider.answers = [Outcome(result=Result.REJECTED, detail="HTTP 404")]
    await broken(world, clock_control, Contact(method="webhook", address="x"), Contact(method="console"))
    await world.delivery.run_once()
    await world.delivery.run_once()
    assert [("console", "accepted"), ("webhook", "failed")] == sorted(
        (page["method"], page["state"]) for page in await world.pages()
    )
    assert "webhook did not get through" in world.printed.getvalue()
    [escalation] = await world.escalations()
    assert DUE + timedelta(minutes=10) == escalation["next_step_at"]


async def test_r37_twenty_seconds_without_acceptance_start_the_fallback_beside_the_retries(world, clock_control):
    """The provider may come back; the person is reached another way meanwhile."""
    world.provider.answers = [Outcome(result=Result.RETRYABLE, retry_after=timedelta(seconds=30))]
    await broken(world, clock_control, Contact(method="webhook", address="x"), Contact(method="console"))
    await world.delivery.run_once()
    await world.delivery.run_once()
    assert [("console", "accepted"), ("webhook", "pending")] == sorted(
        (page["method"], page["state"]) for page in await world.pages()
    )


async def test_r3_when_no_page_of_a_step_can_be_delivered_the_next_step_is_due_now(world, clock_control):
    """Ana can't be reached at all: Ben is paged at once."""
    world.provider.answers = [Outcome(result=Result.REJECTED)]
    await broken(world, clock_control)
    await world.drain()
    paged = [page for page in await world.pages() if page["kind"] == "page"]
    assert [("ana", "failed"), ("ben", "accepted")] == [(page["person"], page["state"]) for page in paged]
    assert 1 == world.relay.kinds().count("page.failed")


async def test_r37_a_page_is_given_up_when_the_next_step_is_nearer_than_the_next_attempt(world, clock_control):
    """The budget is the time to the next step, not a count."""
    world.provider.answers = [Outcome(result=Result.RETRYABLE, retry_after=timedelta(minutes=15))]
    await broken(world, clock_control)
    await world.delivery.run_once()
    assert "failed" == (await world.pages())[0]["state"]


async def test_r7_when_the_catch_all_cant_be_reached_the_console_is(world, clock_control):
    """The end of the ladder is never silence."""
    world.use(Ladder(name="wake the lead", steps=(), otherwise=("person/head",)))
    world.provider.answers = [Outcome(result=Result.REJECTED)]
    await broken(world, clock_control)
    await world.drain()
    assert ["channel/console", "person/head"] == sorted(page["recipient"] for page in await world.pages())
    assert "BROKEN" in world.printed.getvalue()


async def test_r9_no_attempt_starts_after_an_acknowledgement(world, clock_control):
    """Pages that were pending when somebody answered are never sent."""
    await broken(world, clock_control)
    [escalation] = await world.escalations()
    await world.answering.by_key("default", escalation["id"], "ben")
    assert 0 == await world.delivery.run_once()
    assert [] == world.provider.sent
    assert ["cancelled"] == [page["state"] for page in await world.pages()]


async def test_r9_a_resolved_escalation_pages_nobody_and_its_pages_are_tidied_away(world, clock_control):
    """The ledger resolves without touching pages: the claim looks again, tidying cancels."""
    await broken(world, clock_control)
    await world.pool.execute(
        "UPDATE escalation SET state = 'resolved', resolved_at = $1, resolution = 'met', next_step_at = NULL", DUE
    )
    assert 0 == await world.delivery.run_once()
    assert 1 == await world.tidying.run_once()
    assert ["cancelled"] == [page["state"] for page in await world.pages()]
    assert [] == world.provider.sent


async def test_a_warning_not_yet_sent_is_not_sent_once_the_promise_broke(world, clock_control):
    """The page for the breach says it better."""
    await world.people("ana", "ben", "head")
    await world.ticket(due_in=timedelta(hours=2), warn_in=[timedelta(hours=1)])
    await clock_control.advance(minutes=61)
    await world.firing.run_once()
    await world.stepping.run_once()
    await clock_control.advance(hours=1)
    await world.firing.run_once()
    assert 0 == await world.delivery.run_once()
    await world.tidying.run_once()
    assert ["cancelled"] == [page["state"] for page in await world.pages()]


async def test_r32_two_replicas_send_each_page_once(world, clock_control):
    """120 pages, two workers at once: each page once."""
    await world.people("ana", "ben", "head")
    for number in range(120):
        await world.ticket(str(number), due_in=timedelta(minutes=1))
    await clock_control.freeze(START + timedelta(minutes=2))
    await world.firing.run_once()
    await world.stepping.run_once()
    workers = [world.another_delivery(), world.another_delivery()]

    async def drain(worker) -> int:
        total = 0
        while done := await worker.run_once():
            total += done
        return total

    assert 120 == sum(await asyncio.gather(*(drain(worker) for worker in workers)))
    assert 120 == len({page.id for page in world.provider.sent}) == len(world.provider.sent)


async def test_r35_a_page_whose_sender_died_is_unknown_and_sent_again_with_the_same_id(world, clock_control):
    """Killed in mid-send: after the lease another worker takes over; the provider drops what it has."""
    await broken(world, clock_control)
    dead = world.another_delivery(lease_for=timedelta(0))
    [leased] = await dead._claim()
    assert 1 == await world.delivery.recover()
    await clock_control.advance(seconds=2)
    assert 1 == await world.delivery.run_once()
    assert [leased.id] == [page.id for page in world.provider.sent]
    assert {"unknown": 1, "accepted": 1} == await outcomes(world)


async def test_r31_a_worker_that_wakes_after_its_lease_writes_nothing(world, clock_control):
    """Frozen in mid-send, then awake: its answer comes too late and changes nothing."""
    await broken(world, clock_control)
    frozen = world.another_delivery(lease_for=timedelta(0))
    [leased] = await frozen._claim()
    await world.delivery.recover()
    await clock_control.advance(seconds=2)
    await world.delivery.run_once()
    told = len(world.relay.kinds())
    await frozen._conclude(leased, Outcome(result=Result.REJECTED))
    [page] = await world.pages()
    assert ("accepted", told) == (page["state"], len(world.relay.kinds()))


async def test_r36_an_unkeyed_channel_is_tried_once_more_after_an_unknown_result(world, clock_control):
    """At most one duplicate: a second unknown result falls back."""
    world.provider.capabilities = msgspec.structs.replace(world.provider.capabilities, is_keyed=False)
    world.provider.answers = [Outcome(result=Result.UNKNOWN)] * 3
    await broken(world, clock_control)
    for _ in range(4):
        await world.delivery.run_once()
        await clock_control.advance(seconds=10)
    assert 2 == len([page for page in world.provider.sent if page.kind is Kind.PAGE])
    assert "failed" == (await world.pages())[0]["state"]


async def test_a_slow_provider_holds_no_other_channel(world, clock_control, receiver, webhook):
    """The webhook hangs; a page on the console is printed meanwhile."""
    receiver.hold.clear()
    stop = asyncio.Event()
    await broken(
        world, clock_control, Contact(method="webhook", address=receiver.url, secret="env:DESKCLOCK_SECRET_PAGER")
    )
    health = Health()
    running = asyncio.create_task(world.delivery.run(stop, health))
    while not receiver.requests:
        await health.next_success("delivery")
    await world.people("chi", contacts=[Contact(method="console")])
    world.use(Ladder(name="wake the lead", steps=(Step(after=timedelta(), page=("person/chi",)),)))
    await world.ticket("882", due_in=timedelta(minutes=1))
    await world.firing.run_once()
    await world.stepping.run_once()
    while "page.accepted" not in world.relay.kinds():
        await health.next_success("delivery")
    assert ["accepted", "sending"] == sorted(page["state"] for page in await world.pages())
    stop.set()
    receiver.hold.set()
    await running
    assert ["accepted", "accepted"] == [page["state"] for page in await world.pages()]


async def test_a_page_tells_what_broke_what_follows_who_owns_it_why_you_and_one_link(world, clock_control):
    """In this order, in plain text."""
    await broken(world, clock_control, Contact(method="console"))
    await world.delivery.run_once()
    [page] = await world.pages()
    lines = world.printed.getvalue().splitlines()[2:-1]
    assert [
        "BROKEN: first response of ticket 881 (zendesk, email, high, gold customer) was due 2026-06-01 09:00:00 UTC, 1 s ago",
        "Next: person/ben at 2026-06-01 09:10:00 UTC, unless somebody acknowledges",
        "Owner: nobody",
        "Why you: you are on call for support until 2026-06-08 07:00:00 UTC",
        f"Acknowledge: {world.tokens.link(page['id'])}",
    ] == lines


async def test_pages_are_counted_by_transport_and_outcome_and_their_lag_by_stage(world, clock_control):
    """One accepted page: one attempt, one lag for each stage."""
    await broken(world, clock_control)
    await world.delivery.run_once()
    sample = world.registry.get_sample_value
    assert 1.0 == sample("sla_pages_total", {"transport": "webhook", "outcome": "accepted"})
    assert 1.0 == sample("sla_page_lag_seconds_count", {"stage": "due_to_attempt"})
    assert 1.0 == sample("sla_page_lag_seconds_sum", {"stage": "due_to_commit"})


async def test_a_warning_that_reaches_nobody_is_printed_on_the_console(world, clock_control):
    """A warning is no step, so no step follows it: the console is the last resort."""
    await world.people("ana")
    await world.ticket(due_in=timedelta(hours=2), warn_in=[timedelta(hours=1)])
    world.provider.answers = [Outcome(result=Result.REJECTED)]
    await clock_control.advance(minutes=61)
    await world.drain()
    assert ["channel/console", "on-call/support"] == sorted(page["recipient"] for page in await world.pages())
    assert "AT RISK" in world.printed.getvalue()


async def test_a_page_that_fails_on_the_console_too_is_given_up(world, clock_control):
    """There is nothing after the last resort; it is counted and told, and stops the heartbeat: nobody knows."""
    world.use(Ladder(name="wake the lead", steps=()))
    world.provider.name = "console"
    world.channels["console"] = world.provider
    world.provider.answers = [Outcome(result=Result.REJECTED)]
    world.amiss = {Invariant.NOBODY_FORGOTTEN}
    await world.ticket(due_in=timedelta(hours=1))
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.drain()
    assert ["failed"] == [page["state"] for page in await world.pages()]
    assert 1.0 == world.registry.get_sample_value("sla_pages_total", {"transport": "console", "outcome": "failed"})


async def test_r35_a_channel_that_breaks_or_hangs_gives_an_unknown_result(world, clock_control, monkeypatch):
    """The page is tried again, and nothing else is held up."""
    world.provider.capabilities = msgspec.structs.replace(
        world.provider.capabilities, timeout=timedelta(milliseconds=1)
    )

    async def hang(_: object) -> None:
        await asyncio.Event().wait()

    async def break_down(_: object) -> None:
        raise KeyError("a field nobody had thought of")

    await broken(world, clock_control)
    for failing in (hang, break_down):
        monkeypatch.setattr(world.provider, "send", failing)
        assert 1 == await world.delivery.run_once()
        await clock_control.advance(seconds=10)
    assert {"unknown": 2} == await outcomes(world)
    assert ["pending"] == [page["state"] for page in await world.pages()]


@pytest.mark.parametrize(
    "trouble",
    [
        ConnectionResetError,
        asyncpg.ReadOnlySQLTransactionError,
        asyncpg.InvalidCachedStatementError,
        asyncpg.CheckViolationError,
        RuntimeError,
    ],
)
async def test_an_answer_that_cant_be_stored_is_found_again_by_the_lease(world, clock_control, monkeypatch, trouble):
    """Whatever the database had against it after the page was sent: the page is tried again, with the same id."""
    await broken(world, clock_control)
    hasty = world.another_delivery(lease_for=timedelta(0))

    async def go_away(*_: object) -> None:
        raise trouble

    with monkeypatch.context() as patch:
        patch.setattr("services.escalation.store.pages.lock_told", go_away)
        assert 1 == await hasty.run_once()
    assert 1 == await world.delivery.recover()
    await clock_control.advance(seconds=2)
    assert 1 == await world.delivery.run_once()
    first, second = world.provider.sent
    assert first.id == second.id


async def test_a_page_made_with_another_link_key_gets_a_link_that_works(world, clock_control):
    """The key was changed between the page and its sending."""
    await broken(world, clock_control)
    world.tokens = Tokens(b"a new key", "http://desk.test")
    await world.another_delivery().run_once()
    [sent] = world.provider.sent
    answer = await world.answering.by_token(sent.link.rpartition("/")[2])
    assert "ana" == answer.acknowledged_by


async def test_what_was_in_flight_when_somebody_answered_may_still_land(world, clock_control):
    """It is labelled as it went: accepted if it was, cancelled if it would have been tried again."""
    await broken(world, clock_control)
    [leased] = await world.delivery._claim()
    [escalation] = await world.escalations()
    await world.answering.by_key("default", escalation["id"], "ben")
    await world.delivery._conclude(leased, Outcome(result=Result.RETRYABLE))
    assert ["cancelled"] == [page["state"] for page in await world.pages()]


async def test_a_channel_that_is_full_is_not_given_more(world, clock_control):
    """Three places, five pages: three are sent, the others wait."""
    world.provider.capabilities = msgspec.structs.replace(world.provider.capabilities, concurrency=3)
    await world.people("ana", "ben", "head")
    for number in range(5):
        await world.ticket(str(number), due_in=timedelta(minutes=1))
    await clock_control.advance(minutes=2)
    await world.firing.run_once()
    await world.stepping.run_once()
    assert [3, 2, 0] == [await world.delivery.run_once() for _ in range(3)]
    world.provider.capabilities = msgspec.structs.replace(world.provider.capabilities, concurrency=0)
    world.channels = {"webhook": world.provider}
    assert 0 == await world.another_delivery().run_once()
