"""Overrides and imported shifts in SQL; callers own the transaction."""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from services.escalation.domain.recipient import Person
from services.escalation.domain.rotation import Imported, Override
from services.escalation.store import QUERIES
from shared.policy.document import Contact
from shared.postgres.pool import Connection, Record

Key = tuple[str, str]
"""A tenant and the name of a rotation."""

T = TypeVar("T")


class MadeOverride(Struct, frozen=True, kw_only=True):
    """An override with whoever made it; one that was taken back ends when it was, or before it begins."""

    id: UUID
    rotation: str
    person: str
    starts_at: datetime
    ends_at: datetime
    made_at: datetime
    made_by: str
    is_withdrawn: bool = False


class FeedState(Struct, frozen=True, kw_only=True):
    """How the imports of a rotation stand."""

    version: int
    fetched_at: datetime | None
    """When the copy in use was read; None: never."""
    tried_at: datetime
    failure: str | None
    """Why the newest try went wrong."""
    until_at: datetime | None
    """As far as shifts were worked out."""


class RosterPerson(Struct, frozen=True, kw_only=True):
    """Somebody of the roster."""

    person: Person
    is_active: bool


async def lock(connection: Connection, tenant: str, rotation: str) -> None:
    """Wait until nobody else changes this rotation; held to the end of the transaction."""
    await connection.fetchval(QUERIES["lock_rotation"], tenant, rotation)


async def policy_version_at(connection: Connection, tenant: str, at: datetime) -> int | None:
    """The version of the policy that held at an instant."""
    version: int | None = await connection.fetchval(QUERIES["policy_version_at"], tenant, at)
    return version


async def tenants(connection: Connection) -> list[str]:
    """Everybody who has applied a policy."""
    return [row["tenant"] for row in await connection.fetch(QUERIES["tenants_with_policies"])]


async def load_overrides(
    connection: Connection, keys: Collection[Key], start: datetime, end: datetime
) -> dict[Key, list[MadeOverride]]:
    """The overrides of each rotation that hold somewhere in `[start, end)`."""
    rows = await connection.fetch(QUERIES["load_overrides"], *_columns(keys), start, end)
    return _by_rotation(rows, _override)


async def load_imported(
    connection: Connection, keys: Collection[Key], start: datetime, end: datetime
) -> dict[Key, list[Imported]]:
    """The imported shifts of each rotation that reach into `[start, end)`, in order."""
    rows = await connection.fetch(QUERIES["load_imported"], *_columns(keys), start, end)
    return _by_rotation(
        rows, lambda row: Imported(person=row["person"], starts_at=row["starts_at"], ends_at=row["ends_at"])
    )


async def load_feeds(connection: Connection, keys: Collection[Key]) -> dict[Key, FeedState]:
    """How each rotation's imports stand; those that were never tried are missing."""
    return {
        (row["tenant"], row["rotation"]): FeedState(
            version=row["version"],
            fetched_at=row["fetched_at"],
            tried_at=row["tried_at"],
            failure=row["failure"],
            until_at=row["until_at"],
        )
        for row in await connection.fetch(QUERIES["load_feeds"], *_columns(keys))
    }


async def insert_override(connection: Connection, tenant: str, made: MadeOverride) -> None:
    """Store a new one."""
    await connection.execute(
        QUERIES["insert_override"],
        made.id,
        tenant,
        made.rotation,
        made.person,
        made.starts_at,
        made.ends_at,
        made.made_at,
        made.made_by,
    )


async def count_overrides(connection: Connection, tenant: str, rotation: str, now: datetime) -> int:
    """How many have not ended yet."""
    count: int = await connection.fetchval(QUERIES["count_overrides"], tenant, rotation, now)
    return count


async def get_override(connection: Connection, tenant: str, rotation: str, override: UUID) -> MadeOverride | None:
    """One of a rotation's overrides, be it over or taken back."""
    row = await connection.fetchrow(QUERIES["get_override"], tenant, rotation, override)
    return None if row is None else _override(row)


async def withdraw_override(connection: Connection, tenant: str, rotation: str, override: UUID, now: datetime) -> bool:
    """End it at once; False where it was over, taken back, or never there."""
    return await connection.execute(QUERIES["withdraw_override"], tenant, rotation, override, now) == "UPDATE 1"


async def get_person(connection: Connection, tenant: str, key: str) -> RosterPerson | None:
    """Somebody who is or was on the roster."""
    row = await connection.fetchrow(QUERIES["get_person"], tenant, key)
    return None if row is None else RosterPerson(person=_person(row), is_active=row["active"])


async def roster(connection: Connection, tenant: str) -> list[Person]:
    """Everybody on the roster."""
    return [_person(row) for row in await connection.fetch(QUERIES["names_on_roster"], tenant)]


async def save_feed_failure(connection: Connection, tenant: str, rotation: str, failure: str, now: datetime) -> None:
    """Note why an import went wrong."""
    await connection.execute(QUERIES["save_feed_failure"], tenant, rotation, now, failure)


async def save_feed(
    connection: Connection, tenant: str, rotation: str, now: datetime, until: datetime, *, is_changed: bool
) -> int:
    """Note that an import went well; returns its version."""
    version: int = await connection.fetchval(QUERIES["save_feed"], tenant, rotation, now, until, is_changed)
    return version


async def replace_imported(
    connection: Connection, tenant: str, rotation: str, shifts: Sequence[Imported], now: datetime, oldest: datetime
) -> None:
    """Put these in place of all shifts that end after `now`, and drop those that ended before `oldest`."""
    await connection.execute(QUERIES["delete_imported"], tenant, rotation, now, oldest)
    await connection.execute(
        QUERIES["insert_imported"],
        tenant,
        rotation,
        [shift.person for shift in shifts],
        [shift.starts_at for shift in shifts],
        [shift.ends_at for shift in shifts],
    )


def as_overrides(made: Iterable[MadeOverride]) -> tuple[Override, ...]:
    """The same as the domain has them."""
    return tuple(
        Override(id=one.id, person=one.person, starts_at=one.starts_at, ends_at=one.ends_at, made_at=one.made_at)
        for one in made
    )


_contacts = msgspec.json.Decoder(tuple[Contact, ...])


def _columns(keys: Collection[Key]) -> tuple[list[str], list[str]]:
    return [tenant for tenant, _ in keys], [rotation for _, rotation in keys]


def _by_rotation(rows: Iterable[Record], read: Callable[[Record], T]) -> dict[Key, list[T]]:
    found: dict[Key, list[T]] = {}
    for row in rows:
        found.setdefault((row["tenant"], row["rotation"]), []).append(read(row))
    return found


def _override(row: Record) -> MadeOverride:
    return MadeOverride(
        id=row["id"],
        rotation=row["rotation"],
        person=row["person"],
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        made_at=row["made_at"],
        made_by=row["made_by"],
        is_withdrawn=row["is_withdrawn"],
    )


def _person(row: Record) -> Person:
    return Person(key=row["key"], name=row["name"], contacts=_contacts.decode(row["contacts"]))
