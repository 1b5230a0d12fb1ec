"""Timers of assignments: offers that lapse, work that nobody touches, chats that fall silent (routing-rules 3.7).

Each assignment stores when it is due next, so a restart forgets nothing; whoever locks the ticket acts, and several
routers skip what another one holds. What goes back into the queue is matched at once.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct, field
from msgspec.structs import replace

from services.router import holding, owning
from services.router.assignment import Assignment
from services.router.domain.standing import owed_clock
from services.router.domain.tenure import Ended, Turn, in_open_time, lapse
from services.router.holding import Case, Happened
from services.router.metrics.tenure import TenureMetrics
from services.router.owning import Tell
from services.router.store import assignments as assignments_store
from services.router.store import queue as queue_store
from shared.contract.ledger import Ticket
from shared.jetstream.relay import Relay
from shared.ledger import clocks as clock_rows
from shared.ledger import tickets as ticket_rows
from shared.ledger.policies import PolicyShelf
from shared.policy.document import Policy
from shared.postgres import failures
from shared.postgres import time as database_time
from shared.postgres.outbox import Batch, Outbox
from shared.postgres.pool import Connection, Pool
from shared.runtime.logs import Log
from shared.sla.clock import Clock

BATCH = 200
"""Assignments of one transaction at most."""
_MOST_FAILING = 1_000
"""Assignments that are passed over as they fail; more of them, and all are tried again."""

_log = Log(__name__)


class _Done(Struct, frozen=True, kw_only=True):
    """One transaction."""

    claimed: int
    acted: int = 0
    """Of these: assignments that are not as they were."""
    happened: Happened = field(default_factory=Happened)
    batch: Batch | None = None


class Tending:
    """Acts on the timers of all tenants' assignments."""

    def __init__(
        self,
        pool: Pool,
        shelf: PolicyShelf,
        assignment: Assignment,
        metrics: TenureMetrics,
        relay: Relay,
        *,
        tell: Tell = owning.nobody,
        batch: int = BATCH,
    ) -> None:
        """`tell` hears of tickets whose promise of an owner began or ended."""
        self._pool = pool
        self._shelf = shelf
        self._assignment = assignment
        self._metrics = metrics
        self._relay = relay
        self._tell = tell
        self._batch = batch
        self._failing: set[UUID] = set()

    async def run_once(self) -> int:
        """Act on up to a batch of timers that have come; returns on how many assignments.

        One that fails for a reason of its own is passed over, so that it holds up no other. Raises asyncpg's errors where
        the database is away.
        """
        try:
            return (await self._act(self._batch)).acted
        except _Failed:
            return await self._act_singly()

    async def measure(self) -> int:
        """Show Prometheus how agents have what they have; returns how many assignments there are."""
        async with self._pool.acquire() as connection:
            gauges = await assignments_store.measure(connection)
        self._metrics.show(gauges)
        return sum(gauge.n for gauge in gauges)

    async def _act_singly(self) -> int:
        """Find the one that fails."""
        acted = 0
        for _ in range(self._batch):
            try:
                done = await self._act(1)
            except _Failed as failed:
                self._put_aside(failed.ticket_ids, failed.error)
                continue
            acted += done.acted
            if not done.claimed:
                break
        return acted

    def _put_aside(self, ticket_ids: Iterable[UUID], error: Exception) -> None:
        if len(self._failing) >= _MOST_FAILING:
            self._failing.clear()
        for ticket_id in ticket_ids:
            self._failing.add(ticket_id)
            self._metrics.failures.inc()
            _log.error(
                "tending_failed",
                f"The timers of ticket {ticket_id} can't be acted upon; those of others are",
                error=error,
                ticket_id=str(ticket_id),
            )

    async def _act(self, limit: int) -> _Done:
        async with self._pool.acquire() as connection:
            async with connection.transaction():
                done = await self._transact(connection, limit)
            self._relay.post(done.batch)
            self._metrics.count(done.happened)
            for tenant, agent in done.happened.away:
                _log.info("agent_away", f"{agent} let too many offers lapse and is away", tenant=tenant, agent=agent)
            if done.happened.changed_hands:
                await owning.settle_changed(
                    connection, self._shelf, self._relay, done.happened.changed_hands, self._tell
                )
        for tenant, pool in sorted(done.happened.pools):
            try:
                await self._assignment.run(tenant, pool)
            except Exception as error:  # noqa: BLE001 - committed is committed: the sweep matches within a second
                _log.warning("matching_put_off", "Matching is left to the sweep", error=error, tenant=tenant, pool=pool)
        return done

    async def _transact(self, connection: Connection, limit: int) -> _Done:
        claimed = await assignments_store.claim_due(connection, limit, self._failing)
        if not claimed:
            return _Done(claimed=0)
        try:
            return await self._tend(connection, claimed)
        except failures.UNAVAILABLE:
            raise
        except Exception as error:
            raise _Failed(claimed, error) from error

    async def _tend(self, connection: Connection, claimed: Sequence[UUID]) -> _Done:
        now = await database_time.now(connection)
        tickets = await ticket_rows.read(connection, claimed)
        clocks = await clock_rows.load(connection, claimed)
        tenures = await assignments_store.load(connection, claimed)
        cases = []
        for ticket in tickets:
            tenure = tenures.get(ticket.id)
            if tenure is None:
                continue
            policy = await self._shelf.version(connection, ticket.tenant, ticket.policy_version)
            turn = _in_open_time(lapse(tenure, now), ticket, policy, clocks[ticket.id], now)
            cases.append(Case(ticket=ticket, policy=policy, clocks=clocks[ticket.id], before=tenure, turn=turn))
        cases = await _for_others(connection, cases)
        outbox = Outbox(now)
        moving = [case.before.ticket_id for case in cases if case.turn.moves_load]
        if moving:
            await queue_store.hold_owners(connection, moving, [])
        happened = await holding.settle(connection, cases, outbox, now)
        return _Done(
            claimed=len(claimed),
            acted=sum(case.turn != Turn(tenure=case.before) for case in cases),
            happened=happened,
            batch=await outbox.save(connection),
        )


class _Failed(Exception):
    """A transaction that failed for a reason of its own."""

    def __init__(self, ticket_ids: Sequence[UUID], error: Exception) -> None:
        super().__init__(str(error))
        self.ticket_ids = ticket_ids
        self.error = error


async def _for_others(connection: Connection, cases: Sequence[Case]) -> list[Case]:
    """Untouched work stays with its agent for good where nobody else could ever have it."""
    untouched = [case.before.ticket_id for case in cases if case.turn.ended is Ended.UNTOUCHED]
    others = await assignments_store.list_replaceable(connection, untouched) if untouched else set()
    return [
        case
        if case.turn.ended is not Ended.UNTOUCHED or case.before.ticket_id in others
        else replace(case, turn=replace(case.turn, ended=None, tenure=replace(case.before, act_by=None)))
        for case in cases
    ]


def _in_open_time(turn: Turn, ticket: Ticket, policy: Policy, clocks: Sequence[Clock], now: datetime) -> Turn:
    """Untouched work is taken away by the open time of what is owed: not at night, and not where nothing is owed any more."""
    tenure, clock = turn.tenure, owed_clock(clocks)
    if turn.ended is not Ended.UNTOUCHED or tenure.accepted_at is None:
        return turn
    calendar = policy.sla.calendars.get(clock.calendar) if clock is not None else None
    terms = holding.terms_of(ticket, policy, clocks, now)
    act_by = in_open_time(tenure.accepted_at, terms, calendar) if calendar is not None else None
    if act_by is not None and act_by <= now:
        return turn
    return replace(turn, ended=None, tenure=replace(tenure, act_by=act_by))
