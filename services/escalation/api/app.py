"""Escalation's HTTP surface, put together."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry

from services.escalation.api import (
    ack,
    answering,
    dependencies,
    escalations,
    on_call,
    overrides,
    pages,
    raising,
    receipts,
    reports,
    trying,
)
from services.escalation.api.dependencies import Dependencies
from shared.web.app import Title, build_app
from shared.web.edge import Edge
from shared.web.health import Check

DESCRIPTION = "Which promises are about to break or broke, who was paged, and who takes care of it."
ROUTES = (
    escalations.list_escalations,
    escalations.get_escalation,
    answering.acknowledge,
    answering.snooze,
    answering.hand_back,
    raising.send_up,
    pages.list_pages,
    pages.get_page,
    trying.try_recipient,
    trying.replay_page,
    receipts.take_twilio_receipt,
    reports.report_paging,
    ack.show_acknowledgement,
    ack.acknowledge_page,
    on_call.list_on_call,
    on_call.list_gaps,
    on_call.get_on_call,
    overrides.list_overrides,
    overrides.make_override,
    overrides.withdraw_override,
)


def build_escalation_app(
    deps: Dependencies,
    *,
    registry: CollectorRegistry,
    checks: Mapping[str, Check],
    notes: Mapping[str, Check] | None = None,
    version: str,
    metrics_open: bool = False,
    docs_open: bool = False,
) -> Edge:
    """The ASGI application of escalation."""
    return build_app(
        title=Title(name="Deskclock escalation", version=version, description=DESCRIPTION),
        routes=ROUTES,
        keyring=deps.keyring,
        registry=registry,
        checks=checks,
        notes=notes,
        state={dependencies.STATE: deps},
        metrics_open=metrics_open,
        docs_open=docs_open,
    )
