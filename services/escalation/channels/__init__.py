"""One small protocol for every way to page somebody; each provider is one file beside this one."""

from datetime import timedelta
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from services.escalation.domain.ladder import Kind
from services.escalation.domain.notice import Facts
from services.escalation.domain.retry import Outcome


class Capabilities(Struct, frozen=True, kw_only=True):
    """What delivery has to know of a channel."""

    is_keyed: bool
    """The provider drops a page whose id it already has, so an unknown result is retried freely (R36)."""
    concurrency: int
    """Pages in flight at once; a slow provider holds nobody but its own."""
    timeout: timedelta
    """When an attempt is given up without an answer."""


class Page(Struct, frozen=True, kw_only=True):
    """What a channel is given."""

    id: UUID
    """The provider's key for this page, whatever the attempt."""
    kind: Kind
    address: str
    secret: str
    """A reference: `env:NAME` or `file:/path`."""
    recipient: str
    person: str | None
    facts: Facts
    text: str
    """The whole page as plain text, link included."""
    link: str
    """Empty where there is nothing to acknowledge."""


class Channel(Protocol):
    """A way to page somebody."""

    @property
    def name(self) -> str:
        """The `method` of a contact."""

    @property
    def capabilities(self) -> Capabilities:
        """What delivery has to know."""

    async def send(self, page: Page) -> Outcome:
        """Try once; every failure is an outcome, never an exception."""

    async def close(self) -> None:
        """Let go of connections."""
