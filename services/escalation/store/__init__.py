"""Escalations, pages and answers in SQL: the only callers of this service's queries."""

from datetime import datetime

from msgspec import Struct

from shared.postgres import queries

QUERIES = queries.load("services.escalation.sql")


class Pulse(Struct, frozen=True, kw_only=True):
    """How things stand before a tick of a loop."""

    now: datetime
    """The time that decides."""
    rate: float
    """Seconds of it that pass in one real second."""
    due_at: datetime | None
    """When the first row is due; None where there is none."""


class ClockPulse(Pulse, frozen=True, kw_only=True):
    """The same for firing, which watches the server's clock too."""

    server_at: datetime
    """The server's own clock, never warped."""
