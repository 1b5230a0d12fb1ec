"""How many pages may go now, of which lane: fair over tenants, within what each provider's account bears (R29, R37, R38).

A lane is the due pages of one method, tenant, account and priority. Pure: told how accounts stand, it says how many of
each lane are sent, and until when and why the others are held back (R30).
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

FIRST = 0
"""The priority of the first page of an urgent escalation: no throttle holds it back (R29)."""
_SPARE = 4
"""A tenant leaves one place of so many in a channel to the others."""
_MARKED_AFTER = timedelta(seconds=1)
"""Who waits for a free place longer than this is shown as held back."""


class Reason(StrEnum):
    """Why a page is held back."""

    THROTTLE = "throttle"
    RETRY_AFTER = "retry_after"
    BREAKER = "breaker"
    QUIET_HOURS = "quiet_hours"


class Limits(Struct, frozen=True, kw_only=True):
    """What a channel bears."""

    concurrency: int
    free: int
    """Places that are free in this process."""
    per_account: int
    per_second: float
    burst: float


class Account(Struct, frozen=True, kw_only=True):
    """How a provider's account stands, for all processes."""

    tokens: float
    refilled_at: datetime
    held_until: datetime | None
    opened_at: datetime | None
    probe_at: datetime | None
    busy: int
    """Pages of it in flight, anywhere."""


class Lane(Struct, frozen=True, kw_only=True):
    """Due pages that compete for the same places."""

    method: str
    tenant: str
    account: str
    priority: int
    due: int
    """How many are due; counted no further than could be sent."""
    oldest_at: datetime


class Grant(Struct, frozen=True, kw_only=True):
    """So many of a lane go now."""

    lane: Lane
    pages: int


class Hold(Struct, frozen=True, kw_only=True):
    """The others of a lane wait."""

    lane: Lane
    reason: Reason
    until: datetime
    apart: timedelta = timedelta()
    """One after the other, so far apart."""
    is_looked_at: bool = False
    """They stay due, for a place may come free at any time; only those that wait longest are shown as held back."""


class Shares(Struct, frozen=True, kw_only=True):
    """What goes and what waits."""

    grants: list[Grant]
    holds: list[Hold]


class _Queue(Struct):
    """A lane while places are given."""

    lane: Lane
    most: int
    given: int = 0


def share(
    lanes: Iterable[tuple[Lane, Account]],
    limits: Mapping[str, Limits],
    in_flight: Mapping[tuple[str, str], int],
    now: datetime,
    wait: timedelta,
) -> Shares:
    """Share the free places; `in_flight` counts this process's pages by (method, tenant), `wait` is how long one may take.

    Tenants take turns, whoever has fewest in flight first; of one tenant, what is urgent first, then what waits longest.
    """
    accounts: dict[tuple[str, str], list[tuple[Lane, Account]]] = {}
    for lane, account in lanes:
        accounts.setdefault((lane.tenant, lane.account), []).append((lane, account))
    queues: list[_Queue] = []
    holds: list[Hold] = []
    for group in accounts.values():
        allowed, held = _allow(sorted(group, key=_by_priority), limits, now, wait)
        queues += allowed
        holds += held
    for method, limit in limits.items():
        waiting = [queue for queue in queues if queue.lane.method == method]
        _give(waiting, limit, {tenant: n for (name, tenant), n in in_flight.items() if name == method})
    holds += [
        Hold(lane=queue.lane, reason=Reason.THROTTLE, until=now + wait, is_looked_at=True)
        for queue in queues
        if queue.given < queue.most and queue.lane.oldest_at < now - _MARKED_AFTER
    ]
    return Shares(grants=[Grant(lane=one.lane, pages=one.given) for one in queues if one.given], holds=holds)


def refilled(account: Account, limit: Limits, now: datetime) -> float:
    """Pages that the account's token bucket allows now."""
    passed = max((now - account.refilled_at).total_seconds(), 0.0)
    return min(limit.burst, account.tokens + passed * limit.per_second)


def _allow(
    lanes: Sequence[tuple[Lane, Account]], limits: Mapping[str, Limits], now: datetime, wait: timedelta
) -> tuple[list[_Queue], list[Hold]]:
    """What one account allows of its lanes, the most important first."""
    account = lanes[0][1]
    limit = limits[lanes[0][0].method]
    if account.held_until is not None and account.held_until > now:
        until, apart = account.held_until, timedelta(seconds=1 / limit.per_second)
        return [], [Hold(lane=lane, reason=Reason.RETRY_AFTER, until=until, apart=apart) for lane, _ in lanes]
    if account.opened_at is not None:
        return _probe([lane for lane, _ in lanes], account, now, wait)
    room = limit.per_account - account.busy
    tokens = refilled(account, limit, now)
    queues, holds = [], []
    for lane, _ in lanes:
        wanted = min(lane.due, max(room, 0))
        most = wanted if lane.priority == FIRST else min(wanted, max(int(tokens), 0))
        room -= most
        tokens -= most
        queues.append(_Queue(lane, most))
        if most == lane.due:
            continue
        if most < wanted:
            apart = timedelta(seconds=1 / limit.per_second)
            holds.append(
                Hold(lane=lane, reason=Reason.THROTTLE, until=now + apart * max(1 - tokens, 0.01), apart=apart)
            )
        elif lane.oldest_at < now - _MARKED_AFTER:
            holds.append(Hold(lane=lane, reason=Reason.THROTTLE, until=now + wait, is_looked_at=True))
    return queues, holds


def _probe(lanes: Sequence[Lane], account: Account, now: datetime, wait: timedelta) -> tuple[list[_Queue], list[Hold]]:
    """One page may try a broken account when its time has come; the others wait for what becomes of it (R38)."""
    if account.probe_at is not None and account.probe_at > now:
        return [], [Hold(lane=lane, reason=Reason.BREAKER, until=account.probe_at) for lane in lanes]
    holds = [
        Hold(lane=lane, reason=Reason.BREAKER, until=now + wait)
        for index, lane in enumerate(lanes)
        if index or lane.due > 1
    ]
    return [_Queue(lanes[0], 1)], holds


def _give(queues: Sequence[_Queue], limit: Limits, in_flight: Mapping[str, int]) -> None:
    tenants: dict[str, list[_Queue]] = {}
    for queue in sorted(queues, key=lambda one: (one.lane.priority, one.lane.oldest_at)):
        if queue.most:
            tenants.setdefault(queue.lane.tenant, []).append(queue)
    most = limit.concurrency - limit.concurrency // _SPARE
    taken = Counter(in_flight)
    turns = [(taken[tenant], waiting[0].lane.oldest_at, tenant) for tenant, waiting in tenants.items()]
    heapq.heapify(turns)
    free = limit.free
    while free > 0 and turns:
        n, at, tenant = heapq.heappop(turns)
        if n >= most:
            continue
        hungry = next((one for one in tenants[tenant] if one.given < one.most), None)
        if hungry is None:
            continue
        hungry.given += 1
        free -= 1
        heapq.heappush(turns, (n + 1, at, tenant))


def _by_priority(one: tuple[Lane, Account]) -> tuple[int, datetime]:
    return one[0].priority, one[0].oldest_at
