"""Pages as alerts of Jira Service Management (its integration events), opened and closed by one alias, the page's id.

The secret is the API key of an integration. What is asked for is done later: 202 gives the request's id, which is kept.
"""

from datetime import timedelta
from urllib.parse import quote

import msgspec

from services.escalation.channels import Capabilities, Closed, Page
from services.escalation.channels.answers import Answer, by_status, known_as, shown
from services.escalation.channels.client import HttpClient
from services.escalation.channels.closing import close_each
from services.escalation.channels.rendering import cut, printable, title
from services.escalation.channels.secrets import Secrets
from services.escalation.domain.ladder import Kind
from services.escalation.domain.retry import Outcome, Result
from services.escalation.errors import SecretMissing
from shared.policy.document import Contact

_PATH = "/jsm/ops/integration/v2/alerts"
_LONGEST_MESSAGE = 130
_LONGEST_DESCRIPTION = 15_000
_LONGEST_DETAIL = 500
_PRIORITIES = {"urgent": "P1", "high": "P2", "normal": "P3", "low": "P4"}
_PRIORITY_OF_KIND = {Kind.WARNING: "P4", Kind.DIGEST: "P3", Kind.COPY: "P5", Kind.ALARM: "P1"}

_encoder = msgspec.json.Encoder()


class Jsm:
    """Opens and closes alerts."""

    name = "jsm"

    def __init__(self, client: HttpClient, secrets: Secrets, *, url: str, concurrency: int = 20) -> None:
        """`url` is where the API is, without its path."""
        self.capabilities = Capabilities(is_keyed=True, concurrency=concurrency, timeout=timedelta(seconds=8))
        self._client = client
        self._secrets = secrets
        self._url = f"{url.rstrip('/')}{_PATH}"

    def account(self, contact: Contact) -> str:
        """By the reference of the integration's API key."""
        return f"{self.name} {contact.secret}"

    async def send(self, page: Page) -> Outcome:
        """Open the page's alert, or close those that it closes."""
        try:
            api_key = self._secrets.read(page.secret)
        except SecretMissing as error:
            return Outcome(result=Result.REJECTED, detail=str(error))
        if page.kind is not Kind.RESOLVE:
            return await self._post(self._url, alert(page), api_key)

        async def close(one: Closed) -> Outcome:
            url = f"{self._url}/{quote(str(one.id), safe='')}/close?identifierType=alias"
            return await self._post(
                url, {"source": "Deskclock", "note": cut(title(page), _LONGEST_DESCRIPTION)}, api_key
            )

        return await close_each(page, close)

    async def close(self) -> None:
        """Close connections."""
        await self._client.close()

    async def _post(self, url: str, body: dict[str, object], api_key: str) -> Outcome:
        headers = {"content-type": "application/json", "authorization": f"GenieKey {api_key}"}
        answer = await self._client.post(url, _encoder.encode(body), headers)
        return outcome(answer, api_key) if isinstance(answer, Answer) else answer


def alert(page: Page) -> dict[str, object]:
    """The alert; the same at every attempt."""
    details = {"ticket": page.facts.ticket, "recipient": page.recipient, "page": str(page.id)}
    if page.link:
        details["acknowledge"] = page.link
    return {
        "message": cut(title(page), _LONGEST_MESSAGE),
        "alias": str(page.id),
        "description": cut(printable(page.text), _LONGEST_DESCRIPTION),
        "priority": _PRIORITY_OF_KIND.get(page.kind) or _PRIORITIES.get(page.urgency, "P3"),
        "source": "Deskclock",
        "tags": ["deskclock", str(page.kind)],
        "details": {name: cut(printable(value), _LONGEST_DETAIL) for name, value in details.items()},
    }


def outcome(answer: Answer, api_key: str) -> Outcome:
    """202 is acceptance, and the request's id what JSM knows it by."""
    said = shown(answer.text("message"), api_key)
    return by_status(answer, is_keyed=True, said=said, provider_id=known_as(answer.text("requestId"), api_key))
