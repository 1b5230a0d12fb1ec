"""Escalations follow their promises: held while these are paused, planned anew, superseded, woken (escalation-rules R15 to R17).

Callers hold the tickets. Everything is for clocks whose escalation may be live; where none is, nothing happens.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct

from shared import ids
from shared.contract.help import About
from shared.ledger import QUERIES, pages
from shared.ledger.clocks import ClockRow, Resolved
from shared.postgres.pool import Connection, Record


class EscalationOpened(Struct, frozen=True, kw_only=True):
    """A clock warned or broke, or a ticket needs somebody, and somebody will hear of it."""

    escalation: UUID
    generation: int
    source: str
    ticket: str
    channel: str
    urgency: str
    target: str
    cycle: int
    reason: str
    ladder: str
    policy_version: int
    anchor_at: datetime
    about: About | None = None
    """Of the target `routing`: why somebody is needed."""


class Opened(Struct, frozen=True, kw_only=True):
    """The escalation that another team gets in place of one that was superseded."""

    id: UUID
    row: ClockRow
    ladder: str
    reason: str


class Replanned(Struct, frozen=True, kw_only=True):
    """A broken promise whose escalation has another plan."""

    row: ClockRow
    shift: timedelta
    """By so much later it broke than was thought."""
    ladder: str | None
    """None: it keeps the one it has."""
    policy_version: int
    """That has the ladder."""


class Superseded(Struct, frozen=True, kw_only=True):
    """What became of escalations whose tickets another team has."""

    ended: tuple[Resolved, ...]
    opened: tuple[Opened, ...]


async def lock(connection: Connection, ticket_ids: Sequence[UUID]) -> None:
    """Lock the live escalations of tickets before several statements change some of them: the lock order."""
    await connection.execute(QUERIES["lock_live_escalations"], ticket_ids)


async def hold(connection: Connection, rows: Sequence[ClockRow], now: datetime) -> None:
    """Keep what is left until the next step, or until waking, of promises that are paused (R15)."""
    await connection.execute(QUERIES["hold_escalations"], *_keys(rows), now)


async def resume(connection: Connection, rows: Sequence[ClockRow], now: datetime) -> None:
    """Go on with what was left (R15)."""
    await connection.execute(QUERIES["resume_escalations"], *_keys(rows), now)


async def replan(connection: Connection, moved: Sequence[Replanned], now: datetime) -> None:
    """Let the next steps be planned anew; what was sent stays sent (R15, R17)."""
    await connection.execute(
        QUERIES["replan_escalations"],
        *_keys([one.row for one in moved]),
        [one.shift for one in moved],
        [one.ladder for one in moved],
        [one.policy_version for one in moved],
        now,
    )


async def withdraw_warnings(connection: Connection, rows: Sequence[ClockRow], now: datetime) -> list[Resolved]:
    """End warnings that nobody answered: their promises are due later (R15)."""
    found = await connection.fetch(QUERIES["withdraw_warnings"], *_keys(rows), now)
    return await _ended(connection, found, now)


async def supersede(connection: Connection, rows: Sequence[ClockRow], now: datetime) -> Superseded:
    """End what the team before was called for, and call the other one at the first step, now (R17)."""
    found = await connection.fetch(QUERIES["supersede_escalations"], *_keys(rows), now)
    ended = await _ended(connection, found, now)
    by_key = {(row.ticket_id, str(row.clock.target), row.clock.cycle): row for row in rows}
    opened: list[tuple[Opened, int]] = []
    for row in found:
        its = by_key[row["ticket_id"], row["target"], row["cycle"]]
        if its.clock.escalate is not None:
            is_warned = row["reason"] == "warned"
            reason = row["reason"] if is_warned else "breached"
            one = Opened(id=ids.uuid7(now), row=its, ladder=its.clock.escalate, reason=reason)
            opened.append((one, row["step"] if is_warned else 0))
    if opened:
        await connection.execute(
            QUERIES["open_anew"],
            [one.id for one, _ in opened],
            [one.row.tenant for one, _ in opened],
            *_keys([one.row for one, _ in opened]),
            [one.row.clock.policy_version for one, _ in opened],
            [one.ladder for one, _ in opened],
            [one.reason for one, _ in opened],
            [step for _, step in opened],
            now,
        )
    return Superseded(ended=tuple(ended), opened=tuple(one for one, _ in opened))


async def end_snoozes(connection: Connection, ticket_ids: Sequence[UUID], now: datetime) -> None:
    """Wake what was snoozed of these tickets (R16)."""
    await connection.execute(QUERIES["end_snoozes"], ticket_ids, now)


async def _ended(connection: Connection, found: Sequence[Record], now: datetime) -> list[Resolved]:
    if found:
        await pages.resolve(connection, [row["id"] for row in found], now)
    return [
        Resolved(
            id=row["id"],
            ticket_id=row["ticket_id"],
            target=row["target"],
            cycle=row["cycle"],
            generation=row["generation"],
            resolution=row["resolution"],
            at=now,
            acknowledged_by=row["acknowledged_by"],
        )
        for row in found
    ]


def _keys(rows: Sequence[ClockRow]) -> tuple[list[UUID], list[str], list[int]]:
    return [row.ticket_id for row in rows], [row.clock.target for row in rows], [row.clock.cycle for row in rows]
