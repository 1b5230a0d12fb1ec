"""What a batch changed, written: each table once, whatever the size of the batch.

Lock order: tickets (held by the caller), then queue rows, then agents, then escalations.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from msgspec import Struct

from services.router import following, ownership
from services.router.domain.standing import Ownership, Touched, is_rerouted
from services.router.holding import Happened
from services.router.news import TicketRouted
from shared.contract.events import Accepted, Replied
from shared.contract.ledger import Ticket
from shared.contract.tickets import Author
from shared.ledger import clocks as clock_rows
from shared.ledger import help as help_rows
from shared.ledger import tickets as ticket_rows
from shared.ledger.clocks import ClockRow
from shared.ledger.help import ANSWERED, ASSIGNED, CANCELLED, Ending
from shared.postgres.outbox import Batch, Outbox
from shared.postgres.pool import Connection
from shared.sla.clock import Clock


class Saved(Struct, frozen=True, kw_only=True):
    """What is to be done after the commit."""

    announcements: Batch | None
    pools: frozenset[tuple[str, str]]
    """(tenant, pool) where a matching run may find something to do."""
    happened: Happened
    """What became of assignments and offers."""
    moot: frozenset[tuple[str, str]]
    """(tenant, id) of agents' answers that came too late, twice or from somebody else, and changed nothing."""


async def save(connection: Connection, touched: Sequence[Touched], now: datetime) -> Saved:
    """Write tickets, events, clocks and queue, and what there is to say of them."""
    outbox = Outbox(now)
    await _save_tickets(connection, touched, now)
    moot = await _save_clocks(connection, touched, outbox, now)
    change = await ownership.save(connection, touched, outbox, now)
    moves = await following.look(connection, touched)
    if moot:
        await _resolve_escalations(connection, touched, moot, outbox, now)
    await following.follow(connection, touched, moves, outbox, now)
    await _end_help(connection, touched, change.moot, outbox, now)
    return Saved(
        announcements=await outbox.save(connection),
        pools=frozenset(change.happened.pools),
        happened=change.happened,
        moot=change.moot,
    )


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


async def _end_help(
    connection: Connection, touched: Sequence[Touched], moot: Collection[tuple[str, str]], outbox: Outbox, now: datetime
) -> None:
    """Whoever was told that nobody takes a ticket hears that somebody does, or that it is over."""
    tickets = {item.standing.ticket.id: item.standing.ticket for item in touched}
    endings = [ending for item in touched if (ending := _ending(item, moot)) is not None]
    if not endings:
        return
    for ended in await help_rows.end_if_any(connection, endings, now):
        ticket = tickets[ended.ticket_id]
        outbox.add(ticket.tenant, "escalation.resolved", ticket.external_id, ended)


def _ending(item: Touched, moot: Collection[tuple[str, str]]) -> Ending | None:
    """`moot`: (tenant, id) of answers that changed nothing."""
    if item.before is None:
        return None
    ticket_id = item.standing.ticket.id
    if item.standing.ownership in (Ownership.OVER, Ownership.CAME_BACK):
        return Ending(ticket_id=ticket_id, resolution=CANCELLED)
    if item.standing.ownership is Ownership.BY_HAND:
        return Ending(ticket_id=ticket_id, resolution=ASSIGNED)
    for event in item.arrived:
        match event.data:
            case Accepted(agent=agent) if (event.tenant, event.id) not in moot:
                return Ending(ticket_id=ticket_id, resolution=ASSIGNED, agent=agent)
            case Replied(by=Author.AGENT, public=True):
                return Ending(ticket_id=ticket_id, resolution=ANSWERED)
    return None


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
    if is_rerouted(item):
        outbox.add(ticket.tenant, "ticket.routed", ticket.external_id, _routed(ticket))
    cause = item.standing.cause
    for change, clock in item.standing.changes:
        clock_rows.announce(outbox, **names, change=change, clock=clock, now=now, cause=cause)


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
