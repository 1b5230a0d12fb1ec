"""The HTTP surface of a service: its routes inside Litestar, and the edge around that.

`build_app` is the only way in: it adds health, metrics and the API's own description, and refuses routes that do not say
who may call them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from litestar import Litestar, get
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import Struct
from prometheus_client import CollectorRegistry

from shared.contract.access import Caller
from shared.contract.problems import Kind, Refused
from shared.web import answers, failures, health, openapi, reference
from shared.web.bodies import LARGEST_BODY, Call
from shared.web.edge import Edge, HttpMetrics, OpenPaths
from shared.web.failures import Translate
from shared.web.health import Check
from shared.web.keyring import KeyRing, no_key
from shared.web.operations import Operation, operation, operation_of


class Title(Struct, frozen=True, kw_only=True):
    """What the API's description says of the service."""

    name: str
    version: str
    description: str


def build_app(
    *,
    title: Title,
    routes: Sequence[HTTPRouteHandler],
    keyring: KeyRing,
    registry: CollectorRegistry,
    checks: Mapping[str, Check],
    notes: Mapping[str, Check] | None = None,
    state: Mapping[str, object] | None = None,
    translations: Mapping[type[Exception], Translate] | None = None,
    metrics_open: bool = False,
    docs_open: bool = False,
) -> Edge:
    """The ASGI application of a service.

    `state` is what handlers find in `request.app.state`; `translations` says how the service's own exceptions are
    answered; `notes` are shown beside the checks of readiness and decide nothing. `/metrics` and the API's description
    need a key unless they are said to be open.
    """
    translations = translations or {}
    litestar = Litestar(
        route_handlers=[
            *routes,
            *health.routes(checks, registry, notes=notes, metrics_open=metrics_open),
            *_description_routes(title, is_open=docs_open),
        ],
        middleware=[_allowed],
        exception_handlers=failures.handlers(translations),
        state=State(dict(state or {})),
        request_max_body_size=LARGEST_BODY,
        openapi_config=None,
        logging_config=None,
    )
    undeclared = [
        f"{method} {route.path_format}"
        for route in _http_routes(litestar)
        for handler in route.route_handlers
        for method in handler.http_methods
        if method != "OPTIONS" and operation_of(handler) is None
    ]
    if undeclared:
        raise ValueError(f"say who may call {', '.join(undeclared)}: `opt=operation(...)`")
    return Edge(
        litestar,
        keyring=keyring,
        open_paths=_open_paths(_http_routes(litestar)),
        metrics=HttpMetrics(registry),
        translations=translations,
    )


def _allowed(app: ASGIApp) -> ASGIApp:
    """Middleware, not a guard: the framework copies the whole route for each guarded request."""

    async def check(scope: Scope, receive: Receive, send: Send) -> None:
        require_scopes(scope.get("user"), operation_of(scope["route_handler"]))
        await app(scope, receive, send)

    return check


def require_scopes(caller: object, declared: Operation | None) -> None:
    """Raise `Refused` (401 or 403) unless this caller may do what the route declared; undeclared is OPTIONS."""
    if declared is not None and declared.scopes is None:
        return
    if not isinstance(caller, Caller):
        raise no_key("send one as `Authorization: Bearer dc_...`")
    if declared is not None and declared.scopes and not caller.may(*declared.scopes):
        wanted = " or ".join(declared.scopes)
        had = ", ".join(sorted(caller.scopes)) or "none"
        raise Refused(Kind.FORBIDDEN, f"this takes a key with the scope {wanted}; this one has {had}")


def _open_paths(routes: list[HTTPRoute]) -> OpenPaths:
    wholly, partly = [], []
    for route in routes:
        declared = [operation_of(handler) for handler in route.route_handlers]
        is_open = [found.scopes is None for found in declared if found is not None]
        if all(is_open):
            wholly.append(route.path_format)
        elif any(is_open):
            partly.append(route.path_format)
    return OpenPaths(wholly, partly)


def _http_routes(litestar: Litestar) -> list[HTTPRoute]:
    return [route for route in litestar.routes if isinstance(route, HTTPRoute)]


def _description_routes(title: Title, *, is_open: bool) -> list[HTTPRouteHandler]:
    made: dict[str, bytes] = {}

    def description(litestar: Litestar, form: str) -> bytes:
        if form not in made:
            told = openapi.document(
                _http_routes(litestar), title=title.name, version=title.version, description=title.description
            )
            if form == "json":
                made[form] = answers.encode(told)
            elif form == "yaml":
                made[form] = yaml.safe_dump(told, sort_keys=False, allow_unicode=True).encode()
            else:
                made[form] = reference.page(told).encode()
        return made[form]

    @get("/openapi.json", opt=operation(is_open=is_open, gives={200: Any}))
    async def openapi_json(request: Call) -> ASGIResponse:
        """This description as JSON."""
        return answers.text(description(request.app, "json"), "application/json")

    @get("/openapi.yaml", opt=operation(is_open=is_open, gives={200: str}, gives_text="application/yaml"))
    async def openapi_yaml(request: Call) -> ASGIResponse:
        """This description as YAML."""
        return answers.text(description(request.app, "yaml"), "application/yaml")

    @get("/docs", opt=operation(is_open=is_open, gives={200: str}, gives_text="text/html"))
    async def docs(request: Call) -> ASGIResponse:
        """This description as a page to read and try, without anything from elsewhere."""
        return answers.text(
            description(request.app, "html"), "text/html", {"content-security-policy": reference.CONTENT_POLICY}
        )

    return [openapi_json, openapi_yaml, docs]
