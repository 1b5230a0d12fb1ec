"""What a batch changed, written: each table once, whatever the size of the batch.

Lock order: tickets (held by the caller), then queue rows, then agents, then escalations.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from services.router.domain.queue import QueueEntry
from services.router.domain.queueing import entry_of
from services.router.domain.standing import Ownership, Standing
from services.router.news import TicketAssigned, TicketRouted, TicketUnassigned
from services.router.store import queue as queue_store
from shared.contract.events import TicketEvent
from shared.contract.ledger import Ticket
from shared.contract.tickets import Channel, Status
from shared.ledger import clocks as clock_rows
from shared.ledger import tickets as ticket_rows
from shared.ledger.clocks import ClockRow
from shared.postgres.outbox import Batch, Outbox
from shared.postgres.pool import Connection
from shared.sla.clock import Clock


class Touched(Struct, frozen=True, kw_only=True):
    """One ticket of the batch: what is stored, what arrived, and how it stands now."""

    before: Ticket | None
    stored: Sequence[Clock]
    arrived: Sequence[TicketEvent]
    standing: Standing


class Saved(Struct, frozen=True, kw_only=True):
    """What is to be done after the commit."""

    announcements: Batch | None
    pools: frozenset[tuple[str, str]]
    """(tenant, pool) where a matching run may find something to do."""


async def save(connection: Connection, touched: Sequence[Touched], now: datetime) -> Saved:
    """Write tickets, events, clocks and queue, and what there is to say of them."""
    outbox = Outbox(now)
    await _save_tickets(connection, touched, now)
    moot = await _save_clocks(connection, touched, outbox, now)
    pools = await _save_ownership(connection, touched, outbox, now)
    if moot:
        await _resolve_escalations(connection, touched, moot, outbox, now)
    return Saved(announcements=await outbox.save(connection), pools=pools)


async def _save_tickets(connection: Connection, touched: Sequence[Touched], now: datetime) -> None:
    new = [item.standing.ticket for item in touched if item.before is None]
    changed = [
        item.standing.ticket for item in touched if item.before is not None and item.before != item.standing.ticket
    ]
    if new:
        await ticket_rows.insert(connection, new)
    if changed:
        await ticket_rows.update(connection, changed)
    # in one order for all, so that two batches with the same events wait for each other once, and not in a circle
    arrived = [(item.standing.ticket.id, event) for item in touched for event in item.arrived]
    if arrived:
        await ticket_rows.append(connection, sorted(arrived, key=lambda entry: (entry[1].tenant, entry[1].id)), now)


async def _save_clocks(
    connection: Connection, touched: Sequence[Touched], outbox: Outbox, now: datetime
) -> list[ClockRow]:
    """Returns the clocks for which nobody need be woken any more."""
    gone: list[ClockRow] = []
    written: list[ClockRow] = []
    moot: list[ClockRow] = []
    for item in touched:
        ticket = item.standing.ticket
        stored = {(clock.target, clock.cycle): clock for clock in item.stored}
        for clock in item.standing.clocks:
            before = stored.get((clock.target, clock.cycle))
            row = ClockRow(ticket.tenant, ticket.id, clock)
            if before is None:
                written.append(row)
            elif not clock_rows.is_same(before, clock):
                gone.append(ClockRow(ticket.tenant, ticket.id, before))
                written.append(row)
                if _is_moot(before, clock):
                    moot.append(row)
        _announce(item, outbox, now)
    if gone:
        await clock_rows.delete(connection, gone)
    await clock_rows.insert(connection, written)
    return moot


async def _resolve_escalations(
    connection: Connection, touched: Sequence[Touched], moot: Sequence[ClockRow], outbox: Outbox, now: datetime
) -> None:
    tickets = {item.standing.ticket.id: item.standing.ticket for item in touched}
    resolutions = [_resolution(row.clock) for row in moot]
    for ended in await clock_rows.resolve_escalations(connection, moot, resolutions, now):
        ticket = tickets[ended.ticket_id]
        outbox.add(ticket.tenant, "escalation.resolved", ticket.external_id, ended)


def _is_moot(before: Clock, after: Clock) -> bool:
    """Nobody need be woken for this promise any more; whether anybody was is for the database to say."""
    is_retracted = before.breached_at is not None and after.breached_at is None
    return not before.is_finished and (after.is_finished or is_retracted)


def _resolution(clock: Clock) -> str:
    if not clock.is_finished:
        return "withdrawn"
    return "cancelled" if clock.met_at is None else "answered"


def _announce(item: Touched, outbox: Outbox, now: datetime) -> None:
    ticket = item.standing.ticket
    if ticket.opened_at is None:
        return
    names = {
        "tenant": ticket.tenant,
        "source": ticket.source,
        "external_id": ticket.external_id,
        "channel": ticket.channel or "",
        "urgency": ticket.urgency or "",
    }
    if _is_rerouted(item):
        outbox.add(ticket.tenant, "ticket.routed", ticket.external_id, _routed(ticket))
    cause = item.standing.cause
    for change, clock in item.standing.changes:
        clock_rows.announce(outbox, **names, change=change, clock=clock, now=now, cause=cause)


def _is_rerouted(item: Touched) -> bool:
    before, after = item.before, item.standing.ticket
    return before is None or _route(before) != _route(after)


def _route(ticket: Ticket) -> tuple[object, ...]:
    return ticket.channel, ticket.urgency, ticket.theme, ticket.needs, ticket.pool


def _is_moved(item: Touched) -> bool:
    """What decides over its place in the queue, or over who may take it, has changed."""
    before, after = item.before, item.standing.ticket
    return before is None or _place(before) != _place(after)


def _place(ticket: Ticket) -> tuple[object, ...]:
    return *_route(ticket), ticket.prefers, ticket.insists, ticket.policy_version


def _routed(ticket: Ticket) -> TicketRouted:
    return TicketRouted(
        source=ticket.source,
        ticket=ticket.external_id,
        channel=ticket.channel,
        urgency=ticket.urgency,
        theme=ticket.theme,
        pool=ticket.pool,
        rules=ticket.rules,
        matched=ticket.matched,
    )


async def _save_ownership(
    connection: Connection, touched: Sequence[Touched], outbox: Outbox, now: datetime
) -> frozenset[tuple[str, str]]:
    """Queue, take out of the queue, end assignments; returns the pools in which something may be matched now."""
    new = [item for item in touched if item.before is None]
    old = [item for item in touched if item.before is not None]
    by_hand = [item for item in touched if item.standing.ownership is Ownership.BY_HAND]
    pools = set()
    if old or by_hand:
        pools = await _move_old(connection, old, by_hand, outbox, now)
    waiting = [_entry(item, now) for item in new if item.standing.ownership in _WAITING]
    if waiting:
        await queue_store.enqueue_new(connection, waiting)
        pools |= {(entry.tenant, entry.pool) for entry in waiting}
    if by_hand:
        pools |= await _assign_by_hand(connection, by_hand, outbox, now)
    return frozenset(pools)


async def _move_old(
    connection: Connection, old: Sequence[Touched], by_hand: Sequence[Touched], outbox: Outbox, now: datetime
) -> set[tuple[str, str]]:
    leaving = [item for item in old if item.standing.ownership in _LEAVING]
    moved = [
        item
        for item in old
        if item.standing.ownership is Ownership.AS_IT_IS and (item.standing.changes or _is_moved(item))
    ]
    waiting = [item for item in old if item.standing.ownership in _WAITING]
    pools = set()
    # Queue rows first and then everybody whose load may change, at once and in order: a matching run locks the same way,
    # and two steps that each lock some agents in order can wait for each other.
    if leaving or by_hand:
        await queue_store.dequeue(connection, _ids([*leaving, *by_hand]))
    if moved:
        held = await queue_store.hold(connection, _ids(moved))
        moved = [item for item in moved if item.standing.ticket.id in held]
    if leaving or by_hand:
        await queue_store.hold_owners(connection, _ids([*leaving, *by_hand]), _named(by_hand))
    for item in await _release(connection, leaving, outbox, now):
        pools.add((item.standing.ticket.tenant, item.standing.ticket.pool))
    returned = [item for item in waiting if item.standing.ownership is Ownership.WAITS]
    owners = await queue_store.last_owners(connection, _ids(returned)) if returned else {}
    entries = [_entry(item, now, owners.get(item.standing.ticket.id)) for item in (*waiting, *moved)]
    if entries:
        await queue_store.enqueue(connection, entries)
    return pools | {(entry.tenant, entry.pool) for entry in entries}


async def _release(connection: Connection, leaving: Sequence[Touched], outbox: Outbox, now: datetime) -> list[Touched]:
    """End assignments of tickets that are over or were taken back; returns those that somebody had."""
    groups: dict[tuple[str, str], dict[UUID, Touched]] = {}
    for item in leaving:
        ticket = item.standing.ticket
        why = ticket.status if item.standing.ownership is Ownership.OVER else "taken_back"
        groups.setdefault((ticket.tenant, why), {})[ticket.id] = item
    ended = []
    for (tenant, why), items in sorted(groups.items(), key=lambda group: group[0]):
        for one in await queue_store.release(connection, tenant, sorted(items), why, now):
            ticket = items[one.ticket_id].standing.ticket
            ended.append(items[one.ticket_id])
            outbox.add(
                tenant,
                "ticket.unassigned",
                ticket.external_id,
                TicketUnassigned(source=ticket.source, ticket=ticket.external_id, owner=one.agent, reason=why),
            )
    return ended


async def _assign_by_hand(
    connection: Connection, items: Sequence[Touched], outbox: Outbox, now: datetime
) -> set[tuple[str, str]]:
    """Returns the pools in which somebody else may have room now."""
    given = []
    for item in items:
        ticket, agent = item.standing.ticket, item.standing.evaluation.assigned_by_hand
        if agent is None:
            raise ValueError("the helpdesk named no agent")
        channel = Channel(ticket.channel or Channel.OTHER)
        rule = item.standing.policy.channels[channel]
        given.append(
            queue_store.ByHand(
                tenant=ticket.tenant,
                ticket_id=ticket.id,
                agent=agent,
                pool=ticket.pool,
                channel=channel,
                units=rule.units,
                interruptible=rule.interruptible,
            )
        )
    changed = set(await queue_store.assign_by_hand(connection, given, now))
    for item, one in zip(items, given, strict=True):
        if one.ticket_id in changed:
            ticket = item.standing.ticket
            outbox.add(
                ticket.tenant,
                "ticket.assigned",
                ticket.external_id,
                TicketAssigned(
                    source=ticket.source,
                    ticket=ticket.external_id,
                    owner=one.agent,
                    channel=one.channel,
                    reasons=("by_hand",),
                    pool=one.pool,
                ),
            )
    return {(one.tenant, one.pool) for one in given if one.ticket_id in changed}


def _named(by_hand: Iterable[Touched]) -> list[tuple[str, str]]:
    """Tenant and agent of whom the helpdesk named."""
    return [(item.standing.ticket.tenant, item.standing.evaluation.assigned_by_hand or "") for item in by_hand]


_LEAVING = frozenset({Ownership.OVER, Ownership.TAKEN_BACK})
_WAITING = frozenset({Ownership.WAITS, Ownership.TAKEN_BACK})


def _ids(items: Iterable[Touched]) -> list[UUID]:
    return [item.standing.ticket.id for item in items]


def _entry(item: Touched, now: datetime, previous_owner: str | None = None) -> QueueEntry:
    standing = item.standing
    return entry_of(
        standing.ticket,
        standing.policy,
        standing.clocks,
        now,
        queued_at=_waits_since(item, now),
        previous_owner=previous_owner,
    )


def _waits_since(item: Touched, now: datetime) -> datetime:
    """Since when the ticket wants an owner: its opening, or its return; one that is taken back keeps its age."""
    has_returned = item.before is not None and Status(item.before.status).is_over
    opened_at = item.standing.ticket.opened_at
    return now if has_returned or opened_at is None else min(opened_at, now)
