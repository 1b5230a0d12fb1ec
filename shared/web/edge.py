"""The outermost layer of both services: who is calling, how long it took, and no exception ever out of it.

Plain ASGI, because every request passes it. A request without a valid key ends here, whatever it asked for, unless its
route is open.
"""

from collections.abc import Iterable, Mapping
from typing import cast

from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Histogram

from shared import timesource
from shared.contract.problems import Kind, Refused
from shared.web import answers, failures
from shared.web.failures import Translate
from shared.web.keyring import KeyRing

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NOWHERE = "(none)"
"""The route of a request that met none: paths are never labels."""


_GONE = 499
"""The caller left before the answer."""


class HttpMetrics:
    """How long requests take, by method, route template and code."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._duration = Histogram(
            "http_request_duration_seconds",
            "Time to answer an HTTP request.",
            ["method", "route", "code"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._children: dict[tuple[str, str, int], Histogram] = {}

    def observe(self, method: str, route: str, code: int, seconds: float) -> None:
        """Count one request; methods we don't know are `other`."""
        key = (method if method in _METHODS else "other", route, code)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._duration.labels(key[0], route, str(code))
        child.observe(seconds)


class OpenPaths:
    """The addresses that answer without a key, wholly or for some methods; made of route templates."""

    def __init__(self, wholly: Iterable[str], partly: Iterable[str] = ()) -> None:
        wholly, partly = list(wholly), list(partly)
        self._exact = frozenset(path for path in wholly if "{" not in path)
        self._prefixes = tuple({path.partition("{")[0] for path in (*wholly, *partly) if path not in self._exact})

    def is_certain(self, path: str) -> bool:
        """Whether whatever answers at this address is open."""
        return path in self._exact

    def is_possible(self, path: str) -> bool:
        """Whether it may be open: the route's guard has the last word."""
        return path.startswith(self._prefixes)


class Edge:
    """An ASGI application around another."""

    def __init__(
        self,
        inner: ASGIApp,
        *,
        keyring: KeyRing,
        open_paths: OpenPaths,
        metrics: HttpMetrics,
        translations: Mapping[type[Exception], Translate],
    ) -> None:
        self._inner = inner
        self._keyring = keyring
        self._open = open_paths
        self._metrics = metrics
        self._translations = translations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        kind: str = scope["type"]
        if kind == "http":
            await self._serve(cast("HTTPScope", scope), receive, send)
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": 4404, "reason": "no websockets here"})
        else:
            await self._inner(scope, receive, send)

    async def _serve(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        started = timesource.monotonic()
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._admit(scope)
            await self._inner(scope, receive, watched)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a problem and the server lives
            refused = failures.refusal(error, self._translations)
            if not status:
                await answers.problem(refused)(scope, receive, watched)
        finally:
            route = scope.get("path_template") or _NOWHERE
            self._metrics.observe(scope["method"], route, status or _GONE, timesource.monotonic() - started)

    async def _admit(self, scope: HTTPScope) -> None:
        if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
            raise Refused(Kind.BAD_REQUEST, "the address holds a NUL character (%00), which no text may hold")
        if self._open.is_certain(scope["path"]):
            return
        authorization: bytes | None = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
        try:
            scope["user"] = await self._keyring.caller(authorization.decode("latin-1") if authorization else None)
        except Refused:
            if not self._open.is_possible(scope["path"]):
                raise
