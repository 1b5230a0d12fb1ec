"""Whose the tickets of a batch are from now on: into the queue and out of it, to agents by hand, and back from them.

Lock order: tickets (held by the caller), then queue rows, then agents.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from services.router import helping, holding
from services.router.domain.queue import QueueEntry
from services.router.domain.queueing import entry_of
from services.router.domain.standing import Ownership, Touched, is_moved
from services.router.domain.tenure import OfferOutcome, Tenure, hear, parks_at
from services.router.holding import Case, Happened
from services.router.news import TicketAssigned
from services.router.store import affinity as affinity_store
from services.router.store import assignments as assignments_store
from services.router.store import queue as queue_store
from services.router.store.queue import ByHand, Released
from shared.contract.events import Accepted, Assigned, Declined, Opened, Replied, StatusChanged, TicketEvent, Updated
from shared.contract.events import Released as GivenBack
from shared.contract.tickets import Channel, Status
from shared.postgres.outbox import Outbox
from shared.postgres.pool import Connection

TAKEN_BACK = "taken_back"
"""Why an assignment ends that the helpdesk takes from its agent."""
_ANSWERS = (Accepted, Declined, GivenBack)
_HEARD = (*_ANSWERS, Replied, StatusChanged, Updated)
_LEAVING = frozenset({Ownership.OVER, Ownership.TAKEN_BACK, Ownership.CAME_BACK})
_RETURNED = frozenset({Ownership.WAITS, Ownership.CAME_BACK})
_WAITING = _RETURNED | {Ownership.TAKEN_BACK}


class Changed(Struct, frozen=True, kw_only=True):
    """What became of a batch's tickets."""

    happened: Happened
    moot: frozenset[tuple[str, str]]
    """(tenant, id) of answers that came too late, twice or from somebody else, and changed nothing."""


async def save(connection: Connection, touched: Sequence[Touched], outbox: Outbox, now: datetime) -> Changed:
    """Queue, take out of the queue, end assignments and let them go on."""
    new = [item for item in touched if item.before is None]
    old = [item for item in touched if item.before is not None]
    by_hand = [item for item in touched if item.standing.ownership is Ownership.BY_HAND]
    happened = Happened()
    fitting: set[tuple[str, str]] = set()
    if old or by_hand:
        fitting |= await _move_old(connection, old, by_hand, outbox, happened, now)
    opened = [item for item in new if item.standing.ticket.opened_at is not None]
    owners = await _owners_before(connection, opened, now) if opened else {}
    entries = [
        _entry(item, now, owners.get(item.standing.ticket.id)) for item in opened if item.standing.ownership in _WAITING
    ]
    if entries:
        await queue_store.enqueue_new(connection, entries)
        happened.pools |= {(entry.tenant, entry.pool) for entry in entries}
    if by_hand:
        await _assign_by_hand(connection, by_hand, outbox, happened, now)
        fitting |= await _hear_after(connection, by_hand, outbox, happened, now)
    answers = {
        (event.tenant, event.id) for item in touched for event in item.arrived if isinstance(event.data, _ANSWERS)
    }
    return Changed(happened=happened, moot=frozenset(answers - fitting))


async def _move_old(
    connection: Connection,
    old: Sequence[Touched],
    by_hand: Sequence[Touched],
    outbox: Outbox,
    happened: Happened,
    now: datetime,
) -> set[tuple[str, str]]:
    """Returns the answers of agents that fitted."""
    leaving = [item for item in old if item.standing.ownership in _LEAVING]
    moved = [
        item
        for item in old
        if item.standing.ownership is Ownership.AS_IT_IS and (item.standing.changes or is_moved(item))
    ]
    heard = {
        item.standing.ticket.id: item.arrived
        for item in old
        if item.standing.ownership is Ownership.AS_IT_IS and _is_heard(item.arrived)
    }
    cases = await _cases(connection, [item for item in old if item.standing.ticket.id in heard], heard, now)
    turning = [case.before.ticket_id for case in cases if case.turn.moves_load]
    waiting = [item for item in old if item.standing.ownership in _WAITING]
    # Queue rows first and then everybody whose load may change, at once and in order: a matching run locks the same way,
    # and two steps that each lock some agents in order can wait for each other.
    if leaving or by_hand:
        await queue_store.dequeue(connection, _ids([*leaving, *by_hand]))
    if moved:
        held = await queue_store.hold(connection, _ids(moved))
        moved = [item for item in moved if item.standing.ticket.id in held]
    if leaving or by_hand or turning:
        await queue_store.hold_owners(connection, [*_ids([*leaving, *by_hand]), *turning], _named(by_hand))
    left = await _release(connection, leaving, outbox, happened, now)
    if cases:
        happened.add(await holding.settle(connection, cases, outbox, now))
    returned = [item for item in waiting if item.standing.ownership in _RETURNED]
    owners = await queue_store.last_owners(connection, _ids(returned)) if returned else {}
    owners |= {item.standing.ticket.id: agent for item in returned if (agent := _last_named(item.arrived))}
    entries = [
        _entry(item, now, owners.get(item.standing.ticket.id), left.get(item.standing.ticket.id))
        for item in (*waiting, *moved)
    ]
    if entries:
        await queue_store.enqueue(connection, entries)
    if moved:
        await helping.retime(connection, moved, now)
    happened.pools |= {(entry.tenant, entry.pool) for entry in entries}
    return {(case.before.tenant, event_id) for case in cases for event_id in case.turn.fitting}


def _last_named(events: Sequence[TicketEvent]) -> str | None:
    """Whom the helpdesk named before the batch closed a ticket that it opened again: they had it last."""
    named = [event for event in events if isinstance(event.data, Assigned)]
    last = max(named, key=lambda event: (event.occurred_at, event.id), default=None)
    return last.data.agent if last is not None and isinstance(last.data, Assigned) else None


def _is_heard(events: Iterable[TicketEvent]) -> bool:
    return any(isinstance(event.data, _HEARD) for event in events)


async def _cases(
    connection: Connection, items: Sequence[Touched], events: dict[UUID, Sequence[TicketEvent]], now: datetime
) -> list[Case]:
    """What the events mean for whoever has these tickets."""
    tenures: dict[UUID, Tenure] = await assignments_store.load(connection, _ids(items)) if items else {}
    cases = []
    for item in items:
        standing = item.standing
        tenure = tenures.get(standing.ticket.id)
        if tenure is not None:
            told = events[standing.ticket.id]
            may_begin = any(isinstance(event.data, Accepted) for event in told)
            terms = holding.terms_of(standing.ticket, standing.policy, standing.clocks, now, with_slack=may_begin)
            turn = hear(tenure, told, terms, now)
            cases.append(
                Case(ticket=standing.ticket, policy=standing.policy, clocks=standing.clocks, before=tenure, turn=turn)
            )
    return cases


async def _release(
    connection: Connection, leaving: Sequence[Touched], outbox: Outbox, happened: Happened, now: datetime
) -> dict[UUID, Released]:
    """End assignments of tickets that are over or were taken back; returns what ended."""
    groups: dict[tuple[str, str], dict[UUID, Touched]] = {}
    for item in leaving:
        ticket = item.standing.ticket
        groups.setdefault((ticket.tenant, _why(item)), {})[ticket.id] = item
    ended = {}
    for (tenant, why), items in sorted(groups.items(), key=lambda group: group[0]):
        for one in await queue_store.release(connection, tenant, sorted(items), why, now):
            ticket = items[one.ticket_id].standing.ticket
            ended[ticket.id] = one
            happened.pools |= {(tenant, pool) for pool in (*one.pools, ticket.pool)}
            holding.tell_ended(outbox, ticket, one, why, happened)
    return ended


def _why(item: Touched) -> str:
    match item.standing.ownership:
        case Ownership.TAKEN_BACK:
            return TAKEN_BACK
        case Ownership.CAME_BACK:
            return Status.SOLVED
        case _:
            return item.standing.ticket.status


async def _assign_by_hand(
    connection: Connection, items: Sequence[Touched], outbox: Outbox, happened: Happened, now: datetime
) -> None:
    """Let the agents have what the helpdesk gave them; somebody else may have room then."""
    given = {item.standing.ticket.id: _given(item, now) for item in items}
    tickets = {item.standing.ticket.id: item.standing.ticket for item in items}
    handed = await queue_store.assign_by_hand(connection, list(given.values()), now)
    for ended in handed.ended:
        ticket = tickets[ended.ticket_id]
        happened.pools.add((ticket.tenant, ended.pool))
        holding.tell_ended(outbox, ticket, ended, "reassigned", happened)
    happened.offers.update((pool, OfferOutcome.WITHDRAWN) for pool in handed.settled)
    for ticket_id in handed.changed:
        ticket, one = tickets[ticket_id], given[ticket_id]
        happened.pools.add((one.tenant, one.pool))
        happened.by_hand[one.pool] += 1
        news = TicketAssigned(
            source=ticket.source,
            ticket=ticket.external_id,
            owner=one.agent,
            channel=one.channel,
            reasons=("by_hand",),
            pool=one.pool,
        )
        outbox.add(ticket.tenant, "ticket.assigned", ticket.external_id, news)


def _given(item: Touched, now: datetime) -> ByHand:
    ticket, agent = item.standing.ticket, item.standing.evaluation.assigned_by_hand
    if agent is None:
        raise ValueError("the helpdesk named no agent")
    channel = Channel(ticket.channel or Channel.OTHER)
    rule = item.standing.policy.channels[channel]
    return ByHand(
        tenant=ticket.tenant,
        ticket_id=ticket.id,
        agent=agent,
        pool=ticket.pool,
        channel=channel,
        units=rule.units,
        interruptible=rule.interruptible,
        park_at=parks_at(channel, rule.park, now, is_interruptible=rule.interruptible),
        queued_at=_waits_since(item, now),
    )


async def _hear_after(
    connection: Connection, by_hand: Sequence[Touched], outbox: Outbox, happened: Happened, now: datetime
) -> set[tuple[str, str]]:
    """What happened in the same batch after the helpdesk had named the agent; returns the answers that fitted."""
    heard = {item.standing.ticket.id: _after_naming(item.arrived) for item in by_hand}
    items = [item for item in by_hand if _is_heard(heard[item.standing.ticket.id])]
    cases = await _cases(connection, items, heard, now)
    if cases:
        happened.add(await holding.settle(connection, cases, outbox, now))
    return {(case.before.tenant, event_id) for case in cases for event_id in case.turn.fitting}


def _after_naming(events: Sequence[TicketEvent]) -> Sequence[TicketEvent]:
    named_at = max(
        ((event.occurred_at, event.id) for event in events if isinstance(event.data, Assigned)), default=None
    )
    return [event for event in events if named_at is not None and (event.occurred_at, event.id) > named_at]


async def _owners_before(connection: Connection, new: Sequence[Touched], now: datetime) -> dict[UUID, str]:
    """Whom new tickets should go to: who has the one it was split off from, or had one of the same customer.

    Asks nothing of the database where no ticket was split off and no policy looks for the same customer.
    """
    owners: dict[UUID, str] = {}
    known = [
        (item.standing.ticket, now - window)
        for item in new
        if (window := item.standing.policy.routing.same_customer) is not None and item.standing.ticket.requester_key
    ]
    if known:
        owners |= await affinity_store.owners_of_customers(connection, known)
    parents = {
        item.standing.ticket.id: parent
        for item in new
        for event in item.arrived
        if isinstance(event.data, Opened) and (parent := event.data.split_from)
    }
    if parents:
        split = [item.standing.ticket for item in new if item.standing.ticket.id in parents]
        owners |= await affinity_store.owners_of_parents(connection, [(one, parents[one.id]) for one in split])
    return owners


def _named(by_hand: Iterable[Touched]) -> list[tuple[str, str]]:
    """Tenant and agent of whom the helpdesk named."""
    return [(item.standing.ticket.tenant, item.standing.evaluation.assigned_by_hand or "") for item in by_hand]


def _ids(items: Iterable[Touched]) -> list[UUID]:
    return [item.standing.ticket.id for item in items]


def _entry(item: Touched, now: datetime, previous_owner: str | None = None, left: Released | None = None) -> QueueEntry:
    """`left` is what was taken back: it keeps its age, and who must not get it."""
    standing = item.standing
    is_taken_back = left is not None and standing.ownership is Ownership.TAKEN_BACK
    return entry_of(
        standing.ticket,
        standing.policy,
        standing.clocks,
        now,
        queued_at=left.queued_at if is_taken_back and left and left.queued_at else _waits_since(item, now),
        previous_owner=previous_owner,
        excluded=left.excluded if is_taken_back and left else (),
    )


def _waits_since(item: Touched, now: datetime) -> datetime:
    """Since when the ticket wants an owner: its opening, or its return; one that is taken back keeps its age."""
    has_returned = item.before is not None and (
        Status(item.before.status).is_over or item.standing.ownership is Ownership.CAME_BACK
    )
    opened_at = item.standing.ticket.opened_at
    return now if has_returned or opened_at is None else min(opened_at, now)
