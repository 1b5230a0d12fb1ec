"""Who may ask for what: the scopes of an API key and the caller they make."""

from enum import StrEnum

from msgspec import Struct


class Scope(StrEnum):
    """What a key allows; `admin` allows everything in its tenant."""

    TICKETS_WRITE = "tickets:write"
    TICKETS_READ = "tickets:read"
    AGENTS_WRITE = "agents:write"
    POLICY_WRITE = "policy:write"
    PAGES_ACK = "pages:ack"
    ON_CALL_WRITE = "on-call:write"
    METRICS_READ = "metrics:read"
    ADMIN = "admin"


class Caller(Struct, frozen=True, kw_only=True):
    """The one behind a request: a tenant's key. Nothing of another tenant is ever shown to it."""

    tenant: str
    key_id: str
    scopes: frozenset[str]
    """Kept as text: a scope of a newer version allows nothing here, and breaks nothing."""

    def may(self, *any_of: Scope) -> bool:
        """Whether the key has one of these scopes, or `admin`."""
        return Scope.ADMIN in self.scopes or not self.scopes.isdisjoint(any_of)
