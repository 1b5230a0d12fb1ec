"""What Twilio says of a page after it took it; and what happens when it says nothing."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import httpx
import pytest

from services.escalation.api.app import build_escalation_app
from services.escalation.api.dependencies import Dependencies
from services.escalation.channels.client import HttpClient
from services.escalation.channels.secrets import Secrets
from services.escalation.channels.twilio import RECEIPTS, Sms, Twilio, Voice
from services.escalation.delivery.receipts import Receipts
from services.escalation.domain.retry import Outcome, Result
from shared import ids
from shared.ledger import pages as ledger_pages
from shared.policy.document import Contact
from shared.web.keyring import KeyRing
from tests.providers import credentials
from tests.providers.faults import Fault
from tests.providers.server import FaultServer

START = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
BROKE = START + timedelta(hours=1, seconds=1)
DESK = "https://desk.example.org"
REFERENCE = "env:DESKCLOCK_SECRET_TWILIO"
OLD_TOKEN = "the-token-before"
OTHER = Contact(method="webhook", address="x")


def phone(method: str = "sms") -> Contact:
    """Ana's phone."""
    return Contact(
        method=method, address="+4915112345678", secret=REFERENCE, options={"from": credentials.TWILIO_NUMBER}
    )


class Phones:
    """Twilio between the small world and Ana's phone."""

    def __init__(self, world: Any, clock_control: Any, providers: FaultServer) -> None:
        self.world = world
        self.providers = providers
        self._clock = clock_control
        self.receipts = Receipts(world.pool, world.metrics, Secrets(), DESK)
        app = build_escalation_app(
            Dependencies(
                pool=world.pool, shelf=world.shelf, answering=world.answering, keyring=KeyRing(world.pool), receipts=self.receipts
            ),
            registry=world.registry, checks={}, version="0",
        )  # fmt: skip
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=DESK)

    async def page(self, *contacts: Contact) -> dict[str, Any]:
        """A broken promise, sent to Ana by the first of these contacts."""
        await self.prepare(*contacts)
        await self.world.delivery.run_once()
        return await self.first()

    async def prepare(self, *contacts: Contact) -> None:
        """A broken promise, and a page that is due."""
        await self.world.people("ana", contacts=contacts)
        await self.world.people("ben", "head")
        await self.world.ticket(due_in=timedelta(hours=1))
        await self.after(0)
        await self.world.firing.run_once()
        await self.world.stepping.run_once()

    async def first(self) -> dict[str, Any]:
        """The page to the phone."""
        [page] = [page for page in await self.world.pages() if page["method"] in ("sms", "voice")]
        return page  # type: ignore[no-any-return]

    async def after(self, seconds: float) -> None:
        """So long after the promise broke."""
        await self._clock.freeze(BROKE + timedelta(seconds=seconds))

    async def say(
        self, page: UUID, status: str, *, attempt: int = 1, token: str = credentials.TWILIO_TOKEN, **fields: str
    ) -> int:
        """Twilio calls us; the status of our answer."""
        is_call = status in ("ringing", "in-progress", "completed", "busy", "no-answer")
        named = {"CallSid": "CA7", "CallStatus": status} if is_call else {"MessageSid": "SM7", "MessageStatus": status}
        form = {**named, "AccountSid": credentials.TWILIO_SID, "To": "+4915112345678", **fields}
        path = f"{RECEIPTS}?page={page}&attempt={attempt}"
        signed = f"{DESK}{path}" + "".join(name + value for name, value in sorted(form.items()))
        signature = base64.b64encode(hmac.new(token.encode(), signed.encode(), hashlib.sha1).digest()).decode()
        headers = {"x-twilio-signature": signature, "content-type": "application/x-www-form-urlencoded"}
        return (await self.client.post(path, content=urlencode(form), headers=headers)).status_code

    async def attempts(self) -> list[str | None]:
        """The outcomes of the phone's page, in order."""
        rows = await self.world.pool.fetch(
            "SELECT outcome FROM page_attempt a JOIN page p ON p.id = a.page_id WHERE p.method IN ('sms', 'voice') ORDER BY n"
        )
        return [row["outcome"] for row in rows]

    def count(self, name: str, **labels: str) -> float:
        """A counter's value."""
        return self.world.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
async def phones(world: Any, clock_control: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Phones]:
    """Text messages and calls through a server that speaks Twilio's API."""
    account = f"{credentials.TWILIO_SID}:{credentials.TWILIO_TOKEN} {credentials.TWILIO_SID}:{OLD_TOKEN}"
    monkeypatch.setenv("DESKCLOCK_SECRET_TWILIO", account)
    async with FaultServer() as providers:
        twilio = Twilio(HttpClient(frozenset({"127.0.0.1"})), Secrets(), url=providers.url("twilio"), public_url=DESK)
        world.channels |= {"sms": Sms(twilio), "voice": Voice(twilio)}
        world.stepping = world.another_stepping()
        world.delivery = world.another_delivery()
        made = Phones(world, clock_control, providers)
        yield made
        await made.client.aclose()
        await twilio.close()


async def test_r35_a_receipt_makes_an_accepted_page_a_delivered_one(phones):
    """Its time is kept, nothing else is tried, and saying it twice changes nothing."""
    page = await phones.page(phone(), OTHER)
    assert ("accepted", None, "SM" + "0" * 31 + "1") == (page["state"], page["delivered_at"], page["provider_id"])
    await phones.after(5)

    assert [204, 204] == [await phones.say(page["id"], "delivered"), await phones.say(page["id"], "delivered")]

    page = await phones.first()
    assert ("accepted", BROKE + timedelta(seconds=5), None) == (page["state"], page["delivered_at"], page["verify_by"])
    assert ["delivered"] == await phones.attempts()
    assert 1 == phones.count("sla_page_receipts_total", transport="sms", outcome="arrived")
    assert 1 == phones.count("sla_page_lag_seconds_count", stage="accept_to_delivered")
    await phones.after(60)
    assert 0 == await phones.receipts.run_once() + await phones.world.delivery.run_once()


async def test_accepts_never_delivers(phones):
    """No receipt for 20 seconds: the next contact is tried, it is counted, and a late receipt is still taken."""
    page = await phones.page(phone(), OTHER)
    await phones.after(19.9)
    assert 0 == await phones.receipts.run_once()
    await phones.after(20)

    both = await asyncio.gather(phones.receipts.run_once(), phones.receipts.run_once())
    await phones.world.delivery.run_once()

    assert (1, ["ana"]) == (sum(both), [sent.person for sent in phones.world.provider.sent])
    assert 1 == phones.count("sla_pages_unverified_total", transport="sms")
    assert "accepted" == (await phones.first())["state"]
    detail = await phones.world.pool.fetchval("SELECT detail FROM page_attempt WHERE page_id = $1", page["id"])
    assert "no receipt within 20 seconds" in detail
    assert 204 == await phones.say(page["id"], "delivered")
    assert None is not (await phones.first())["delivered_at"]
    assert 0 == await phones.receipts.run_once()


async def test_accepts_never_delivers_and_there_is_no_other_way(phones):
    """It is counted, and the ladder goes on as planned: somebody may have it."""
    await phones.page(phone())
    await phones.after(20)

    assert 1 == await phones.receipts.run_once()
    await phones.world.drain()

    assert [] == phones.world.provider.sent
    assert "accepted" == (await phones.first())["state"]


@pytest.mark.parametrize(
    ("method", "status"), [("sms", "undelivered"), ("sms", "failed"), ("voice", "busy"), ("voice", "no-answer")]
)
async def test_r37_a_page_that_is_lost_starts_the_next_contact_at_once(phones, method, status):
    """Not after 20 seconds; why is kept."""
    page = await phones.page(phone(method), OTHER)
    await phones.after(3)

    assert 204 == await phones.say(page["id"], status, ErrorCode="30003")
    await phones.world.delivery.run_once()
    await phones.world.delivery.run_once()

    assert ["ana"] == [sent.person for sent in phones.world.provider.sent]
    assert ("failed", 1) == ((await phones.first())["state"], phones.providers.ledger.count("twilio"))
    assert ["accepted", "rejected"] == await phones.attempts()
    detail = await phones.world.pool.fetchval(
        "SELECT detail FROM page_attempt WHERE page_id = $1 AND n = 2", page["id"]
    )
    assert f"Twilio says {status}: 30003" in detail


async def test_r3_a_page_that_is_lost_with_nobody_else_to_try_hurries_the_next_step(phones):
    """Ben is paged now, not in ten minutes; and the catch-all hears that a page was given up (R39)."""
    page = await phones.page(phone())
    await phones.after(3)

    await phones.say(page["id"], "undelivered")
    await phones.world.drain()

    sent = {(page.kind.value, page.person) for page in phones.world.provider.sent}
    assert {("page", "ben"), ("alarm", "head")} == sent


async def test_what_is_lost_after_it_arrived_was_not_lost(phones):
    """Whatever comes after a delivery."""
    page = await phones.page(phone(), OTHER)
    await phones.say(page["id"], "delivered")

    assert 204 == await phones.say(page["id"], "failed")
    await phones.world.delivery.run_once()

    assert ("accepted", []) == ((await phones.first())["state"], phones.world.provider.sent)
    assert ["delivered"] == await phones.attempts()


async def test_a_phone_that_rings_is_given_time(phones):
    """Thirty-five seconds from the first ring; then the next contact."""
    page = await phones.page(phone("voice"), OTHER)
    await phones.after(10)
    await phones.say(page["id"], "ringing")

    await phones.after(44)
    early = await phones.receipts.run_once()
    await phones.after(45)

    assert (0, 1) == (early, await phones.receipts.run_once())


async def test_a_call_that_is_answered_is_delivered(phones):
    """When it is picked up, not when it ends."""
    page = await phones.page(phone("voice"), OTHER)
    await phones.after(8)
    await phones.say(page["id"], "in-progress")
    await phones.after(50)
    await phones.say(page["id"], "completed")

    assert BROKE + timedelta(seconds=8) == (await phones.first())["delivered_at"]


@pytest.mark.parametrize("status", ["sent", "delivered", "queued"])
async def test_r36_a_receipt_settles_what_had_no_answer(phones, status):
    """Twilio has it: it is not sent a second time."""
    phones.providers.misbehave(Fault(kind="close", provider="twilio", is_handled=True))
    page = await phones.page(phone(), OTHER)
    assert ("pending", ["unknown"]) == (page["state"], await phones.attempts())

    assert 204 == await phones.say(page["id"], status)
    await phones.world.delivery.run_once()

    page = await phones.first()
    assert ("accepted", "SM7", 1) == (page["state"], page["provider_id"], phones.providers.ledger.count("twilio"))
    assert (status != "delivered") == (page["delivered_at"] is None) == (page["verify_by"] is not None)


async def test_r36_what_was_lost_without_an_answer_is_sent_again(phones):
    """By the same page's id, as planned."""
    phones.providers.misbehave(Fault(kind="close", provider="twilio", is_handled=True))
    page = await phones.page(phone(), OTHER)

    await phones.say(page["id"], "failed")
    await phones.after(2)
    await phones.world.delivery.run_once()

    assert ["rejected", "accepted"] == await phones.attempts()
    assert 2 == phones.providers.ledger.count("twilio")


@pytest.mark.parametrize(
    ("status", "state", "outcome"), [("delivered", "accepted", "delivered"), ("undelivered", "failed", "rejected")]
)
async def test_a_receipt_may_come_before_the_answer(phones, status, state, outcome):
    """What it said counts, whatever the answer is."""
    phones.providers.misbehave(Fault(kind="delay", provider="twilio", seconds=30))
    await phones.prepare(phone(), OTHER)
    sending = asyncio.create_task(phones.world.delivery.run_once())
    while (await phones.first())["state"] != "sending":
        await asyncio.to_thread(lambda: None)
    page = await phones.first()

    assert 204 == await phones.say(page["id"], status)
    phones.providers.behave()
    await sending

    page = await phones.first()
    assert (state, [outcome]) == (page["state"], await phones.attempts())
    assert (status == "delivered") == (page["delivered_at"] is not None)
    assert None is page["verify_by"]


async def test_r14_a_receipt_after_the_end_wakes_nobody(phones):
    """Lost, of an escalation that is answered: nothing follows."""
    page = await phones.page(phone(), OTHER)
    await phones.world.pool.execute(
        "UPDATE escalation SET state = 'acknowledged', acknowledged_by = 'ana', acknowledged_at = $1, next_step_at = NULL",
        BROKE,
    )

    await phones.say(page["id"], "undelivered")
    await phones.world.drain()

    assert [] == phones.world.provider.sent


async def test_r14_what_arrived_though_nobody_answered_hears_that_it_is_moot(phones):
    """An attempt without an answer, acknowledged by another way, then a receipt, then the end."""
    phones.providers.misbehave(Fault(kind="close", provider="twilio", is_handled=True))
    page = await phones.page(phone(), OTHER)
    await phones.world.pool.execute(
        "UPDATE escalation SET state = 'acknowledged', acknowledged_by = 'ana', acknowledged_at = $1, next_step_at = NULL",
        BROKE,
    )
    await phones.say(page["id"], "delivered")
    await phones.world.tidying.run_once()
    async with phones.world.pool.acquire() as connection, connection.transaction():
        query = "UPDATE escalation SET state = 'resolved', resolved_at = $1, resolution = 'answered' RETURNING id"
        await ledger_pages.resolve(connection, [await connection.fetchval(query, BROKE)], BROKE)
    await phones.world.delivery.run_once()

    assert "ANSWERED" in phones.providers.ledger.requests("twilio")[-1].body
    assert 2 == phones.providers.ledger.count("twilio")


async def test_a_receipt_that_is_not_signed_changes_nothing(phones):
    """403, and a count; a token from before the rotation is still believed."""
    page = await phones.page(phone(), OTHER)

    assert 403 == await phones.say(page["id"], "delivered", token="guessed")
    assert None is (await phones.first())["delivered_at"]
    assert 1 == phones.count("sla_page_receipts_total", transport="sms", outcome="forged")
    assert 204 == await phones.say(page["id"], "delivered", token=OLD_TOKEN)


async def test_of_pages_that_are_not_there_nothing_is_said(phones):
    """Nor of those that go another way."""
    await phones.prepare(OTHER)
    [other] = await phones.world.pages()

    assert [204, 204] == [await phones.say(ids.uuid7(START), "delivered"), await phones.say(other["id"], "delivered")]
    assert None is (await phones.world.pages())[0]["delivered_at"]


async def test_a_receipt_of_an_attempt_that_never_was_changes_nothing(phones):
    """Signed or not."""
    page = await phones.page(phone(), OTHER)

    assert [204, 204] == [await phones.say(page["id"], status, attempt=2) for status in ("delivered", "undelivered")]
    page = await phones.first()
    assert ("accepted", None) == (page["state"], page["delivered_at"])


@pytest.mark.parametrize(
    ("path", "content", "headers", "status"),
    [
        (RECEIPTS, "a=b", {}, 422),
        (f"{RECEIPTS}?page=x&attempt=1", "a=b", {}, 422),
        (f"{RECEIPTS}?page={UUID(int=1)}&attempt=0", "a=b", {}, 422),
        (f"{RECEIPTS}?page={UUID(int=1)}&attempt=99999999999999999999", "a=b", {}, 422),
        (f"{RECEIPTS}?page={UUID(int=1)}&attempt=1", "{}", {"content-type": "application/json"}, 415),
        (f"{RECEIPTS}?page={UUID(int=1)}&attempt=1", b"a=%ff", {}, 400),
        (f"{RECEIPTS}?page={UUID(int=1)}&attempt=1", b"a=\xff", {}, 400),
        (f"{RECEIPTS}?page={UUID(int=1)}&attempt=1", "&a=b" * 300, {}, 400),
        (f"{RECEIPTS}?page={UUID(int=1)}&attempt=1", "a" * 20_000, {}, 413),
        (f"{RECEIPTS}?page={UUID(int=1)}&attempt=1", "a=%00", {}, 204),
    ],
)
async def test_what_is_no_receipt_is_refused(phones, path, content, headers, status):
    """Each with its way out; never 500."""
    sent = {"content-type": "application/x-www-form-urlencoded", **headers}

    assert status == (await phones.client.post(path, content=content, headers=sent)).status_code


async def test_a_nul_in_a_signed_receipt_harms_nothing(phones):
    """Not even the detail that is kept."""
    page = await phones.page(phone(), OTHER)

    assert 204 == await phones.say(page["id"], "undelivered", ErrorMessage="a\x00b", MessageSid="SM\x00")


async def test_an_account_without_its_secret_believes_nobody(phones, monkeypatch):
    """Not even an empty token."""
    page = await phones.page(phone(), OTHER)
    monkeypatch.delenv("DESKCLOCK_SECRET_TWILIO")

    assert 403 == await phones.say(page["id"], "delivered", token="")


async def test_a_channel_without_receipts_waits_for_none(phones):
    """A webhook's acceptance is all there is to know."""
    await phones.prepare(OTHER)
    phones.world.provider.answers = [Outcome(result=Result.ACCEPTED)]
    await phones.world.delivery.run_once()

    [page] = await phones.world.pages()
    assert ("accepted", None) == (page["state"], page["verify_by"])
