"""Who may send how much, in SQL: lanes of due pages, accounts of providers, leases. One transaction for a claim."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from services.escalation.domain.breaker import Health
from services.escalation.domain.sharing import Account, Grant, Hold, Lane, Limits
from services.escalation.store import QUERIES
from services.escalation.store.pages import LeasedPage, SentPage, leased, sent
from shared.postgres.pool import Connection

_WANTS_ANOTHER_WAY = frozenset({"pending", "sending", "accepted"})
"""An accepted one: nobody says that it arrived."""


async def look_at_lanes(
    connection: Connection, methods: Sequence[str], now: datetime, limit: int
) -> list[tuple[Lane, Account]]:
    """What is due by these methods, with the accounts, held; those that another process holds are left to it."""
    rows = await connection.fetch(QUERIES["look_at_lanes"], now, methods, limit)
    if not rows:  # pages are stored with their account: this finds those of another hand
        await connection.execute(QUERIES["open_accounts"], now)
        rows = await connection.fetch(QUERIES["look_at_lanes"], now, methods, limit)
    return [
        (
            Lane(
                method=row["method"],
                tenant=row["tenant"],
                account=row["account"],
                priority=row["priority"],
                due=row["due"],
                oldest_at=row["oldest_at"],
            ),
            Account(
                tokens=row["tokens"],
                refilled_at=row["refilled_at"],
                held_until=row["held_until"],
                opened_at=row["opened_at"],
                probe_at=row["probe_at"],
                busy=row["busy"],
            ),
        )
        for row in rows
    ]


async def claim(
    connection: Connection,
    grants: Sequence[Grant],
    limits: Mapping[str, Limits],
    now: datetime,
    lease: UUID,
    lease_for: timedelta,
    fallback_after: timedelta,
) -> list[LeasedPage]:
    """Lease so many due pages of each lane whose escalation still wants them, and take their tokens: one statement."""
    rows = await connection.fetch(
        QUERIES["claim_pages"],
        now,
        [grant.lane.method for grant in grants],
        [grant.lane.tenant for grant in grants],
        [grant.lane.account for grant in grants],
        [grant.lane.priority for grant in grants],
        [grant.pages for grant in grants],
        lease,
        lease_for,
        list(limits),
        [limit.per_second for limit in limits.values()],
        [limit.burst for limit in limits.values()],
        fallback_after,
    )
    return [leased(row) for row in rows]


async def hold(
    connection: Connection, holds: Sequence[Hold], now: datetime, limit: int, fallback_after: timedelta
) -> int:
    """Note on due pages, up to `limit` of each lane, until when they wait and why; returns on how many."""
    status: str = await connection.execute(
        QUERIES["hold_pages"],
        now,
        [one.lane.method for one in holds],
        [one.lane.tenant for one in holds],
        [one.lane.account for one in holds],
        [one.lane.priority for one in holds],
        [one.reason for one in holds],
        [one.until for one in holds],
        [one.apart for one in holds],
        [one.is_looked_at for one in holds],
        limit,
        fallback_after,
    )
    return int(status.rpartition(" ")[2])


async def take_fallbacks(connection: Connection, now: datetime, limit: int) -> list[SentPage]:
    """Pages whose next contact is to be tried now; those given up or cancelled meanwhile are left out."""
    found = []
    for row in await connection.fetch(QUERIES["take_fallbacks"], now, limit):
        columns = dict(row)
        if columns.pop("state") in _WANTS_ANOTHER_WAY:
            found.append(sent(columns))
    return found


async def lock_account(connection: Connection, tenant: str, account: str) -> Health | None:
    """How an account stands, held; None where nothing was ever claimed for it."""
    row = await connection.fetchrow(QUERIES["lock_account"], tenant, account)
    return Health(**dict(row)) if row else None


async def save_account(connection: Connection, tenant: str, account: str, health: Health) -> None:
    """Store how a held account stands."""
    await connection.execute(
        QUERIES["save_account"],
        tenant,
        account,
        health.failures,
        health.opened_at,
        health.probe_at,
        health.held_until,
    )


async def release(connection: Connection, method: str, tenant: str, account: str, now: datetime) -> None:
    """Let pages go that waited for a broken account."""
    await connection.execute(QUERIES["release_pages"], method, tenant, account, now)


async def count_deferred(connection: Connection) -> dict[str, int]:
    """Pages that are held back, by why (R30)."""
    return {row["reason"]: row["pages"] for row in await connection.fetch(QUERIES["count_deferred"])}


async def count_broken(connection: Connection) -> dict[str, int]:
    """Accounts that count as broken, by method (R38)."""
    return {row["method"]: row["accounts"] for row in await connection.fetch(QUERIES["count_broken"])}
