"""The one way in which channels speak HTTP: asked once, no redirect, nothing unbounded, nothing private.

An answer is an `Answer`, whatever its status; where there is none, the `Outcome` says whether the provider may have the
page: not a byte was sent (retryable), or some were (unknown). Errors are told without what was sent.
"""

import asyncio
import functools
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpcore

from services.escalation.channels.answers import Answer
from services.escalation.channels.guarded import GuardedBackend
from services.escalation.domain.retry import Outcome, Result
from services.escalation.errors import AddressRefused
from shared.runtime import points
from shared.runtime.points import Point

TOTAL_SECONDS = 7.0
"""The longest that a request takes, all told; a channel's own timeout is a little longer."""
_CONNECT_SECONDS = 3.0
_BODY_SECONDS = 2.0
_LARGEST_BODY = 64 * 1024
_LONGEST_PLACE = 260
_WEB_PORTS = frozenset({80, 443})
_FIRST_FREE_PORT = 1024
_TIMEOUTS = {"connect": _CONNECT_SECONDS, "read": TOTAL_SECONDS, "write": _CONNECT_SECONDS, "pool": _CONNECT_SECONDS}


class HttpClient:
    """Connections of one channel, so many at once, that a slow provider holds no other."""

    def __init__(self, allowed_hosts: frozenset[str] = frozenset(), *, concurrency: int = 20) -> None:
        """`allowed_hosts`, in lower case, may be private, and called without TLS."""
        self._allowed = allowed_hosts
        self._backend = GuardedBackend(allowed_hosts, resolvers=concurrency)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_trust(),
            max_connections=concurrency,
            max_keepalive_connections=concurrency,
            keepalive_expiry=30,
            network_backend=self._backend,
        )

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, within: float = TOTAL_SECONDS
    ) -> Answer | Outcome:
        """Post once; `within` seconds there is an answer, or an outcome that says why there is none."""
        return await self._ask("POST", url, body, headers, within)

    async def get(self, url: str, headers: Mapping[str, str], *, within: float = TOTAL_SECONDS) -> Answer | Outcome:
        """Get once, as `post`."""
        return await self._ask("GET", url, b"", headers, within)

    async def close(self) -> None:
        """Close connections."""
        await self._pool.aclose()
        self._backend.close()

    async def _ask(
        self, verb: str, url: str, body: bytes, headers: Mapping[str, str], within: float
    ) -> Answer | Outcome:
        try:
            check_url(url, self._allowed)
        except AddressRefused as error:
            return Outcome(result=Result.REJECTED, detail=str(error))
        progress = _Progress()
        try:
            async with asyncio.timeout(within):
                await self._exchange(progress, verb, url, body, headers)
        except AddressRefused as error:
            return Outcome(result=Result.REJECTED, detail=str(error))
        except (httpcore.LocalProtocolError, UnicodeEncodeError):  # its text repeats the header, which may be a secret
            return Outcome(
                result=Result.REJECTED, detail="the secret or the address has characters that HTTP does not allow"
            )
        except (TimeoutError, httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            if progress.answer is None:
                return _unanswered(progress, error)
        return progress.answer or _unanswered(progress, TimeoutError())

    async def _exchange(
        self, progress: "_Progress", verb: str, url: str, body: bytes, headers: Mapping[str, str]
    ) -> None:
        sent = [
            (name.encode("ascii"), value.encode("ascii"))
            for name, value in {"user-agent": "deskclock", **headers}.items()
        ]
        extensions = {"timeout": _TIMEOUTS, "trace": progress.note}
        async with self._pool.stream(verb, url, headers=sent, content=body, extensions=extensions) as response:
            got = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
            progress.answer = Answer(status=response.status, headers=got, is_whole=False)
            read = bytearray()
            async with asyncio.timeout(_BODY_SECONDS):
                async for part in response.aiter_stream():
                    read += part
                    if len(read) > _LARGEST_BODY:
                        progress.answer = Answer(
                            status=response.status, headers=got, body=bytes(read[:_LARGEST_BODY]), is_whole=False
                        )
                        return
            progress.answer = Answer(status=response.status, headers=got, body=bytes(read))


class _Progress:
    """How far a request has come."""

    def __init__(self) -> None:
        self.is_sent = False
        self.answer: Answer | None = None

    async def note(self, event: str, _info: Mapping[str, Any]) -> None:
        """Told by httpcore at each of its steps."""
        if event.endswith("send_request_headers.started"):
            self.is_sent = True
        elif event.endswith("send_request_body.complete"):
            points.passing(Point.K7_SENT)


def check_url(url: str, allowed_hosts: frozenset[str] = frozenset()) -> None:
    """Raise AddressRefused unless it is a plain address of the web; never shows the address, which may be a secret."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise AddressRefused("the address is not a URL: give https://host/path") from None
    if not host or parts.scheme not in ("https", "http") or any(not "!" <= letter <= "~" for letter in url):
        raise AddressRefused("the address is not a URL of the web: give https://host/path")
    if "@" in parts.netloc or "\\" in url:
        raise AddressRefused("the address may hold no user or password: give https://host/path, and a `secret`")
    if host in allowed_hosts:
        return
    if parts.scheme == "http":
        raise AddressRefused(
            "pages go over https: give an https:// address, or allow the host in DESKCLOCK_PAGE_ALLOW_HOSTS"
        )
    if port is not None and port < _FIRST_FREE_PORT and port not in _WEB_PORTS:
        raise AddressRefused(
            f"port {port} is not one of the web: use 443, or allow the host in DESKCLOCK_PAGE_ALLOW_HOSTS"
        )


def place_of(url: str) -> str:
    """The host of an address, and its port where it says one; empty where there is none. Never a password.

    Cut where no host is so long: it is part of an index, whose rows are bounded.
    """
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower()[:_LONGEST_PLACE]
    except ValueError:
        return ""


def host_of(url: str) -> str:
    """The host of an address, in lower case; empty where there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _unanswered(progress: _Progress, error: Exception) -> Outcome:
    said = _said(error)
    if progress.is_sent:
        return Outcome(result=Result.UNKNOWN, detail=f"sent, no answer: {said}")
    return Outcome(result=Result.RETRYABLE, detail=f"no connection: {said}")


def _said(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        reason = getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or type(cause).__name__
        return f"TLS: {reason}"
    if isinstance(error, TimeoutError | httpcore.TimeoutException):
        return str(error) or "no answer in time"
    return str(error) or type(error).__name__


@functools.cache
def _trust() -> ssl.SSLContext:
    """Whom we believe to be who they say: read once, as it takes a while."""
    return httpcore.default_ssl_context()
