"""Escalations that somebody sends up by hand, in SQL. Callers own the transaction."""

from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from services.escalation.domain.ladder import Position, Reason
from services.escalation.store import QUERIES
from shared.postgres.pool import Connection


class Raisable(Struct, frozen=True, kw_only=True):
    """An escalation, held."""

    id: UUID
    tenant: str
    state: str
    reason: Reason
    target: str
    cycle: int
    generation: int
    policy_version: int
    ladder: str
    position: Position
    """The next step to take."""
    next_step_at: datetime | None
    source: str
    external_id: str
    channel: str
    now: datetime


async def lock(connection: Connection, tenant: str, escalation_id: UUID) -> Raisable | None:
    """Hold an escalation of the tenant; None where there is none."""
    row = await connection.fetchrow(QUERIES["lock_for_raising"], escalation_id, tenant)
    if row is None:
        return None
    columns: dict[str, Any] = dict(row)
    position = Position(columns.pop("loop"), columns.pop("step"))
    return Raisable(**{**columns, "reason": Reason(columns["reason"])}, position=position)


async def hurry(connection: Connection, escalation_id: UUID, now: datetime, by: str, said: str) -> None:
    """Let the next step of an open one be due now, because somebody said so."""
    await connection.execute(QUERIES["hurry_escalation"], escalation_id, now, by, said)


async def send_up(
    connection: Connection, escalation_id: UUID, position: Position, now: datetime, by: str, said: str
) -> int:
    """Let one that had stopped go on at a step, now, because somebody said so; returns its new generation."""
    generation: int = await connection.fetchval(
        QUERIES["raise_escalation"], escalation_id, position.loop, position.step, now, by, said
    )
    return generation
