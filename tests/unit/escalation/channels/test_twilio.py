"""Pages as text messages and calls, to a server that speaks Twilio's API."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs
from uuid import UUID
from xml.etree import ElementTree as ET

import pytest
from msgspec import structs

from services.escalation.channels import Closed, Page, twilio
from services.escalation.channels.answers import Answer
from services.escalation.channels.client import HttpClient
from services.escalation.channels.secrets import Secrets
from services.escalation.channels.texting import short_id, size, text_message
from services.escalation.channels.twilio import Sms, Twilio, Voice
from services.escalation.domain.ladder import Kind
from services.escalation.domain.notice import Facts
from services.escalation.domain.retry import Result
from services.escalation.errors import SecretMissing
from shared.policy.document import Contact
from tests.providers import credentials
from tests.providers.faults import Fault
from tests.providers.server import FaultServer

DUE = datetime(2026, 6, 1, 9, tzinfo=UTC)
REFERENCE = "env:DESKCLOCK_SECRET_TWILIO"
PAGE = UUID("1a2b3c4d-0000-4000-8000-000000000001")
LINK = "https://desk.example.org/v1/ack/" + "x" * 43
HEADLINE = "BROKEN: first response of ticket 881 (zendesk, email, high, gold customer) was due 2026-06-01 09:00:00 UTC, 3 min ago"


def page(**changes) -> Page:
    """A page to Ana's phone."""
    facts = Facts(
        source="zendesk", ticket="881", channel="email", urgency="high", target="resolution", due_at=DUE,
        reason="breached", at=DUE, recipient="owner",
    )  # fmt: skip
    made = Page(
        id=PAGE, kind=Kind.PAGE, address="+4915112345678", secret=REFERENCE, recipient="owner", person="ana", facts=facts,
        options={"from": credentials.TWILIO_NUMBER}, text=f"{HEADLINE}\nNext: nobody\nAcknowledge: {LINK}", link=LINK,
    )  # fmt: skip
    return structs.replace(made, **changes)


@pytest.fixture
async def providers(monkeypatch):
    """Twilio, on this host."""
    monkeypatch.setenv("DESKCLOCK_SECRET_TWILIO", f"{credentials.TWILIO_SID}:{credentials.TWILIO_TOKEN}")
    async with FaultServer() as made:
        yield made


@pytest.fixture
async def api(providers):
    """The account behind both channels, which tells us at a public address what became of pages."""
    client = HttpClient(frozenset({"127.0.0.1"}))
    made = Twilio(client, Secrets(), url=providers.url("twilio"), public_url="https://desk.example.org/")
    yield made
    await made.close()


@pytest.fixture(params=[Sms, Voice])
def channel(request, api):
    """Either of them."""
    return request.param(api)


def asked(providers) -> dict[str, list[str]]:
    """The form of the last request."""
    return parse_qs(providers.ledger.requests("twilio")[-1].body)


async def test_a_page_is_a_text_message_with_its_id_and_link(api, providers):
    """Twilio takes it under a SID, and is told where to say what becomes of it."""
    outcome = await Sms(api).send(page(attempt=2))

    form = asked(providers)
    assert (Result.ACCEPTED, "SM" + "0" * 31 + "1") == (outcome.result, outcome.provider_id)
    assert {
        "To": ["+4915112345678"],
        "From": [credentials.TWILIO_NUMBER],
        "Body": [f"{HEADLINE} (page 1a2b3c4d) {LINK}"],
        "StatusCallback": [f"https://desk.example.org/v1/receipts/twilio?page={PAGE}&attempt=2"],
    } == form


async def test_a_messaging_service_may_send(api, providers):
    """Its SID stands where a number would."""
    service = "MG" + "a" * 32
    await Sms(api).send(page(options={"from": service}))

    assert ([service], None) == (asked(providers)["MessagingServiceSid"], asked(providers).get("From"))


async def test_a_call_says_what_broke_and_asks_for_no_key(api, providers):
    """Twice, as TwiML that stays well-formed whatever a ticket is called."""
    outcome = await Voice(api).send(page(text="BROKEN: resolution of ticket <Dial>+49900</Dial> & \x00", attempt=1))

    form = asked(providers)
    root = ET.fromstring(form["Twiml"][0])  # noqa: S314 - our own
    assert Result.ACCEPTED == outcome.result
    assert ["Pause", "Say", "Pause", "Say"] == [child.tag for child in root]
    said = root.findtext("Say") or ""
    assert "BROKEN: resolution of ticket <Dial>+49900</Dial> &" in said
    assert "Page 1 a 2 b 3 c 4 d." in said
    assert "Press nothing" in said
    assert ["ringing", "answered", "completed"] == form["StatusCallbackEvent"]


async def test_a_call_stays_within_what_twilio_takes(api, providers):
    """4,000 characters of TwiML, escaped."""
    assert Result.ACCEPTED == (await Voice(api).send(page(text="&" * 5000))).result


async def test_nobody_is_called_to_hear_that_a_page_is_moot(api, providers):
    """Calls that still wait or ring are ended."""
    call = "CA" + "1" * 32
    closes = (Closed(id=PAGE, provider_id=call), Closed(id=PAGE, provider_id=None), Closed(id=PAGE, provider_id="../x"))

    outcome = await Voice(api).send(page(kind=Kind.RESOLVE, closes=closes, link=""))

    [request] = providers.ledger.requests("twilio")
    assert Result.ACCEPTED == outcome.result
    assert (f"/2010-04-01/Accounts/{credentials.TWILIO_SID}/Calls/{call}.json", "Status=canceled") == (
        request.path,
        request.body,
    )


@pytest.mark.parametrize(
    "public_url",
    [
        "",
        "http://localhost:8081",
        "http://127.0.0.1:8081",
        "https://[::1]",
        "https://desk",
        "https://a_b.example",
        "https://[x",
    ],
)
async def test_without_a_public_address_no_receipt_is_promised(api, providers, public_url):
    """Twilio would refuse the page for it; then an acceptance is all there is to know."""
    client = HttpClient(frozenset({"127.0.0.1"}))
    quiet = Twilio(client, Secrets(), url=providers.url("twilio"), public_url=public_url)
    await Sms(quiet).send(page())
    await quiet.close()

    assert (False, True) == (Sms(quiet).capabilities.has_receipts, Sms(api).capabilities.has_receipts)
    assert "StatusCallback" not in asked(providers)


@pytest.mark.parametrize(
    ("status", "code", "result"),
    [
        (400, 21211, Result.REJECTED), (400, 21610, Result.REJECTED), (400, 21408, Result.REJECTED), (401, 20003, Result.REJECTED),
        (404, 20404, Result.REJECTED), (429, 20429, Result.RETRYABLE), (400, 20429, Result.RETRYABLE), (429, 21611, Result.RETRYABLE),
        (500, 20500, Result.RETRYABLE), (503, 20503, Result.RETRYABLE), (502, 0, Result.UNKNOWN), (504, 0, Result.UNKNOWN),
    ],
)  # fmt: skip
def test_r35_each_answer_has_its_class(status, code, result):
    """By status; a gateway's silence is unknown, for Twilio would not notice the page twice."""
    body = b'{"code": %d, "message": "said with made-up-auth-token", "status": %d}' % (code, status)

    found = twilio.outcome(Answer(status=status, headers={}, body=body), credentials.TWILIO_TOKEN)

    assert (result, f"HTTP {status}: {code} said with ***") == (found.result, found.detail)


def test_r35_a_message_that_failed_at_once_is_rejected():
    """Though it was made."""
    body = b'{"sid": "SM1", "status": "failed", "error_code": 30034, "error_message": null}'

    found = twilio.outcome(Answer(status=201, headers={}, body=body))

    assert (Result.REJECTED, "Twilio took it and gave it up: 30034") == (found.result, found.detail)


async def test_r37_retry_after_is_passed_on(channel, providers):
    """429 says when."""
    providers.misbehave(
        Fault(kind="status", status=429, retry_after="7", body='{"code": 20429, "message": "Too Many Requests"}')
    )

    outcome = await channel.send(page())

    assert (Result.RETRYABLE, timedelta(seconds=7)) == (outcome.result, outcome.retry_after)


@pytest.mark.parametrize("kind", ["close", "garbage"])
async def test_r36_what_is_unknown_may_be_there_twice_and_says_so(channel, providers, kind):
    """It is tried once more, and whoever reads or hears it can tell by the page's id."""
    providers.misbehave(Fault(kind=kind, is_handled=True))

    outcomes = [(await channel.send(page(attempt=attempt))).result for attempt in (1, 2)]

    assert [Result.UNKNOWN, Result.ACCEPTED] == outcomes
    assert (False, 2) == (channel.capabilities.is_keyed, providers.ledger.item("twilio", PAGE).opened)


async def test_a_refused_connection_is_retryable(channel, providers):
    """Nothing was sent."""
    await providers.stop()

    assert Result.RETRYABLE == (await channel.send(page())).result


@pytest.mark.parametrize("secret", ["", "token", "AC1:x", f"AC{'0' * 32}:", f"AC{'0' * 30}/x:y"])
async def test_a_secret_that_is_no_account_is_said_and_not_shown(channel, providers, monkeypatch, secret):
    """Nor sent anywhere."""
    monkeypatch.setenv("DESKCLOCK_SECRET_TWILIO", secret)

    outcome = await channel.send(page())

    assert (Result.REJECTED, 0) == (outcome.result, providers.ledger.count("twilio"))
    assert REFERENCE in outcome.detail
    assert not secret or secret not in outcome.detail


async def test_while_a_token_is_rotated_the_first_one_sends(api, providers, monkeypatch):
    """The others only verify receipts."""
    monkeypatch.setenv(
        "DESKCLOCK_SECRET_TWILIO", f"{credentials.TWILIO_SID}:{credentials.TWILIO_TOKEN} {credentials.TWILIO_SID}:old"
    )

    assert Result.ACCEPTED == (await Sms(api).send(page())).result


def test_an_empty_secret_is_no_account():
    """What is there but empty."""
    with pytest.raises(SecretMissing):
        twilio.accounts(" ", REFERENCE)


def test_the_account_is_the_secret_s_name(channel):
    """Text messages and calls are found broken apart from each other."""
    assert f"{channel.name} {REFERENCE}" == channel.account(Contact(method=channel.name, secret=REFERENCE))


@pytest.mark.parametrize(
    ("line", "written"),
    [
        (HEADLINE, HEADLINE),
        ("Zoë’s ticket – “late”…", 'Zoe\'s ticket - "late"...'),
        ("ñandú \N{SNOWMAN} \N{FIRE}", "ñandu ? ?"),
        ("two\u2028lines\nhere\x1b[2J", "two lines here?[2J"),
    ],
)
def test_texts_keep_to_the_alphabet_of_a_text_message(line, written):
    """Accents and signs outside it cost half of the room."""
    assert f"{written} (page 1a2b3c4d) {LINK}" == text_message(PAGE, line, LINK)


def test_a_name_in_another_script_stays_readable():
    """Then the message is wide, and within four segments."""
    made = text_message(PAGE, "HELP IS WANTED: Ольга просит помощи " * 20, LINK)

    assert "Ольга просит" in made
    assert made.endswith(f"... (page 1a2b3c4d) {LINK}")
    assert size(made) <= 4 * 67


def test_a_long_line_is_cut_and_the_link_is_whole():
    """Two segments, the link at the end."""
    made = text_message(PAGE, "{ticket} " * 100, LINK)

    assert made.endswith(f"... (page {short_id(PAGE)}) {LINK}")
    assert 300 < size(made) <= 2 * 153
