"""Pages and their attempts in SQL. A claimed page is leased: every later write names the lease (R31)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from services.escalation.domain.ladder import Kind
from services.escalation.domain.notice import Facts
from services.escalation.domain.recipient import Evidence
from services.escalation.domain.retry import Outcome, Result
from services.escalation.store import QUERIES, Pulse
from shared.postgres.pool import Connection, Record


class NewPage(Struct, frozen=True, kw_only=True):
    """A page to be sent, due at once."""

    id: UUID
    tenant: str
    escalation_id: UUID | None
    """None of an alarm, and of what is about several."""
    kind: Kind
    step: int
    loop: int
    recipient: str
    person: str | None
    method: str
    address: str
    secret: str
    options: Mapping[str, str] = {}
    account: str = ""
    urgency: str = "normal"
    evidence: Evidence
    body: Facts
    due_at: datetime
    token_hash: bytes | None
    """None where there is nothing to acknowledge."""
    state: str = "pending"
    """`grouped` where another page tells of it (R27)."""
    group_id: UUID | None = None
    group_version: int | None = None
    """Its number in the group; of a page about a group, the version it shows."""
    told_by: UUID | None = None
    """Of another way to tell of a group: the first page that did."""
    digest_at: datetime | None = None
    """Not attempted by then, it is told in a digest instead (R30)."""
    quiet_until: datetime | None = None
    """Held back until then, for quiet hours (R24), or, of an alarm, because its reader had one a while ago."""
    is_by_hand: bool = False
    """Somebody wants it now: it is told with no others."""


class SentPage(Struct, frozen=True, kw_only=True):
    """A page as far as another way to reach the same person depends on it."""

    id: UUID
    tenant: str
    escalation_id: UUID | None
    group_id: UUID | None
    group_version: int | None
    told_by: UUID | None
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

    @property
    def root(self) -> UUID:
        """Of a page about a group: the first one that told of these members, whichever way."""
        return self.told_by or self.id


class LeasedPage(SentPage, frozen=True, kw_only=True):
    """A page in our hands until its lease runs out."""

    committed_at: datetime
    attempted_at: datetime
    attempts: int
    unknowns: int
    """Earlier attempts without an answer."""
    lease: UUID
    token_hash: bytes | None
    """None where there is nothing to acknowledge."""
    next_step_at: datetime | None
    receipt: Outcome | None = None
    """What its provider said of it by itself: then it need not be sent."""
    held_for: str | None = None
    """What its first attempt had to wait for."""
    replayed_at: datetime | None = None
    """It was given up, and is tried anew from then on (R39)."""
    claimed_at: datetime | None = None
    """By the database server's own clock; None of a page that was found lost."""


class Conclusion(Struct, frozen=True, kw_only=True):
    """What becomes of a page after an attempt."""

    state: str
    retry_at: datetime | None = None
    deferred_for: str | None = None
    """Why the next attempt waits, where not for chance alone."""
    verify_by: datetime | None = None
    """When a receipt has to have come."""
    falls_back: bool = False
    """The next contact is tried now, so that nothing else need begin it."""


class HeldEscalation(Struct, frozen=True, kw_only=True):
    """An escalation of a page, locked."""

    id: UUID
    ticket_id: UUID
    target: str
    cycle: int
    generation: int
    state: str
    reason: str
    loop: int
    step: int
    next_step_at: datetime | None
    policy_version: int
    ladder: str


class Unanswered(Struct, frozen=True, kw_only=True):
    """An escalation of whose newest step no page may get through any more."""

    id: UUID
    is_last: bool
    """No step follows, or none is ours to hurry."""


async def pulse_page(connection: Connection) -> tuple[Pulse, bool]:
    """How delivery stands, by probes of indexes; and whether another way is due for some page."""
    [row] = await connection.fetch(QUERIES["pulse_page"])
    columns = dict(row)
    fallback_at = columns.pop("fallback_at")
    dues = [at for at in (columns["due_at"], fallback_at) if at is not None]
    pulse = Pulse(now=columns["now"], rate=columns["rate"], due_at=min(dues, default=None))
    return pulse, fallback_at is not None and fallback_at <= pulse.now


async def insert(connection: Connection, pages: Sequence[NewPage], now: datetime) -> None:
    """Store pages; one that is there already stays as it is (R34)."""
    await connection.execute(
        QUERIES["insert_pages"],
        [page.id for page in pages],
        [page.tenant for page in pages],
        [page.escalation_id for page in pages],
        [page.kind for page in pages],
        [page.step for page in pages],
        [page.loop for page in pages],
        [page.recipient for page in pages],
        [page.person for page in pages],
        [page.method for page in pages],
        [page.address for page in pages],
        [page.secret for page in pages],
        [_encoder.encode(page.evidence) for page in pages],
        [_encoder.encode(page.body) for page in pages],
        [page.due_at for page in pages],
        [page.token_hash for page in pages],
        now,
        [_encoder.encode(page.options) for page in pages],
        [page.account for page in pages],
        [page.urgency for page in pages],
        [page.state for page in pages],
        [page.group_id for page in pages],
        [page.group_version for page in pages],
        [page.told_by for page in pages],
        [page.digest_at for page in pages],
        [page.quiet_until for page in pages],
    )


async def insert_ways(connection: Connection, ways: Sequence[tuple[NewPage, SentPage]], now: datetime) -> bool:
    """Store other ways to send pages; one that was dropped before it was tried is due after all (R37).

    Returns whether any of them may get through: False where all were given up before.
    """
    await insert(connection, [way for way, _ in ways], now)
    rows = await connection.fetch(
        QUERIES["take_up_ways"], [way.id for way, _ in ways], now, [page.id for _, page in ways]
    )
    return any(row["state"] != "failed" for row in rows)


async def load_lost(connection: Connection, limit: int) -> list[LeasedPage]:
    """Pages whose lease ran out in mid-send; their lease is still the dead one's."""
    return [leased(row) for row in await connection.fetch(QUERIES["load_lost_pages"], limit)]


async def load_closed(connection: Connection, page_ids: Sequence[UUID]) -> list[tuple[UUID, str | None]]:
    """Ids of pages that are moot, and what their provider calls them."""
    rows = await connection.fetch(QUERIES["load_closed"], page_ids)
    return [(row["id"], row["provider_id"]) for row in rows]


async def lock_told(connection: Connection, page: SentPage) -> list[HeldEscalation]:
    """Hold the escalations, and the groups that a page is about or that its end concerns, before it is written."""
    if page.escalation_id is None and page.group_id is None:
        return []
    rows = await connection.fetch(QUERIES["lock_told"], page.escalation_id, page.group_id, page.root)
    ended = [row["id"] for row in rows if row["state"] == "resolved"]
    if ended or page.escalation_id is None:
        await connection.execute(QUERIES["hold_group"], page.group_id if page.escalation_id is None else None, ended)
    return [HeldEscalation(**dict(row)) for row in rows]


async def conclude(
    connection: Connection,
    page: LeasedPage,
    conclusion: Conclusion,
    outcome: Outcome,
    now: datetime,
    *,
    is_well: bool,
) -> bool | None:
    """Store the answer to the present attempt; None, and nothing written, where the lease is another's by now.

    Where its account is well, whatever failed before is forgotten; returns whether it had counted as broken.
    """
    was_broken: bool | None = await connection.fetchval(
        QUERIES["conclude_page"],
        page.id,
        page.lease,
        conclusion.state,
        conclusion.retry_at,
        now,
        outcome.provider_id,
        outcome.result is Result.DELIVERED,
        conclusion.verify_by,
        conclusion.falls_back,
        conclusion.deferred_for,
        page.attempts,
        outcome.result,
        outcome.detail or None,
        is_well,
    )
    return was_broken


async def hold(connection: Connection, page: LeasedPage) -> tuple[datetime, Outcome | None] | None:
    """Hold a page that is in our hands: the time, and what the provider told of it by itself; None where it is another's."""
    row = await connection.fetchrow(QUERIES["load_receipt"], page.id, page.lease)
    if row is None:
        return None
    return row["now"], None if row["receipt"] is None else _outcome.decode(row["receipt"])


async def load_told(connection: Connection, page: SentPage) -> list[UUID]:
    """The pages that a page stands for: itself, or members of its group that wait for it."""
    if page.escalation_id is not None or page.group_id is None:
        return [page.id]
    return [row["id"] for row in await connection.fetch(QUERIES["load_told"], page.group_id, page.root)]


async def is_told_otherwise(connection: Connection, page: SentPage) -> bool:
    """Whether a page about a group is being sent another way too, or got through by it."""
    if page.escalation_id is not None or page.group_id is None:
        return False
    return await connection.fetchval(QUERIES["is_told_otherwise"], page.group_id, page.root, page.id) is True


async def conclude_members(connection: Connection, page: SentPage, state: str, now: datetime) -> None:
    """What became of a page about a group is so for the members it names."""
    if page.escalation_id is None and page.group_id is not None:
        await connection.execute(QUERIES["conclude_members"], page.group_id, page.root, state, now)


async def cancel_other_ways(connection: Connection, page: SentPage) -> None:
    """Drop ways to the same person that were never tried: one got through."""
    if page.escalation_id is not None:
        await connection.execute(QUERIES["cancel_other_ways"], page.id)
    elif page.group_id is not None:
        await connection.execute(QUERIES["cancel_other_ways_to_tell"], page.group_id, page.root)


async def renew_token(connection: Connection, page: LeasedPage, token_hash: bytes) -> None:
    """Let the page's link be made with another key, while the page is in our hands."""
    await connection.execute(QUERIES["renew_token"], page.id, page.lease, token_hash)


async def extend_answer_windows(connection: Connection, page_ids: Sequence[UUID], until: datetime) -> None:
    """Let the next step wait until then, where a page is the first of its escalation's newest step to be accepted (R3)."""
    await connection.execute(QUERIES["extend_answer_windows"], page_ids, until)


async def load_unanswered(connection: Connection, page_ids: Sequence[UUID]) -> list[Unanswered]:
    """Live escalations of pages of whose newest step no other page may get through any more (R3)."""
    return [Unanswered(**dict(row)) for row in await connection.fetch(QUERIES["load_unanswered"], page_ids)]


async def hurry_steps(connection: Connection, escalation_ids: Sequence[UUID], now: datetime) -> None:
    """Make their next step due now (R3)."""
    await connection.execute(QUERIES["hurry_steps"], escalation_ids, now)


_encoder = msgspec.json.Encoder()
_evidence = msgspec.json.Decoder(Evidence)
_facts = msgspec.json.Decoder(Facts)
_options = msgspec.json.Decoder(dict[str, str])
_outcome = msgspec.json.Decoder(Outcome)


def leased(row: Record) -> LeasedPage:
    """A row of a claim."""
    columns = _columns(row)
    if columns["receipt"] is not None:
        columns["receipt"] = _outcome.decode(columns["receipt"])
    return LeasedPage(**columns)


def sent(row: Record | dict[str, Any]) -> SentPage:
    """A row of a page as far as another way depends on it."""
    return SentPage(**_columns(row))


def _columns(row: Record | dict[str, Any]) -> dict[str, Any]:
    columns: dict[str, Any] = dict(row)
    columns["kind"] = Kind(columns["kind"])
    columns["evidence"] = _evidence.decode(columns["evidence"])
    columns["options"] = _options.decode(columns["options"])
    columns["body"] = _facts.decode(columns["body"])
    return columns
