"""Pages as messages of a Slack bot; one that is moot is rewritten in place, where its message is known.

Slack answers 200 whatever happens: `ok` and the error's code decide. It has no keys, so the page's id is in each message
(R36). What came from outside is shown as plain text: it can mention nobody and link nowhere.
"""

import re
from datetime import timedelta
from http import HTTPStatus

import msgspec

from services.escalation.channels import Capabilities, Page
from services.escalation.channels.answers import Answer, by_status, retry_after, shown
from services.escalation.channels.client import HttpClient
from services.escalation.channels.closing import close_each
from services.escalation.channels.rendering import closed, cut, label, rest, title
from services.escalation.channels.secrets import Secrets
from services.escalation.domain.ladder import Kind
from services.escalation.domain.retry import Outcome, Result
from services.escalation.errors import SecretMissing
from shared.policy.document import Contact

_LONGEST_BLOCK = 2900
_LONGEST_TITLE = 1000
_LATER = frozenset(
    {
        "ratelimited",
        "rate_limited",
        "message_limit_exceeded",
        "service_unavailable",
        "request_timeout",
        "team_added_to_org",
    }
)
_PERHAPS_DONE = frozenset({"fatal_error", "internal_error"})
"""Slack says of these that some of it may have been done."""
_GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
_REMEDIES = {
    "not_in_channel": "invite the bot to the channel",
    "channel_not_found": "give the channel's id, and invite the bot to it",
    "is_archived": "the channel is archived: give another",
    "missing_scope": "the bot needs the scope chat:write",
    "invalid_auth": "the token is wrong",
    "token_revoked": "the token was revoked",
    "token_expired": "the token has expired",
    "account_inactive": "the bot was removed",
}

_MESSAGE = re.compile(r"[A-Z0-9]{1,40}:[0-9]{1,20}\.[0-9]{1,20}")
"""A channel's id and a timestamp, which together name a message."""

_encoder = msgspec.json.Encoder()


class Slack:
    """Posts to channels, and to people."""

    name = "slack"

    def __init__(self, client: HttpClient, secrets: Secrets, *, url: str, concurrency: int = 20) -> None:
        """`url` is where the Web API is, without `/api`."""
        self.capabilities = Capabilities(
            is_keyed=False, concurrency=concurrency, timeout=timedelta(seconds=8), per_second=1.0, burst=3.0
        )
        self._client = client
        self._secrets = secrets
        self._url = f"{url.rstrip('/')}/api"

    def account(self, contact: Contact) -> str:
        """A bot's token, by its reference, in a channel: Slack takes about one message a second of it."""
        return f"{self.name} {contact.secret} {contact.address}"

    async def send(self, page: Page) -> Outcome:
        """Post the page, or rewrite those that it closes."""
        try:
            token = self._secrets.read(page.secret)
        except SecretMissing as error:
            return Outcome(result=Result.REJECTED, detail=str(error))
        if page.kind is Kind.RESOLVE and all(one.provider_id for one in closed(page)):
            told = await close_each(
                page, lambda one: self._call("chat.update", rewritten(page, one.provider_id or ""), token)
            )
            if not any(code in told.detail for code in _GONE):
                return told
        return await self._call("chat.postMessage", message(page), token)

    async def close(self) -> None:
        """Close connections."""
        await self._client.close()

    async def _call(self, method: str, body: dict[str, object], token: str) -> Outcome:
        headers = {"content-type": "application/json; charset=utf-8", "authorization": f"Bearer {token}"}
        answer = await self._client.post(f"{self._url}/{method}", _encoder.encode(body), headers)
        return outcome(answer, token) if isinstance(answer, Answer) else answer


def message(page: Page) -> dict[str, object]:
    """A new message: blocks of plain text, and of our own link; `text` is what notifications show."""
    return {
        "channel": page.address,
        "text": escaped(cut(title(page), _LONGEST_TITLE)),
        "blocks": _blocks(page),
        "unfurl_links": False,
        "unfurl_media": False,
    }


def rewritten(page: Page, provider_id: str) -> dict[str, object]:
    """An old message, with what the page says now."""
    channel, _, stamp = provider_id.rpartition(":")
    return {
        "channel": channel,
        "ts": stamp,
        "text": escaped(cut(title(page), _LONGEST_TITLE)),
        "blocks": _blocks(page),
    }


def escaped(text: str) -> str:
    """Text that mentions nobody and links nowhere."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def outcome(answer: Answer, token: str) -> Outcome:
    """The class of Slack's answer (R35): by its status, else by `ok` and the error's code."""
    if answer.status != HTTPStatus.OK:
        return by_status(answer, is_keyed=False, said=shown(answer.text("error"), token))
    read = answer.json()
    if read.get("ok") is True:
        made = f"{answer.text('channel')}:{answer.text('ts')}"
        return Outcome(result=Result.ACCEPTED, provider_id=made if _MESSAGE.fullmatch(made) else None)
    code = shown(answer.text("error"), token)
    if read.get("ok") is not False or code in _PERHAPS_DONE:
        return Outcome(result=Result.UNKNOWN, detail=f"Slack: {code or 'an answer that is not in its form'}")
    if code in _LATER:
        return Outcome(result=Result.RETRYABLE, detail=f"Slack: {code}", retry_after=retry_after(answer.headers))
    remedy = f": {_REMEDIES[code]}" if code in _REMEDIES else ""
    return Outcome(result=Result.REJECTED, detail=f"Slack: {code or 'refused'}{remedy}")


def _blocks(page: Page) -> list[dict[str, object]]:
    texts = [title(page), rest(page)]
    blocks: list[dict[str, object]] = [
        {"type": "section", "text": {"type": "plain_text", "text": cut(text, _LONGEST_BLOCK), "emoji": False}}
        for text in texts
        if text
    ]
    if page.link:
        link = f"<{escaped(page.link)}|{escaped(label(page))}>"
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": link, "verbatim": True}})
    said = {"type": "plain_text", "text": f"page {page.id!s}", "emoji": False}
    return [*blocks, {"type": "context", "elements": [said]}]
