"""A batch of ticket events in one transaction: log, fold, clocks, queue, outbox.

Nothing here is ticket by ticket where the database is concerned: each step is one statement for the whole batch.
Lock order: tickets by id, then their queue rows, then agents.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from services.router import remembering, saving
from services.router.domain import opinions
from services.router.domain.opinions import Scores
from services.router.domain.standing import Policies, Touched, stand, versions_named
from services.router.saving import Saved
from shared import ids
from shared.contract.events import Accepted, Assigned, Declined, Rejected, Released, StatusChanged, TicketEvent
from shared.contract.ledger import Ticket
from shared.ledger import clocks as clock_rows
from shared.ledger import tickets as ticket_rows
from shared.ledger.policies import PolicyShelf
from shared.policy.document import Policy
from shared.postgres import time as database_time
from shared.postgres.pool import Connection

FUTURE_TOLERANCE = timedelta(minutes=5)
"""An event dated later than this is refused (sla-rules 1)."""
LATE_AFTER = timedelta(days=30)
"""An event older than this is taken, and flagged."""
LONGEST_LOG = 10_000
"""Events of one ticket; a mail loop must not slow down everybody's batches. Moving and assigning stay possible for as many more."""

_TAKEN_FOR_LONG = (StatusChanged, Assigned, Accepted, Declined, Released)

_Identity = tuple[str, str, str]


class Receipt(Struct, frozen=True, kw_only=True):
    """What became of one event."""

    ticket_id: UUID | None = None
    is_new_ticket: bool = False
    is_duplicate: bool = False
    is_moot: bool = False
    """An agent's answer that came too late, twice or from somebody else: it changed nothing."""
    is_late: bool = False
    """It happened over 30 days ago."""
    rejected: Rejected | None = None
    """Why nothing was stored of it."""


class Recorded(Struct, frozen=True, kw_only=True):
    """What a batch comes to; what is in it holds once the caller has committed."""

    receipts: list[Receipt]
    touched: list[Touched]
    saved: Saved
    scored: Mapping[tuple[str, bool], int] = {}
    """Tickets that models scored, by what these are used for and by whether they were sure."""


async def record(
    connection: Connection, shelf: PolicyShelf, arrived: Sequence[TicketEvent], scores: Scores = opinions.NONE
) -> Recorded:
    """Store the events and all that follows from them, `scores` of new tickets too; the caller owns the transaction.

    Raises asyncpg.UniqueViolationError where another process stored one of them meanwhile: roll back and call again.
    """
    stored = {
        (ticket.tenant, ticket.source, ticket.external_id): ticket
        for ticket in await ticket_rows.lock(connection, {_identity(event) for event in arrived})
    }
    now = await database_time.now(connection)  # after the locks: what happened while we waited for them is past
    receipts: list[Receipt | None] = [_refusal(event, now) for event in arrived]
    ticket_ids = {identity: ticket.id for identity, ticket in stored.items()}
    in_log: dict[tuple[str, str], UUID] = await ticket_rows.known_events(
        connection, {(event.tenant, event.id) for event in arrived}
    )
    full = await ticket_rows.full_logs(connection, list(ticket_ids.values()), LONGEST_LOG) if stored else set()
    overfull = await ticket_rows.full_logs(connection, list(full), 2 * LONGEST_LOG) if full else full
    fresh: dict[_Identity, list[TicketEvent]] = {}
    for index, event in enumerate(arrived):
        if receipts[index] is None:
            identity, key = _identity(event), (event.tenant, event.id)
            ticket_id = ticket_ids.get(identity) or ids.uuid7(now)
            is_full = ticket_id in (overfull if isinstance(event.data, _TAKEN_FOR_LONG) else full)
            if key not in in_log and is_full:
                receipts[index] = Receipt(rejected=Rejected("invalid", _LOG_FULL))
            elif key not in in_log:
                in_log[key] = ticket_ids[identity] = ticket_id
                fresh.setdefault(identity, []).append(event)
                receipts[index] = Receipt(
                    ticket_id=ticket_id,
                    is_new_ticket=identity not in stored,
                    is_late=event.occurred_at < now - LATE_AFTER,
                )
            elif in_log[key] == ticket_id:
                receipts[index] = Receipt(ticket_id=ticket_id, is_duplicate=True)
            else:
                receipts[index] = Receipt(rejected=Rejected("invalid", _ID_TAKEN.format(event.id)))
    if scores.in_force:
        for events in fresh.values():
            events.extend(remembering.scored_events(events, scores, now))
    touched = await _fold(connection, shelf, fresh, stored, ticket_ids, now)
    saved = await saving.save(connection, touched, now)
    scored = await remembering.keep_scores(connection, touched, scores, now) if scores.all else {}
    await remembering.keep_corrections(connection, touched)
    done = [receipt for receipt in receipts if receipt is not None]
    if saved.moot:
        done = [
            replace(receipt, is_moot=True) if (event.tenant, event.id) in saved.moot else receipt
            for event, receipt in zip(arrived, done, strict=True)
        ]
    return Recorded(receipts=done, touched=touched, saved=saved, scored=scored)


async def _fold(
    connection: Connection,
    shelf: PolicyShelf,
    fresh: dict[_Identity, list[TicketEvent]],
    stored: dict[_Identity, Ticket],
    ticket_ids: dict[_Identity, UUID],
    now: datetime,
) -> list[Touched]:
    """How each ticket stands with what is new of it."""
    arrived = {ticket_ids[identity]: events for identity, events in fresh.items()}
    known = [stored[identity] for identity in fresh if identity in stored]
    touched = await fold_stored(connection, shelf, known, arrived, now) if known else []
    versions = _Versions(connection, shelf)
    for identity, events in sorted(fresh.items(), key=lambda item: item[0]):
        if identity not in stored:
            policies = await versions.of(identity[0], None, events)
            standing = stand((ticket_ids[identity], *identity), None, (), events, events, policies, now)
            touched.append(Touched(before=None, stored=(), arrived=events, standing=standing))
    return touched


async def fold_stored(
    connection: Connection,
    shelf: PolicyShelf,
    tickets: Sequence[Ticket],
    arrived: Mapping[UUID, Sequence[TicketEvent]],
    now: datetime,
) -> list[Touched]:
    """How stored tickets, locked by the caller, stand with what is new of them; nothing need be new."""
    ids = [ticket.id for ticket in tickets]
    logs = await ticket_rows.load_logs(connection, tickets)
    clocks = await clock_rows.load(connection, ids)
    versions = _Versions(connection, shelf)
    touched = []
    for ticket in tickets:
        events = arrived.get(ticket.id, ())
        log = [*logs[ticket.id], *events]
        identity = (ticket.id, ticket.tenant, ticket.source, ticket.external_id)
        policies = await versions.of(ticket.tenant, ticket, log)
        standing = stand(identity, ticket, clocks[ticket.id], log, events, policies, now)
        touched.append(Touched(before=ticket, stored=clocks[ticket.id], arrived=events, standing=standing))
    return touched


_LOG_FULL = f"the ticket has {LONGEST_LOG:,} events, which looks like a loop: end the loop, or open another ticket"
_ID_TAKEN = "id {!r} is already that of an event of another ticket: give each event an id of its own"


def _identity(event: TicketEvent) -> _Identity:
    return event.tenant, event.source, event.ticket


def _refusal(event: TicketEvent, now: datetime) -> Receipt | None:
    """A receipt for an event dated into the future; None where there is nothing against it."""
    if event.occurred_at <= now + FUTURE_TOLERANCE:
        return None
    detail = f"happens at {event.occurred_at.isoformat()}, over 5 minutes after now ({now.isoformat()}): check the sender's clock"
    return Receipt(rejected=Rejected("future", detail))


class _Versions:
    """The policy versions a batch needs, each fetched once."""

    def __init__(self, connection: Connection, shelf: PolicyShelf) -> None:
        self._connection = connection
        self._shelf = shelf
        self._known: dict[tuple[str, int | None], Policy] = {}

    async def of(self, tenant: str, ticket: Ticket | None, log: Sequence[TicketEvent]) -> Policies:
        """The versions that judge a ticket: its own, or the newest for one that hasn't been opened yet."""
        first, later = versions_named(log, ticket.policy_version if ticket and ticket.opened_at else None)
        return Policies(
            first=await self._numbered(tenant, first),
            later={version: await self._numbered(tenant, version) for version in later},
        )

    async def _numbered(self, tenant: str, version: int | None) -> Policy:
        policy = self._known.get((tenant, version))
        if policy is None:
            if version is None:
                policy = await self._shelf.current(self._connection, tenant)
            else:
                policy = await self._shelf.version(self._connection, tenant, version)
            self._known[tenant, version] = policy
        return policy
