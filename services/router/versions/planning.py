"""The dry run: what applying a policy file would do to the tickets it is for. Reads only, a chunk at a time."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from services.router.domain.effects import Summary, Tally, TicketOutcome
from services.router.domain.reach import NEW, Reach
from services.router.store import rollouts as rollouts_store
from services.router.store.rollouts import START, Meant
from services.router.versions import policies
from services.router.versions.policies import Plan
from services.router.versions.rejudging import Rejudging, Task
from shared import timesource
from shared.ledger import tickets as ticket_rows
from shared.ledger.policies import PolicyShelf
from shared.policy.errors import LocatedError
from shared.postgres.pool import Connection
from shared.sla.clock import Clock

CHUNK = 200
"""Tickets looked at together: memory stays the same however many there are."""
WINDOW = 2_000


class Chunk(Struct, frozen=True, kw_only=True):
    """Some tickets, as they would be."""

    outcomes: Sequence[TicketOutcome]
    clocks: Mapping[UUID, Sequence[Clock]]
    """All clocks of each ticket."""


class Forecast(Struct, frozen=True, kw_only=True):
    """What applying a file would change in what it says, and in what has been promised already."""

    current: int
    next: int
    changes: tuple[str, ...]
    warnings: tuple[LocatedError, ...]
    """What is legal in the file but seldom meant, each with its line and the way out."""
    holds_from: datetime | None
    """For tickets that arrive from then on; null: at once."""
    tickets: int
    """Open tickets it is for."""
    is_complete: bool
    """Whether all of these were looked at; else the effects are of those of which there was time for."""
    effects: Summary


class DryRun:
    """One policy file, tried on the tickets it is for."""

    def __init__(self, plan: Plan, reach: Reach, task: Task | None, rejudging: Rejudging, tickets: int) -> None:
        self.plan = plan
        self.reach = reach
        self.tickets = tickets
        """How many it will look at."""
        self._task = task
        self._rejudging = rejudging

    async def chunks(self, connection: Connection) -> AsyncIterator[Chunk]:
        """The tickets it is for, in the order of their ids; each chunk is read as of one instant."""
        task, cursor = self._task, START
        while task is not None:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                found = await rollouts_store.find(connection, task.meant, cursor, WINDOW, CHUNK)
                tickets = await ticket_rows.read(connection, found.ids)
                rejudged = await self._rejudging.judge(connection, task, tickets, task.at)
            yield Chunk(outcomes=rejudged.outcomes(task.at), clocks=rejudged.clocks(task))
            if found.cursor is None:
                return
            cursor = found.cursor

    def forecast(self, effects: Summary, *, is_complete: bool) -> Forecast:
        """All there is to say of it."""
        return Forecast(
            current=self.plan.current,
            next=self.plan.next,
            changes=self.plan.changes,
            warnings=self.plan.warnings,
            holds_from=self.reach.holds_from,
            tickets=self.tickets,
            is_complete=is_complete,
            effects=effects,
        )


async def prepare(connection: Connection, tenant: str, text: str, now: datetime, reach: Reach = NEW) -> DryRun:
    """Check a policy file as applying it does; raises `PolicyErrors`."""
    found = await policies.candidate(connection, tenant, text, now, reach)
    shelf = PolicyShelf()
    documents = {}
    if found.is_new:
        shelf.lay(tenant, found.read.policy)
        documents[tenant, found.version] = found.read.document
    task, tickets = None, 0
    if reach.has_rollout:
        meant = Meant(tenant=tenant, version=found.version, rejudges=not found.is_new, opened_from=reach.opened_from)
        task = Task(name="plan", meant=meant, at=now)
        tickets = await rollouts_store.count(connection, meant)
    return DryRun(found.plan, reach, task, Rejudging(shelf, documents), tickets)


async def forecast(
    connection: Connection, tenant: str, text: str, now: datetime, reach: Reach = NEW, *, seconds: float
) -> Forecast:
    """The whole dry run, or as much of it as there is time for; raises `PolicyErrors`."""
    until = timesource.monotonic() + seconds
    run = await prepare(connection, tenant, text, now, reach)
    tally, is_complete = Tally(), True
    async for chunk in run.chunks(connection):
        if timesource.monotonic() > until:
            is_complete = False
            break
        for outcome in chunk.outcomes:
            tally.add(outcome)
        await timesource.pause(0)  # others of this process have work to do, too
    return run.forecast(tally.summary(), is_complete=is_complete)
