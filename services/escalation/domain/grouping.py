"""Which pages are told together (R27), and which come so late that they are told as a digest (R4, R30).

A group has a key: recipient, urgency, step. Its first page goes at once and the others join it; a digest has no first page.
Pure: the store keeps groups, this says what joins which and under which number.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import inf
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from services.escalation.domain.ladder import Kind
from shared.contract.tickets import Urgency
from shared.policy.document import Paging

DIGEST = "digest"
_GROUPED = frozenset({Kind.WARNING, Kind.PAGE})


class Key(Struct, frozen=True, order=True, kw_only=True):
    """What the pages of a group have in common."""

    tenant: str
    who: str
    kind: str
    urgency: str
    step: int


class Joining(Struct, frozen=True, kw_only=True):
    """So many pages join the group of a key, or open it."""

    id: UUID
    """Of the group, if it is opened."""
    key: Key
    recipient: str
    person: str | None
    pages: int
    window: timedelta
    settle: timedelta


class Groupable(Protocol):
    """A page, as far as it may join a group."""

    @property
    def tenant(self) -> str: ...  # noqa: D102 - the fields of a page
    @property
    def kind(self) -> Kind: ...  # noqa: D102 - the fields of a page
    @property
    def urgency(self) -> str: ...  # noqa: D102 - the fields of a page
    @property
    def step(self) -> int: ...  # noqa: D102 - the fields of a page
    @property
    def recipient(self) -> str: ...  # noqa: D102 - the fields of a page
    @property
    def person(self) -> str | None: ...  # noqa: D102 - the fields of a page
    @property
    def due_at(self) -> datetime: ...  # noqa: D102 - the fields of a page
    @property
    def quiet_until(self) -> datetime | None: ...  # noqa: D102 - the fields of a page
    @property
    def is_by_hand(self) -> bool: ...  # noqa: D102 - the fields of a page


def key_of(page: Groupable, paging: Paging, now: datetime) -> Key | None:
    """The key of the group that a new page belongs to; None where it stands alone.

    No window groups nothing; what waits for the end of quiet hours joins nothing before, and what somebody wants by hand
    goes by itself.
    """
    if page.kind not in _GROUPED or page.quiet_until is not None or page.is_by_hand or not paging.window:
        return None
    who = page.person or page.recipient
    if now - page.due_at > paging.digest_after:
        return digest_key(page.tenant, who)
    return Key(tenant=page.tenant, who=who, kind=page.kind, urgency=page.urgency, step=page.step)


def told_with_others_at(page: Groupable, paging: Paging) -> datetime | None:
    """When a page that stands alone is told in a digest: what waits for the end of quiet hours, with all that gathered (R30)."""
    return page.quiet_until if page.kind in _GROUPED and paging.window else None


def digest_key(tenant: str, who: str) -> Key:
    """The key of somebody's digest."""
    return Key(tenant=tenant, who=who, kind=DIGEST, urgency="", step=0)


def goes_at_once(key: Key, number: int) -> bool:
    """Whether the page of this number is sent itself: the first of a group, unless it is a digest."""
    return number == 1 and key.kind != DIGEST


def worst_first(dues: Sequence[tuple[str, datetime | None]]) -> list[int]:
    """Indexes of (urgency, due time): the most urgent first, then what is late longest."""

    def badness(index: int) -> tuple[int, float]:
        urgency, due_at = dues[index]
        return Urgency(urgency).rank, due_at.timestamp() if due_at else inf

    return sorted(range(len(dues)), key=badness)
