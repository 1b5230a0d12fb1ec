"""One small protocol for every way to page somebody; each provider is one file beside this one."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from services.escalation.domain.ladder import Kind
from services.escalation.domain.notice import Facts
from services.escalation.domain.retry import Outcome
from shared.policy.document import Contact


class Capabilities(Struct, frozen=True, kw_only=True):
    """What delivery has to know of a channel."""

    is_keyed: bool
    """The provider drops a page whose id it already has, so an unknown result is retried freely (R36)."""
    concurrency: int
    """Pages in flight at once; a slow provider holds nobody but its own."""
    timeout: timedelta
    """When an attempt is given up without an answer."""
    per_account: int = 10
    """Of those in flight, so many of one account of the provider: one that hangs leaves room for the others."""
    per_second: float = 10.0
    """Pages a second, of one tenant through one account (R29)."""
    burst: float = 50.0
    has_receipts: bool = False
    """The provider says later whether it was delivered; where it doesn't, another way is tried (section 2)."""
    is_informational: bool = False
    """Only for copies: what it takes never counts as somebody having been paged."""


class Closed(Struct, frozen=True, kw_only=True):
    """A page that a `resolve` makes moot."""

    id: UUID
    provider_id: str | None


class Page(Struct, frozen=True, kw_only=True):
    """What a channel is given."""

    id: UUID
    """The provider's key for this page, whatever the attempt."""
    kind: Kind
    address: str
    secret: str
    """A reference: `env:DESKCLOCK_SECRET_NAME` or `file:NAME`."""
    options: Mapping[str, str] = {}
    """What else the contact says."""
    urgency: str = "normal"
    attempt: int = 1
    claimed_at: datetime | None = None
    """When this attempt began, by the database server's clock: this host's may be wrong (R33)."""
    closes: tuple[Closed, ...] = ()
    """Of a `resolve`: what was sent, and is moot."""
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

    def account(self, contact: Contact) -> str:
        """The provider's account that a page to this contact goes by; never a secret itself."""

    async def send(self, page: Page) -> Outcome:
        """Try once; every failure is an outcome, never an exception."""

    async def close(self) -> None:
        """Let go of connections."""
