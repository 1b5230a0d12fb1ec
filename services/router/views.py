"""What the outside sees of a ticket: owner or place in the queue, and every clock.

Readers that ask at the same time share one query, as their tickets shared one commit.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
from msgspec import Struct

from services.router.domain.queue import Band
from shared.contract.tickets import Status
from shared.postgres import queries
from shared.postgres.pool import Connection, Pool, Record

QUERIES = queries.load("services.router.sql")
COUNTED = 200
"""So many places in the queue are counted; further back, `position` says at least."""
_BATCH = 500


class QueuePlace(Struct, frozen=True, kw_only=True):
    """Where a ticket without an owner waits."""

    position: int
    """1 is next, among the tickets that the same people can take."""
    is_exact: bool
    """False where more wait ahead than are counted: the position is then the least it can be."""
    reason: str
    """Why it waits: `new` (not looked at yet), `no_skill`, `offline`, `full`, `fragmented` or `excluded`."""
    band: str
    """`rescue`, `savable` or `late`: they are served in this order."""
    queued_at: datetime
    """When it first came into the queue."""
    next_shift_at: datetime | None
    """Where those who can take it are not there (`offline`): when the first of them is; null where that is not known."""
    help_at: datetime | None
    """When somebody is told that nobody takes it, unless somebody does; null where it just waits, or they were told."""


class AssignmentView(Struct, frozen=True, kw_only=True):
    """How an agent has a ticket, and which timers run."""

    agent: str
    state: str
    """`offered` (they are asked, nobody owns it), `active`, or `parked` (theirs, silent, takes no room)."""
    is_by_hand: bool
    """The helpdesk gave it to them, or the policy's `fallback` has what nobody else can take: no absence takes it away."""
    assigned_at: datetime
    """When it was given or offered."""
    accepted_at: datetime | None
    """Null while it is only offered."""
    offered_until: datetime | None
    """Then the offer lapses."""
    touched_at: datetime | None
    """When they first did something with it."""
    act_by: datetime | None
    """Then it goes back into the queue, unless they do something with it."""
    park_at: datetime | None
    """Then it is parked, unless somebody writes."""


class Need(Struct, frozen=True, kw_only=True):
    """A skill that the owner must have, at this level (1 to 5) or better."""

    skill: str
    level: int


class RequesterView(Struct, frozen=True, kw_only=True):
    """The customer, as the helpdesk knows them."""

    key: str | None
    tier: str | None


class ClockView(Struct, frozen=True, kw_only=True):
    """One promise to the customer and how it stands."""

    target: str
    cycle: int
    """1 for the first; later ones follow a reply or a reopening."""
    state: str
    """`running`, `paused`, `breached`, `met` or `cancelled`."""
    matched: str
    """The line of the policy that promised it."""
    calendar: str
    started_at: datetime
    due_at: datetime | None
    """Null while paused."""
    warn_at: list[datetime]
    """Warnings that are still to come."""
    warned_at: datetime | None
    breached_at: datetime | None
    detected_at: datetime | None
    """When the breach was noticed."""
    met_at: datetime | None
    ended_at: datetime | None
    open_seconds: float | None
    """Open time used; null while the clock counts."""
    wall_seconds: float | None
    """Elapsed time from start to end; null until then."""


class TicketView(Struct, frozen=True, kw_only=True):
    """A ticket: what was made of it, who has it, and every due time."""

    id: UUID
    source: str
    external_id: str
    status: str
    channel: str | None
    urgency: str | None
    theme: str | None
    language: str | None
    subject: str | None
    requester: RequesterView
    team: str | None
    """Whom the helpdesk last handed it to."""
    owner: str | None
    """Key of the agent, or null while nobody has it."""
    assigned_at: datetime | None
    """Since when they have it."""
    assignment: AssignmentView | None
    """How the owner has it, or whom it is offered to; null while it waits, and once it is over."""
    queue: QueuePlace | None
    needs: list[Need]
    rules: list[str]
    """Names of the policy's rules that hit."""
    matched: str | None
    """The line of the policy's targets; null where nothing is promised."""
    clocks: list[ClockView]
    opened_at: datetime | None
    """Null while only later events of the ticket have arrived."""
    solved_at: datetime | None
    pool: str
    policy_version: int


class Identity(NamedTuple):
    """A ticket as its helpdesk knows it, and the time that decides."""

    source: str
    external_id: str
    now: datetime


class Filter(Struct, frozen=True, kw_only=True):
    """Which tickets to list; what is None does not matter."""

    source: str | None = None
    external_id: str | None = None
    status: Status | None = None
    owner: str | None = None
    offered_to: str | None = None
    before: UUID | None = None
    """Only tickets older than this one."""


async def load_views(connection: Connection, ticket_ids: Sequence[UUID]) -> dict[UUID, tuple[str, TicketView]]:
    """The tickets that exist among the given ones, each with its tenant."""
    rows = await connection.fetch(QUERIES["view_tickets"], ticket_ids, COUNTED)
    clocks: dict[UUID, list[ClockView]] = defaultdict(list)
    for row in await connection.fetch(QUERIES["view_clocks"], ticket_ids):
        clocks[row["ticket_id"]].append(_clock(row))
    return {row["id"]: (row["tenant"], _ticket(row, clocks[row["id"]])) for row in rows}


async def list_views(connection: Connection, tenant: str, wanted: Filter, limit: int) -> list[TicketView]:
    """Up to `limit` of the tenant's tickets, the newest first."""
    rows = await connection.fetch(
        QUERIES["view_ticket_ids"],
        tenant,
        wanted.source,
        wanted.external_id,
        wanted.status,
        wanted.owner,
        wanted.offered_to,
        wanted.before,
        limit,
    )
    ids = [row["id"] for row in rows]
    found = await load_views(connection, ids) if ids else {}
    return [found[ticket_id][1] for ticket_id in ids if ticket_id in found]


async def load_identity(connection: Connection, tenant: str, ticket_id: UUID) -> Identity | None:
    """Source and external id of a ticket, or None where the tenant has no such."""
    row = await connection.fetchrow(QUERIES["view_identity"], tenant, ticket_id)
    return Identity(row["source"], row["external_id"], row["now"]) if row else None


class Views:
    """Reads tickets for many callers at once."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._asked: list[tuple[UUID, asyncio.Future[tuple[str, TicketView] | None]]] = []
        self._reading: asyncio.Task[None] | None = None

    async def load(self, tenant: str, ticket_id: UUID) -> TicketView | None:
        """The ticket as it is now or later, or None where the tenant has no such."""
        answer: asyncio.Future[tuple[str, TicketView] | None] = asyncio.get_running_loop().create_future()
        self._asked.append((ticket_id, answer))
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        found = await answer
        return found[1] if found and found[0] == tenant else None

    async def _read(self) -> None:
        while self._asked:
            batch, self._asked = self._asked[:_BATCH], self._asked[_BATCH:]
            try:
                async with self._pool.acquire() as connection:
                    found = await load_views(connection, list({ticket_id for ticket_id, _ in batch}))
            except Exception as error:  # noqa: BLE001 - it belongs to those who asked
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for ticket_id, answer in batch:
                if not answer.done():
                    answer.set_result(found.get(ticket_id))


_needs: msgspec.json.Decoder[list[tuple[str, int]]] = msgspec.json.Decoder(list[tuple[str, int]])
_BANDS = {int(band): band.name.lower() for band in Band}


def _ticket(row: Record, clocks: list[ClockView]) -> TicketView:
    return TicketView(
        id=row["id"],
        source=row["source"],
        external_id=row["external_id"],
        status=row["status"],
        channel=row["channel"],
        urgency=row["urgency"],
        theme=row["theme"],
        language=row["language"],
        subject=row["subject"],
        requester=RequesterView(key=row["requester_key"], tier=row["requester_tier"]),
        team=row["team"],
        owner=row["agent"] if row["accepted_at"] else None,
        assigned_at=row["accepted_at"],
        assignment=_assignment(row) if row["agent"] else None,
        queue=_place(row) if row["queued_at"] else None,
        needs=[Need(skill=skill, level=level) for skill, level in _needs.decode(row["needs"])],
        rules=row["rules"],
        matched=row["matched"],
        clocks=clocks,
        opened_at=row["opened_at"],
        solved_at=row["solved_at"],
        pool=row["pool"],
        policy_version=row["policy_version"],
    )


def _assignment(row: Record) -> AssignmentView:
    return AssignmentView(
        agent=row["agent"],
        state=row["state"],
        is_by_hand=row["by_hand"],
        assigned_at=row["assigned_at"],
        accepted_at=row["accepted_at"],
        offered_until=row["offered_until"],
        touched_at=row["touched_at"],
        act_by=row["act_by"],
        park_at=row["park_at"],
    )


def _place(row: Record) -> QueuePlace:
    return QueuePlace(
        position=row["place"] or COUNTED + 1,
        is_exact=row["place"] is not None,
        reason=row["queue_reason"],
        band=_BANDS[row["band"]],
        queued_at=row["queued_at"],
        next_shift_at=row["next_shift_at"],
        help_at=row["help_at"],
    )


def _clock(row: Record) -> ClockView:
    ended_at, wall_used = row["ended_at"], row["wall_used"]
    is_counting = ended_at is None and row["due_at"] is not None
    return ClockView(
        target=row["target"],
        cycle=row["cycle"],
        state=row["state"],
        matched=row["matched"],
        calendar=row["calendar"],
        started_at=row["started_at"],
        due_at=row["due_at"],
        warn_at=row["warn_at"][row["warned"] :],
        warned_at=row["warned_at"],
        breached_at=row["breached_at"],
        detected_at=row["detected_at"],
        met_at=row["met_at"],
        ended_at=ended_at,
        open_seconds=None if is_counting else row["open_used"].total_seconds(),
        wall_seconds=wall_used.total_seconds() if wall_used is not None else None,
    )
