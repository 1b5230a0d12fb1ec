"""The place of a ticket in the queue: which tickets come first, and who could take this one.

What can still be saved comes first, in the order of its latest start; what is late waits behind it by urgency, and comes
before everything once it is very late (routing-rules 3.3). The place is stored; only two known instants change it.
"""

import hashlib
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from functools import lru_cache
from typing import TypeAlias
from uuid import UUID

from msgspec import Struct

from shared.contract.tickets import Channel, Urgency
from shared.policy.document import ChannelRule

RESCUE_AFTER = 3
"""G of routing-rules 3.3: a ticket is rescued when it is later than this many lengths of its promise."""

WITHOUT_TARGET = timedelta(days=7)
"""A ticket nobody made a promise for is queued as if an answer were due so long after it was opened."""

AFFINITY_SHARE = 5
"""A ticket waits for its previous owner for one part in so many of the time in which it can still be saved."""

REPLY_EFFORT: dict[Channel, timedelta] = {
    Channel.EMAIL: timedelta(minutes=9),
    Channel.SOCIAL: timedelta(minutes=8),
    Channel.SELF_SERVICE: timedelta(minutes=8),
    Channel.OTHER: timedelta(minutes=9),
}
"""How long writing the answer takes, where answering isn't itself the response: the means of routing-rules 5."""

Needs: TypeAlias = tuple[tuple[str, int], ...]
"""Mandatory skills with the least level."""

Key: TypeAlias = tuple[int, int, datetime, datetime, int]
"""What orders the queue, smallest first; the last two break ties by age and id."""


class Band(IntEnum):
    """Rescue before savable before late."""

    RESCUE = 0
    SAVABLE = 1
    LATE = 2


class Reason(StrEnum):
    """Why a ticket still waits (routing-rules 3.6); `new` until a matching run has seen it."""

    NEW = "new"
    NO_SKILL = "no_skill"
    OFFLINE = "offline"
    FULL = "full"
    FRAGMENTED = "fragmented"
    EXCLUDED = "excluded"


class Waiting(Struct, frozen=True, kw_only=True):
    """What a matching run has to know of a ticket that waits for an owner."""

    ticket_id: UUID
    channel: Channel
    units: int
    interruptible: bool
    needs: Needs
    prefers: tuple[str, ...]
    signature: int
    """Tickets with the same one can be taken by the same people."""
    queued_at: datetime
    """When it was first queued; kept when it comes back, so that it doesn't lose its age."""
    band: Band
    order_rank: int
    order_at: datetime
    previous_owner: str | None = None
    affinity_until: datetime | None = None
    """Until then it waits for the previous owner, if they are there and only busy."""
    excluded: tuple[str, ...] = ()
    """Agents who must not get it: they declined it, or let an offer pass."""
    reason: Reason = Reason.NEW

    @property
    def key(self) -> Key:
        """Its place: smaller is sooner (routing-rules 3.3)."""
        return (self.band, self.order_rank, self.order_at, self.queued_at, self.ticket_id.int)


class QueueEntry(Waiting, frozen=True, kw_only=True):
    """One ticket that waits for an owner, whole: a row of the table `queued`."""

    tenant: str
    pool: str
    urgency_rank: int
    due_at: datetime
    latest_start_at: datetime
    """Whoever starts later than this can't answer in time."""
    rescue_at: datetime
    """After this it comes before everything that isn't."""


def place_in_queue(
    *,
    ticket_id: UUID,
    tenant: str,
    pool: str,
    channel: Channel,
    rule: ChannelRule,
    needs: Needs,
    prefers: tuple[str, ...],
    urgency: Urgency,
    queued_at: datetime,
    due_at: datetime | None,
    promised: timedelta | None,
    now: datetime,
    previous_owner: str | None = None,
    excluded: tuple[str, ...] = (),
) -> QueueEntry:
    """Queue a ticket whose response is due at `due_at`, `promised` after its clock started; None where none is owed.

    The latest start leaves the time to write an answer (`REPLY_EFFORT`), but never more than half of the promise, so
    that a short promise isn't given up at once.
    """
    if due_at is None:
        due_at = queued_at + WITHOUT_TARGET
        promised = WITHOUT_TARGET
    if promised is None:
        promised = max(due_at - queued_at, timedelta())
    latest_start_at = due_at - min(REPLY_EFFORT.get(channel, timedelta()), promised / 2)
    rescue_at = latest_start_at + RESCUE_AFTER * promised
    band, order_rank, order_at = _order(urgency, due_at, latest_start_at, rescue_at, now)
    return QueueEntry(
        ticket_id=ticket_id,
        tenant=tenant,
        pool=pool,
        channel=channel,
        units=rule.units,
        interruptible=rule.interruptible,
        needs=needs,
        prefers=prefers,
        signature=signature(channel, needs),
        urgency_rank=urgency.rank,
        queued_at=queued_at,
        due_at=due_at,
        latest_start_at=latest_start_at,
        rescue_at=rescue_at,
        band=band,
        order_rank=order_rank,
        order_at=order_at,
        previous_owner=previous_owner,
        affinity_until=_affinity_until(previous_owner, channel, latest_start_at, now),
        excluded=excluded,
    )


def _order(
    urgency: Urgency, due_at: datetime, latest_start_at: datetime, rescue_at: datetime, now: datetime
) -> tuple[Band, int, datetime]:
    """The stored part of the key; `advance_bands` in SQL moves it on when `latest_start_at` or `rescue_at` has passed."""
    if now <= latest_start_at:
        return Band.SAVABLE, 0, latest_start_at
    if now <= rescue_at:
        return Band.LATE, urgency.rank, due_at
    return Band.RESCUE, 0, due_at


def _affinity_until(
    previous_owner: str | None, channel: Channel, latest_start_at: datetime, now: datetime
) -> datetime | None:
    if previous_owner is None or channel is Channel.PHONE or latest_start_at <= now:
        return None
    return now + (latest_start_at - now) / AFFINITY_SHARE


@lru_cache(maxsize=4096)
def signature(channel: Channel, needs: Needs) -> int:
    """A number for (channel, needs) that every process and every version computes alike; 63 bits, so that SQL can hold it."""
    text = "\x1f".join([channel, *(f"{skill}\x1e{level}" for skill, level in sorted(needs))])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1
