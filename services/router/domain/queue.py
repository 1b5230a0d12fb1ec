"""The place of a ticket in the queue: which tickets come first, and who could take this one.

What can still be saved comes first, in the order of its latest start; what is late waits behind it by urgency, and comes
before everything once it is very late (routing-rules 3.3). The place is stored; only two known instants change it.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from functools import lru_cache
from typing import TypeAlias
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from shared.contract.tickets import Channel, Urgency
from shared.policy.document import TOO_SHORT_TO_INSIST, ChannelRule, Routing

WITHOUT_TARGET = timedelta(days=7)
"""A ticket nobody made a promise for is queued as if an answer were due so long after it was opened."""

REPLY_EFFORT: dict[Channel, timedelta] = {
    Channel.EMAIL: timedelta(minutes=14),
    Channel.SOCIAL: timedelta(minutes=12),
    Channel.SELF_SERVICE: timedelta(minutes=12),
    Channel.OTHER: timedelta(minutes=14),
}
"""In how long six of seven answers are written, where answering isn't itself the response: 1.55 times the means of
routing-rules 5, as handling times vary. docs/routing-benchmark.md says what it gains."""

Needs: TypeAlias = tuple[tuple[str, int], ...]
"""Mandatory skills with the least level."""

Groups: TypeAlias = tuple[tuple[str, ...], ...]
"""Preferred skills in groups, those that matter most first."""

Key: TypeAlias = tuple[int, int, datetime, datetime, int]
"""What orders the queue, smallest first; the last two break ties by age and id."""


_DEFAULTS = Routing()


class Band(IntEnum):
    """Rescue before savable before late."""

    RESCUE = 0
    SAVABLE = 1
    LATE = 2


class Reason(StrEnum):
    """Why a ticket still waits (routing-rules 3.6); `new` until a matching run has seen it.

    `no_skill` may be for the want of what is only insisted upon: then that is given up at once.
    """

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
    """With the skills that are insisted upon, at level 1."""
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
        """Its place among those of its signature: smaller is sooner (routing-rules 3.3)."""
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
    insists: Groups = ()
    """Preferred skills that count as needs for now; the last group is given up first. None of them is mandatory."""
    relax_at: tuple[datetime, ...] = ()
    """When the groups of `insists` are given up, ascending: the first instant is the last group's."""
    overflow_pool: str | None = None
    """Whose agents may take it, too, from `overflow_at` on."""
    overflow_at: datetime | None = None

    @property
    def mandatory(self) -> Needs:
        """What it needs when nothing is insisted upon any more."""
        if not self.insists:
            return self.needs
        insisted = {skill for group in self.insists for skill in group}
        return tuple(need for need in self.needs if need[0] not in insisted)


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
    insists: Groups = (),
    overflow: tuple[str, float] | None = None,
    routing: Routing = _DEFAULTS,
) -> QueueEntry:
    """Queue a ticket whose response is due at `due_at`, `promised` after its clock started; None where none is owed.

    The latest start leaves the time to write an answer (`REPLY_EFFORT`), but never more than half of the promise, so
    that a short promise isn't given up at once. `insists` are hard preference rings (routing-rules 3.5): they are needs
    until their shares of the promise, `routing.relax`, have passed, and only preferred from the start where the promise
    is shorter than `TOO_SHORT_TO_INSIST`. `overflow` is a pool and the share of the promise after which its agents may
    take the ticket, too.
    """
    if due_at is None:
        due_at = queued_at + WITHOUT_TARGET
        promised = WITHOUT_TARGET
    if promised is None:
        promised = max(due_at - queued_at, timedelta())
    latest_start_at = latest_start(channel, due_at, promised)
    rescue_at = latest_start_at + routing.rescue_after * promised
    band, order_rank, order_at = _order(urgency, due_at, latest_start_at, rescue_at, now, routing)
    groups = _without({skill for skill, _ in needs}, insists)
    shares = _shares(len(groups), routing.relax) if promised >= TOO_SHORT_TO_INSIST else ()
    entry = QueueEntry(
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
        affinity_until=_affinity_until(previous_owner, channel, latest_start_at, now, routing),
        excluded=excluded,
        overflow_pool=overflow[0] if overflow else None,
        overflow_at=due_at - (1 - overflow[1]) * promised if overflow else None,
    )
    if not groups:
        return entry
    return _insisting(entry, groups, tuple(due_at - (1 - share) * promised for share in shares), now)


def latest_start(channel: Channel, due_at: datetime, promised: timedelta) -> datetime:
    """Whoever begins later can't answer in time: the due time less the effort of an answer, or half the promise if that is less."""
    return due_at - min(REPLY_EFFORT.get(channel, timedelta()), promised / 2)


def relaxed(entry: QueueEntry, now: datetime) -> QueueEntry:
    """The entry with the groups given up whose instant has come: what they ask for is preferred, not needed.

    Whoever may have it may have it afterwards, too (P10). The same object where no instant has come.
    """
    if not entry.relax_at or now < entry.relax_at[0]:
        return entry
    return _insisting(replace(entry, needs=entry.mandatory), entry.insists, entry.relax_at, now)


def _insisting(entry: QueueEntry, groups: Groups, relax_at: tuple[datetime, ...], now: datetime) -> QueueEntry:
    """An entry that has its mandatory needs, with as many of the groups added to them as are not given up by `now`.

    Without instants (`relax_at` is empty) all are given up.
    """
    later = tuple(at for at in relax_at if now < at)
    kept, given_up = groups[: len(later)], groups[len(later) :]
    insisted = [(skill, 1) for group in kept for skill in group]
    needs = tuple(sorted([*entry.needs, *insisted]))
    wished = dict.fromkeys([*(skill for group in given_up for skill in group), *entry.prefers])
    return replace(
        entry,
        needs=needs,
        prefers=tuple(skill for skill in wished if (skill, 1) not in insisted),
        signature=signature(entry.channel, needs),
        insists=kept,
        relax_at=later,
    )


def _without(mandatory: set[str], insists: Groups) -> Groups:
    """The groups without what is asked for anyway, so that giving one up never gives up a need or an earlier group."""
    seen = set(mandatory)
    groups = []
    for group in insists:
        rest = tuple(skill for skill in dict.fromkeys(group) if skill not in seen)
        seen.update(rest)
        if rest:
            groups.append(rest)
    return tuple(groups)


def _shares(groups: int, relax: tuple[float, ...]) -> Iterable[float]:
    """When each of so many groups is given up, ascending; groups beyond the number of shares go with the last of these."""
    return [relax[min(n, len(relax) - 1)] for n in range(groups)] if relax else ()


def _order(
    urgency: Urgency, due_at: datetime, latest_start_at: datetime, rescue_at: datetime, now: datetime, routing: Routing
) -> tuple[Band, int, datetime]:
    """The stored part of the key; `advance_bands` in SQL moves it on when `latest_start_at` or `rescue_at` has passed."""
    if now <= latest_start_at:
        return Band.SAVABLE, urgency.rank if routing.strict_priority else 0, latest_start_at
    if now <= rescue_at:
        return Band.LATE, urgency.rank, due_at
    return Band.RESCUE, 0, rescue_at


def _affinity_until(
    previous_owner: str | None, channel: Channel, latest_start_at: datetime, now: datetime, routing: Routing
) -> datetime | None:
    if previous_owner is None or channel is Channel.PHONE or latest_start_at <= now:
        return None
    return now + routing.affinity_wait * (latest_start_at - now)


@lru_cache(maxsize=4096)
def signature(channel: Channel, needs: Needs) -> int:
    """A number for (channel, needs) that every process and every version computes alike; 63 bits, so that SQL can hold it."""
    text = "\x1f".join([channel, *(f"{skill}\x1e{level}" for skill, level in sorted(needs))])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1
