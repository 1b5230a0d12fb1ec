"""What is stored of a ticket beside its log: the fold's last word, for whoever looks it up."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct


class Ticket(Struct, frozen=True, kw_only=True):
    """A row of `ticket`: what the fold last said, for whoever looks a ticket up."""

    id: UUID
    tenant: str
    source: str
    external_id: str
    status: str
    opened_at: datetime | None
    solved_at: datetime | None
    channel: str | None
    urgency: str | None
    theme: str | None
    language: str | None
    subject: str | None
    requester_key: str | None
    requester_tier: str | None
    team: str | None = None
    """Whom the helpdesk last handed it to."""
    matched: str | None
    needs: bytes
    """JSON: `[["billing", 1], ...]`."""
    prefers: Sequence[str]
    insists: bytes = b"[]"
    """JSON: groups of preferred skills that are needed for a while, `[["vip"], ...]`."""
    rules: Sequence[str]
    pool: str
    policy_version: int
