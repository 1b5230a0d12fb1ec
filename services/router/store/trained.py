"""Trained models, what they made of tickets and what people made of these, in SQL. Callers own the transaction."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

import msgspec
from msgspec import Struct

from services.router.domain.weights import Field, Header
from services.router.store import QUERIES
from shared.contract.events import Scored
from shared.postgres.pool import Connection, Record

_SCORE = (
    "tenant", "version", "ticket_id", "theme", "theme_confidence", "urgency", "urgency_confidence", "scored_at",
)  # fmt: skip


class State(StrEnum):
    """What a model is used for."""

    ADDED = "added"
    """Nothing yet."""
    SHADOW = "shadow"
    """It scores tickets, and nothing follows from it."""
    PROMOTED = "promoted"
    """It is in force."""
    RETIRED = "retired"
    """No more."""


class Model(Struct, frozen=True, kw_only=True):
    """A trained model, without its weights."""

    version: int
    state: State
    header: Header
    """What it was made from and how it did on texts it had not seen."""
    bytes: int
    """Of its file."""
    added_at: datetime
    added_by: str
    changed_at: datetime
    promoted_at: datetime | None
    """When it was last put in force."""


class Used(NamedTuple):
    """A model that scores tickets."""

    tenant: str
    version: int
    state: State


class Compared(Struct, frozen=True, kw_only=True):
    """What a model said of tickets, beside the rules and what people said since; only where it is sure enough, but for `tickets`."""

    tickets: int
    """Scored, the newest ones."""
    since: datetime | None
    until: datetime | None
    theme_sure: int
    """It is sure enough of the theme."""
    theme_ruled: int
    """A rule knows the theme, too."""
    theme_agrees: int
    """And it is the same one."""
    theme_alone: int
    """No rule knows the theme."""
    theme_corrected: int
    """A person said what it is."""
    theme_right: int
    """And that is what the model had said."""
    urgency_sure: int
    urgency_agrees: int
    """The ticket is as urgent as it said."""
    urgency_corrected: int
    urgency_right: int


class Correction(NamedTuple):
    """What somebody made of a ticket that had been judged otherwise."""

    tenant: str
    ticket_id: UUID
    event_id: str
    field: Field
    was: str
    now: str
    at: datetime


class Corrected(Struct, frozen=True, kw_only=True):
    """A corrected ticket with the text it was opened with."""

    ticket_id: UUID
    subject: str | None
    text: str | None
    theme: str | None
    urgency: str | None
    language: str | None


async def hold(connection: Connection, tenant: str) -> None:
    """Let nobody else change the tenant's models until the transaction ends."""
    await connection.fetchval(QUERIES["hold_models"], tenant)


async def find_same(connection: Connection, tenant: str, file: bytes) -> int | None:
    """The version under which this very file is there."""
    version: int | None = await connection.fetchval(QUERIES["find_same_model"], tenant, file)
    return version


async def insert(connection: Connection, tenant: str, file: bytes, header: Header, now: datetime, by: str) -> int:
    """Add a model; returns its version. The caller holds the tenant's models."""
    version: int = await connection.fetchval(
        QUERIES["insert_model"], tenant, file, msgspec.json.encode(header), now, by
    )
    return version


async def drop_old(connection: Connection, tenant: str, kept: int) -> None:
    """Remove models that are not used, but for the newest and those that were in force last, `kept` of each."""
    await connection.execute(QUERIES["drop_old_models"], tenant, kept)


async def list_all(connection: Connection, tenant: str) -> list[Model]:
    """The tenant's models, the newest first."""
    return [_model(row) for row in await connection.fetch(QUERIES["list_models"], tenant)]


async def load(connection: Connection, tenant: str, version: int) -> Model | None:
    """One of them; None where there is none."""
    row = await connection.fetchrow(QUERIES["load_model"], tenant, version)
    return None if row is None else _model(row)


async def list_used(connection: Connection, limit: int) -> list[Used]:
    """Models in force or in shadow, of all tenants."""
    rows = await connection.fetch(QUERIES["list_used_models"], limit)
    return [Used(row["tenant"], row["version"], State(row["state"])) for row in rows]


async def load_file(connection: Connection, tenant: str, version: int) -> bytes:
    """The file of a model; raises LookupError where it is gone."""
    file: bytes | None = await connection.fetchval(QUERIES["load_weights"], tenant, version)
    if file is None:
        raise LookupError(f"tenant {tenant!r} has no model {version}")
    return file


async def retire(connection: Connection, tenant: str, state: State, now: datetime) -> int | None:
    """End the use of the tenant's model in that state; returns its version, None where there is none."""
    version: int | None = await connection.fetchval(QUERIES["retire_models"], tenant, state, now)
    return version


async def set_state(
    connection: Connection, tenant: str, version: int, state: State, now: datetime, promoted_at: datetime | None = None
) -> None:
    """Use a model from now on as said; `promoted_at` where that was by an explicit promotion."""
    await connection.execute(QUERIES["set_model_state"], tenant, version, state, now, promoted_at)


async def before(connection: Connection, tenant: str) -> int | None:
    """The version that was in force before the present one; None where there was none."""
    version: int | None = await connection.fetchval(QUERIES["model_before"], tenant)
    return version


async def has_skilled(connection: Connection, tenant: str, skill: str) -> bool:
    """Whether anybody on the roster has the skill, at any level."""
    return bool(await connection.fetchval(QUERIES["has_skilled"], tenant, skill))


async def compare(connection: Connection, tenant: str, version: int, confidence: float, most: int) -> Compared:
    """What a model said of its newest `most` tickets, beside what is held of these now."""
    row = await connection.fetchrow(QUERIES["compare_model"], tenant, version, confidence, most)
    if row is None:
        raise AssertionError("a count has one row")
    return Compared(**dict(row))


async def insert_scores(connection: Connection, scores: Iterable[tuple[str, UUID, Scored]], now: datetime) -> None:
    """Keep what models said of new tickets, given as (tenant, ticket, score)."""
    await connection.copy_records_to_table(
        "model_score",
        records=[
            (
                tenant, scored.model, ticket_id, scored.theme, scored.theme_confidence, scored.urgency,
                scored.urgency_confidence, now,
            )
            for tenant, ticket_id, scored in scores
        ],
        columns=_SCORE,
    )  # fmt: skip


async def drop_old_scores(connection: Connection, before_at: datetime, limit: int) -> int:
    """Remove scores from before an instant, up to `limit`; returns how many."""
    return len(await connection.fetch(QUERIES["drop_old_scores"], before_at, limit))


async def insert_corrections(connection: Connection, corrections: Sequence[Correction]) -> None:
    """Keep what people made of tickets."""
    await connection.execute(QUERIES["insert_corrections"], *map(list, zip(*corrections, strict=True)))


async def export_corrections(connection: Connection, tenant: str, after: UUID, limit: int) -> list[Corrected]:
    """Corrected tickets with ids after `after`, in the order of these."""
    rows = await connection.fetch(QUERIES["export_corrections"], tenant, after, limit)
    return [Corrected(**dict(row)) for row in rows]


def _model(row: Record) -> Model:
    return Model(
        version=row["version"],
        state=State(row["state"]),
        header=msgspec.json.decode(row["report"], type=Header),
        bytes=row["bytes"],
        added_at=row["added_at"],
        added_by=row["added_by"],
        changed_at=row["changed_at"],
        promoted_at=row["promoted_at"],
    )
