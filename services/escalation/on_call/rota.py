"""Who is on call, who comes next and when nobody is: what the API and the command line answer."""

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct, structs

from services.escalation.domain import gaps as gap_finding
from services.escalation.domain import ics
from services.escalation.domain.gaps import Gap, GapReason
from services.escalation.domain.recipient import Person
from services.escalation.domain.rotation import Duty, Stretch, stretch_at, stretches
from services.escalation.on_call import duties
from services.escalation.on_call.duties import Roster
from services.escalation.store import escalations
from services.escalation.store.on_call import FeedState
from shared.ledger.policies import PolicyShelf
from shared.postgres import time as database_time
from shared.postgres.pool import Connection

CALENDAR_BEFORE = timedelta(days=31)
CALENDAR_AFTER = timedelta(days=180)
"""What of a rotation is in its calendar."""


class ShiftView(Struct, frozen=True, kw_only=True):
    """One turn: from `starts_at` on, until before `ends_at`."""

    person: str
    name: str | None
    """Null where the person is not on the roster: nobody would be paged."""
    starts_at: datetime
    ends_at: datetime
    layer: str | None
    """Null for an override, an imported shift, and a rotation without layers."""
    override: UUID | None
    """The override by which it is theirs."""


class FeedView(Struct, frozen=True, kw_only=True):
    """How the imports of a calendar that is kept elsewhere stand; `deskclock on-call import` makes one."""

    version: int
    """Counted up where an import brought another plan; 0: nothing was imported yet."""
    fetched_at: datetime | None
    """When the copy in use was read."""
    age_seconds: float | None
    """How old that copy is; null where there is none."""
    tried_at: datetime | None
    failure: str | None
    """Why the newest try went wrong; the copy before it stays in use."""
    until_at: datetime | None
    """As far as its shifts are known."""


class OnCallView(Struct, frozen=True, kw_only=True):
    """A rotation at one instant."""

    rotation: str
    zone: str
    policy_version: int
    """Of the policy that held at that instant."""
    at: datetime
    now: ShiftView | None
    """Null where nobody has it."""
    next: ShiftView | None
    """The next turn of anybody, be it after a gap; null where none begins within 40 days."""
    gap: GapReason | None
    """Why nobody would be paged at that instant; null where somebody would. Of the past, only whether nobody had it."""
    feed: FeedView | None
    """Null for a rotation with turns of its own."""


class GapView(Gap, frozen=True, kw_only=True):
    """A gap of one rotation."""

    rotation: str


class GapReport(Struct, frozen=True, kw_only=True):
    """When nobody would be paged, by rotation and then by time."""

    starts_at: datetime
    ends_at: datetime
    policy_version: int
    gaps: list[GapView]


async def look(
    connection: Connection,
    shelf: PolicyShelf,
    tenant: str,
    *,
    name: str | None = None,
    at: datetime | None = None,
    methods: frozenset[str],
) -> list[OnCallView]:
    """Each rotation, or the one of this name, at an instant: what was planned then, by the policy that held then.

    What was taken back or changed later is told as it was (R26). Nothing where there is no such rotation.
    """
    now = await database_time.now(connection)
    is_now = at is None
    at = at or now
    found = await duties.of_tenant(connection, shelf, tenant, at, is_now=is_now)
    chosen = {key: duty for key, duty in found.duties.items() if name is None or key == name}
    present = {key: stretch_at(duty, at) for key, duty in chosen.items()}
    following = {key: _next(duty, present[key]) for key, duty in chosen.items()}
    people = await _people(connection, tenant, [*present.values(), *(one for one in following.values() if one)])
    views = []
    for key, duty in chosen.items():
        feed = found.feeds.get(key)
        reason = gap_finding.reason_at(duty, present[key], at, people, methods, feed.until_at if feed else None)
        if at < now and present[key].person is not None:
            reason = None  # who was on the roster then, today's roster can't tell
        views.append(
            OnCallView(
                rotation=key,
                zone=duty.rotation.zone.key,
                policy_version=found.policy_version,
                at=at,
                now=_shift(present[key], people),
                next=_shift(following[key], people),
                gap=reason,
                feed=None if duty.rotation.feed is None else _feed(feed, now),
            )
        )
    return views


async def report_gaps(
    connection: Connection, shelf: PolicyShelf, tenant: str, length: timedelta, methods: frozenset[str]
) -> GapReport:
    """The gaps of every rotation from now on for so long."""
    start = await database_time.now(connection)
    found = await duties.of_tenant(connection, shelf, tenant, start, until=start + length)
    holes = await _gaps(connection, tenant, found, start, start + length, methods)
    return GapReport(
        starts_at=start,
        ends_at=start + length,
        policy_version=found.policy_version,
        gaps=[GapView(rotation=key, **structs.asdict(gap)) for key, each in holes.items() for gap in each],
    )


async def outlook(
    connection: Connection, shelf: PolicyShelf, tenant: str, length: timedelta, methods: frozenset[str]
) -> tuple[dict[str, float], dict[str, float | None]]:
    """Seconds in which nobody would be paged from now on for so long, and the age of imports (None: never), by rotation."""
    start = await database_time.now(connection)
    found = await duties.of_tenant(connection, shelf, tenant, start, until=start + length)
    holes = await _gaps(connection, tenant, found, start, start + length, methods)
    seconds = {key: sum((gap.ends_at - gap.starts_at).total_seconds() for gap in each) for key, each in holes.items()}
    ages = {
        key: _feed(found.feeds.get(key), start).age_seconds
        for key, duty in found.duties.items()
        if duty.rotation.feed is not None
    }
    return seconds, ages


async def calendar(connection: Connection, shelf: PolicyShelf, tenant: str, name: str) -> str | None:
    """The shifts of a rotation as an iCalendar file, overrides included; None where there is no such rotation."""
    now = await database_time.now(connection)
    found = await duties.of_tenant(
        connection, shelf, tenant, now, since=now - CALENDAR_BEFORE, until=now + CALENDAR_AFTER
    )
    duty = found.duties.get(name)
    if duty is None:
        return None
    shifts = await asyncio.to_thread(lambda: list(stretches(duty, now - CALENDAR_BEFORE, now + CALENDAR_AFTER)))
    names = {key: person.name for key, person in (await _people(connection, tenant, shifts)).items()}
    return ics.written(tenant, name, shifts, names, now)


async def _gaps(
    connection: Connection, tenant: str, found: Roster, start: datetime, end: datetime, methods: frozenset[str]
) -> dict[str, list[Gap]]:
    """The gaps of each rotation, worked out beside the event loop."""
    people = await _people_of(connection, tenant, found, start, end)

    def work() -> dict[str, list[Gap]]:
        until = {key: state.until_at for key, state in found.feeds.items()}
        return {
            key: gap_finding.gaps(duty, start, end, people, methods, imported_until=until.get(key))
            for key, duty in found.duties.items()
        }

    return await asyncio.to_thread(work)


async def _people_of(
    connection: Connection, tenant: str, found: Roster, start: datetime, end: datetime
) -> dict[str, Person]:
    """Those of everybody who may have a shift between two instants who are on the roster."""
    keys: set[str] = set()
    for duty in found.duties.values():
        keys |= duty.rotation.people
        keys |= {one.person for one in duty.overrides if one.starts_at < end and one.ends_at > start}
        keys |= {one.person for one in duty.imported if one.starts_at < end and one.ends_at > start}
    return await _roster(connection, tenant, keys)


async def _people(connection: Connection, tenant: str, shifts: Iterable[Stretch]) -> dict[str, Person]:
    return await _roster(connection, tenant, {one.person for one in shifts if one.person is not None})


async def _roster(connection: Connection, tenant: str, keys: set[str]) -> dict[str, Person]:
    found = await escalations.load_people(connection, {(tenant, key) for key in keys})
    return {key: person for (_, key), person in found.items()}


def _next(duty: Duty, present: Stretch) -> Stretch | None:
    latest = present.ends_at + duties.AROUND
    for one in stretches(duty, present.ends_at, latest):
        if one.person is not None:
            return one if one.starts_at < latest else None
    return None


def _shift(found: Stretch | None, people: dict[str, Person]) -> ShiftView | None:
    if found is None or found.person is None:
        return None
    person = people.get(found.person)
    return ShiftView(
        person=found.person,
        name=person.name if person else None,
        starts_at=found.starts_at,
        ends_at=found.ends_at,
        layer=found.layer,
        override=found.override,
    )


def _feed(state: FeedState | None, now: datetime) -> FeedView:
    if state is None:
        return FeedView(version=0, fetched_at=None, age_seconds=None, tried_at=None, failure=None, until_at=None)
    return FeedView(
        version=state.version,
        fetched_at=state.fetched_at,
        age_seconds=None if state.fetched_at is None else (now - state.fetched_at).total_seconds(),
        tried_at=state.tried_at,
        failure=state.failure,
        until_at=state.until_at,
    )
