"""What a batch changed, written: each table once, whatever the size of the batch.

Lock order: tickets (held by the caller), then queue rows, then agents, then escalations.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from services.router import store
from services.router.domain.queue import QueueEntry, place_in_queue
from services.router.domain.standing import Ownership, Standing, owed
from shared.contract.events import Assigned, TicketEvent
from shared.contract.ledger import Ticket
from shared.contract.tickets import Channel, Urgency
from shared.ledger import clocks as clock_rows
from shared.ledger import tickets as ticket_rows
from shared.ledger.clocks import ClockRow
from shared.policy.document import Policy
from shared.postgres.outbox import Batch, Outbox
from shared.postgres.pool import Connection
from shared.sla.clock import Clock


class Touched(Struct, frozen=True, kw_only=True):
    """One ticket of the batch: what is stored, what arrived, and how it stands now."""

    before: Ticket | None
    stored: Sequence[Clock]
    arrived: Sequence[TicketEvent]
    standing: Standing
    policy: Policy


class Saved(Struct, frozen=True, kw_only=True):
    """What is to be done after the commit."""

    announcements: Batch | None
    pools: frozenset[tuple[str, str]]
    """(tenant, pool) where a matching run may find something to do."""


async def save(connection: Connection, touched: Sequence[Touched], now: datetime) -> Saved:
    """Write tickets, events, clocks and queue, and what there is to say of them."""
    outbox = Outbox(now)
    await _save_tickets(connection, touched, now)
    await _save_clocks(connection, touched, outbox, now)
    pools = await _save_ownership(connection, touched, outbox, now)
    return Saved(announcements=await outbox.save(connection), pools=pools)


async def _save_tickets(connection: Connection, touched: Sequence[Touched], now: datetime) -> None:
    new = [item.standing.ticket for item in touched if item.before is None]
    changed = [item.standing.ticket for item in touched if item.before is not None and item.before != item.standing.ticket]
    if new:
        await ticket_rows.insert(connection, new)
    if changed:
        await ticket_rows.update(connection, changed)
    await ticket_rows.append(
        connection, [(item.standing.ticket.id, event) for item in touched for event in item.arrived], now
    )


async def _save_clocks(connection: Connection, touched: Sequence[Touched], outbox: Outbox, now: datetime) -> None:
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
    if moot:
        by_id = {item.standing.ticket.id: item.standing.ticket for item in touched}
        for ended in await clock_rows.resolve_escalations(connection, moot, [_resolution(row.clock) for row in moot], now):
            ticket = by_id[ended.ticket_id]
            outbox.add(ticket.tenant, "escalation.resolved", ticket.external_id, ended)


def _is_moot(before: Clock, after: Clock) -> bool:
    """Nobody need be woken for this promise any more."""
    fired = before.warned > 0 or before.breached_at is not None
    retracted = before.breached_at is not None and after.breached_at is None
    return before.escalate is not None and fired and (after.is_finished or retracted)


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
    before = item.before
    if before is None or (before.channel, before.urgency, before.theme, before.needs) != (
        ticket.channel,
        ticket.urgency,
        ticket.theme,
        ticket.needs,
    ):
        outbox.add(ticket.tenant, "ticket.routed", ticket.external_id, _routed(ticket))
    for change, clock in item.standing.changes:
        clock_rows.announce(outbox, **names, change=change, clock=clock, now=now)


class _Routed(Struct, frozen=True, kw_only=True):
    """`data` of `ticket.routed`."""

    source: str
    ticket: str
    channel: str | None
    urgency: str | None
    theme: str | None
    pool: str
    rules: Sequence[str]
    matched: str | None


def _routed(ticket: Ticket) -> _Routed:
    return _Routed(
        source=ticket.source,
        ticket=ticket.external_id,
        channel=ticket.channel,
        urgency=ticket.urgency,
        theme=ticket.theme,
        pool=ticket.pool,
        rules=ticket.rules,
        matched=ticket.matched,
    )
