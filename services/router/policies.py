"""Applying policies and rosters: checked whole, kept as versions, in force for new tickets from the commit on.

A ticket that has been opened keeps the version that judged it. Nothing is changed where a file has a fault.
"""

import asyncio
from datetime import datetime

import msgspec
from msgspec import Struct

from services.router import leaving
from services.router.domain.policy_changes import changes
from services.router.store import policies as policies_store
from services.router.store.policies import StoredPolicy, StoredRoster, Version
from shared.policy import builtin, parse, roster
from shared.policy.document import Roster
from shared.policy.errors import LocatedError, PolicyErrors
from shared.policy.parse import ReadPolicy
from shared.postgres.pool import Connection

_ANY_VERSION = 2**31 - 1


class Plan(Struct, frozen=True, kw_only=True):
    """What applying a policy would do."""

    current: int
    """The version in force; 0 is the built-in policy."""
    next: int
    """The version it would become; the current one where the file is the same."""
    changes: tuple[str, ...]


async def plan_policy(connection: Connection, tenant: str, text: str, now: datetime) -> Plan:
    """Check a policy file as `apply_policy` does, and say what it would change; raises `PolicyErrors`."""
    stored = await policies_store.newest_policy(connection, tenant)
    current = builtin.VERSION if stored is None else stored.version
    if stored is not None and stored.source == text:
        return Plan(current=current, next=current, changes=())
    read = await _checked_policy(connection, tenant, text, current + 1, now)
    before = builtin.document() if stored is None else stored.document
    return Plan(
        current=current,
        next=current + 1,
        changes=changes(msgspec.json.decode(before), msgspec.json.decode(read.document)),
    )


async def apply_policy(connection: Connection, tenant: str, text: str, by: str, now: datetime) -> int:
    """Make a policy file the one for new tickets; returns its version.

    The same text as the newest version changes nothing and returns that. Raises `PolicyErrors`: also where it wants to
    page somebody whom the roster doesn't know or nobody can reach.
    """
    async with connection.transaction():
        await policies_store.lock_versions(connection, tenant)
        stored = await policies_store.newest_policy(connection, tenant)
        if stored is not None and stored.source == text:
            return stored.version
        version = (builtin.VERSION if stored is None else stored.version) + 1
        read = await _checked_policy(connection, tenant, text, version, now)
        new = StoredPolicy(version=version, source=text, document=read.document, applied_at=now, applied_by=by)
        await policies_store.insert_policy(connection, tenant, new)
    return version


async def show_policy(connection: Connection, tenant: str, version: int | None = None) -> StoredPolicy | None:
    """A version with its file, the newest if none is named; None where there is none applied, or not that one."""
    if version is None:
        return await policies_store.newest_policy(connection, tenant)
    return await policies_store.load_policy(connection, tenant, version)


async def policy_versions(
    connection: Connection, tenant: str, *, before: int = _ANY_VERSION, limit: int = 100
) -> list[Version]:
    """The history of a tenant's policy, newest first."""
    return await policies_store.list_policy_versions(connection, tenant, before, limit)


async def apply_roster(connection: Connection, tenant: str, text: str, by: str, now: datetime) -> int:
    """Make a roster file the one in force; returns its version.

    The same text as the newest version changes nothing and returns that. Who is missing gets no new tickets, and their
    open ones go back into the queue. Raises `PolicyErrors`: also where the policy in force wants to page somebody whom it leaves out.
    """
    async with connection.transaction():
        await policies_store.lock_versions(connection, tenant)
        stored = await policies_store.newest_roster(connection, tenant)
        if stored is not None and stored.source == text:
            return stored.version
        read = await asyncio.to_thread(parse.parse_roster, text)
        await _check_roster(connection, tenant, read)
        version = 1 if stored is None else stored.version + 1
        await leaving.hold(connection, tenant, list(read.people))
        left = await policies_store.save_people(connection, tenant, read.people)
        await leaving.requeue_of(connection, tenant, left, now)
        new = StoredRoster(version=version, source=text, applied_at=now, applied_by=by)
        await policies_store.insert_roster(connection, tenant, new)
    return version


async def show_roster(connection: Connection, tenant: str) -> StoredRoster | None:
    """The roster file in force; None where none was applied."""
    return await policies_store.newest_roster(connection, tenant)


async def roster_versions(
    connection: Connection, tenant: str, *, before: int = _ANY_VERSION, limit: int = 100
) -> list[Version]:
    """The history of a tenant's roster, newest first."""
    return await policies_store.list_roster_versions(connection, tenant, before, limit)


async def _checked_policy(connection: Connection, tenant: str, text: str, version: int, now: datetime) -> ReadPolicy:
    read = await asyncio.to_thread(parse.read_policy, text, version=version, today=now.date())
    reachable = await policies_store.people_on_roster(connection, tenant)
    errors = []
    for person, pointer in roster.people_named(read.policy).items():
        if person not in reachable:
            remedy = roster.whom_did_you_mean(person, reachable)
            errors.append(read.located.error(pointer, f"nobody on the roster has the key `{person[:60]}`", remedy))
        elif not reachable[person]:
            errors.append(
                read.located.error(pointer, f"`{person[:60]}` can't be reached", "give them `contacts` in the roster")
            )
    if errors:
        raise PolicyErrors(errors)
    return read


async def _check_roster(connection: Connection, tenant: str, read: Roster) -> None:
    stored = await policies_store.newest_policy(connection, tenant)
    if stored is None:
        return
    policy = await asyncio.to_thread(parse.stored_policy, stored.document, version=stored.version)
    errors = []
    for key, pointer in roster.people_named(policy).items():
        person = read.people.get(key)
        if person is None or not person.contacts:
            problem = "is not in this file" if person is None else "has no contacts in this file"
            errors.append(
                LocatedError(
                    line=0,
                    column=0,
                    pointer="/people",
                    problem=f"`{key}` {problem}, and policy version {stored.version} pages them ({pointer})",
                    remedy="keep them reachable here, or take them out of the policy first",
                )
            )
    if errors:
        raise PolicyErrors(errors)
