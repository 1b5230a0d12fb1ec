"""Escalations in SQL: opened by firing, walked by stepping. Everything set-based; callers own the transaction."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from services.escalation.domain.ladder import Position, Reason
from services.escalation.domain.recipient import Person
from services.escalation.store import QUERIES, ClockPulse, Pulse
from shared.contract.help import About
from shared.contract.tickets import TargetKind
from shared.policy.document import Contact
from shared.postgres.pool import Connection, Record


class Opening(Struct, frozen=True, kw_only=True):
    """An escalation to open, or to send up again where one is live."""

    id: UUID
    tenant: str
    ticket_id: UUID
    target: TargetKind
    cycle: int
    policy_version: int
    ladder: str
    reason: Reason
    anchor_at: datetime
    step: int = 0
    """Of a warning: its number."""


class Opened(Struct, frozen=True, kw_only=True):
    """An escalation that was opened, or went up again."""

    id: UUID
    ticket_id: UUID
    target: str
    cycle: int
    generation: int


class Outlook(Struct, frozen=True, kw_only=True):
    """What a customer can be told of their ticket: who has it, and what is promised next."""

    owner: str | None = None
    target: TargetKind | None = None
    due_at: datetime | None = None


class Case(Struct, frozen=True, kw_only=True):
    """A claimed escalation, with what its pages say of the ticket, the promise and the owner."""

    id: UUID
    tenant: str
    ticket_id: UUID
    target: str
    cycle: int
    generation: int
    policy_version: int
    ladder: str
    reason: Reason
    position: Position
    """The next step to take."""
    source: str
    external_id: str
    channel: str
    urgency: str
    requester_tier: str | None
    matched: str | None
    due_at: datetime | None
    calendar: str | None
    """Of the promise; None where its clock is gone."""
    owner: str | None
    owner_name: str | None
    lead: str | None
    also: tuple[str, ...] = ()
    """Recipients whom the next step pages besides its own."""
    about: About | None = None
    """Of the target `routing`: why somebody is needed."""
    next_shift_at: datetime | None = None
    """Of a ticket whose people are not there: when the first of them is, where that is known."""
    answer_due_at: datetime | None = None
    """Of a ticket that waits for an owner: when the next promise to its customer is due."""
    subject: str | None = None


class DueStep(Case, frozen=True, kw_only=True):
    """One whose step is due."""

    opened_at: datetime
    anchor_at: datetime
    since: Position | None
    next_step_at: datetime
    is_replanned: bool
    raised_by: str | None
    """Who sent it up by hand, so that this step is due (R8)."""
    raised_for: str | None
    answered: frozenset[str]
    has_reached: bool
    """A page of this generation got through to somebody."""
    accepted_at: datetime | None
    """Of one that is planned anew: when a page of its newest step first got through."""


class Stepped(Struct, frozen=True, kw_only=True):
    """Where an escalation stands after its step."""

    id: UUID
    state: str
    position: Position
    next_step_at: datetime | None
    is_taken: bool
    """False where it was only put off."""
    ends_at: datetime | None
    """Its hard end, if it has none yet (R12)."""
    hands_over_at: datetime | None


async def pulse_clock(connection: Connection) -> ClockPulse:
    """How firing stands: one probe of the index."""
    [row] = await connection.fetch(QUERIES["pulse_clock"])
    return ClockPulse(**dict(row))


async def pulse_step(connection: Connection) -> Pulse:
    """How stepping stands: one probe of the index."""
    [row] = await connection.fetch(QUERIES["pulse_step"])
    return Pulse(**dict(row))


async def load_outlooks(connection: Connection, ticket_ids: Sequence[UUID], now: datetime) -> dict[UUID, Outlook]:
    """Owner and next promise to the customer of each ticket, where there are any."""
    return {
        row["ticket_id"]: Outlook(
            owner=row["owner"],
            target=None if row["target"] is None else TargetKind(row["target"]),
            due_at=row["due_at"],
        )
        for row in await connection.fetch(QUERIES["load_outlooks"], ticket_ids, now)
    }


async def open_or_reopen(connection: Connection, openings: Sequence[Opening], now: datetime) -> list[Opened]:
    """Open escalations; a live one of the same clock goes up again if the promise broke, or if it only warned so far.

    Returns those that changed, in no order; a warning leaves one alone that is answered or further on (R1). One that warns
    again because its due time has moved is a generation of its own, so that its pages are too (R34).
    """
    rows = await connection.fetch(
        QUERIES["open_escalations"],
        [one.id for one in openings],
        [one.tenant for one in openings],
        [one.ticket_id for one in openings],
        [one.target for one in openings],
        [one.cycle for one in openings],
        [one.policy_version for one in openings],
        [one.ladder for one in openings],
        [one.reason for one in openings],
        [one.anchor_at for one in openings],
        [one.step for one in openings],
        now,
    )
    return [
        Opened(
            id=row["id"],
            ticket_id=row["ticket_id"],
            target=row["target"],
            cycle=row["cycle"],
            generation=row["generation"],
        )
        for row in rows
    ]


async def claim_due_steps(connection: Connection, now: datetime, limit: int) -> list[DueStep]:
    """Lock up to `limit` open escalations whose step is due; those locked elsewhere are skipped."""
    return [_due_step(row) for row in await connection.fetch(QUERIES["claim_due_steps"], now, limit)]


async def load_people(connection: Connection, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Person]:
    """Those of the people, given as (tenant, key), who are on the roster."""
    rows = await connection.fetch(QUERIES["load_people"], [tenant for tenant, _ in keys], [key for _, key in keys])
    return {
        (row["tenant"], row["key"]): Person(
            key=row["key"],
            name=row["name"],
            contacts=_contacts.decode(row["contacts"]),
            timezone=row["timezone"],
            quiet_hours=row["quiet_hours"],
        )
        for row in rows
    }


async def load_paged(connection: Connection, steps: Iterable[tuple[UUID, Position, int]]) -> dict[UUID, frozenset[str]]:
    """Whom a step of each escalation, given as (id, position, generation), paged."""
    wanted = list(steps)
    rows = await connection.fetch(
        QUERIES["load_paged"],
        [escalation_id for escalation_id, _, _ in wanted],
        [position.loop for _, position, _ in wanted],
        [position.step for _, position, _ in wanted],
        [generation for _, _, generation in wanted],
    )
    paged: dict[UUID, set[str]] = {}
    for row in rows:
        paged.setdefault(row["escalation_id"], set()).add(row["who"])
    return {escalation_id: frozenset(people) for escalation_id, people in paged.items()}


async def save_steps(connection: Connection, steps: Sequence[Stepped]) -> None:
    """Store where claimed escalations stand now."""
    await connection.execute(
        QUERIES["save_steps"],
        [one.id for one in steps],
        [one.state for one in steps],
        [one.position.step for one in steps],
        [one.position.loop for one in steps],
        [one.next_step_at for one in steps],
        [one.is_taken for one in steps],
        [one.ends_at for one in steps],
        [one.hands_over_at for one in steps],
    )


_contacts = msgspec.json.Decoder(tuple[Contact, ...])
_about = msgspec.json.Decoder(About)


def facts_of(row: Record) -> dict[str, Any]:
    """The columns of a claimed escalation, as the fields of a `Case`, and whatever else it has."""
    columns: dict[str, Any] = dict(row)
    columns["position"] = Position(columns.pop("loop"), columns.pop("step"))
    columns["reason"] = Reason(columns["reason"])
    columns["also"] = tuple(columns["also"])
    columns["about"] = None if columns["about"] is None else _about.decode(columns["about"])
    return columns


def _due_step(row: Record) -> DueStep:
    columns = facts_of(row)
    loop, step = columns.pop("since_loop"), columns.pop("since_step")
    columns["since"] = None if loop is None else Position(loop, step)
    columns["answered"] = frozenset(columns["answered"])
    return DueStep(**columns)
