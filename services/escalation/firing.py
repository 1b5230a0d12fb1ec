"""What time does to promises: due clocks warn or break, once, and somebody hears of it.

One transaction per batch: claim, advance by the same fold as intake, save, open escalations, outbox. Every statement is
for the whole batch, so what a clock costs does not depend on how many run.
"""

import asyncio
from collections import Counter as Tally
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct

from services.escalation import informing
from services.escalation.domain import jump
from services.escalation.domain.jump import Reading
from services.escalation.domain.ladder import Reason
from services.escalation.metrics import EscalationMetrics
from services.escalation.store import ClockPulse, Pulse, escalations
from services.escalation.store.escalations import Opening
from shared import ids, timesource
from shared.contract.judges import JudgedBy
from shared.jetstream.relay import Relay
from shared.ledger import clocks as clock_rows
from shared.ledger.clocks import ClockRow, DueClock
from shared.ledger.escalations import EscalationOpened
from shared.postgres import time as database_time
from shared.postgres.outbox import Outbox
from shared.postgres.pool import Connection, Pool
from shared.runtime.logs import Log
from shared.sla import clock as clock_rules
from shared.sla.clock import Change, Clock

BATCH = 500
_STEADY = timedelta(seconds=1)

_log = Log(__name__)


class Fired(Struct, frozen=True):
    """A clock after its firing; `change` is what it told, if anything."""

    due: DueClock
    clock: Clock
    change: Change | None


class Firing:
    """Fires due clocks; any number of these may run beside each other."""

    def __init__(self, pool: Pool, relay: Relay, metrics: EscalationMetrics, *, batch: int = BATCH) -> None:
        self._pool = pool
        self._relay = relay
        self._metrics = metrics
        self._batch = batch
        self._rate = 1.0
        self._is_behind = False
        self._first_reading: Reading | None = None
        self.halted: str | None = None
        """Why nothing is fired, for readiness; None while all is well."""

    async def pulse(self) -> Pulse:
        """Look at what is due, and at the database's clock: while that is ahead by a jump, nothing is (R33)."""
        async with self._pool.acquire() as connection:
            seen = await escalations.pulse_clock(connection)
        self._rate = seen.rate
        self._watch(seen)
        if self.halted is not None:
            return Pulse(now=seen.now, rate=seen.rate, due_at=None)
        return seen

    async def run_backlog(self) -> int:
        """Fire what is due: after a full batch the next two beside each other, so that one computes while one commits."""
        batches = [self.run_once() for _ in range(2 if self._is_behind else 1)]
        fired = await asyncio.gather(*batches)
        self._is_behind = max(fired) >= self._batch
        return sum(fired)

    async def run_once(self) -> int:
        """Fire one batch of due clocks; returns how many."""
        async with self._pool.acquire() as connection, connection.transaction():
            now = await database_time.now(connection)
            due = await clock_rows.claim_due(connection, now, self._batch)
            if not due:
                return 0
            fired = [_fire(one, *clock_rules.advance(one.clock, now)) for one in due]
            await clock_rows.save_fired(
                connection, [ClockRow(one.due.tenant, one.due.ticket_id, one.clock) for one in fired]
            )
            outbox = Outbox(now)
            _announce(outbox, fired, now)
            await informing.inform(connection, outbox, ((one.due, one.clock, one.change) for one in fired), now)
            await _open(connection, outbox, fired, now)
            batch = await outbox.save(connection)
        self._relay.post(batch)
        self._count(fired, now)
        return len(due)

    async def time_check(self) -> str | None:
        """For readiness: why nothing is fired, or None."""
        return self.halted

    def _watch(self, seen: ClockPulse) -> None:
        """Compare the server's own clock with this host's; the warped time has no part in it."""
        reading = Reading(
            server_at=seen.server_at, steady_seconds=timesource.monotonic(), wall_seconds=timesource.unix_time()
        )
        if self._first_reading is None:
            self._first_reading = reading
            return
        by = jump.jumped_by(self._first_reading, reading)
        self._metrics.clocks.time_jump.set(by.total_seconds())
        if jump.is_ahead(by):
            if self.halted is None:
                self.halted = (
                    f"the database's clock jumped {by.total_seconds():.0f} seconds ahead of this host's: set it right, "
                    "or restart this service if the database is right"
                )
                _log.error("database_time_jumped", f"Firing halts: {self.halted}")
        elif self.halted is not None:
            _log.info("database_time_back", "Firing goes on: the database's clock is back")
            self.halted = None
        elif abs(by) < _STEADY:
            self._first_reading = reading

    def _count(self, fired: list[Fired], now: datetime) -> None:
        rate = self._rate if self._rate > 0 else 1.0
        told: Tally[tuple[Change | None, str, str, str]] = Tally()
        for one in fired:
            promise = (one.due.clock.target, one.due.channel, one.due.urgency)
            told[one.change, *promise] += 1
            if skipped := _skipped(one):
                self._metrics.clocks.warnings_skipped.labels(*promise).inc(skipped)
            due_at = one.due.clock.next_fire_at
            if due_at is not None:
                self._metrics.clocks.firing_lag.observe(max((now - due_at).total_seconds(), 0.0) / rate)
        for (change, *labels), n in told.items():
            if change is Change.BREACHED:
                self._metrics.clocks.outcomes.labels(*labels, "breached", JudgedBy.LIVE).inc(n)
            elif change is Change.WARNED:
                self._metrics.clocks.warnings.labels(*labels).inc(n)


def _fire(due: DueClock, clock: Clock, changes: tuple[Change, ...]) -> Fired:
    """What a clock tells: of a warning and a breach that are both overdue, only the breach (sla-rules 61)."""
    for change in (Change.BREACHED, Change.WARNED):
        if change in changes:
            return Fired(due, clock, change)
    return Fired(due, clock, None)


def _skipped(fired: Fired) -> int:
    """How many warnings went by without being told: recorded as behind us, and later than `warned_at` (sla-rules 61)."""
    return fired.clock.warned - fired.due.clock.warned - (fired.change is Change.WARNED)


def _announce(outbox: Outbox, fired: list[Fired], now: datetime) -> None:
    for one in fired:
        if one.change is not None:
            clock_rows.announce(
                outbox,
                tenant=one.due.tenant,
                source=one.due.source,
                external_id=one.due.external_id,
                channel=one.due.channel,
                urgency=one.due.urgency,
                change=one.change,
                clock=one.clock,
                now=now,
            )


async def _open(connection: Connection, outbox: Outbox, fired: list[Fired], now: datetime) -> None:
    """Open escalations where the policy has one for the clock, and say so where somebody will hear of it."""
    openings: dict[tuple[UUID, str, int], tuple[DueClock, Opening]] = {
        (one.due.ticket_id, one.clock.target, one.clock.cycle): (one.due, _opening(one, one.clock.escalate, now))
        for one in fired
        if one.change is not None and one.clock.escalate is not None
    }
    if not openings:
        return
    for row in await escalations.open_or_reopen(connection, [opening for _, opening in openings.values()], now):
        due, opening = openings[row.ticket_id, row.target, row.cycle]
        outbox.add(
            due.tenant,
            "escalation.opened",
            due.external_id,
            EscalationOpened(
                escalation=row.id,
                generation=row.generation,
                source=due.source,
                ticket=due.external_id,
                channel=due.channel,
                urgency=due.urgency,
                target=row.target,
                cycle=row.cycle,
                reason=opening.reason,
                ladder=opening.ladder,
                policy_version=opening.policy_version,
                anchor_at=opening.anchor_at,
            ),
        )


def _opening(fired: Fired, ladder: str, now: datetime) -> Opening:
    is_breach = fired.change is Change.BREACHED
    clock = fired.clock
    return Opening(
        id=ids.uuid7(now),
        tenant=fired.due.tenant,
        ticket_id=fired.due.ticket_id,
        target=clock.target,
        cycle=clock.cycle,
        policy_version=clock.policy_version,
        ladder=ladder,
        reason=Reason.BREACHED if is_breach else Reason.WARNED,
        anchor_at=(clock.breached_at if is_breach else _warned_for(clock)) or now,
        step=0 if is_breach else max(clock.warned - 1, 0),
    )


def _warned_for(clock: Clock) -> datetime | None:
    """The planned instant of the newest warning."""
    return clock.warn_at[clock.warned - 1] if 0 < clock.warned <= len(clock.warn_at) else clock.warned_at
