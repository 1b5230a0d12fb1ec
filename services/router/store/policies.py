"""Versions of policies and rosters in SQL, and the roster's people as agents. Callers own the transaction."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec
from msgspec import Struct

from services.router.store import QUERIES
from shared.policy.document import Person
from shared.policy.methods import INFORMATIONAL
from shared.postgres.pool import Connection

_encode = msgspec.json.Encoder().encode


class Version(Struct, frozen=True, kw_only=True):
    """One line of a history."""

    version: int
    applied_at: datetime
    applied_by: str
    size: int
    """Bytes of the file."""


class PolicyVersion(Version, frozen=True, kw_only=True):
    """One line of a policy's history."""

    holds_from: datetime | None
    """For tickets that arrive from then on; null: from the commit on."""


class StoredPolicy(Struct, frozen=True, kw_only=True):
    """A version of the policy with its file."""

    version: int
    source: str
    document: bytes
    applied_at: datetime
    applied_by: str
    holds_from: datetime | None = None
    """For tickets that arrive from then on; None: from its commit on."""


class StoredRoster(Struct, frozen=True, kw_only=True):
    """A version of the roster with its file."""

    version: int
    source: str
    applied_at: datetime
    applied_by: str


async def lock_versions(connection: Connection, tenant: str) -> None:
    """Let nobody else change this tenant's policy or roster until the transaction ends."""
    await connection.fetchval(QUERIES["lock_versions"], tenant)


async def newest_policy(connection: Connection, tenant: str) -> StoredPolicy | None:
    """The version applied last, though its time may be to come; None where none was applied."""
    row = await connection.fetchrow(QUERIES["newest_policy"], tenant)
    return None if row is None else StoredPolicy(**dict(row))


async def policy_in_force(connection: Connection, tenant: str) -> StoredPolicy | None:
    """The version that new tickets get; None where that is the built-in one."""
    row = await connection.fetchrow(QUERIES["policy_in_force"], tenant)
    return None if row is None else StoredPolicy(**dict(row))


async def load_policy(connection: Connection, tenant: str, version: int) -> StoredPolicy | None:
    """One version."""
    row = await connection.fetchrow(QUERIES["load_policy"], tenant, version)
    return None if row is None else StoredPolicy(**dict(row))


async def newest_roster(connection: Connection, tenant: str) -> StoredRoster | None:
    """The roster in force; None where none was applied."""
    row = await connection.fetchrow(QUERIES["newest_roster"], tenant)
    return None if row is None else StoredRoster(**dict(row))


async def list_policy_versions(connection: Connection, tenant: str, before: int, limit: int) -> list[PolicyVersion]:
    """Up to `limit` versions of the policy, newest first, from below `before`."""
    rows = await connection.fetch(QUERIES["list_policy_versions"], tenant, before, limit)
    return [PolicyVersion(**dict(row)) for row in rows]


async def list_roster_versions(connection: Connection, tenant: str, before: int, limit: int) -> list[Version]:
    """Up to `limit` versions of the roster, newest first, from below `before`."""
    rows = await connection.fetch(QUERIES["list_roster_versions"], tenant, before, limit)
    return [Version(**dict(row)) for row in rows]


async def insert_policy(connection: Connection, tenant: str, stored: StoredPolicy) -> None:
    """Keep a new version of the policy."""
    await connection.execute(
        QUERIES["insert_policy"],
        tenant,
        stored.version,
        stored.source,
        stored.document,
        stored.applied_at,
        stored.applied_by,
        stored.holds_from,
    )


async def insert_roster(connection: Connection, tenant: str, stored: StoredRoster) -> None:
    """Keep a new version of the roster."""
    await connection.execute(
        QUERIES["insert_roster"], tenant, stored.version, stored.source, stored.applied_at, stored.applied_by
    )


async def people_on_roster(connection: Connection, tenant: str) -> dict[str, bool]:
    """Keys of the people on the roster, and whether each can be reached."""
    rows = await connection.fetch(QUERIES["people_on_roster"], tenant, list(INFORMATIONAL))
    return {row["key"]: row["is_reachable"] for row in rows}


async def pools_of_people(connection: Connection, tenant: str) -> list[tuple[str, tuple[str, ...]]]:
    """Keys of those on the roster who work tickets, and of which pools; of all where there is none."""
    rows = await connection.fetch(QUERIES["pools_of_people"], tenant)
    return [(row["key"], tuple(row["pools"])) for row in rows]


async def save_people(connection: Connection, tenant: str, people: Mapping[str, Person], now: datetime) -> list[str]:
    """Make the agents of a tenant those people; who is missing is deactivated. Returns the keys of those who left.

    Who comes may have work already, given by hand: that is counted. What the others do and have stays.
    """
    held = await connection.fetch(QUERIES["lock_agents_of_tenant"], tenant)
    known = {row["key"] for row in held if row["active"]}
    await connection.execute(QUERIES["upsert_agents"], tenant, *_columns(people.values()), now)
    left = await connection.fetch(QUERIES["deactivate_agents"], tenant, list(people), now)
    await connection.execute(QUERIES["settle_gone"], tenant, now)
    come = [key for key in people if key not in known]
    if come:
        await connection.execute(QUERIES["reconcile_loads"], [tenant] * len(come), come)
    return [row["key"] for row in left]


def _columns(people: Iterable[Person]) -> list[list[object]]:
    rows = [
        (
            person.key, person.name, _encode(person.skills), ",".join(person.channels), person.capacity,
            person.presence, person.lead, _encode(person.contacts), _encode(person.at_most), "\x1f".join(person.pools),
            person.calendar, person.timezone, person.quiet_hours,
        )
        for person in people
    ]  # fmt: skip
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(13)]
