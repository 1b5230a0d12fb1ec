"""Who is there in SQL, as time moves it: shifts and leases that end, and the work of those who have gone."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from services.router.domain.presence import GoneWork, Shift
from services.router.domain.queue import latest_start
from services.router.store import QUERIES
from shared.contract.tickets import Channel
from shared.policy.document import Presence
from shared.postgres.pool import Connection, Record

FIRST = ("", UUID(int=0))
"""Before the work of everybody."""


class AgentCount(Struct, frozen=True, kw_only=True):
    """How many people who work tickets are alike."""

    presence: Presence
    state: str
    """`there`, `away` or `gone`."""
    agents: int


class WorkPage(Struct, frozen=True, kw_only=True):
    """Some of what people have who have gone."""

    work: Mapping[UUID, GoneWork]
    last: tuple[str, UUID] | None
    """Agent and ticket after which there may be more; None where there is not."""


async def mark_gone(connection: Connection, limit: int) -> int:
    """Note of up to `limit` people that their shift or lease has ended; returns of how many."""
    return len(await connection.fetch(QUERIES["mark_gone"], limit))


async def tenants_of_due_shifts(connection: Connection) -> list[str]:
    """Tenants in which a shift begins; one index probe where there is none."""
    return [row["tenant"] for row in await connection.fetch(QUERIES["list_tenants_of_due_shifts"])]


async def tenants_of_shifts(connection: Connection) -> list[str]:
    """Tenants in which people work by shifts."""
    return [row["tenant"] for row in await connection.fetch(QUERIES["list_tenants_of_shifts"])]


async def calendars_of_shifts(connection: Connection, tenant: str) -> dict[str, str]:
    """The calendars by which people of a tenant work, each with the key of one of them."""
    return {row["calendar"]: row["key"] for row in await connection.fetch(QUERIES["list_calendars_of_shifts"], tenant)}


async def save_shifts(connection: Connection, tenant: str, shifts: Mapping[str, Shift], now: datetime) -> list[str]:
    """Store of everybody who works by one of the calendars when they are there; returns the keys of those who just came.

    A shift that begins makes them `online` for all their channels, whatever they said before.
    """
    rows = await connection.fetch(
        QUERIES["save_shifts"],
        tenant,
        list(shifts),
        [shift.until for shift in shifts.values()],
        [shift.next_at for shift in shifts.values()],
        now,
    )
    return sorted(row["key"] for row in rows if row["begins"])


async def offers_of_absent(
    connection: Connection, limit: int, tenant: str | None = None, agent: str | None = None
) -> dict[str, list[UUID]]:
    """Tickets that are offered to somebody who isn't there, or doesn't take the channel, by tenant; of everybody, or of one."""
    offered: dict[str, list[UUID]] = {}
    for row in await connection.fetch(QUERIES["list_offers_of_absent"], tenant, agent, limit):
        offered.setdefault(row["tenant"], []).append(row["ticket_id"])
    return offered


async def still_offered_to_absent(connection: Connection, ticket_ids: Sequence[UUID]) -> list[UUID]:
    """Those of the tickets, which the caller holds, of which that is still so."""
    rows = await connection.fetch(QUERIES["check_offers_of_absent"], ticket_ids)
    return [row["ticket_id"] for row in rows]


async def tenants_of_gone(connection: Connection) -> list[str]:
    """Tenants in which somebody who has gone has work that may go to somebody else."""
    return [row["tenant"] for row in await connection.fetch(QUERIES["list_tenants_of_gone"])]


async def work_of_gone(
    connection: Connection,
    tenant: str,
    gone_by: datetime,
    limit: int,
    *,
    after: tuple[str, UUID] = FIRST,
    among: Sequence[UUID] | None = None,
) -> WorkPage:
    """Up to `limit` tickets of people who have gone by an instant, one person's after the other's; but for work given by hand.

    From after `after`, as (agent, ticket); `among`: only of these.
    """
    key, ticket_id = after
    rows = await connection.fetch(QUERIES["list_work_of_gone"], tenant, gone_by, key, limit, among, ticket_id)
    return WorkPage(
        work={row["ticket_id"]: _work(row) for row in rows if row["is_open"]},
        last=(rows[-1]["key"], rows[-1]["ticket_id"]) if len(rows) == limit else None,
    )


def _work(row: Record) -> GoneWork:
    due_at = row["due_at"]
    return GoneWork(
        is_interruptible=row["interruptible"],
        is_parked=row["is_parked"],
        is_touched=row["is_touched"],
        gone_at=row["gone_at"],
        next_present_at=row["next_present_at"],
        latest_start_at=None if due_at is None else latest_start(Channel(row["channel"]), due_at, row["promised"]),
        is_customer_waiting=row["owes_answer"] or row["is_customer_waiting"],
    )


async def measure_agents(connection: Connection) -> list[AgentCount]:
    """Those who work tickets, of all tenants, counted."""
    return [
        AgentCount(presence=Presence(row["presence"]), state=row["state"], agents=row["agents"])
        for row in await connection.fetch(QUERIES["measure_agents"])
    ]
