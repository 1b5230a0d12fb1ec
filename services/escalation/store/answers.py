"""Answers to pages in SQL, and what tidying up needs."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from services.escalation.domain.answer import Action, Change, Subject
from services.escalation.domain.ladder import Position, Reason
from services.escalation.domain.recipient import Evidence
from services.escalation.store import QUERIES
from shared.contract.help import About
from shared.postgres.pool import Connection, Record


class Answerable(Struct, frozen=True, kw_only=True):
    """What a link in a page leads to; of a page about a group or of a test, what belongs to an escalation is None."""

    page_id: UUID
    tenant: str
    escalation_id: UUID | None
    group_id: UUID | None
    group_version: int | None
    kind: str
    recipient: str
    person: str | None
    method: str
    evidence: Evidence
    committed_at: datetime
    answered_at: datetime | None
    person_name: str
    state: str | None
    acknowledged_by: str | None
    acknowledged_name: str | None
    acknowledged_at: datetime | None
    answered: Sequence[str] | None
    resolved_at: datetime | None
    resolution: str | None
    reason: str | None
    target: str | None
    cycle: int | None
    generation: int | None
    policy_version: int | None
    ladder: str | None
    step: int | None
    loop: int | None
    next_step_at: datetime | None
    anchor_at: datetime | None
    wakes_at: datetime | None
    wakes_for: str | None
    about: About | None
    """Of the target `routing`: why somebody is needed."""
    source: str | None
    external_id: str | None
    channel: str | None
    urgency: str | None
    requester_tier: str | None
    due_at: datetime | None
    owner_name: str | None
    members: int | None
    """Of its group: how many joined so far, which is the version shown."""
    is_group_open: bool | None
    now: datetime

    @property
    def who(self) -> str:
        """The one the page was sent to."""
        return self.person or self.recipient


class Member(Struct, frozen=True, kw_only=True):
    """A ticket of a group."""

    escalation_id: UUID
    group_version: int
    external_id: str
    source: str
    channel: str
    urgency: str
    target: str
    reason: str
    state: str
    acknowledged_by: str | None
    acknowledged_name: str | None
    wakes_at: datetime | None
    next_step_at: datetime | None
    due_at: datetime | None


class Told(Struct, frozen=True, kw_only=True):
    """Somebody was paged."""

    at: datetime
    kind: str
    name: str
    method: str
    state: str
    accepted_at: datetime | None


class Given(Struct, frozen=True, kw_only=True):
    """Somebody answered."""

    at: datetime
    action: str
    until_at: datetime | None
    generation: int
    name: str


class Held(Struct, frozen=True, kw_only=True):
    """An escalation held while it is answered."""

    id: UUID
    tenant: str
    target: str
    cycle: int
    resolved_at: datetime | None
    resolution: str | None
    policy_version: int
    ladder: str
    source: str
    external_id: str
    channel: str
    subject: Subject
    now: datetime


async def find_by_token(connection: Connection, token_hash: bytes) -> Answerable | None:
    """The page that was sent with this token."""
    row = await connection.fetchrow(QUERIES["find_by_token"], token_hash)
    if row is None:
        return None
    columns: dict[str, Any] = dict(row)
    columns["evidence"] = _evidence.decode(columns["evidence"])
    columns["about"] = None if columns["about"] is None else _about.decode(columns["about"])
    return Answerable(**columns)


async def list_members(connection: Connection, group_id: UUID, version: int) -> list[Member]:
    """The tickets of a group up to a version, in the order in which they joined."""
    rows = await connection.fetch(QUERIES["list_members"], group_id, version)
    return sorted((Member(**dict(row)) for row in rows), key=lambda member: member.group_version)


async def load_names(connection: Connection, tenant: str, keys: Collection[str]) -> dict[str, str]:
    """What people are called, by their keys."""
    rows = await connection.fetch(QUERIES["load_names"], tenant, list(keys))
    return {row["key"]: row["name"] for row in rows}


async def list_story(connection: Connection, escalation_id: UUID, most: int) -> tuple[list[Told], list[Given]]:
    """Whom an escalation was told to and who answered, each the newest first."""
    told = await connection.fetch(QUERIES["list_told"], escalation_id, most)
    given = await connection.fetch(QUERIES["list_answers"], escalation_id, most)
    return [Told(**dict(row)) for row in told], [Given(**dict(row)) for row in given]


async def lock(
    connection: Connection,
    tenant: str,
    escalation_id: UUID | None,
    *,
    page_id: UUID | None = None,
    is_used: bool = False,
    group_id: UUID | None = None,
    version: int | None = None,
) -> list[Held]:
    """Hold escalations of the tenant, in the order of their ids: this one, and those of the group up to the version (R28).

    With a page, what is not of its generation is not for its link to answer; `is_used` says that the link was used before.
    """
    rows = await connection.fetch(QUERIES["lock_for_answer"], tenant, escalation_id, group_id, version)
    ids = [row["id"] for row in rows]
    asked = {row["id"]: row for row in await connection.fetch(QUERIES["load_asked"], ids, page_id, group_id, version)}
    return [_held(row, asked[row["id"]], is_by_link=page_id is not None, is_used=is_used) for row in rows]


async def lock_group(connection: Connection, group_id: UUID) -> int:
    """Hold a group whose escalations are held; returns its version."""
    members: int = await connection.fetchval(QUERIES["lock_group"], group_id)
    return members


async def take_over_group(connection: Connection, group_id: UUID, version: int, now: datetime) -> None:
    """Close a held group for whoever joins after this version, and take back what is to be told of it up to there (R28)."""
    await connection.execute(QUERIES["take_over_group"], group_id, version, now)
    await connection.execute(QUERIES["cancel_told"], group_id, version)


async def save(connection: Connection, changes: Sequence[tuple[UUID, Change]], by: str) -> None:
    """Store what an answer changed of held escalations, and stop the pages that nobody has begun to send (R9)."""
    await connection.execute(
        QUERIES["save_answers"],
        [escalation_id for escalation_id, _ in changes],
        [change.state for _, change in changes],
        [change.generation for _, change in changes],
        [change.position.loop for _, change in changes],
        [change.position.step for _, change in changes],
        [change.anchor_at for _, change in changes],
        [change.next_step_at for _, change in changes],
        [change.goes_on for _, change in changes],
        [change.acknowledged_by for _, change in changes],
        [change.acknowledged_at for _, change in changes],
        [msgspec.json.encode(change.answered) for _, change in changes],
        [change.wakes_at for _, change in changes],
        [change.wakes_for for _, change in changes],
    )
    alone = [escalation_id for escalation_id, change in changes if change.goes_on]
    whole = [escalation_id for escalation_id, change in changes if not change.goes_on]
    for ids, name in ((alone, by), (whole, None)):
        if ids:
            await connection.execute(QUERIES["cancel_pages"], ids, name)


async def note(
    connection: Connection,
    held: Sequence[Held],
    action: Action,
    by: str,
    at: datetime,
    *,
    until: datetime | None,
    page_id: UUID | None,
) -> None:
    """Keep what somebody answered."""
    await connection.execute(
        QUERIES["note_answers"],
        [one.id for one in held],
        at,
        action,
        by,
        until,
        page_id,
        [one.subject.generation for one in held],
    )


async def mark_page_answered(connection: Connection, page_id: UUID, now: datetime) -> datetime | None:
    """Note on the page that its link was used; returns when it had been accepted, the first time."""
    accepted_at: datetime | None = await connection.fetchval(QUERIES["mark_page_answered"], page_id, now)
    return accepted_at


async def cancel_moot_pages(connection: Connection, limit: int) -> int:
    """Cancel pages of escalations that were answered or resolved meanwhile; returns how many."""
    status: str = await connection.execute(QUERIES["cancel_moot_pages"], limit)
    return int(status.rpartition(" ")[2])


async def outbox_oldest_seconds(connection: Connection) -> float:
    """How long the oldest unpublished events have waited."""
    seconds: float = await connection.fetchval(QUERIES["outbox_oldest"])
    return seconds


async def count_live(connection: Connection) -> dict[str, int]:
    """Escalations that are not resolved, by state."""
    return {row["state"]: row["escalations"] for row in await connection.fetch(QUERIES["count_live"])}


_about = msgspec.json.Decoder(About)
_evidence = msgspec.json.Decoder(Evidence)


def _held(row: Record, asked: Record, *, is_by_link: bool, is_used: bool) -> Held:
    return Held(
        id=row["id"],
        tenant=row["tenant"],
        target=row["target"],
        cycle=row["cycle"],
        resolved_at=row["resolved_at"],
        resolution=row["resolution"],
        policy_version=row["policy_version"],
        ladder=row["ladder"],
        source=row["source"],
        external_id=row["external_id"],
        channel=row["channel"],
        now=row["now"],
        subject=Subject(
            id=row["id"],
            state=row["state"],
            generation=row["generation"],
            position=Position(row["loop"], row["step"]),
            urgency=row["urgency"],
            anchor_at=row["anchor_at"],
            acknowledged_by=row["acknowledged_by"],
            acknowledged_at=row["acknowledged_at"],
            answered=tuple(row["answered"]),
            newest=None if asked["step"] is None else Position(asked["loop"], asked["step"]),
            asked=frozenset(asked["asked"]),
            is_warning=row["reason"] == Reason.WARNED,
            is_mine=not is_by_link or asked["page_generation"] == row["generation"],
            is_used=is_used,
        ),
    )
