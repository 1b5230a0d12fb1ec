"""Imports of rotations that somebody else's calendar keeps: read now and then, never while somebody is paged (R25).

Whatever goes wrong, the last good copy stays in use, and the failure is noted for whoever looks.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from msgspec import Struct

from services.escalation.domain import feed as feeds
from services.escalation.domain.feed import Names
from services.escalation.domain.rotation import Imported
from services.escalation.on_call import fetching
from services.escalation.store import on_call as store
from shared.policy.document import Feed, Rotation
from shared.policy.errors import short
from shared.policy.ical_shifts import FedShifts
from shared.policy.reading import Unreadable
from shared.postgres import time as database_time
from shared.postgres.pool import Connection

HORIZON = timedelta(days=400)
"""So far ahead shifts are worked out."""
KEPT = timedelta(days=400)
"""So long shifts that have been can be asked for."""
_NAMED = 5
_LONGEST_FAILURE = 500


class Import(Struct, frozen=True, kw_only=True):
    """What came of one import."""

    rotation: str
    failure: str | None
    """Why nothing was changed; None where it went well."""
    version: int | None = None
    is_changed: bool = False
    """Whether it brought another plan for what was planned already."""
    events: int = 0
    shifts: int = 0
    """From now on."""
    overlaps: int = 0
    """Shifts that begin while somebody else has one: the one that begins later wins."""
    until_at: datetime | None = None


async def run(
    connection: Connection,
    tenant: str,
    rotation: Rotation,
    *,
    folder: Path,
    file: Path | None = None,
    allowed_hosts: frozenset[str] = frozenset(),
) -> Import:
    """Read the calendar of one rotation, or `file` in its place, and store its shifts."""
    if rotation.feed is None:
        return Import(rotation=rotation.name, failure="it takes turns of its own: only one with `ical` is imported")
    now = await database_time.now(connection)
    try:
        if file is None:
            raw = await fetching.read_source(rotation.feed.source, folder, allowed_hosts)
        else:
            raw = fetching.read_file(file)
        zone = rotation.zone.key if rotation.feed.is_zoned else None
        fed = await fetching.shifts(raw, zone, now, now + HORIZON)
        shifts = await _by_person(connection, tenant, rotation.feed, fed)
    except Unreadable as wrong:
        said = f"{wrong.problem}; {wrong.remedy}"
        failure = short("".join(letter if letter.isprintable() else " " for letter in said), _LONGEST_FAILURE)
        async with connection.transaction():
            await store.lock(connection, tenant, rotation.name)
            await store.save_feed_failure(connection, tenant, rotation.name, failure, now)
        return Import(rotation=rotation.name, failure=failure)
    return await _save(connection, tenant, rotation.name, fed, shifts)


async def _by_person(connection: Connection, tenant: str, feed: Feed, fed: FedShifts) -> tuple[Imported, ...]:
    names = Names(feed.people, await store.roster(connection, tenant))
    found = feeds.named(fed.shifts, names)
    if found.unknown:
        shown = ", ".join(f"`{short(name)}`" for name in found.unknown[:_NAMED])
        more = f" and {len(found.unknown) - _NAMED} more" if len(found.unknown) > _NAMED else ""
        raise Unreadable(
            f"nobody knows who is meant by {shown}{more}",
            "map them under `people` of the rotation: {name: key}, or {name: none} for what is no shift",
        )
    if not found.shifts:
        raise Unreadable("it has no shift from now on", "see whether it is the right calendar")
    return found.shifts


async def _save(
    connection: Connection, tenant: str, rotation: str, fed: FedShifts, shifts: Sequence[Imported]
) -> Import:
    async with connection.transaction():
        await store.lock(connection, tenant, rotation)
        now = await database_time.now(connection)
        key = (tenant, rotation)
        until = now + HORIZON
        old = (await store.load_imported(connection, [key], now, until + KEPT)).get(key, [])
        before = (await store.load_feeds(connection, [key])).get(key)
        plan = feeds.merged(old, feeds.one_at_a_time(shifts), now)
        is_changed = feeds.is_changed(old, plan, before.until_at if before else None)
        await store.replace_imported(connection, tenant, rotation, plan, now, now - KEPT)
        version = await store.save_feed(connection, tenant, rotation, now, until, is_changed=is_changed)
    return Import(
        rotation=rotation,
        failure=None,
        version=version,
        is_changed=is_changed,
        events=fed.events,
        shifts=len(plan),
        overlaps=feeds.overlaps(shifts),
        until_at=until,
    )
