"""Groups of pages in SQL (R27). Whoever writes several takes them in the order of their keys."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from services.escalation.domain.grouping import Joining, Key
from services.escalation.domain.ladder import Kind
from services.escalation.domain.notice import Facts
from services.escalation.domain.recipient import Evidence
from services.escalation.store import QUERIES, Pulse
from shared.postgres.pool import Connection


class StalePage(Struct, frozen=True, kw_only=True):
    """A page that was due long ago and never tried; its escalation is held."""

    id: UUID
    tenant: str
    recipient: str
    person: str | None


class Group(Struct, frozen=True, kw_only=True):
    """A group, held."""

    id: UUID
    tenant: str
    who: str
    recipient: str
    person: str | None
    kind: str
    urgency: str
    step: int
    opened_at: datetime
    closes_at: datetime
    members: int
    told: int
    told_at: datetime | None
    is_open: bool


class Member(Struct, frozen=True, kw_only=True):
    """A page of a group that was not told yet and is still wanted."""

    id: UUID
    escalation_id: UUID
    group_version: int
    kind: Kind
    step: int
    loop: int
    recipient: str
    person: str | None
    method: str
    address: str
    secret: str
    options: Mapping[str, str]
    account: str
    urgency: str
    evidence: Evidence
    body: Facts
    due_at: datetime
    next_step_at: datetime | None
    """Of its escalation, as it is now."""


async def pulse(connection: Connection) -> Pulse:
    """How grouping stands: two probes of indexes."""
    [row] = await connection.fetch(QUERIES["pulse_group"])
    return Pulse(**dict(row))


async def join(connection: Connection, joining: Sequence[Joining], now: datetime) -> dict[Key, tuple[UUID, int]]:
    """Add so many pages to the group of each key, opening those that are not; returns group and members before them."""
    ordered = sorted(joining, key=lambda one: one.key)
    keys = (
        [one.key.tenant for one in ordered],
        [one.key.who for one in ordered],
        [one.key.kind for one in ordered],
        [one.key.urgency for one in ordered],
        [one.key.step for one in ordered],
    )
    longest = max(one.settle for one in ordered)
    await connection.execute(QUERIES["close_groups"], now, *keys, longest)
    rows = await connection.fetch(
        QUERIES["join_groups"],
        [one.id for one in ordered],
        keys[0],
        keys[1],
        [one.recipient for one in ordered],
        [one.person for one in ordered],
        *keys[2:],
        [one.pages for one in ordered],
        [one.window for one in ordered],
        now,
        [one.settle for one in ordered],
    )
    added = {one.key: one.pages for one in ordered}
    found = {}
    for row in rows:
        key = Key(tenant=row["tenant"], who=row["who"], kind=row["kind"], urgency=row["urgency"], step=row["step"])
        found[key] = (row["id"], row["members"] - added[key])
    return found


async def load_stale(connection: Connection, now: datetime, limit: int) -> list[StalePage]:
    """Late pages that were never tried, with their escalations held; those held elsewhere are left out."""
    return [StalePage(**dict(row)) for row in await connection.fetch(QUERIES["load_stale_pages"], now, limit)]


async def group_pages(connection: Connection, placed: Sequence[tuple[UUID, UUID, int]]) -> None:
    """Put pages that nobody has begun to send into groups: page, group, number."""
    await connection.execute(
        QUERIES["group_pages"],
        [page for page, _, _ in placed],
        [group for _, group, _ in placed],
        [number for _, _, number in placed],
    )


async def load_due(connection: Connection, now: datetime, limit: int) -> list[UUID]:
    """Groups that are to be looked at."""
    return [row["id"] for row in await connection.fetch(QUERIES["load_due_groups"], now, limit)]


async def lock_due(connection: Connection, group_id: UUID, now: datetime) -> tuple[Group, list[Member]] | None:
    """Hold the escalations of a group's untold members, then the group; None where it need not be looked at any more."""
    await connection.execute(QUERIES["lock_untold"], group_id)
    row = await connection.fetchrow(QUERIES["lock_due_group"], group_id, now)
    if row is None:
        return None
    members = await connection.fetch(QUERIES["load_untold"], group_id)
    return Group(**dict(row)), [_member(dict(member)) for member in members]


async def open_after(connection: Connection, group_id: UUID, new_id: UUID, members: int, now: datetime) -> None:
    """Open the group that follows one whose window is over; its first page is a summary of so many."""
    await connection.execute(QUERIES["open_group"], group_id, new_id, now, members)


async def tell(connection: Connection, page_id: UUID, group_id: UUID, members: Sequence[tuple[UUID, int]]) -> None:
    """Note on members which page tells of them, and their numbers in its group."""
    await connection.execute(
        QUERIES["tell_members"], page_id, group_id, [member for member, _ in members], [number for _, number in members]
    )


async def save(connection: Connection, group_id: UUID, *, told: int, told_at: datetime | None, is_open: bool) -> None:
    """Store how a held group stands after it was looked at."""
    await connection.execute(QUERIES["save_group"], group_id, told, told_at, is_open)


async def cancel_moot(connection: Connection, limit: int) -> int:
    """Cancel pages about groups of whose members none is wanted any more; returns how many."""
    status: str = await connection.execute(QUERIES["cancel_moot_summaries"], limit)
    return int(status.rpartition(" ")[2])


_evidence = msgspec.json.Decoder(Evidence)
_facts = msgspec.json.Decoder(Facts)
_options = msgspec.json.Decoder(dict[str, str])


def _member(columns: dict[str, Any]) -> Member:
    columns["kind"] = Kind(columns["kind"])
    columns["evidence"] = _evidence.decode(columns["evidence"])
    columns["options"] = _options.decode(columns["options"])
    columns["body"] = _facts.decode(columns["body"])
    return Member(**columns)
