"""Escalations follow their tickets: held while these wait, planned anew, handed to another team (escalation-rules R15 to R17).

Only tickets with a promise that has warned or broken may have one; for all others this costs nothing. Callers hold the
tickets and have stored their clocks.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from services.router.domain.standing import Touched
from shared.contract.tickets import ClockState, Status, Urgency
from shared.ledger import escalations
from shared.ledger.clocks import ClockRow, Resolved
from shared.ledger.escalations import EscalationOpened, Opened, Replanned
from shared.postgres.outbox import Outbox
from shared.postgres.pool import Connection
from shared.sla.clock import Clock
from shared.sla.policy import SlaPolicy


class Moves(Struct, frozen=True):
    """What the tickets of a batch ask of escalations."""

    held: list[ClockRow]
    resumed: list[ClockRow]
    replanned: list[Replanned]
    later: list[ClockRow]
    superseded: list[ClockRow]
    raised: list[UUID]

    @property
    def tickets(self) -> set[UUID]:
        """Whose escalations may change."""
        rows = (*self.held, *self.resumed, *self.later, *self.superseded, *(one.row for one in self.replanned))
        return {row.ticket_id for row in rows} | set(self.raised)


async def look(connection: Connection, touched: Sequence[Touched]) -> Moves:
    """What follows for escalations from how tickets have changed; those of these tickets are locked, all in one order."""
    moves = Moves([], [], [], [], [], [])
    for item in touched:
        _look(item, moves)
        if _is_raised(item):
            moves.raised.append(item.standing.ticket.id)
    if moves.tickets:
        await escalations.lock(connection, sorted(moves.tickets))
    return moves


async def follow(
    connection: Connection, touched: Sequence[Touched], moves: Moves, outbox: Outbox, now: datetime
) -> None:
    """Do what follows."""
    told: list[Resolved] = []
    anew: tuple[Opened, ...] = ()
    if moves.later:
        told += await escalations.withdraw_warnings(connection, moves.later, now)
    if moves.superseded:
        done = await escalations.supersede(connection, moves.superseded, now)
        told += done.ended
        anew = done.opened
    if moves.resumed:
        await escalations.resume(connection, moves.resumed, now)
    if moves.held:
        await escalations.hold(connection, moves.held, now)
    if moves.replanned:  # after the others: what was left of a delay is kept as it was planned before
        await escalations.replan(connection, moves.replanned, now)
    if moves.raised:
        await escalations.end_snoozes(connection, moves.raised, now)
    _announce(outbox, touched, told, anew, now)


def _look(item: Touched, moves: Moves) -> None:
    stored = {(clock.target, clock.cycle): clock for clock in item.stored if _may_be_told(clock)}
    if not stored or item.before is None:
        return
    ticket = item.standing.ticket
    is_elsewhere = _is_elsewhere(item.before.team, ticket.team)
    has_moved = Status(item.before.status) is not Status(ticket.status)
    for clock in item.standing.clocks:
        before = stored.get((clock.target, clock.cycle))
        if before is None or clock.is_finished:
            continue
        row = ClockRow(ticket.tenant, ticket.id, clock)
        if before.breached_at is None and clock.warned < before.warned:
            moves.later.append(row)
        elif is_elsewhere:
            moves.superseded.append(row)
        elif clock.breached_at is not None:
            ladder, shift = _other_ladder(item, clock), clock.breached_at - (before.breached_at or clock.breached_at)
            if ladder is not None or shift:
                version = item.standing.policy.version
                moves.replanned.append(Replanned(row=row, shift=shift, ladder=ladder, policy_version=version))
        if has_moved or is_elsewhere:
            is_paused = is_waiting(clock, ticket.status, item.standing.policy.sla)
            (moves.held if is_paused else moves.resumed).append(row)


def is_waiting(clock: Clock, status: str, policy: SlaPolicy) -> bool:
    """Whether a promise does not count now, as one that is broken may not while its ticket waits for the customer."""
    if clock.state is ClockState.PAUSED:
        return True
    lines = (line for line in (*policy.lines, *policy.internal_lines) if line.target.name == clock.matched)
    terms = next((line.terms.get(clock.target) for line in lines), None)
    return terms is not None and Status(status) in terms.pauses_while


def _may_be_told(clock: Clock) -> bool:
    return not clock.is_finished and (clock.breached_at is not None or clock.warned > 0)


def _is_elsewhere(before: str | None, after: str | None) -> bool:
    """Whether another team has it; one that had none is nobody's to take it from."""
    return before is not None and after is not None and before != after


def _other_ladder(item: Touched, clock: Clock) -> str | None:
    """By which ladder a broken promise is escalated from now on, where another target line holds; it stays broken itself."""
    before, ticket = item.before, item.standing.ticket
    if before is None or before.matched == ticket.matched:
        return None
    lines = (line for line in item.standing.policy.sla.lines if line.target.name == ticket.matched)
    terms = next((line.terms.get(clock.target) for line in lines), None)
    return None if terms is None else terms.escalate


def _is_raised(item: Touched) -> bool:
    before, after = item.before, item.standing.ticket.urgency
    if before is None or before.urgency is None or after is None:
        return False
    return Urgency(after).rank < Urgency(before.urgency).rank


def _announce(
    outbox: Outbox, touched: Sequence[Touched], told: Sequence[Resolved], anew: Iterable[Opened], now: datetime
) -> None:
    tickets = {item.standing.ticket.id: item.standing.ticket for item in touched}
    for ended in told:
        ticket = tickets[ended.ticket_id]
        outbox.add(ticket.tenant, "escalation.resolved", ticket.external_id, ended)
    for one in anew:
        ticket, clock = tickets[one.row.ticket_id], one.row.clock
        opened = EscalationOpened(
            escalation=one.id,
            generation=1,
            source=ticket.source,
            ticket=ticket.external_id,
            channel=ticket.channel or "",
            urgency=ticket.urgency or "",
            target=clock.target,
            cycle=clock.cycle,
            reason=one.reason,
            ladder=one.ladder,
            policy_version=clock.policy_version,
            anchor_at=now,
        )
        outbox.add(ticket.tenant, "escalation.opened", ticket.external_id, opened)
