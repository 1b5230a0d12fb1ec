"""Pages and their attempts in SQL. A claimed page is leased: every later write names the lease (R31)."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from services.escalation.domain.ladder import Kind
from services.escalation.domain.notice import Facts
from services.escalation.domain.recipient import Evidence
from services.escalation.domain.retry import Outcome
from services.escalation.store import QUERIES, Pulse
from shared.postgres.pool import Connection, Record


class NewPage(Struct, frozen=True, kw_only=True):
    """A page to be sent, due at once."""

    id: UUID
    tenant: str
    escalation_id: UUID
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
    token_hash: bytes


class LeasedPage(Struct, frozen=True, kw_only=True):
    """A page in our hands until its lease runs out."""

    id: UUID
    tenant: str
    escalation_id: UUID
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
    committed_at: datetime
    attempted_at: datetime
    attempts: int
    unknowns: int
    """Earlier attempts without an answer."""
    lease: UUID
    token_hash: bytes | None
    """None where there is nothing to acknowledge."""
    next_step_at: datetime | None


class HeldEscalation(Struct, frozen=True, kw_only=True):
    """The escalation of a page, locked."""

    state: str
    next_step_at: datetime | None
    external_id: str


async def pulse_page(connection: Connection) -> Pulse:
    """How delivery stands: one probe of the index."""
    [row] = await connection.fetch(QUERIES["pulse_page"])
    return Pulse(**dict(row))


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
    )


async def claim(
    connection: Connection, free: Mapping[str, int], now: datetime, lease: UUID, lease_for: timedelta
) -> list[LeasedPage]:
    """Lease due pages, up to so many of each method, whose escalation still wants them; one statement, one transaction."""
    rows = await connection.fetch(QUERIES["claim_pages"], now, list(free.keys()), list(free.values()), lease, lease_for)
    return [_leased(row) for row in rows]


async def claim_lost(connection: Connection, limit: int) -> list[LeasedPage]:
    """Lock pages, and their escalations, whose lease ran out in mid-send; their lease is still the dead one's."""
    return [_leased(row) for row in await connection.fetch(QUERIES["claim_lost_pages"], limit)]


async def lock_escalation(connection: Connection, escalation_id: UUID) -> HeldEscalation:
    """Hold the escalation before a page of it is written."""
    [row] = await connection.fetch(QUERIES["lock_escalation"], escalation_id)
    return HeldEscalation(**dict(row))


async def conclude(
    connection: Connection, page: LeasedPage, state: str, retry_at: datetime | None, outcome: Outcome, now: datetime
) -> bool:
    """Store the answer to the present attempt; False, and nothing written, where the lease is another's by now."""
    if await connection.fetchval(QUERIES["conclude_page"], page.id, page.lease, state, retry_at, now) is None:
        return False
    await connection.execute(
        QUERIES["conclude_attempt"], page.id, page.attempts, now, outcome.result, outcome.detail or None
    )
    return True


async def renew_token(connection: Connection, page: LeasedPage, token_hash: bytes) -> None:
    """Let the page's link be made with another key, while the page is in our hands."""
    await connection.execute(QUERIES["renew_token"], page.id, page.lease, token_hash)


async def extend_answer_window(connection: Connection, page_id: UUID, until: datetime) -> None:
    """Let the next step wait until then, if this page is the first of the newest step to be accepted (R3)."""
    await connection.execute(QUERIES["extend_answer_window"], page_id, until)


async def is_unanswerable(connection: Connection, page_id: UUID) -> bool:
    """Whether this page is of the newest step and no other page of that step may get through any more (R3)."""
    return await connection.fetchrow(QUERIES["load_unanswered"], page_id) is not None


async def hurry_step(connection: Connection, escalation_id: UUID, now: datetime) -> None:
    """Make the next step due now (R3)."""
    await connection.execute(QUERIES["hurry_step"], escalation_id, now)


_encoder = msgspec.json.Encoder()
_evidence = msgspec.json.Decoder(Evidence)
_facts = msgspec.json.Decoder(Facts)
_options = msgspec.json.Decoder(dict[str, str])


def _leased(row: Record) -> LeasedPage:
    columns: dict[str, Any] = dict(row)
    columns["kind"] = Kind(columns["kind"])
    columns["evidence"] = _evidence.decode(columns["evidence"])
    columns["options"] = _options.decode(columns["options"])
    columns["body"] = _facts.decode(columns["body"])
    return LeasedPage(**columns)
