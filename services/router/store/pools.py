"""The SQL of a matching run: what waits in a pool, who could take it, and what the run decided.

The run holds the pool's lock, locks agents in the order of their keys, and never waits for a queue row.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from uuid import UUID

import msgspec
from msgspec import Struct

from services.router.domain.match import Choice
from services.router.domain.queue import Band, Needs, Reason, Waiting
from services.router.domain.roster import Agent, Profile
from services.router.domain.tenure import Start, begin
from services.router.domain.tenure import Terms as TenureTerms
from services.router.domain.tour import BEFORE_ALL
from services.router.store import QUERIES
from shared import ids
from shared.contract.tickets import Channel
from shared.postgres.pool import Connection, Record

_ASSIGNMENT = (
    "id", "tenant", "ticket_id", "agent", "pool", "channel", "units", "interruptible", "assigned_at", "accepted_at",
    "queued_at", "excluded", "was_cleared", "state", "offered_until", "act_by", "park_at",
)  # fmt: skip
_STAMP_STEP = timedelta(microseconds=1)
_decode_needs = msgspec.json.Decoder(tuple[tuple[str, int], ...]).decode
_decode_skills = msgspec.json.Decoder(dict[str, int]).decode
_decode_ceilings = msgspec.json.Decoder(dict[Channel, int]).decode
_CHANNELS = {channel.value: channel for channel in Channel}
_REASONS = {reason.value: reason for reason in Reason}
_BANDS = {band.value: band for band in Band}


class Opening(Struct, frozen=True, kw_only=True):
    """What a run sees when it has come in; `free` in units on agents who are online and not on the phone."""

    is_mine: bool
    """False: another process matches this pool just now."""
    now: datetime
    dirty: int
    has_waiting: bool | None
    has_guests: bool | None
    """Tickets of other pools wait that may be taken here by now."""
    has_new: bool | None
    next_late_at: datetime | None
    next_rescue_at: datetime | None
    next_relax_at: datetime | None
    next_overflow_at: datetime | None
    real_time: int
    interruptible: int
    at_once: int

    @property
    def has_timers(self) -> bool:
        """A ticket has to change its band."""
        late, rescue = self.next_late_at, self.next_rescue_at
        return (late is not None and late < self.now) or (rescue is not None and rescue < self.now)

    @property
    def has_widening(self) -> bool:
        """A ticket is to be taken by more people from now on."""
        return any(at is not None and at <= self.now for at in (self.next_relax_at, self.next_overflow_at))


class Given(Struct, frozen=True):
    """A ticket that an agent was really given."""

    choice: Choice
    source: str
    external_id: str
    is_asked: bool = False
    """Help may have been asked for."""
    was_cleared: bool = False
    """All had declined, and were asked once more."""
    is_guest: bool = False
    """It waited in another pool, too long for that one alone."""
    is_promised: bool = True
    """The policy promises something to its customer."""
    offered_until: datetime | None = None
    """It is only offered, until then; None: the agent owns it."""


class Judged(Struct, frozen=True, kw_only=True):
    """A ticket that nobody can take, once it was found out why."""

    ticket_id: UUID
    source: str
    external_id: str
    channel: Channel
    needs: Needs
    reason: Reason
    """Why it waits from now on."""
    latest_start_at: datetime
    was_cleared: bool
    """All had declined before, and were asked once more."""
    declined: int
    """How many don't get it again: they declined it, let it lapse, gave it back or didn't touch it."""
    is_asked: bool
    """Help was asked for before."""


class Verdict(Struct, frozen=True):
    """Why tickets of one kind wait."""

    signature: int
    units: int
    interruptible: bool
    reason: Reason


class Terms(Struct, frozen=True, kw_only=True):
    """What a policy says of work that a matching run has to know."""

    at_once: frozenset[Channel] = frozenset()
    """Channels with `bind: on_arrival`."""
    least_real_time: int = 1
    """Units of the smallest piece of real-time work."""
    least_interruptible: int = 1
    fallback: str | None = None
    """Who gets what nobody on the roster has the skills for."""
    at_most: tuple[tuple[Channel, int], ...] = ()
    """Tickets of a channel that an agent has at a time, unless the roster says otherwise of them."""
    offers: Mapping[Channel, timedelta] = {}
    """Channels whose tickets an agent has to accept, and how long they are asked."""
    parks: Mapping[Channel, timedelta] = {}
    """Channels whose tickets are parked, and after how long a silence."""
    first_action: float | None = None
    """The share of the slack within which an agent does something with interruptible work."""


async def open_run(connection: Connection, tenant: str, pool: str, terms: Terms) -> Opening:
    """Try to take the pool's lock for this transaction, and look whether there is work."""
    [row] = await connection.fetch(
        QUERIES["open_run"], tenant, pool, _lock_id(tenant, pool), terms.least_real_time, terms.least_interruptible
    )
    return msgspec.convert(row, Opening, from_attributes=True)


@lru_cache(maxsize=1024)
def _lock_id(tenant: str, pool: str) -> int:
    digest = hashlib.blake2b(f"pool\x1f{tenant}\x1f{pool}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


async def mark_dirty(connection: Connection, tenant: str, pool: str) -> None:
    """Tell who holds the pool to run again."""
    await connection.execute(QUERIES["mark_dirty"], tenant, pool)


async def load_dirty(connection: Connection, tenant: str, pool: str) -> int:
    """How often somebody found the pool locked."""
    dirty: int = await connection.fetchval(QUERIES["load_dirty"], tenant, pool)
    return dirty


async def advance_bands(connection: Connection, tenant: str, pool: str, now: datetime, limit: int) -> int:
    """Move on tickets that became late, or lost enough to be rescued; up to `limit` of each. Returns how many moved."""
    return len(await connection.fetch(QUERIES["advance_bands"], tenant, pool, now, limit))


class Extent(Struct, frozen=True, kw_only=True):
    """How much of a queue to read."""

    real_time: int
    """Tickets of a signature of real-time work at most."""
    interruptible: int
    """The same for interruptible work."""
    total: int
    """Tickets in all at most, but for `least` of each signature."""
    least: int
    after: int = BEFORE_ALL
    """Only signatures greater than this."""
    signatures: int
    """So many signatures at most."""


class Heads(Struct, frozen=True, kw_only=True):
    """The first tickets of each signature."""

    tickets: list[Waiting]
    ends: list[Waiting]
    """Of these the last ones of signatures that have more."""
    following: int | None
    """The last signature that was read, where there may be more after it."""
    guests: frozenset[UUID] = frozenset()
    """Of the tickets those of other pools."""

    def and_guests(self, guests: "Heads") -> "Heads":
        """Together with tickets of other pools that may be taken here, too."""
        stops = [following for following in (self.following, guests.following) if following is not None]
        return Heads(
            tickets=self.tickets + guests.tickets,
            ends=self.ends + guests.ends,
            following=min(stops, default=None),
            guests=frozenset(ticket.ticket_id for ticket in guests.tickets),
        )


async def load_heads(
    connection: Connection, tenant: str, pool: str, extent: Extent, *, of_guests: bool = False
) -> Heads:
    """The first tickets of each signature; `of_guests`: of what waits in other pools and may be taken here by now."""
    found = await connection.fetch(
        QUERIES["load_guest_heads" if of_guests else "load_heads"],
        tenant,
        pool,
        extent.real_time,
        extent.interruptible,
        extent.total,
        extent.least,
        extent.after,
        extent.signatures,
    )
    tickets: list[Waiting] = []
    ends: list[Waiting] = []
    signature, count = None, 0
    for row in found:  # the rows of a signature come together, in the order of the queue
        if row["ticket_id"] is None:
            continue
        if row["signature"] != signature:
            signature, count = row["signature"], 0
        count += 1
        if count > row["depth"]:
            ends.append(tickets[-1])
        else:
            tickets.append(_waiting(row))
    return Heads(tickets=tickets, ends=ends, following=found[0]["following"] if found else None)


async def load_new(connection: Connection, tenant: str, pool: str, limit: int) -> list[Waiting]:
    """Tickets that no run has judged yet."""
    return [_waiting(row) for row in await connection.fetch(QUERIES["load_new"], tenant, pool, limit)]


def _waiting(row: Record) -> Waiting:
    (
        ticket_id, channel, units, interruptible, needs, prefers, signature, queued_at, band, order_rank, order_at,
        previous_owner, affinity_until, excluded, reason,
    ) = tuple(row)[:15]  # fmt: skip
    return Waiting(
        ticket_id=ticket_id,
        channel=_CHANNELS[channel],
        units=units,
        interruptible=interruptible,
        needs=_needs(needs),
        prefers=tuple(prefers),
        signature=signature,
        queued_at=queued_at,
        band=_BANDS[band],
        order_rank=order_rank,
        order_at=order_at,
        previous_owner=previous_owner,
        affinity_until=affinity_until,
        excluded=tuple(excluded),
        reason=_REASONS[reason],
    )


@lru_cache(maxsize=4096)
def _needs(stored: bytes) -> Needs:
    return _decode_needs(stored)


async def load_desks(connection: Connection, tenant: str, pool: str, terms: Terms) -> list[Agent]:
    """Everybody who works tickets of a pool; those who may get some now are locked, with what they have where a ceiling holds.

    Those without free capacity are locked only where a channel is bound on arrival.
    """
    rows = await connection.fetch(QUERIES["load_desks"], tenant, pool, bool(terms.at_once))
    ceilings = [_ceilings(row["at_most"], terms.at_most) for row in rows]
    bounded = {channel for at_most in ceilings for channel in at_most}
    # by another statement than the lock, so that it sees what was given while this run waited for it
    counts = await connection.fetch(QUERIES["count_held"], tenant, list(bounded)) if bounded else []
    held: dict[str, dict[Channel, int]] = {}
    for agent, channel, tickets in counts:
        held.setdefault(agent, {})[_CHANNELS[channel]] = tickets
    return [_agent(row, at_most, held.get(row["key"], {})) for row, at_most in zip(rows, ceilings, strict=True)]


def to_agents(rows: Sequence[Record]) -> list[Agent]:
    """Rows as `load_desks` has them, without ceilings: to judge by."""
    return [_agent(row, {}, {}) for row in rows]


def _agent(row: Record, at_most: Mapping[Channel, int], held: Mapping[Channel, int]) -> Agent:
    key, skills, channels, capacity, is_held, is_online, primary_used, interruptible_used, calls, last, closed = (
        row[column] for column in range(11)
    )
    if not is_held:  # they had no room when the lock was tried: not to be given anything, whatever older numbers say
        primary_used, interruptible_used = max(primary_used, capacity), max(interruptible_used, capacity)
    return Agent(
        key=key,
        profile=_profile(skills, tuple(channels)),
        capacity=capacity,
        is_online=is_online,
        primary_used=primary_used,
        interruptible_used=interruptible_used,
        calls=calls,
        last_assigned_at=last,
        closed_channels=frozenset(closed),
        at_most=at_most,
        held=held,
    )


@lru_cache(maxsize=4096)
def _ceilings(own: bytes, usual: tuple[tuple[Channel, int], ...]) -> Mapping[Channel, int]:
    """By channel; what the roster says of the agent goes before what the policy says of all."""
    return {**dict(usual), **_decode_ceilings(own)}


@lru_cache(maxsize=8192)
def _profile(skills: bytes, channels: tuple[str, ...]) -> Profile:
    return Profile(skills=_decode_skills(skills), channels=frozenset(channels))


async def assign(
    connection: Connection,
    tenant: str,
    pool: str,
    chosen: Sequence[Choice],
    agents: Sequence[Agent],
    terms: Terms,
    now: datetime,
) -> list[Given]:
    """Give or offer tickets to agents; returns those that were still there to be given, in the order of `chosen`.

    Agents' `last_assigned_at` keeps the order within the run, so that the next run goes on with whose turn it is.
    """
    tickets = [choice.ticket for choice in chosen]
    rows = await connection.fetch(
        QUERIES["take"],
        tenant,
        pool,
        [ticket.ticket_id for ticket in tickets],
        [choice.agent for choice in chosen],
        [ticket.signature for ticket in tickets],
        [ticket.units for ticket in tickets],
        [ticket.interruptible for ticket in tickets],
        now,
    )
    taken = {row["id"]: row for row in rows}
    given = [
        _given(choice, taken[choice.ticket.ticket_id], terms, now)
        for choice in chosen
        if choice.ticket.ticket_id in taken
    ]
    if given:
        await _insert(connection, tenant, pool, given, terms, now)
        first = max([now, *(agent.last_assigned_at for agent in agents if agent.last_assigned_at is not None)])
        await _add_loads(connection, tenant, [one.choice for one in given], first)
    return given


def _given(choice: Choice, row: Record, terms: Terms, now: datetime) -> Given:
    offer = terms.offers.get(choice.ticket.channel)
    return Given(
        choice,
        row["source"],
        row["external_id"],
        row["is_asked"],
        row["was_cleared"],
        row["is_guest"],
        row["is_promised"],
        None if offer is None else now + offer,
    )


async def _insert(
    connection: Connection, tenant: str, pool: str, given: Sequence[Given], terms: Terms, now: datetime
) -> None:
    records = []
    for one in given:
        ticket, start = one.choice.ticket, _start(one, terms, now)
        records.append(
            (
                ids.uuid7(now), tenant, ticket.ticket_id, one.choice.agent, pool, ticket.channel, ticket.units,
                ticket.interruptible, now, start.accepted_at, ticket.queued_at, ticket.excluded, one.was_cleared,
                start.state, start.offered_until, start.act_by, start.park_at,
            )
        )  # fmt: skip
    await connection.copy_records_to_table("assignment", records=records, columns=_ASSIGNMENT)


def _start(one: Given, terms: Terms, now: datetime) -> Start:
    """A ticket that is late already, or to which nothing is promised, leaves no slack to act in."""
    ticket = one.choice.ticket
    start_by = ticket.order_at if one.is_promised and ticket.band is Band.SAVABLE else None
    return begin(
        ticket.channel,
        terms.offers.get(ticket.channel),
        TenureTerms(first_action=terms.first_action, park=terms.parks.get(ticket.channel), start_by=start_by),
        now,
        is_interruptible=ticket.interruptible,
    )


async def _add_loads(connection: Connection, tenant: str, given: Sequence[Choice], first: datetime) -> None:
    loads: dict[str, list[int]] = {}
    stamps: dict[str, datetime] = {}
    for turn, choice in enumerate(given, start=1):
        load = loads.setdefault(choice.agent, [0, 0, 0])
        load[1 if choice.ticket.interruptible else 0] += choice.ticket.units
        load[2] += choice.ticket.channel is Channel.PHONE
        stamps[choice.agent] = first + turn * _STAMP_STEP
    await connection.execute(
        QUERIES["add_loads"],
        tenant,
        list(loads),
        [load[0] for load in loads.values()],
        [load[1] for load in loads.values()],
        [load[2] for load in loads.values()],
        [stamps[agent] for agent in loads],
    )


async def save_reasons(connection: Connection, judged: Sequence[tuple[Waiting, Reason]], now: datetime) -> list[Judged]:
    """Store why tickets wait from now on; returns those for which help is asked because of it, or was before."""
    rows = await connection.fetch(
        QUERIES["save_reasons"], [ticket.ticket_id for ticket, _ in judged], [reason for _, reason in judged], now
    )
    return [_judged(row) for row in rows]


async def spread_reasons(
    connection: Connection, tenant: str, pool: str, verdicts: Sequence[Verdict], limit: int
) -> list[Judged]:
    """Store the same for all of their kind, up to `limit` tickets; returns all that changed."""
    rows = await connection.fetch(
        QUERIES["spread_reasons"],
        tenant,
        pool,
        [verdict.signature for verdict in verdicts],
        [verdict.units for verdict in verdicts],
        [verdict.interruptible for verdict in verdicts],
        [verdict.reason for verdict in verdicts],
        limit,
    )
    return [_judged(row) for row in rows]


def _judged(row: Record) -> Judged:
    return Judged(
        ticket_id=row["ticket_id"],
        source=row["source"],
        external_id=row["external_id"],
        channel=_CHANNELS[row["channel"]],
        needs=_needs(row["needs"]),
        reason=_REASONS[row["reason"]],
        latest_start_at=row["latest_start_at"],
        was_cleared=row["was_cleared"],
        declined=row["declined"],
        is_asked=row["is_asked"],
    )


async def list_waiting_pools(connection: Connection) -> list[tuple[str, str]]:
    """(tenant, pool) wherever somebody waits, or may be taken who waits elsewhere."""
    return [(row["tenant"], row["pool"]) for row in await connection.fetch(QUERIES["list_waiting_pools"])]


async def list_pools_of_agents(connection: Connection, tenant: str, agents: Sequence[str]) -> list[str]:
    """Pools in which somebody waits for these agents, in order."""
    return sorted(row["pool"] for row in await connection.fetch(QUERIES["list_pools_of_agents"], tenant, agents))


class QueueGauge(Struct, frozen=True):
    """How many tickets wait in a pool for one reason, and for how long the oldest does."""

    pool: str
    reason: Reason
    depth: int
    oldest_seconds: float


async def measure_queue(connection: Connection) -> list[QueueGauge]:
    """The queue in numbers, over all tenants."""
    return [
        QueueGauge(row["pool"], Reason(row["reason"]), row["depth"], row["oldest_seconds"])
        for row in await connection.fetch(QUERIES["measure_queue"])
    ]
