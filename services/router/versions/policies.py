"""Applying policies and rosters: checked whole, kept as versions, in force for new tickets from the commit on.

A ticket that has been opened keeps the version that judged it, unless a later one is applied to open tickets too: then
`services.router.versions.rollout` brings it there. Nothing is changed where a file has a fault.
"""

import asyncio
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct

from services.router import leaving, shifts
from services.router.domain import served
from services.router.domain.policy_changes import changes
from services.router.domain.reach import NEW, Reach
from services.router.store import fallback as fallback_store
from services.router.store import policies as policies_store
from services.router.store import presence as presence_store
from services.router.store import rollouts as rollouts_store
from services.router.store.policies import PolicyVersion, StoredPolicy, StoredRoster, Version
from services.router.store.rollouts import Rollout
from shared import ids
from shared.ledger.policies import PolicyShelf
from shared.policy import builtin, located, parse, roster
from shared.policy.document import Policy, Roster
from shared.policy.errors import LocatedError, PolicyErrors, did_you_mean, short
from shared.policy.parse import ReadPolicy
from shared.postgres.pool import Connection

_ANY_VERSION = 2**31 - 1
_FALLBACK = "/routing/fallback"
_RECENT = 20
"""Rollouts among which one that is under way is looked for."""


class Plan(Struct, frozen=True, kw_only=True):
    """What applying a policy would change in what it says."""

    current: int
    """The version in force; 0 is the built-in policy."""
    next: int
    """The version it would become; one that is there where the file is the same."""
    changes: tuple[str, ...]
    warnings: tuple[LocatedError, ...] = ()
    """What is legal in the file but seldom meant, each with its line and the way out."""


class Applied(Struct, frozen=True, kw_only=True):
    """What became of a policy file."""

    version: int
    is_new: bool
    """False where the version was there already."""
    holds_from: datetime | None
    """For tickets that arrive from then on; None: at once."""
    rollout: Rollout | None
    """How it gets to open tickets, where it is for these too."""
    warnings: tuple[LocatedError, ...] = ()
    """What is legal in the file but seldom meant."""


class Candidate(Struct, frozen=True, kw_only=True):
    """A policy file that has been checked, beside what is in force."""

    in_force: StoredPolicy | None
    newest: StoredPolicy | None
    read: ReadPolicy
    version: int
    is_new: bool

    @property
    def plan(self) -> Plan:
        """What would change."""
        before = builtin.document() if self.in_force is None else self.in_force.document
        return Plan(
            current=_number(self.in_force),
            next=self.version,
            changes=changes(msgspec.json.decode(before), msgspec.json.decode(self.read.document)),
            warnings=self.read.warnings,
        )


async def plan_policy(connection: Connection, tenant: str, text: str, now: datetime) -> Plan:
    """Check a policy file as `apply_policy` does, and say what it would change; raises `PolicyErrors`."""
    return (await candidate(connection, tenant, text, now)).plan


async def candidate(connection: Connection, tenant: str, text: str, now: datetime, reach: Reach = NEW) -> Candidate:
    """Check a policy file as `apply_policy` does; raises `PolicyErrors`."""
    newest = await policies_store.newest_policy(connection, tenant)
    in_force = await policies_store.policy_in_force(connection, tenant)
    read = await _checked_policy(connection, tenant, text, _number(newest) + 1, now, in_force)
    is_new = newest is None or not (_is_same(newest, text, read) and _holds(newest, reach, now))
    return Candidate(
        in_force=in_force,
        newest=newest,
        read=read,
        version=_number(newest) + is_new,
        is_new=is_new,
    )


async def apply_policy(connection: Connection, tenant: str, text: str, by: str, now: datetime) -> int:
    """Make a policy file the one for new tickets; returns its version. See `put_in_force`."""
    return (await put_in_force(connection, tenant, text, by, now)).version


async def put_in_force(
    connection: Connection, tenant: str, text: str, by: str, now: datetime, reach: Reach = NEW
) -> Applied:
    """Make a policy file the one for the tickets that `reach` means; open ones get it by the rollout that this begins.

    A file that says the same as the newest version makes no new one; sent to open tickets it judges them all again.
    A version applied later takes the place of one whose time is still to come. Raises `PolicyErrors`: also where the
    file wants to page somebody whom the roster doesn't know or nobody can reach, or lacks a calendar of the roster's shifts.
    """
    async with connection.transaction():
        await policies_store.lock_versions(connection, tenant)
        found = await candidate(connection, tenant, text, now, reach)
        if found.is_new or found.newest is None:
            stored = StoredPolicy(
                version=found.version,
                source=text,
                document=found.read.document,
                applied_at=now,
                applied_by=by,
                holds_from=reach.holds_from,
            )
            await policies_store.insert_policy(connection, tenant, stored)
            await shifts.set_shifts(connection, PolicyShelf(), tenant, now)
        else:
            stored = found.newest
        rollout = None
        if reach.has_rollout:
            rollout = await _set_out(connection, tenant, stored.version, reach, now, rejudges=not found.is_new)
    return Applied(
        version=stored.version,
        is_new=found.is_new,
        holds_from=stored.holds_from,
        rollout=rollout,
        warnings=found.read.warnings,
    )


async def _set_out(
    connection: Connection, tenant: str, version: int, reach: Reach, now: datetime, *, rejudges: bool
) -> Rollout:
    for rollout in await rollouts_store.history(connection, tenant, None, _RECENT):
        if rollout.is_running and (rollout.version, rollout.opened_from) == (version, reach.opened_from):
            return rollout  # it is under way
    rollout_id = ids.uuid7(now)
    await rollouts_store.insert(connection, rollout_id, tenant, version, reach, now, rejudges=rejudges)
    begun = await rollouts_store.load(connection, rollout_id)
    if begun is None:
        raise AssertionError("it was inserted just now")
    return begun


async def rollouts(
    connection: Connection, tenant: str, *, before: UUID | None = None, limit: int = 100
) -> list[Rollout]:
    """How versions got, or get, to open tickets; the newest first."""
    return await rollouts_store.history(connection, tenant, before, limit)


async def show_policy(connection: Connection, tenant: str, version: int | None = None) -> StoredPolicy | None:
    """A version with its file, the one in force if none is named; None where that is the built-in one, or not there."""
    if version is None:
        return await policies_store.policy_in_force(connection, tenant)
    return await policies_store.load_policy(connection, tenant, version)


async def policy_versions(
    connection: Connection, tenant: str, *, before: int = _ANY_VERSION, limit: int = 100
) -> list[PolicyVersion]:
    """The history of a tenant's policy, newest first."""
    return await policies_store.list_policy_versions(connection, tenant, before, limit)


async def apply_roster(connection: Connection, tenant: str, text: str, by: str, now: datetime) -> int:
    """Make a roster file the one in force; returns its version.

    The same text as the newest version changes nothing and returns that. Who is missing gets no new tickets, and their
    open ones go back into the queue. Raises `PolicyErrors`: also where the policy in force, or one that is to come, wants to
    page somebody whom it leaves out, or lacks a calendar of its shifts.
    """
    async with connection.transaction():
        await policies_store.lock_versions(connection, tenant)
        stored = await policies_store.newest_roster(connection, tenant)
        if stored is not None and stored.source == text:
            return stored.version
        read = await asyncio.to_thread(parse.parse_roster, text)
        await _check_roster(connection, tenant, text, read)
        version = 1 if stored is None else stored.version + 1
        await leaving.hold(connection, tenant, list(read.people))
        had_people = await fallback_store.has_people(connection, tenant)
        left = await policies_store.save_people(connection, tenant, read.people, now)
        if not had_people:  # nobody was called for what nobody could take
            await fallback_store.judge_anew(connection, tenant, now)
        shelf = PolicyShelf()
        await shifts.set_shifts(connection, shelf, tenant, now)
        await leaving.requeue_of(connection, shelf, tenant, left, now)
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


async def _checked_policy(
    connection: Connection, tenant: str, text: str, version: int, now: datetime, in_force: StoredPolicy | None
) -> ReadPolicy:
    before = None if in_force is None else in_force.document
    read = await asyncio.to_thread(parse.read_policy, text, version=version, today=now.date(), before=before)
    reachable = await policies_store.people_on_roster(connection, tenant)
    errors = [read.located.error(*fault) for fault in roster.unreachable(read.policy, reachable)]
    fallback = read.policy.routing.fallback
    if fallback is not None and fallback not in reachable:
        remedy = roster.whom_did_you_mean(fallback, reachable)
        errors.append(read.located.error(_FALLBACK, f"nobody on the roster has the key `{fallback[:60]}`", remedy))
    errors += await _missing_calendars(connection, tenant, read)
    if errors:
        raise PolicyErrors(errors)
    people = [served.Server(key, pools) for key, pools in await policies_store.pools_of_people(connection, tenant)]
    doubts = [read.located.error(*doubt) for doubt in served.doubts(read.policy, people)]
    return read._replace(warnings=(*read.warnings, *doubts))


async def roster_warnings(connection: Connection, tenant: str, text: str) -> list[LocatedError]:
    """What is legal in a roster but hardly meant beside the policy in force; raises `PolicyErrors` where it can't be read."""
    stored = await policies_store.policy_in_force(connection, tenant)
    read = await asyncio.to_thread(parse.parse_roster, text)
    if stored is None:
        policy = builtin.policy()
    else:
        policy = await asyncio.to_thread(parse.stored_policy, stored.document, version=stored.version)
    return [
        LocatedError(line=0, column=0, pointer="/people", problem=doubt.problem, remedy=doubt.remedy)
        for doubt in served.doubts(policy, served.working(read.people.values()))
    ]


async def _missing_calendars(connection: Connection, tenant: str, read: ReadPolicy) -> list[LocatedError]:
    """Calendars by which people of the roster work, and which the file doesn't have."""
    used = await presence_store.calendars_of_shifts(connection, tenant)
    known = read.policy.sla.calendars
    return [
        read.located.error(
            "/calendars",
            f"the roster has shifts by the calendar `{short(name)}` (of `{short(key)}`), which is not in this file",
            f"{did_you_mean(name, known, what='calendars')}; or change the roster first",
        )
        for name, key in sorted(used.items())
        if name not in known
    ]


async def _check_roster(connection: Connection, tenant: str, text: str, read: Roster) -> None:
    in_force = await policies_store.policy_in_force(connection, tenant)
    newest = await policies_store.newest_policy(connection, tenant)
    errors = []
    for stored in {policy.version: policy for policy in (in_force, newest) if policy is not None}.values():
        policy = await asyncio.to_thread(parse.stored_policy, stored.document, version=stored.version)
        errors += _missing_on_roster(policy, read)
        errors += await _unknown_shifts(policy, text, read)
    if errors:
        raise PolicyErrors(errors)


async def _unknown_shifts(policy: Policy, text: str, read: Roster) -> list[LocatedError]:
    """Shifts by calendars that this version of the policy doesn't have; before there is any, the first may bring them."""
    known = policy.sla.calendars
    unknown = {
        key: person.calendar
        for key, person in read.people.items()
        if person.calendar is not None and person.calendar not in known
    }
    if not unknown:
        return []
    document = await asyncio.to_thread(located.read, text)
    return [
        document.error(
            f"/people/{located.escape(key)}/calendar",
            f"policy version {policy.version} has no calendar `{short(calendar)}`",
            f"{did_you_mean(calendar, known, what='calendars')}; or apply a policy that has it first",
        )
        for key, calendar in unknown.items()
    ]


def _missing_on_roster(policy: Policy, read: Roster) -> list[LocatedError]:
    """Whom this version of the policy pages, or gives tickets, in vain, if that roster holds."""
    errors = []
    fallback = policy.routing.fallback
    if fallback is not None and fallback not in read.people:
        errors.append(
            LocatedError(
                line=0,
                column=0,
                pointer="/people",
                problem=f"`{fallback}` is not in this file, and policy version {policy.version} gives them what nobody else "
                f"can take ({_FALLBACK})",
                remedy="keep them here, or name another `routing.fallback` in the policy first",
            )
        )
    for key, pointer in roster.people_named(policy).items():
        person = read.people.get(key)
        if person is None or not person.contacts:
            problem = "is not in this file" if person is None else "has no contacts in this file"
            errors.append(
                LocatedError(
                    line=0,
                    column=0,
                    pointer="/people",
                    problem=f"`{key}` {problem}, and policy version {policy.version} pages them ({pointer})",
                    remedy="keep them reachable here, or take them out of the policy first",
                )
            )
    return errors


def _number(stored: StoredPolicy | None) -> int:
    return builtin.VERSION if stored is None else stored.version


def _is_same(stored: StoredPolicy, text: str, read: ReadPolicy) -> bool:
    """Whether it is the same file and comes to the same: lists of holidays and feeds may have changed since."""
    return stored.source == text and msgspec.json.decode(stored.document) == msgspec.json.decode(read.document)


def _holds(stored: StoredPolicy, reach: Reach, now: datetime) -> bool:
    """Whether the version holds already for whom it is meant now."""
    return stored.holds_from is None or stored.holds_from <= now or stored.holds_from == reach.holds_from
