"""Open tickets under another version of the policy: what their logs come to then. Writes nothing.

The rollout and the dry run both ask here, so that one says what the other does.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct

from services.router import recording
from services.router.domain.effects import TicketOutcome, effects
from services.router.domain.standing import Touched
from services.router.domain.untouched import Pair, restamped
from services.router.store import policies as policies_store
from services.router.store import rollouts as rollouts_store
from services.router.store.rollouts import Meant
from shared.contract.events import PolicyChanged, TicketEvent
from shared.contract.ledger import Ticket
from shared.contract.tickets import Channel
from shared.ledger import clocks as clock_rows
from shared.ledger.policies import PolicyShelf
from shared.policy import builtin
from shared.postgres.pool import Connection
from shared.sla.clock import Clock


class Task(Struct, frozen=True, kw_only=True):
    """A version, and from when on it judges the tickets it is for."""

    name: str
    """Goes into the ids of the events, so that doing it again adds none."""
    meant: Meant
    at: datetime
    """The instant of applying."""

    @property
    def changed_at(self) -> datetime | None:
        """From when on the version holds for a ticket; None: as though it had always held."""
        return self.at if self.meant.opened_from is None else None

    def event(self, ticket: Ticket) -> TicketEvent | None:
        """What the ticket's log is told; None where it says so already."""
        if self.changed_at is not None and ticket.policy_version == self.meant.version:
            return None
        return TicketEvent(
            tenant=ticket.tenant,
            id=f"policy:{self.name}:{ticket.id.hex}",
            source=ticket.source,
            ticket=ticket.external_id,
            occurred_at=self.changed_at or ticket.opened_at or self.at,
            data=PolicyChanged(version=self.meant.version, previous=ticket.policy_version),
        )


class Kept(Struct, frozen=True, kw_only=True):
    """A ticket none of whose clocks can move: it only gets the number of the version."""

    ticket: Ticket
    stored: Sequence[Clock]
    event: TicketEvent | None


class Rejudged(Struct, frozen=True, kw_only=True):
    """What became of some tickets."""

    folded: list[Touched]
    kept: list[Kept]

    def outcomes(self, now: datetime) -> list[TicketOutcome]:
        """What it means for each."""
        return [
            *(
                _outcome(item.standing.ticket.id, item.before or item.standing.ticket, item.stored, item.standing.clocks, _team(item), now)
                for item in self.folded
            ),
            *(
                _outcome(item.ticket.id, item.ticket, item.stored, None, item.ticket.team or "", now)
                for item in self.kept
            ),
        ]  # fmt: skip

    def clocks(self, task: Task) -> dict[UUID, list[Clock]]:
        """Every clock of each ticket as it is then."""
        folded = {item.standing.ticket.id: list(item.standing.clocks) for item in self.folded}
        version, changed_at = task.meant.version, task.changed_at
        kept = {
            item.ticket.id: [restamped(clock, version, changed_at) if item.event else clock for clock in item.stored]
            for item in self.kept
        }
        return {**folded, **kept}


class Rejudging:
    """Judges tickets by other versions; keeps what it has compared."""

    def __init__(self, shelf: PolicyShelf, documents: Mapping[tuple[str, int], bytes] | None = None) -> None:
        """`documents` has those of versions that aren't stored."""
        self._shelf = shelf
        self._documents = documents or {}
        self._pairs: dict[tuple[str, int, int], Pair] = {}

    async def judge(self, connection: Connection, task: Task, tickets: Sequence[Ticket], now: datetime) -> Rejudged:
        """What the tickets, all of the task's tenant, come to under its version."""
        told = {ticket.id: task.event(ticket) for ticket in tickets}
        kept = await self._keep(connection, task, tickets, told, now)
        ids = {item.ticket.id for item in kept}
        touched = [ticket for ticket in tickets if ticket.id not in ids]
        arrived = {ticket.id: [event] for ticket in touched if (event := told[ticket.id]) is not None}
        folded = []
        if touched:
            folded = await recording.fold_stored(connection, self._shelf, touched, arrived, now)
        return Rejudged(folded=folded, kept=kept)

    async def _keep(
        self,
        connection: Connection,
        task: Task,
        tickets: Sequence[Ticket],
        told: Mapping[UUID, TicketEvent | None],
        now: datetime,
    ) -> list[Kept]:
        """Those that can't move, without a look at their logs (rule 55)."""
        pairs = {
            version: await self._pair(connection, task.meant.tenant, version, task.meant.version)
            for version in sorted({ticket.policy_version for ticket in tickets})
            if version != task.meant.version
        }
        light = [
            ticket for ticket in tickets if (pair := pairs.get(ticket.policy_version)) is not None and pair.is_light
        ]
        if not light:
            return []
        clocks = await clock_rows.load(connection, [ticket.id for ticket in light])
        alone = [
            ticket
            for ticket in light
            if pairs[ticket.policy_version].leaves_alone(ticket, clocks[ticket.id], task.changed_at, now)
        ]
        if not alone:
            return []
        # a deadline by hand keeps older terms; so do stretches under older versions, which one since ever takes away
        kinds = ["deadline_set"] if task.changed_at is not None else ["deadline_set", "policy_changed"]
        older = await rollouts_store.with_events(connection, [ticket.id for ticket in alone], kinds)
        return [
            Kept(ticket=ticket, stored=clocks[ticket.id], event=told[ticket.id])
            for ticket in alone
            if ticket.id not in older
        ]

    async def _pair(self, connection: Connection, tenant: str, old: int, new: int) -> Pair:
        pair = self._pairs.get((tenant, old, new))
        if pair is None:
            pair = Pair(
                await self._shelf.version(connection, tenant, old),
                await self._shelf.version(connection, tenant, new),
                (await self._document(connection, tenant, old), await self._document(connection, tenant, new)),
            )
            self._pairs = {(tenant, old, new): pair, **dict(list(self._pairs.items())[:_PAIRS_KEPT])}
        return pair

    async def _document(self, connection: Connection, tenant: str, version: int) -> Mapping[str, object]:
        document = self._documents.get((tenant, version))
        if document is None and version == builtin.VERSION:
            document = builtin.document()
        if document is None:
            stored = await policies_store.load_policy(connection, tenant, version)
            document = b"{}" if stored is None else stored.document
        found: dict[str, object] = msgspec.json.decode(document)
        return found


_PAIRS_KEPT = 20


def _outcome(
    ticket_id: UUID, ticket: Ticket, stored: Sequence[Clock], after: Sequence[Clock] | None, team: str, now: datetime
) -> TicketOutcome:
    return TicketOutcome(
        ticket_id=ticket_id,
        source=ticket.source,
        external_id=ticket.external_id,
        channel=ticket.channel or Channel.OTHER,
        team=team,
        is_recomputed=after is not None,
        running=sum(not clock.is_finished for clock in stored),
        effects=() if after is None else effects(stored, after, now),
    )


def _team(item: Touched) -> str:
    fields = item.standing.evaluation.fields
    return "" if fields is None else fields.team
