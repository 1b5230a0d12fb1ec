"""Pages as ntfy notifications, on ntfy.sh or a server of one's own.

A page's id is its sequence: a server that knows them (2.16 and later) shows an attempt that came twice as one notification,
and a page that is moot in place of the one it closes. Older ones don't, so an unknown result is tried once more, no oftener.
"""

from datetime import timedelta

import msgspec

from services.escalation.channels import Capabilities, Page
from services.escalation.channels.answers import Answer, by_status, known_as, shown
from services.escalation.channels.client import HttpClient, host_of, place_of
from services.escalation.channels.rendering import closed, cut, cut_bytes, label, rest, title
from services.escalation.channels.secrets import Secrets
from services.escalation.domain.ladder import Kind
from services.escalation.domain.retry import Outcome, Result
from services.escalation.errors import SecretMissing
from shared.policy.document import Contact

_LONGEST_TITLE = 250
_LONGEST_MESSAGE = 3500
"""Bytes; of more than 4096 ntfy makes an attachment."""
_DEFAULT, _LOW = 3, 2
_PRIORITIES = {"urgent": 5, "high": 4, "normal": 4, "low": _DEFAULT}
_PRIORITY_OF_KIND = {
    Kind.WARNING: _DEFAULT,
    Kind.RESOLVE: _LOW,
    Kind.DIGEST: _DEFAULT,
    Kind.COPY: _LOW,
    Kind.ALARM: 5,
}

_encoder = msgspec.json.Encoder()


class Ntfy:
    """Publishes to topics."""

    name = "ntfy"

    def __init__(
        self,
        client: HttpClient,
        others: HttpClient,
        secrets: Secrets,
        *,
        url: str,
        allowed_hosts: frozenset[str] = frozenset(),
        concurrency: int = 20,
    ) -> None:
        """`client` is for the operator's own server at `url`, `others` for those that contacts name.

        Tokens go to the operator's server and to `allowed_hosts`, nowhere else: a roster could name somebody else's.
        """
        self.capabilities = Capabilities(is_keyed=False, concurrency=concurrency, timeout=timedelta(seconds=8))
        self._client = client
        self._others = others
        self._secrets = secrets
        self._url = url.rstrip("/")
        self._allowed = allowed_hosts

    def account(self, contact: Contact) -> str:
        """The server, and by its reference the token."""
        return f"{self.name} {place_of(self._place(contact.address)[0])} {contact.secret}".rstrip()

    async def send(self, page: Page) -> Outcome:
        """Publish it once."""
        server, topic = self._place(page.address)
        is_own = server == self._url
        headers = {"content-type": "application/json"}
        token = ""
        if page.secret:
            if not is_own and host_of(server) not in self._allowed:
                return Outcome(
                    result=Result.REJECTED,
                    detail="tokens go only to DESKCLOCK_NTFY_URL and to hosts of DESKCLOCK_PAGE_ALLOW_HOSTS: add this one, or leave out the secret",
                )
            try:
                token = self._secrets.read(page.secret)
            except SecretMissing as error:
                return Outcome(result=Result.REJECTED, detail=str(error))
            headers["authorization"] = f"Bearer {token}"
        client = self._client if is_own else self._others
        answer = await client.post(f"{server}/", _encoder.encode(notification(page, topic)), headers)
        if not isinstance(answer, Answer):
            return answer
        said = shown(answer.text("error"), token)
        return by_status(answer, is_keyed=False, said=said, provider_id=known_as(answer.text("id"), token))

    async def close(self) -> None:
        """Close connections."""
        await self._client.close()
        await self._others.close()

    def _place(self, address: str) -> tuple[str, str]:
        """The server and the topic of an address; one without a server is the operator's."""
        if "://" not in address:
            return self._url, address
        server, _, topic = address.rstrip("/").rpartition("/")
        return server, topic


def notification(page: Page, topic: str) -> dict[str, object]:
    """What is published: plain text, a tap and a button open the link."""
    moot = closed(page)
    said: dict[str, object] = {
        "topic": topic,
        "title": cut(title(page), _LONGEST_TITLE),
        "message": f"{cut_bytes(rest(page), _LONGEST_MESSAGE)}\npage {page.id!s}".strip(),
        "priority": _PRIORITY_OF_KIND.get(page.kind) or _PRIORITIES.get(page.urgency, _DEFAULT),
        "sequence_id": str(moot[0].id if len(moot) == 1 else page.id),
    }
    if page.link:
        said |= {"click": page.link, "actions": [{"action": "view", "label": label(page), "url": page.link}]}
    return said
