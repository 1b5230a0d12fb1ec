"""Pages as signed HTTP requests, by Standard Webhooks.

`webhook-id` is the page's id, so a receiver that keeps ids sees each page once however often it is tried. No redirect is
followed, and no private address called unless the operator allows the host.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlsplit

import httpcore
import msgspec

from services.escalation.channels import Capabilities, Page, secrets
from services.escalation.channels.guarded import GuardedBackend
from services.escalation.domain.ladder import Kind
from services.escalation.domain.retry import Outcome, Result
from services.escalation.errors import AddressRefused, SecretMissing
from shared import timesource
from shared.policy.document import Contact
from shared.runtime import points
from shared.runtime.points import Point

_CONNECT_SECONDS = 3.0
_ANSWER_SECONDS = 6.0
_SMALL_BODY = 4096
_FINISH_SECONDS = 0.5
_TIMEOUT = {"connect": _CONNECT_SECONDS, "read": _ANSWER_SECONDS, "write": _CONNECT_SECONDS, "pool": _CONNECT_SECONDS}
_LONGEST_RETRY_AFTER = timedelta(hours=1)
_TRY_AGAIN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_SERVER_ERROR = 500

_encoder = msgspec.json.Encoder()


class Webhook:
    """Posts each page to its contact's address."""

    name = "webhook"

    def __init__(self, allowed_hosts: frozenset[str] = frozenset(), *, concurrency: int = 20) -> None:
        self.capabilities = Capabilities(is_keyed=True, concurrency=concurrency, timeout=timedelta(seconds=8))
        self._allowed = allowed_hosts
        self._http = httpcore.AsyncConnectionPool(
            max_connections=concurrency,
            max_keepalive_connections=concurrency,
            keepalive_expiry=30,
            network_backend=GuardedBackend(allowed_hosts),
        )

    def account(self, contact: Contact) -> str:
        """The receiver's host."""
        return f"{self.name} {urlsplit(contact.address).netloc}"

    async def send(self, page: Page) -> Outcome:
        """Post it once."""
        try:
            self._check(page.address)
            keys = secrets.webhook_keys(page.secret)
        except (AddressRefused, SecretMissing) as error:
            return Outcome(result=Result.REJECTED, detail=str(error))
        body = payload(page)
        headers = signed(str(page.id), body, keys, int(timesource.unix_time()))
        try:
            async with self._http.stream(
                "POST", page.address, headers=headers, content=body, extensions=_extensions()
            ) as answer:
                headers_in = {name.lower(): value for name, value in answer.headers}
                await _finish(answer, headers_in)
                return _outcome(answer.status, headers_in)
        except AddressRefused as error:
            return Outcome(result=Result.REJECTED, detail=str(error))
        except (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout) as error:
            return Outcome(result=Result.RETRYABLE, detail=f"no connection: {_said(error)}")
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            return Outcome(result=Result.UNKNOWN, detail=f"sent, no answer: {_said(error)}")

    async def close(self) -> None:
        """Close connections."""
        await self._http.aclose()

    def _check(self, address: str) -> None:
        try:
            parts = urlsplit(address)
            host = parts.hostname
            _ = parts.port
        except ValueError:
            raise AddressRefused("the address is not a URL: give https://host/path") from None
        if not host or parts.scheme not in ("https", "http"):
            raise AddressRefused("the address is not a URL of the web: give https://host/path")
        if parts.scheme == "http" and host.lower() not in self._allowed:
            raise AddressRefused(
                "pages go over https: give an https:// address, or allow the host in DESKCLOCK_PAGE_ALLOW_HOSTS"
            )


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


def signed(message_id: str, body: bytes, keys: list[bytes], at: int) -> dict[str | bytes, str | bytes]:
    """The headers of Standard Webhooks: one signature for each key."""
    content = b".".join((message_id.encode(), str(at).encode(), body))
    signatures = (base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode() for key in keys)
    return {
        "content-type": "application/json",
        "user-agent": "deskclock",
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def _extensions() -> dict[str, object]:
    return {"timeout": _TIMEOUT, "trace": _trace} if points.is_armed(Point.K7_SENT) else {"timeout": _TIMEOUT}


async def _trace(event: str, _: object) -> None:
    if event.endswith("send_request_body.complete"):
        points.passing(Point.K7_SENT)


async def _finish(answer: httpcore.Response, headers: Mapping[bytes, bytes]) -> None:
    """Read a short answer to its end, so that the connection can be used again; what it says does not matter."""
    length = headers.get(b"content-length", b"")
    if not length.isdigit() or int(length[:9]) > _SMALL_BODY:
        return
    with contextlib.suppress(TimeoutError, httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        async with asyncio.timeout(_FINISH_SECONDS):
            async for _ in answer.aiter_stream():
                pass


def _outcome(status: int, headers: Mapping[bytes, bytes]) -> Outcome:
    """The class of an HTTP status (R35)."""
    detail = f"HTTP {status}"
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Outcome(result=Result.ACCEPTED, detail=detail)
    if status in _TRY_AGAIN or status >= _SERVER_ERROR:
        return Outcome(result=Result.RETRYABLE, detail=detail, retry_after=_retry_after(headers))
    if status == HTTPStatus.GONE:
        detail += ": the receiver wants no more; take the contact off the roster"
    elif HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        detail += ": redirects are not followed; give the final address"
    return Outcome(result=Result.REJECTED, detail=detail)


def _retry_after(headers: Mapping[bytes, bytes]) -> timedelta | None:
    text = headers.get(b"retry-after", b"").decode("latin-1").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=min(int(text[:9]), 10**6)), _LONGEST_RETRY_AFTER)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    wait = at - datetime.fromtimestamp(timesource.unix_time(), UTC)
    return min(max(wait, timedelta()), _LONGEST_RETRY_AFTER)


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
