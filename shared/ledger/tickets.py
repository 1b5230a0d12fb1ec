"""Tickets and their logs in SQL."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from shared.contract import events
from shared.contract.events import Assigned, Data, Owned, TicketEvent, Unowned
from shared.contract.ledger import Ticket
from shared.ledger import QUERIES
from shared.postgres.pool import Connection, Record

_TICKET = (
    "id", "tenant", "source", "external_id", "status", "opened_at", "solved_at", "channel", "urgency", "theme",
    "language", "subject", "requester_key", "requester_tier", "team", "matched", "needs", "prefers", "rules", "pool",
    "policy_version", "insists",
)  # fmt: skip
_EVENT = ("ticket_id", "event_id", "tenant", "occurred_at", "received_at", "data")


async def lock(connection: Connection, identities: Iterable[tuple[str, str, str]]) -> list[Ticket]:
    """The stored ones among tickets given as (tenant, source, external id), locked until the transaction ends."""
    rows = await connection.fetch(QUERIES["lock_tickets"], *map(list, zip(*identities, strict=True)))
    return [_ticket(row) for row in rows]


async def lock_free(connection: Connection, ticket_ids: Sequence[UUID]) -> list[Ticket]:
    """Stored tickets, locked until the transaction ends; without those that another transaction holds."""
    rows = await connection.fetch(QUERIES["lock_free_tickets"], ticket_ids)
    return [_ticket(row) for row in rows]


async def read(connection: Connection, ticket_ids: Sequence[UUID]) -> list[Ticket]:
    """Stored tickets as they are, in the order of their ids; not locked."""
    return [_ticket(row) for row in await connection.fetch(QUERIES["read_tickets"], ticket_ids)]


async def known_events(connection: Connection, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], UUID]:
    """Those of the events, given as (tenant, event id), that a log already has, with their ticket."""
    rows = await connection.fetch(QUERIES["known_events"], *map(list, zip(*keys, strict=True)))
    return {(row["tenant"], row["event_id"]): row["ticket_id"] for row in rows}


async def full_logs(connection: Connection, ticket_ids: Sequence[UUID], most: int) -> set[UUID]:
    """Those of the tickets whose logs have `most` events or more."""
    return {row["ticket_id"] for row in await connection.fetch(QUERIES["full_logs"], ticket_ids, most)}


async def load_logs(connection: Connection, tickets: Iterable[Ticket]) -> dict[UUID, list[TicketEvent]]:
    """The events of each ticket, in no order: those that came, and those that the assignments stand for.

    An agent who got a ticket after the helpdesk had given it elsewhere, or taken it back, has it after that, even where
    the helpdesk's clock is ahead of ours.
    """
    by_id = {ticket.id: ticket for ticket in tickets}
    logs: dict[UUID, list[TicketEvent]] = {ticket_id: [] for ticket_id in by_id}
    ahead: dict[UUID, list[tuple[datetime, datetime]]] = {}
    for row in await connection.fetch(QUERIES["load_events"], list(by_id)):
        ticket = by_id[row["ticket_id"]]
        data = events.decode_data(row["data"])
        logs[ticket.id].append(_event(ticket, row["event_id"], row["occurred_at"], data))
        if isinstance(data, Assigned) and row["occurred_at"] > row["received_at"]:
            ahead.setdefault(ticket.id, []).append((row["received_at"], row["occurred_at"]))
    for row in await connection.fetch(QUERIES["load_assignments"], list(by_id)):
        ticket, log, agent = by_id[row["ticket_id"]], logs[row["ticket_id"]], row["agent"]
        assigned_at = row["accepted_at"]
        known = [at for received_at, at in ahead.get(ticket.id, ()) if received_at <= assigned_at]
        log.append(_event(ticket, f"owned:{row['id']}", max([assigned_at, *known]), Owned(agent=agent)))
        if row["ended_at"] is not None:
            log.append(_event(ticket, f"unowned:{row['id']}", row["ended_at"], Unowned(agent=agent)))
    return logs


async def insert(connection: Connection, tickets: Iterable[Ticket]) -> None:
    """Store new tickets; raises asyncpg.UniqueViolationError where another process was first."""
    await connection.copy_records_to_table(
        "ticket", records=[tuple(getattr(ticket, name) for name in _TICKET) for ticket in tickets], columns=_TICKET
    )


async def update(connection: Connection, tickets: Sequence[Ticket]) -> None:
    """Store what became of locked tickets."""
    columns = {name: [getattr(ticket, name) for ticket in tickets] for name in _TICKET if name not in _IDENTITY}
    for name in ("prefers", "rules"):
        columns[name] = [_array_literal(values) for values in columns[name]]
    await connection.execute(QUERIES["update_tickets"], [ticket.id for ticket in tickets], *columns.values())


async def append(connection: Connection, entries: Iterable[tuple[UUID, TicketEvent]], now: datetime) -> None:
    """Add events to the logs of their tickets; raises asyncpg.UniqueViolationError where one is there already."""
    await connection.copy_records_to_table(
        "ticket_event",
        records=[
            (ticket_id, event.id, event.tenant, event.occurred_at, now, events.encode_data(event.data))
            for ticket_id, event in entries
        ],
        columns=_EVENT,
    )


def _ticket(row: Record) -> Ticket:
    return Ticket(**{**dict(row), "prefers": tuple(row["prefers"]), "rules": tuple(row["rules"])})


def _event(ticket: Ticket, event_id: str, occurred_at: datetime, data: Data) -> TicketEvent:
    return TicketEvent(
        tenant=ticket.tenant,
        id=event_id,
        source=ticket.source,
        ticket=ticket.external_id,
        occurred_at=occurred_at,
        data=data,
    )


_IDENTITY = frozenset({"id", "tenant", "source", "external_id"})


def _array_literal(values: Sequence[str]) -> str:
    """A list as PostgreSQL writes arrays: unnest would flatten a list of lists."""
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in quoted) + "}"
