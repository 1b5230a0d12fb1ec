"""The router's HTTP surface, put together."""

from collections.abc import Mapping, Sequence
from typing import Any

from litestar.handlers import HTTPRouteHandler
from prometheus_client import CollectorRegistry

from services.router.api import (
    calendars,
    dependencies,
    escalating,
    explain,
    keys,
    policies,
    reports,
    shadow,
    ticket_actions,
    ticket_events,
    tickets,
    trained,
)
from services.router.api.dependencies import Dependencies
from services.router.errors import IntakeFull, IntakeUnavailable
from shared.contract.problems import Kind, Refused
from shared.web.app import Title, build_app
from shared.web.edge import Edge
from shared.web.failures import Translate
from shared.web.health import Check

DESCRIPTION = (
    "Hand in tickets and tell what happened to them; ask who has one and by when it must be answered; "
    "say what is promised and who there is. Times are RFC 3339 with an offset."
)
ROUTES: Sequence[HTTPRouteHandler] = (
    tickets.create_ticket,
    tickets.create_tickets,
    tickets.get_ticket,
    tickets.list_tickets,
    ticket_events.add_event,
    ticket_actions.accept,
    ticket_actions.decline,
    ticket_actions.release,
    explain.explain_ticket,
    escalating.escalate,
    *policies.ROUTES,
    *shadow.ROUTES,
    *trained.ROUTES,
    calendars.preview_calendar,
    *reports.ROUTES,
    keys.create_key,
    keys.list_keys,
    keys.revoke_key,
)


def build_router_app(
    deps: Dependencies,
    *,
    registry: CollectorRegistry,
    checks: Mapping[str, Check],
    version: str,
    more_routes: Sequence[HTTPRouteHandler] = (),
    more_state: Mapping[str, object] | None = None,
    metrics_open: bool = False,
    docs_open: bool = False,
) -> Edge:
    """The ASGI application of the router; `more_routes` find what they need in `more_state`."""
    return build_app(
        title=Title(name="Deskclock router", version=version, description=DESCRIPTION),
        routes=[*ROUTES, *more_routes],
        keyring=deps.keyring,
        registry=registry,
        checks=checks,
        state={dependencies.STATE: deps, **(more_state or {})},
        translations=TRANSLATIONS,
        metrics_open=metrics_open,
        docs_open=docs_open,
    )


def _full(_: Any) -> Refused:
    return Refused(
        Kind.UNAVAILABLE,
        "more tickets arrive than can be stored: send it again after a second",
        headers={"retry-after": "1"},
    )


def _away(_: Any) -> Refused:
    return Refused(
        Kind.UNAVAILABLE,
        "the database does not answer: send it again in a few seconds, with the same ids it can't be stored twice",
        headers={"retry-after": "5"},
    )


TRANSLATIONS: Mapping[type[Exception], Translate] = {IntakeFull: _full, IntakeUnavailable: _away}
