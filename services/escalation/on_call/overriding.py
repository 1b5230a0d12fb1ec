"""Overrides: somebody is on call in place of whose turn it is, from one instant to another (R21).

What has been is not rewritten: an override begins now at the earliest, and one that is taken back ends now.
"""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct, structs

from services.escalation.domain.recipient import usable_contacts
from services.escalation.store import escalations
from services.escalation.store import on_call as store
from services.escalation.store.on_call import MadeOverride
from shared import ids
from shared.contract.events import Instant, Name
from shared.contract.problems import FieldError, Kind, Refused
from shared.ledger.policies import PolicyShelf
from shared.policy.errors import did_you_mean, short
from shared.postgres import time as database_time
from shared.postgres.pool import Connection

FURTHEST = timedelta(days=400)
"""No override ends later than this from now."""
MOST = 1_000
"""Overrides of a rotation that have not ended."""
LISTED = 1_000

_AFTER = timedelta(microseconds=1)
"""So much newer is what comes later, also where the clock stands still or goes back."""


class NewOverride(Struct, frozen=True, kw_only=True):
    """Who is on call instead, and for how long."""

    person: Name
    """Key of somebody on the roster who can be paged."""
    ends_at: Instant
    starts_at: Instant | None = None
    """Now, where nothing is said or it has passed."""
    replace: bool = False
    """Where another override holds already: this one wins. Otherwise it is refused."""
    by: Annotated[str, Meta(max_length=200)] = ""
    """Who says so, to be shown with it."""


class OverrideView(MadeOverride, frozen=True, kw_only=True):
    """An override; one that was taken back ends when it was."""

    name: str | None
    """Of the person; null where they are not on the roster: then it is a gap."""


class Made(Struct, frozen=True, kw_only=True):
    """What came of making one."""

    override: OverrideView
    is_new: bool
    """False where the same one was there already."""


async def list_overrides(
    connection: Connection, shelf: PolicyShelf, tenant: str, rotation: str, since: datetime | None = None
) -> list[OverrideView]:
    """Those of a rotation that end after `since`, or after now, by their start. Raises Refused."""
    now = await database_time.now(connection)
    await _require_rotation(connection, shelf, tenant, rotation)
    start = max(since or now, now - FURTHEST)
    found = await store.load_overrides(connection, [(tenant, rotation)], start, now + 2 * FURTHEST)
    return await _views(connection, tenant, found.get((tenant, rotation), [])[:LISTED])


async def make(
    connection: Connection,
    shelf: PolicyShelf,
    tenant: str,
    rotation: str,
    wanted: NewOverride,
    *,
    by: str,
    methods: frozenset[str],
) -> Made:
    """Make an override; the same again answers with the first. Raises Refused, naming whatever is in the way."""
    async with connection.transaction():
        await store.lock(connection, tenant, rotation)
        now = await database_time.now(connection)
        await _require_rotation(connection, shelf, tenant, rotation)
        person = await _reachable(connection, tenant, wanted.person, methods)
        made = MadeOverride(
            id=ids.uuid7(now),
            rotation=rotation,
            person=person,
            starts_at=max(wanted.starts_at or now, now),
            ends_at=wanted.ends_at,
            made_at=now,
            made_by="".join(filter(str.isprintable, wanted.by)).strip() or by,
        )
        _check_times(made, now)
        found = await store.load_overrides(connection, [(tenant, rotation)], made.starts_at, made.ends_at)
        in_the_way = found.get((tenant, rotation), [])
        same = next((one for one in in_the_way if _says_the_same(one, made)), None)
        if same is not None and len(in_the_way) == 1:
            [view] = await _views(connection, tenant, [same])
            return Made(override=view, is_new=False)
        if in_the_way and not wanted.replace:
            raise _overlaps(in_the_way)
        if await store.count_overrides(connection, tenant, rotation, now) >= MOST:
            raise Refused(
                Kind.CONFLICT, f"{rotation!r} has {MOST} overrides already: take some back, or change its people"
            )
        made = structs.replace(made, made_at=max([now, *(one.made_at + _AFTER for one in in_the_way)]))
        await store.insert_override(connection, tenant, made)
        [view] = await _views(connection, tenant, [made])
    return Made(override=view, is_new=True)


async def withdraw(
    connection: Connection, shelf: PolicyShelf, tenant: str, rotation: str, override: UUID
) -> OverrideView:
    """Take an override back: it ends now, or never begins; again, it changes nothing. Raises Refused."""
    async with connection.transaction():
        await store.lock(connection, tenant, rotation)
        now = await database_time.now(connection)
        done = await store.withdraw_override(connection, tenant, rotation, override, now)
        found = await store.get_override(connection, tenant, rotation, override)
    if found is None:
        await _require_rotation(connection, shelf, tenant, rotation)
        raise Refused(Kind.NOT_FOUND, f"{rotation!r} has no override {override}: GET its overrides lists them")
    if not done and not found.is_withdrawn:
        raise Refused(Kind.CONFLICT, f"override {override} is over since {_said(found.ends_at)}: it stays as it was")
    [view] = await _views(connection, tenant, [found])
    return view


async def _require_rotation(connection: Connection, shelf: PolicyShelf, tenant: str, rotation: str) -> None:
    policy = await shelf.current(connection, tenant)
    if rotation not in policy.on_call:
        remedy = did_you_mean(rotation, policy.on_call, what="rotations")
        raise Refused(Kind.NOT_FOUND, f"the policy has no rotation {short(rotation)!r}: {remedy}")


async def _reachable(connection: Connection, tenant: str, key: str, methods: frozenset[str]) -> str:
    found = await store.get_person(connection, tenant, key)
    if found is None:
        known = [person.key for person in await store.roster(connection, tenant)]
        problem = f"nobody on the roster has the key {short(key)!r}: {did_you_mean(key, known, what='people')}"
    elif not found.is_active:
        problem = f"{short(key)!r} is no longer on the roster: name somebody who is, or apply a roster that has them"
    elif not usable_contacts(found.person, methods):
        problem = f"{short(key)!r} can't be paged: give them `contacts` that this installation has, in the roster"
    else:
        return found.person.key
    raise Refused(Kind.INVALID, f"#/person: {problem}", errors=(FieldError(pointer="#/person", detail=problem),))


def _check_times(made: MadeOverride, now: datetime) -> None:
    problem = None
    if made.ends_at <= now:
        problem = f"has passed: it is {_said(now)}"
    elif made.ends_at <= made.starts_at:
        problem = "comes before its start"
    elif made.ends_at > now + FURTHEST:
        problem = f"is over {FURTHEST.days} days ahead: change the people of the rotation instead"
    if problem is not None:
        raise Refused(Kind.INVALID, f"#/ends_at: {problem}", errors=(FieldError(pointer="#/ends_at", detail=problem),))


def _says_the_same(old: MadeOverride, new: MadeOverride) -> bool:
    return (old.person, old.ends_at) == (new.person, new.ends_at) and old.starts_at <= new.starts_at


def _overlaps(others: list[MadeOverride]) -> Refused:
    first = others[0]
    more = f", and {len(others) - 1} more" if len(others) > 1 else ""
    return Refused(
        Kind.CONFLICT,
        f"override {first.id} has {first.person!r} on call from {_said(first.starts_at)} to {_said(first.ends_at)}{more}: "
        "take it back, choose other times, or say `replace: true` so that the newest wins",
        errors=tuple(
            FieldError(
                pointer="#/starts_at",
                detail=f"overlaps override {one.id} of {one.person!r}, {_said(one.starts_at)} to {_said(one.ends_at)}",
            )
            for one in others[:20]
        ),
    )


async def _views(connection: Connection, tenant: str, made: list[MadeOverride]) -> list[OverrideView]:
    known = await escalations.load_people(connection, {(tenant, one.person) for one in made})
    names = {key: person.name for (_, key), person in known.items()}
    return [OverrideView(**structs.asdict(one), name=names.get(one.person)) for one in made]


def _said(at: datetime) -> str:
    return at.isoformat(sep=" ", timespec="seconds")
