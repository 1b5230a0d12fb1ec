"""What the console reads: the board, the report and one ticket. It writes nothing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from services.console.domain.attainment import Attainment
from services.console.domain.snapshot import (
    AgentLoad,
    ClockCount,
    DueSoon,
    PageLine,
    PageTotals,
    Snapshot,
    TicketCount,
    Waiting,
)
from services.console.domain.ticket import AssignmentLine, ClockLine, EventLine, PageTrace, TicketHead, TicketStory
from services.console.domain.verdict import Resolution
from shared.postgres.pool import Connection
from shared.postgres.queries import load

QUERIES = load("services.console.sql")

_Row = TypeVar("_Row", bound=Struct)


class Backlog(Struct, frozen=True, kw_only=True):
    """How far the services have come."""

    events: int
    """In the log."""
    unfired: int
    """Clocks that were due and have not fired."""


_DUE_LINES = 30
_LATE_LINES = 10
_PAGE_LINES = 40


async def load_time(connection: Connection) -> tuple[datetime, float]:
    """The time that decides, and how many seconds of it pass in one."""
    [row] = await connection.fetch(QUERIES["board_now"])
    return row["now"], row["rate"]


async def load_leads(connection: Connection, tenant: str) -> dict[str, str]:
    """Key of a person -> key of whoever leads them."""
    return {row["key"]: row["lead"] for row in await connection.fetch(QUERIES["leads"], tenant)}


async def load_snapshot(connection: Connection, tenant: str) -> Snapshot:
    """The board of one tenant; all its parts are of one instant, so that they never contradict each other."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await _snapshot(connection, tenant)


async def _snapshot(connection: Connection, tenant: str) -> Snapshot:
    now, rate = await load_time(connection)
    [totals] = await connection.fetch(QUERIES["board_totals"], tenant)
    page_totals = await _rows(connection, PageTotals, "board_page_totals", tenant)
    escalations = await connection.fetch(QUERIES["board_escalations"], tenant)
    return Snapshot(
        now=now,
        rate=rate,
        total=totals["tickets"],
        over=totals["over"],
        tickets=await _rows(connection, TicketCount, "board_tickets", tenant),
        clocks=await _clocks(connection, tenant),
        due=await _rows(connection, DueSoon, "board_next_due", tenant, _DUE_LINES),
        late=await _rows(connection, DueSoon, "board_late", tenant, _LATE_LINES),
        agents=await _rows(connection, AgentLoad, "board_agents", tenant),
        queue=await _rows(connection, Waiting, "board_queue", tenant),
        escalations={row["state"]: row["escalations"] for row in escalations},
        pages=await _rows(connection, PageLine, "board_pages", tenant, _PAGE_LINES),
        page_totals=page_totals[0],
    )


async def load_attainment(connection: Connection, tenant: str) -> tuple[Attainment, ...]:
    """Promises kept and broken, by channel and target."""
    return await _rows(connection, Attainment, "report_attainment", tenant)


async def load_resolutions(connection: Connection, tenant: str, source: str) -> dict[str, Resolution]:
    """What we promised and found for the first resolution of every ticket of a source, by the helpdesk's id."""
    rows = await _rows(connection, Resolution, "report_resolutions", tenant, source)
    return {row.external_id: row for row in rows}


async def load_breach_lags(connection: Connection, tenant: str) -> list[tuple[datetime, datetime]]:
    """When each breach was due, and when it was noticed."""
    return [
        (row["due_at"], row["detected_at"]) for row in await connection.fetch(QUERIES["report_breach_lags"], tenant)
    ]


async def load_page_lags(connection: Connection, tenant: str) -> list[tuple[datetime, datetime]]:
    """When each page was due, and when its channel accepted it."""
    return [(row["due_at"], row["accepted_at"]) for row in await connection.fetch(QUERIES["report_page_lags"], tenant)]


async def load_intake(connection: Connection, tenant: str) -> dict[str, datetime]:
    """When each event was taken in, by its id."""
    return {row["event_id"]: row["received_at"] for row in await connection.fetch(QUERIES["report_intake"], tenant)}


async def load_climbs(connection: Connection, tenant: str) -> dict[str, tuple[int, int]]:
    """Escalations by state, each with how many went past their first step."""
    rows = await connection.fetch(QUERIES["report_escalations"], tenant)
    return {row["state"]: (row["escalations"], row["climbed"]) for row in rows}


async def load_backlog(connection: Connection, tenant: str, due_by: datetime) -> Backlog:
    """What has been taken in, and what should have fired by an instant but has not."""
    return (await _rows(connection, Backlog, "report_backlog", tenant, due_by))[0]


async def find_tickets(connection: Connection, tenant: str, name: str, source: str | None) -> tuple[TicketHead, ...]:
    """Tickets with this id, the helpdesk's or ours; several where sources share it."""
    return await _rows(connection, TicketHead, "ticket_find", tenant, name, source)


async def load_story(connection: Connection, head: TicketHead) -> TicketStory:
    """Everything we hold of one ticket."""
    return TicketStory(
        now=await connection.fetchval("SELECT deskclock_now()"),
        head=head,
        clocks=await _rows(connection, ClockLine, "ticket_clocks", head.id),
        events=await _rows(connection, EventLine, "ticket_events", head.id),
        assignments=await _rows(connection, AssignmentLine, "ticket_assignments", head.id),
        pages=await _rows(connection, PageTrace, "ticket_pages", head.id),
    )


async def _clocks(connection: Connection, tenant: str) -> tuple[ClockCount, ...]:
    parts: dict[str, dict[str, Any]] = {}
    for query in ("board_running", "board_finished"):
        for row in await connection.fetch(QUERIES[query], tenant):
            parts.setdefault(row["target"], {}).update(dict(row))
    return tuple(ClockCount(**parts[target]) for target in sorted(parts, key=_target_order))


_TARGETS: Sequence[str] = ("first_response", "next_response", "update", "resolution", "ownership", "follow_up")


def _target_order(target: str) -> int:
    return _TARGETS.index(target)


async def _rows(connection: Connection, struct: type[_Row], query: str, *arguments: object) -> tuple[_Row, ...]:
    return tuple(_convert(dict(row), struct) for row in await connection.fetch(QUERIES[query], *arguments))


def _convert(row: dict[str, Any], struct: type[_Row]) -> _Row:
    for name, value in row.items():
        if isinstance(value, bytes):
            row[name] = msgspec.Raw(value)
        elif isinstance(value, UUID):
            row[name] = UUID(int=value.int)
    return msgspec.convert(row, struct)
