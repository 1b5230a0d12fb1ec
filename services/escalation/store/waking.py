"""Escalations that wake, end or change hands, in SQL. Callers own the transaction."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from msgspec import Struct

from services.escalation.domain.ladder import Position
from services.escalation.store import QUERIES, Pulse
from services.escalation.store.escalations import Case, facts_of
from services.escalation.store.pages import NewPage
from shared.postgres.pool import Connection, Record

_encode = msgspec.json.Encoder().encode


class Sleeper(Case, frozen=True, kw_only=True):
    """A live escalation for which an instant has come."""

    state: str
    opened_at: datetime
    next_step_at: datetime | None
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    wakes_at: datetime | None
    wakes_for: str | None
    held_for: timedelta | None
    """Not None while its promise is paused."""
    ends_at: datetime | None
    hands_over_at: datetime | None
    answered: frozenset[str]
    newest: Position | None
    """The newest step that was taken in this generation; None where none was."""
    asked: frozenset[str]
    """Whom it paged."""
    leaving: frozenset[str]
    """Those of them whose shift is over."""
    rotations: tuple[str, ...]
    """As what they were paged."""
    next_hands_over_at: datetime | None
    """When the next shift of the others ends."""


class Waking(Struct, frozen=True, kw_only=True):
    """An escalation that goes up again, from a step on."""

    id: UUID
    position: Position
    at: datetime
    also: tuple[str, ...] = ()


class HandedOver(Struct, frozen=True, kw_only=True):
    """An escalation whose people have changed."""

    id: UUID
    hands_over_at: datetime | None
    not_before: datetime | None
    """When the next step is due at the earliest; None: as it is."""


async def pulse(connection: Connection) -> Pulse:
    """How waking stands: one probe of each index."""
    [row] = await connection.fetch(QUERIES["pulse_waking"])
    return Pulse(**dict(row))


async def claim(connection: Connection, now: datetime, limit: int) -> list[Sleeper]:
    """Lock escalations for which an instant has come, about `limit`; those locked elsewhere are skipped."""
    return [_sleeper(row) for row in await connection.fetch(QUERIES["claim_waking"], now, limit)]


async def wake(connection: Connection, waking: Sequence[Waking]) -> None:
    """Send held escalations up again."""
    await connection.execute(
        QUERIES["wake_escalations"],
        [one.id for one in waking],
        [one.position.loop for one in waking],
        [one.position.step for one in waking],
        [one.at for one in waking],
        [_encode(one.also) for one in waking],
    )


async def load_swallowed(connection: Connection, alarms: Sequence[NewPage]) -> set[UUID]:
    """Those of the alarms, all stored by now, in whose place another was stored before."""
    rows = await connection.fetch(
        QUERIES["load_swallowed_alarms"], [one.id for one in alarms], [_encode(one.body) for one in alarms]
    )
    return {row["id"] for row in rows}


async def park(connection: Connection, ids: Sequence[UUID]) -> None:
    """Let held escalations wake when their promise goes on."""
    await connection.execute(QUERIES["park_waking"], ids)


async def expire(connection: Connection, ids: Sequence[UUID], now: datetime) -> None:
    """End held escalations."""
    await connection.execute(QUERIES["expire_escalations"], ids, now)


async def hand_over(connection: Connection, handed: Sequence[HandedOver], leaving: Sequence[tuple[UUID, str]]) -> None:
    """Store when held escalations change hands next; pages not begun to those `leaving`, as (escalation, person), go."""
    await connection.execute(
        QUERIES["hand_over_escalations"],
        [one.id for one in handed],
        [one.hands_over_at for one in handed],
        [one.not_before for one in handed],
    )
    if leaving:
        await connection.execute(QUERIES["cancel_pages_of"], [key for key, _ in leaving], [who for _, who in leaving])


def _sleeper(row: Record) -> Sleeper:
    columns = facts_of(row)
    loop, step = columns.pop("newest_loop"), columns.pop("newest_step")
    columns["newest"] = None if loop is None else Position(loop, step)
    for name in ("answered", "asked", "leaving"):
        columns[name] = frozenset(columns[name])
    columns["rotations"] = tuple(columns["rotations"])
    return Sleeper(**columns)
