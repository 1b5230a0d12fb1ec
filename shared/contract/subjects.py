"""NATS names: streams and subjects, spelled once."""

import re

TICKETS = "TICKETS"
SLA = "SLA"
DEAD = "DEAD"

TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""A tenant's name is one subject token, so it can neither hold a dot nor a wildcard."""


def ticket(tenant: str, kind: str) -> str:
    """Where a ticket event of `kind` (`opened`, `replied`, ...) is published."""
    return f"tickets.{tenant}.{kind}"


def sla(tenant: str, kind: str) -> str:
    """Where one of our own events of `kind` (`clock.breached`, `ticket.assigned`, ...) is published."""
    return f"sla.{tenant}.{kind}"


def dead(tenant: str) -> str:
    """Where a message that can't be used is kept, with its reason."""
    return f"dead.{tenant}"


def tenant_of(subject: str) -> str | None:
    """The tenant of `tickets.<tenant>.<kind>`, or None where the subject has another shape."""
    match subject.split(".", 2):
        case ["tickets", tenant, _] if TENANT.fullmatch(tenant):
            return tenant
        case _:
            return None
