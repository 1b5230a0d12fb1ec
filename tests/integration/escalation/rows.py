"""Rows of the page ledger as they would stand after hours of paging, put there directly."""

import hashlib
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from shared import ids
from shared.postgres.pool import Pool


async def insert(pool: Pool, table: str, **columns: Any) -> None:
    """One row."""
    names = ", ".join(columns)
    places = ", ".join(f"${place}" for place in range(1, len(columns) + 1))
    await pool.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", *columns.values())


async def ticket(pool: Pool, at: datetime, external_id: str = "881", tenant: str = "default") -> UUID:
    """An open ticket of then."""
    ticket_id = ids.uuid7(at)
    await insert(
        pool, "ticket", id=ticket_id, tenant=tenant, source="shop", external_id=external_id, status="open", opened_at=at,
        channel="email", urgency="high", policy_version=0,
    )  # fmt: skip
    return ticket_id


async def escalation(pool: Pool, at: datetime, ticket_id: UUID, tenant: str = "default", **columns: Any) -> UUID:
    """An escalation of a broken first response, opened then, whose next step is ten minutes later."""
    escalation_id = ids.uuid7(at)
    given = {
        "target": "first_response", "cycle": 1, "policy_version": 0, "ladder": "wake the lead", "reason": "breached",
        "state": "open", "opened_at": at, "anchor_at": at, "next_step_at": at + timedelta(minutes=10),
        **columns,
    }  # fmt: skip
    await insert(pool, "escalation", id=escalation_id, tenant=tenant, ticket_id=ticket_id, **given)
    return escalation_id


async def group(pool: Pool, at: datetime, **columns: Any) -> UUID:
    """A group of pages to Ana, opened then for a minute."""
    group_id = ids.uuid7(at)
    await insert(
        pool, "page_group", id=group_id, tenant="default", who="ana", recipient="person/ana", kind="page", urgency="high",
        step=0, opened_at=at, closes_at=at + timedelta(minutes=1), open_for=timedelta(minutes=1), **columns,
    )  # fmt: skip
    return group_id


async def page(
    pool: Pool, due_at: datetime, *spans: float, name: str = "", tenant: str = "default", **columns: Any
) -> UUID:
    """A page due then: `spans` are the seconds until it was committed, attempted, accepted, delivered and acknowledged.

    It is accepted where it has so many, else pending.
    """
    instants = ("committed_at", "attempted_at", "accepted_at", "delivered_at", "acknowledged_at")
    at, times = due_at, {}
    for instant, span in zip(instants, spans, strict=False):
        at += timedelta(seconds=span)
        times[instant] = at
    attempted = "attempted_at" in times
    body = columns.pop("body", {})
    page_id = UUID(bytes=hashlib.md5(f"{due_at} {spans} {name} {columns}".encode(), usedforsecurity=False).digest())
    given = {
        "kind": "page", "step": 0, "loop": 0, "recipient": "on-call/support", "person": "ana", "method": "webhook",
        "address": "x", "state": "accepted" if "accepted_at" in times else "pending", "attempts": int(attempted),
        "due_at": due_at, "committed_at": due_at, **times, **columns,
    }  # fmt: skip
    await insert(
        pool, "page", id=page_id, tenant=tenant, evidence=msgspec.json.encode({"generation": 1}),
        body=msgspec.json.encode(body), **given,
    )  # fmt: skip
    return page_id
