"""Candidate policies: started, compared with what is in force, stopped. `services.router.versions.shadowing` tries them.

A candidate is checked like any policy file. It is tried on tickets that are opened from its start on, and wakes nobody.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from services.router.store import shadows as shadows_store
from services.router.store.shadows import Differences, Differing, State, Tally
from services.router.versions import policies
from services.router.versions.shadowing import MOST_TICKETS
from shared import ids
from shared.contract.judges import JudgedBy
from shared.contract.tickets import Channel, TargetKind
from shared.postgres.pool import Connection

EXAMPLES = 5
_TARGETS = {target: place for place, target in enumerate(TargetKind)}


class Started(Struct, frozen=True, kw_only=True):
    """What became of a candidate."""

    started_at: datetime
    """It is tried on tickets opened from then on."""
    is_new: bool
    """False where the same file is tried already: it goes on."""
    changes: tuple[str, ...]
    """In what it differs from the policy in force."""


class Score(Struct, frozen=True, kw_only=True):
    """Promises by how they stand."""

    clocks: int = 0
    met: int = 0
    """Kept in time."""
    breached: int = 0
    """Broken, whether answered since or not."""
    running: int = 0
    """Undecided; paused ones too."""
    cancelled: int = 0
    attainment: float | None = None
    """The share kept in time of those that are decided; null while none is."""


class Line(Struct, frozen=True, kw_only=True):
    """One target and channel under both policies."""

    target: TargetKind
    channel: Channel
    """As the policy in force has it, for both."""
    live: Score
    shadow: Score


class Comparison(Struct, frozen=True, kw_only=True):
    """How a candidate does on the tickets it is tried on, beside the policy in force."""

    source: str
    """The file as it was given."""
    started_at: datetime
    started_by: str
    state: State
    failure: str | None
    """Why it can't be tried."""
    tickets: int
    """It is tried on so many."""
    is_full: bool
    """It has as many tickets as one is tried on; later ones are left out."""
    behind: int
    """About how many events it has not heard of yet."""
    lines: tuple[Line, ...]
    differences: Differences
    examples: tuple[Differing, ...]
    """Up to five of the tickets that differ, the newest first."""


async def start(connection: Connection, tenant: str, text: str, by: str, now: datetime) -> Started:
    """Try a policy file beside the one in force, in place of a candidate that is tried already.

    The same file again goes on as it is, unless it had failed. Raises `PolicyErrors`, as applying it would.
    """
    async with connection.transaction():
        await shadows_store.hold(connection, tenant)
        found = await policies.candidate(connection, tenant, text, now)
        changes = found.plan.changes
        present = await shadows_store.load(connection, tenant)
        if present is not None:
            if present.source == text and present.state is State.RUNNING:
                return Started(started_at=present.started_at, is_new=False, changes=changes)
            await shadows_store.stop(connection, tenant)
        await shadows_store.insert(connection, ids.uuid7(now), tenant, text, found.read.document, now, by)
    return Started(started_at=now, is_new=True, changes=changes)


async def stop(connection: Connection, tenant: str) -> bool:
    """Try the candidate no more; False where there is none. The routers remove its rows, some at a time."""
    async with connection.transaction():
        await shadows_store.hold(connection, tenant)
        return await shadows_store.stop(connection, tenant)


async def show(connection: Connection, tenant: str) -> Comparison | None:
    """The candidate beside the policy in force, as of one instant; None where there is none."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        shadow = await shadows_store.load(connection, tenant)
        if shadow is None:
            return None
        return Comparison(
            source=shadow.source,
            started_at=shadow.started_at,
            started_by=shadow.started_by,
            state=shadow.state,
            failure=shadow.failure,
            tickets=shadow.tickets,
            is_full=shadow.tickets >= MOST_TICKETS,
            behind=await shadows_store.count_marks(connection, tenant) if shadow.state is State.RUNNING else 0,
            lines=lines(await shadows_store.compare(connection, shadow.id)),
            differences=await shadows_store.differences(connection, shadow.id),
            examples=tuple(await shadows_store.examples(connection, shadow.id, EXAMPLES)),
        )


def score(clocks: int, met: int, breached: int, running: int, cancelled: int) -> Score:
    """Counts with the share that was kept."""
    decided = met + breached
    return Score(
        clocks=clocks,
        met=met,
        breached=breached,
        running=running,
        cancelled=cancelled,
        attainment=met / decided if decided else None,
    )


def lines(tallies: Sequence[Tally]) -> tuple[Line, ...]:
    """Both policies side by side, by target and then channel."""
    scores = {
        (tally.target, tally.channel, tally.policy): score(
            tally.clocks, tally.met, tally.breached, tally.running, tally.cancelled
        )
        for tally in tallies
    }
    keys = sorted({key[:2] for key in scores}, key=lambda key: (_TARGETS[key[0]], key[1]))
    return tuple(
        Line(
            target=target,
            channel=channel,
            live=scores.get((target, channel, JudgedBy.LIVE), Score()),
            shadow=scores.get((target, channel, JudgedBy.SHADOW), Score()),
        )
        for target, channel in keys
    )
