"""Pages as Adaptive Cards, posted to a workflow of Microsoft Teams ("When a Teams webhook request is received").

The workflow's address is all it takes to post, so it is the secret, by reference; it is shown nowhere. Teams has no keys:
the page's id is in each card (R36). Text stands in runs, in which nothing is markup.
"""

from datetime import timedelta

import msgspec

from services.escalation.channels import Capabilities, Page
from services.escalation.channels.answers import Answer, by_status, shown
from services.escalation.channels.client import HttpClient
from services.escalation.channels.rendering import cut_bytes, label, rest, title
from services.escalation.channels.secrets import Secrets
from services.escalation.domain.ladder import Kind
from services.escalation.domain.retry import Outcome, Result
from services.escalation.errors import SecretMissing
from shared.policy.document import Contact

_LONGEST_TITLE = 1000
_LONGEST_TEXT = 8000
"""Of the 28 KB that a message may have, where each line is a block of its own."""
_MOST_LINES = 60
_CARD = "application/vnd.microsoft.card.adaptive"
_SCHEMA = "http://adaptivecards.io/schemas/adaptive-card.json"

_encoder = msgspec.json.Encoder()


class Teams:
    """Posts cards."""

    name = "teams"

    def __init__(self, client: HttpClient, secrets: Secrets, *, concurrency: int = 10) -> None:
        self.capabilities = Capabilities(
            is_keyed=False,
            concurrency=concurrency,
            per_account=max(concurrency // 2, 1),
            timeout=timedelta(seconds=8),
            per_second=2.0,
            burst=4.0,
        )
        self._client = client
        self._secrets = secrets

    def account(self, contact: Contact) -> str:
        """By the reference of the workflow's address."""
        return f"{self.name} {contact.secret}"

    async def send(self, page: Page) -> Outcome:
        """Post a card once."""
        try:
            url = self._secrets.read(page.secret)
        except SecretMissing as error:
            return Outcome(result=Result.REJECTED, detail=str(error))
        answer = await self._client.post(url, _encoder.encode(card(page)), {"content-type": "application/json"})
        if isinstance(answer, Answer):
            return by_status(answer, is_keyed=False, said=shown(_error(answer), url, *url.rpartition("sig=")[2:]))
        return msgspec.structs.replace(answer, detail=shown(answer.detail, url))

    async def close(self) -> None:
        """Close connections."""
        await self._client.close()


def card(page: Page) -> dict[str, object]:
    """A message with one card: the headline, the lines below it, the page's id, and a button for the link."""
    lines = [line for line in cut_bytes(rest(page), _LONGEST_TEXT).split("\n") if line][:_MOST_LINES]
    colour = "Good" if page.kind is Kind.RESOLVE else "Attention"
    content: dict[str, object] = {
        "$schema": _SCHEMA,
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            _run(cut_bytes(title(page), _LONGEST_TITLE), weight="Bolder", color=colour),
            *(_run(line) for line in lines),
            _run(f"page {page.id!s}", size="Small", isSubtle=True),
        ],
    }
    if page.link:
        content["actions"] = [{"type": "Action.OpenUrl", "title": label(page), "url": page.link}]
    return {"type": "message", "attachments": [{"contentType": _CARD, "contentUrl": None, "content": content}]}


def _run(text: str, **style: object) -> dict[str, object]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **style}]}


def _error(answer: Answer) -> str:
    """What the workflow says is wrong."""
    error = answer.json().get("error")
    return str(error.get("code") or error.get("message") or "") if isinstance(error, dict) else ""
