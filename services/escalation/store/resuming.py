"""Escalations that go on where one before them was, in SQL. Callers own the transaction."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct

from services.escalation.domain.ladder import Position
from services.escalation.store import QUERIES
from services.escalation.store.escalations import DueStep
from shared.postgres.pool import Connection


class Flap(Struct, frozen=True, kw_only=True):
    """What an escalation that begins may go on with."""

    before: UUID
    position: Position
    """The step that would have been next."""
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    asked: tuple[str, ...]
    """As what those were paged who got one."""


class Going(Struct, frozen=True, kw_only=True):
    """An escalation as it goes on."""

    id: UUID
    state: str
    position: Position
    since: Position
    next_step_at: datetime | None
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    wakes_at: datetime | None
    ends_at: datetime


async def load_flaps(connection: Connection, due: Sequence[tuple[DueStep, timedelta]]) -> dict[UUID, Flap]:
    """What each of the escalations goes on with, if it was over no longer than the time beside it."""
    rows = await connection.fetch(
        QUERIES["load_flaps"],
        [one.id for one, _ in due],
        [one.ticket_id for one, _ in due],
        [one.target for one, _ in due],
        [one.ladder for one, _ in due],
        [one.anchor_at for one, _ in due],
        [one.opened_at for one, _ in due],
        [window for _, window in due],
    )
    return {row["id"]: _flap(dict(row)) for row in rows}


async def go_on(connection: Connection, going: Sequence[Going], now: datetime) -> None:
    """Store how held escalations go on."""
    await connection.execute(
        QUERIES["resume_flaps"],
        [one.id for one in going],
        [one.state for one in going],
        [one.position.loop for one in going],
        [one.position.step for one in going],
        [one.since.loop for one in going],
        [one.since.step for one in going],
        [one.next_step_at for one in going],
        [one.acknowledged_by for one in going],
        [one.acknowledged_at for one in going],
        [one.wakes_at for one in going],
        [one.ends_at for one in going],
        now,
    )


def _flap(columns: dict[str, Any]) -> Flap:
    columns.pop("id")
    position = Position(columns.pop("loop"), columns.pop("step"))
    return Flap(**{**columns, "asked": tuple(columns["asked"])}, position=position)
