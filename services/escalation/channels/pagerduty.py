"""Pages as events of PagerDuty's Events API v2: triggered and resolved by one key, the page's id.

The secret is the integration key of a service. PagerDuty merges a trigger with the open alert of the same key, so a page is
tried as often as it takes (R36).
"""

from datetime import timedelta

import msgspec

from services.escalation.channels import Capabilities, Page
from services.escalation.channels.answers import Answer, by_status, shown
from services.escalation.channels.client import HttpClient
from services.escalation.channels.closing import close_each
from services.escalation.channels.rendering import cut, label, printable, rest, title
from services.escalation.channels.secrets import Secrets
from services.escalation.domain.ladder import Kind
from services.escalation.domain.retry import Outcome, Result
from services.escalation.errors import SecretMissing
from shared.policy.document import Contact

_LONGEST_SUMMARY = 1024
_LONGEST_TEXT = 20_000
_LONGEST_NAME = 200
_SEVERITIES = {"urgent": "critical", "high": "error", "normal": "error", "low": "warning"}
_SEVERITY_OF_KIND = {Kind.WARNING: "warning", Kind.DIGEST: "warning", Kind.COPY: "info", Kind.ALARM: "critical"}

_encoder = msgspec.json.Encoder()


class PagerDuty:
    """Sends events to a service of PagerDuty."""

    name = "pagerduty"

    def __init__(self, client: HttpClient, secrets: Secrets, *, url: str, concurrency: int = 20) -> None:
        """`url` is where the Events API is, without its path."""
        self.capabilities = Capabilities(is_keyed=True, concurrency=concurrency, timeout=timedelta(seconds=8))
        self._client = client
        self._secrets = secrets
        self._url = f"{url.rstrip('/')}/v2/enqueue"

    def account(self, contact: Contact) -> str:
        """By the reference of its integration key, which is what PagerDuty counts events by."""
        return f"{self.name} {contact.secret}"

    async def send(self, page: Page) -> Outcome:
        """Trigger the page's alert, or resolve those that it closes."""
        try:
            routing_key = self._secrets.read(page.secret)
        except SecretMissing as error:
            return Outcome(result=Result.REJECTED, detail=str(error))
        if page.kind is not Kind.RESOLVE:
            return await self._post(trigger(page, routing_key), routing_key)
        return await close_each(page, lambda one: self._post(resolve(str(one.id), routing_key), routing_key))

    async def close(self) -> None:
        """Close connections."""
        await self._client.close()

    async def _post(self, event: dict[str, object], routing_key: str) -> Outcome:
        headers = {"content-type": "application/json"}
        answer = await self._client.post(self._url, _encoder.encode(event), headers)
        return outcome(answer, routing_key) if isinstance(answer, Answer) else answer


def trigger(page: Page, routing_key: str) -> dict[str, object]:
    """The event that opens the page's alert; the same at every attempt."""
    facts = page.facts
    event: dict[str, object] = {
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": str(page.id),
        "client": "Deskclock",
        "payload": {
            "summary": cut(title(page), _LONGEST_SUMMARY),
            "source": _name(facts.source) or "deskclock",
            "severity": _SEVERITY_OF_KIND.get(page.kind) or _SEVERITIES.get(page.urgency, "error"),
            "timestamp": facts.at,
            "class": _name(facts.target),
            "group": _name(facts.ticket),
            "custom_details": {
                "text": cut(rest(page), _LONGEST_TEXT),
                "page": page.id,
                "recipient": _name(page.recipient),
            },
        },
    }
    if page.link:
        event |= {"client_url": page.link, "links": [{"href": page.link, "text": label(page)}]}
    return event


def resolve(dedup_key: str, routing_key: str) -> dict[str, object]:
    """The event that closes an alert."""
    return {"routing_key": routing_key, "event_action": "resolve", "dedup_key": dedup_key}


def outcome(answer: Answer, routing_key: str) -> Outcome:
    """202 is acceptance; what is wrong with an event stands in `errors`."""
    said = answer.text("message")
    errors = answer.json().get("errors")
    if isinstance(errors, list) and errors:
        said = "; ".join(str(error) for error in errors)
    return by_status(answer, is_keyed=True, said=shown(said, routing_key))


def _name(text: str) -> str:
    return cut(printable(text), _LONGEST_NAME)
