"""Pages as text messages and calls through Twilio; it tells later what became of them (`services.escalation.delivery.receipts`).

Twilio has no key by which it would notice a page that it has already: an unknown result is tried once more, and the page's
id is in what is read or heard (R36). The secret is `SID:TOKEN`; several, separated by spaces, while a token is rotated.
"""

import base64
import re
from collections.abc import Iterable
from datetime import timedelta
from urllib.parse import urlencode, urlsplit
from uuid import UUID
from xml.sax.saxutils import escape

from services.escalation.channels import Capabilities, Page
from services.escalation.channels.answers import Answer, by_status, known_as, shown
from services.escalation.channels.client import HttpClient
from services.escalation.channels.guarded import is_public
from services.escalation.channels.rendering import cut, title
from services.escalation.channels.secrets import Secrets
from services.escalation.channels.texting import short_id, text_message
from services.escalation.domain.ladder import Kind
from services.escalation.domain.retry import Outcome, Result
from services.escalation.errors import SecretMissing
from shared.policy.document import Contact

PUBLIC_URL = "https://api.twilio.com"
RECEIPTS = "/v1/receipts/twilio"
RING_SECONDS = 30
"""How long a phone rings; some voicemail takes over sooner."""
_SID = re.compile(r"AC[0-9a-fA-F]{32}")
_CALL = re.compile(r"CA[0-9a-fA-F]{32}")
_LATER = frozenset({"20429", "20500", "20503", "21611"})
"""Codes of Twilio that pass by themselves, whatever their HTTP status."""
_NOT_SENT = frozenset({"failed", "undelivered", "canceled"})
_LONGEST_SPOKEN = 300
_MOST_CALLS_ENDED = 5
_BAD_REQUEST, _SERVER_ERROR = 400, 500

Form = tuple[tuple[str, str], ...]


class Twilio:
    """An account of Twilio, asked over its API of 2010."""

    def __init__(self, client: HttpClient, secrets: Secrets, *, url: str = PUBLIC_URL, public_url: str = "") -> None:
        """`public_url` is where Twilio reaches us; without one that it takes, nothing is heard of a page once it is accepted."""
        self._client = client
        self._secrets = secrets
        self._url = url.rstrip("/")
        self._receipts = f"{public_url.rstrip('/')}{RECEIPTS}" if _can_be_called(public_url) else ""

    @property
    def has_receipts(self) -> bool:
        """Whether Twilio is asked to tell what became of a page."""
        return bool(self._receipts)

    def receipt_url(self, page: UUID, attempt: int) -> str:
        """Where it does: page and attempt are in the address, so that a receipt may come before we have stored the SID."""
        return receipt_url(self._receipts, page, attempt)

    async def post(self, resource: str, form: Form, secret: str) -> Outcome:
        """Ask once for a message or a call (`Messages`, `Calls`), or about one of them."""
        try:
            [(sid, token), *_] = accounts(self._secrets.read(secret), secret)
        except SecretMissing as error:
            return Outcome(result=Result.REJECTED, detail=str(error))
        login = base64.b64encode(f"{sid}:{token}".encode()).decode()
        headers = {"content-type": "application/x-www-form-urlencoded", "authorization": f"Basic {login}"}
        url = f"{self._url}/2010-04-01/Accounts/{sid}/{resource}.json"
        answer = await self._client.post(url, urlencode(form).encode(), headers)
        return outcome(answer, token) if isinstance(answer, Answer) else answer

    async def close(self) -> None:
        """Close connections."""
        await self._client.close()


class Sms:
    """Sends each page as one text message."""

    name = "sms"

    def __init__(self, twilio: Twilio, *, concurrency: int = 20) -> None:
        self.capabilities = Capabilities(
            is_keyed=False,
            concurrency=concurrency,
            per_account=max(concurrency // 2, 1),
            timeout=timedelta(seconds=8),
            has_receipts=twilio.has_receipts,
        )
        self._twilio = twilio

    def account(self, contact: Contact) -> str:
        """By the reference of its secret."""
        return f"{self.name} {contact.secret}"

    async def send(self, page: Page) -> Outcome:
        """Ask for a message once."""
        sender = page.options.get("from", "")
        form = [
            ("To", page.address),
            ("MessagingServiceSid" if sender.startswith("MG") else "From", sender),
            ("Body", text_message(page.id, title(page), page.link)),
        ]
        if self._twilio.has_receipts:
            form.append(("StatusCallback", self._twilio.receipt_url(page.id, page.attempt)))
        return await self._twilio.post("Messages", tuple(form), page.secret)

    async def close(self) -> None:
        """Close connections."""
        await self._twilio.close()


class Voice:
    """Calls and says what broke; a call can't be answered by key, as a voicemail would do so too."""

    name = "voice"

    def __init__(self, twilio: Twilio, *, concurrency: int = 10) -> None:
        self.capabilities = Capabilities(
            is_keyed=False,
            concurrency=concurrency,
            per_account=max(concurrency // 2, 1),
            per_second=1.0,  # what Twilio grants an account unless it asks for more
            burst=10.0,
            timeout=timedelta(seconds=8),
            has_receipts=twilio.has_receipts,
        )
        self._twilio = twilio

    def account(self, contact: Contact) -> str:
        """By the reference of its secret."""
        return f"{self.name} {contact.secret}"

    async def send(self, page: Page) -> Outcome:
        """Ask for a call once. Nobody is called to hear that a page is moot: calls that still wait or ring are ended."""
        if page.kind is Kind.RESOLVE:
            return await self._end(page)
        form = [
            ("To", page.address),
            ("From", page.options.get("from", "")),
            ("Twiml", spoken(page)),
            ("Timeout", str(RING_SECONDS)),
        ]
        if self._twilio.has_receipts:
            form.append(("StatusCallback", self._twilio.receipt_url(page.id, page.attempt)))
            form += [("StatusCallbackEvent", event) for event in ("ringing", "answered", "completed")]
        return await self._twilio.post("Calls", tuple(form), page.secret)

    async def close(self) -> None:
        """Close connections."""
        await self._twilio.close()

    async def _end(self, page: Page) -> Outcome:
        calls = [closed.provider_id for closed in page.closes if _CALL.fullmatch(closed.provider_id or "")]
        for call in calls[:_MOST_CALLS_ENDED]:
            await self._twilio.post(f"Calls/{call}", (("Status", "canceled"),), page.secret)
        return Outcome(result=Result.ACCEPTED, detail="nobody is called to hear that a page is moot")


def accounts(secret: str, reference: str) -> list[tuple[str, str]]:
    """The SID and token of every `SID:TOKEN`, the first the one to send with; raises SecretMissing, without the secret."""
    found = []
    for part in secret.split():
        sid, _, token = part.partition(":")
        if not _SID.fullmatch(sid) or not token:
            raise SecretMissing(f"the secret {reference} is not an account of Twilio: write it as SID:TOKEN, AC...:...")
        found.append((sid, token))
    if not found:
        raise SecretMissing(f"the secret {reference} is empty: write it as SID:TOKEN, AC...:...")
    return found


def outcome(answer: Answer, token: str = "") -> Outcome:
    """The class of Twilio's answer (R35): by its status, for its codes change; those that pass by themselves are known."""
    code, said = answer.text("code"), shown(answer.text("message"), token)
    sid = known_as(answer.text("sid"), token)
    found = by_status(answer, is_keyed=False, said=f"{code} {said}".strip(), provider_id=sid)
    if found.result is Result.ACCEPTED and answer.text("status") in _NOT_SENT:
        why = " ".join(filter(None, (answer.text("error_code"), shown(answer.text("error_message"), token))))
        return Outcome(result=Result.REJECTED, detail=f"Twilio took it and gave it up: {why or answer.text('status')}")
    if code in _LATER and _BAD_REQUEST <= answer.status < _SERVER_ERROR:
        return Outcome(result=Result.RETRYABLE, detail=found.detail, retry_after=found.retry_after)
    return found


def receipt_url(receipts: str, page: UUID, attempt: int) -> str:
    """The address of receipts for one attempt: what Twilio calls, and signs."""
    return f"{receipts}?page={page}&attempt={attempt}"


def spoken(page: Page) -> str:
    """TwiML that says, twice, what broke and where to acknowledge it."""
    line = cut(title(page).replace("\n", " "), _LONGEST_SPOKEN)
    letters = " ".join(short_id(page.id))
    said = _say(
        (
            "This is Deskclock with a page.",
            f"{line}.",
            f"Page {letters}.",
            "The link to acknowledge it is in the newest page in your messages or mail. Press nothing: this call takes no answer.",
        )
    )
    return f'<Response><Pause length="1"/>{said}<Pause length="1"/>{said}</Response>'


def _say(sentences: Iterable[str]) -> str:
    return f"<Say>{escape(' '.join(sentences))}</Say>"


def _can_be_called(public_url: str) -> bool:
    """Whether Twilio takes it for receipts: it refuses pages, not only receipts, for an address of no public host."""
    try:
        host = urlsplit(public_url).hostname or ""
    except ValueError:
        return False
    is_number = ":" in host or host.replace(".", "").isdigit()
    return is_public(host) if is_number else "." in host and "_" not in host
