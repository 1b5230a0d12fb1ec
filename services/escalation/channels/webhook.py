"""Pages as signed HTTP requests, by Standard Webhooks.

`webhook-id` is the page's id, so a receiver that keeps ids sees each page once however often it is tried. No redirect is
followed, and no private address called unless the operator allows the host.
"""

import base64
import hashlib
import hmac
from datetime import timedelta
from http import HTTPStatus

import msgspec

from services.escalation.channels import Capabilities, Page
from services.escalation.channels.answers import Answer, by_status
from services.escalation.channels.client import HttpClient, place_of
from services.escalation.channels.secrets import Secrets
from services.escalation.domain.ladder import Kind
from services.escalation.domain.retry import Outcome, Result
from services.escalation.errors import SecretMissing
from shared import timesource
from shared.policy.document import Contact

_encoder = msgspec.json.Encoder()


class Webhook:
    """Posts each page to its contact's address."""

    name = "webhook"

    def __init__(self, client: HttpClient, secrets: Secrets, *, concurrency: int = 20) -> None:
        self.capabilities = Capabilities(is_keyed=True, concurrency=concurrency, timeout=timedelta(seconds=8))
        self._client = client
        self._secrets = secrets

    def account(self, contact: Contact) -> str:
        """The receiver's host."""
        return f"{self.name} {place_of(contact.address)}"

    async def send(self, page: Page) -> Outcome:
        """Post it once."""
        try:
            keys = self._secrets.signing_keys(page.secret)
        except SecretMissing as error:
            return Outcome(result=Result.REJECTED, detail=str(error))
        body = payload(page)
        at = timesource.unix_time() if page.claimed_at is None else page.claimed_at.timestamp()
        headers = signed(str(page.id), body, keys, int(at))
        answer = await self._client.post(page.address, body, headers)
        return outcome(answer) if isinstance(answer, Answer) else answer

    async def close(self) -> None:
        """Close connections."""
        await self._client.close()


def outcome(answer: Answer) -> Outcome:
    """The class of a receiver's answer; 410 says that it wants no more."""
    if answer.status == HTTPStatus.GONE:
        detail = "HTTP 410: the receiver wants no more; take the contact off the roster"
        return Outcome(result=Result.REJECTED, detail=detail)
    return by_status(answer, is_keyed=True)


def payload(page: Page) -> bytes:
    """The body: what broke as fields, and the whole page as text; the same at every attempt."""
    return _encoder.encode(
        {
            "type": "page.resolved" if page.kind is Kind.RESOLVE else f"{page.kind}.triggered",
            "timestamp": page.facts.at,
            "data": {
                "page": page.id,
                "kind": page.kind,
                "recipient": page.recipient,
                "person": page.person,
                "text": page.text,
                "acknowledge_url": page.link or None,
                **msgspec.to_builtins(page.facts),
            },
        }
    )


def signed(message_id: str, body: bytes, keys: list[bytes], at: int) -> dict[str, str]:
    """The headers of Standard Webhooks: one signature for each key."""
    content = b".".join((message_id.encode(), str(at).encode(), body))
    signatures = (base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode() for key in keys)
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
