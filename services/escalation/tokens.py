"""The token in a page's link: it proves that whoever uses it got that page (R11).

It is made from the page's id with a secret key, so a repeated attempt carries the same link; the database has only its hash.
"""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from uuid import NAMESPACE_OID, UUID, uuid5

from msgspec import Struct

from shared.policy.document import Contact

_PAGES = uuid5(NAMESPACE_OID, "deskclock page")
_ALARMS = uuid5(NAMESPACE_OID, "deskclock alarm")
ALARM_QUIET_FOR = timedelta(minutes=10)
"""Somebody is alarmed about the same thing no more often than this."""


class Tokens(Struct, frozen=True):
    """Makes tokens and links."""

    key: bytes
    link_base: str

    def token(self, page_id: UUID) -> str:
        """The token of a page."""
        made = hmac.new(self.key, page_id.bytes, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(made).decode().rstrip("=")

    def link(self, page_id: UUID) -> str:
        """Where the page is acknowledged."""
        return f"{self.link_base}/v1/ack/{self.token(page_id)}"


def digest(token: str) -> bytes:
    """The form in which the database keeps a token."""
    return hashlib.sha256(token.encode()).digest()


def page_id(*, escalation: UUID, generation: int, kind: str, loop: int, step: int, who: str, way: str) -> UUID:
    """The id of a page, the same whoever computes it (R34); `way` is how the person is reached."""
    return uuid5(_PAGES, "\x1f".join((str(escalation), str(generation), kind, str(loop), str(step), who, way)))


def alarm_id(*, tenant: str, about: str, who: str, way: str, now: datetime) -> UUID:
    """The id of an alarm, the same for all about the same thing within `ALARM_QUIET_FOR`: only the first is stored."""
    window = int(now.timestamp() // ALARM_QUIET_FOR.total_seconds())
    return uuid5(_ALARMS, "\x1f".join((tenant, about, who, way, str(window))))


def later(alarm: UUID) -> UUID:
    """The id of the alarm that tells of all that followed one for a while."""
    return uuid5(_ALARMS, f"{alarm}\x1flater")


def alarms_again_at(now: datetime) -> datetime:
    """When the next alarm about the same thing may be stored."""
    window = int(now.timestamp() // ALARM_QUIET_FOR.total_seconds())
    return datetime.fromtimestamp(0, UTC) + (window + 1) * ALARM_QUIET_FOR


def way(contact: Contact) -> str:
    """How a person is reached, as part of a page's id."""
    return f"{contact.method}\x1f{contact.address}"
