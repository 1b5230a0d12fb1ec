"""One matching run: which waiting ticket goes to which agent, and why the others still wait (routing-rules 3.2 to 3.6).

Pure, and the same answer whatever the order of the rows. Tickets are taken in the order of their key; those that the
same people can take share one heap of these people, so a run costs a heap step for each ticket, not a scan.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from heapq import heapify, heappop, heappush, heapreplace
from typing import TypeAlias

from msgspec import Struct

from services.router.domain.queue import Key, Reason, Waiting
from services.router.domain.roster import Agent, staff
from shared.contract.tickets import Channel

_NEVER = datetime.min.replace(tzinfo=UTC)
_IDLE_BITS = 40
_IDLE_MASK = (1 << _IDLE_BITS) - 1


class Because(StrEnum):
    """What decided for this agent."""

    PREVIOUS_OWNER = "previous_owner"
    FREE = "free"
    """The best of those who can start now."""
    LEAST_LOADED = "least_loaded"
    """Nobody could start now, and the channel is bound on arrival."""


class Choice(Struct, frozen=True):
    """A ticket and who gets it."""

    ticket: Waiting
    agent: str
    because: Because


class Matched(Struct, frozen=True, kw_only=True):
    """What one run decided."""

    chosen: list[Choice]
    """In the order of the queue."""
    left: list[tuple[Waiting, Reason]]
    """Tickets nobody can take now, and why."""
    has_more: bool
    """It stopped early: the limit was reached, or tickets that weren't given come next."""
    is_blocked: bool
    """Tickets that only some agents may not have hide others behind them that were not given."""


def match(
    waiting: Iterable[Waiting],
    agents: Sequence[Agent],
    now: datetime,
    *,
    at_once: Collection[Channel] = (),
    ends: Collection[Waiting] = (),
    onlookers: Iterable[Waiting] = (),
    limit: int | None = None,
) -> Matched:
    """Give waiting tickets to agents.

    Channels in `at_once` (`bind: on_arrival`) don't wait for somebody free: interruptible work goes to the least loaded
    of those who are online, up to twice their capacity; the bounds of C3 that hold at all times are never passed, so
    real-time work waits like any other. `ends` are tickets behind which there are more of their signature that were not
    given: when one of them is assigned, the run stops, so that the order of the queue stays exact. `onlookers` are only
    judged. `limit` bounds the assignments.
    """
    floor = _Floor(agents, now, at_once)
    end_ids = {ticket.ticket_id for ticket in ends}
    chosen: list[Choice] = []
    passed_over: list[Waiting] = []
    for ticket in sorted(waiting, key=_key):
        if len(chosen) == limit:
            return Matched(chosen=chosen, left=[], has_more=True, is_blocked=False)
        choice = floor.choose(ticket)
        if choice is None:
            passed_over.append(ticket)
            continue
        chosen.append(choice)
        if ticket.ticket_id in end_ids:
            return Matched(chosen=chosen, left=[], has_more=True, is_blocked=False)
    hidden = {ticket.signature for ticket in ends}
    return Matched(
        chosen=chosen,
        left=[(ticket, floor.reason(ticket)) for ticket in (*passed_over, *onlookers)],
        has_more=False,
        is_blocked=any(ticket.signature in hidden and floor.could_give(ticket) for ticket in passed_over),
    )


def _key(ticket: Waiting) -> Key:
    return (ticket.band, ticket.order_rank, ticket.order_at, ticket.queued_at, ticket.ticket_id.int)


class _Desk:
    """An agent while the run goes on: their load grows with what they are given."""

    __slots__ = (
        "calls",
        "capacity",
        "flex",
        "idle",
        "interruptible",
        "is_online",
        "key",
        "number",
        "primary",
        "profile",
    )

    def __init__(self, agent: Agent, number: int, flex: int, idle: int) -> None:
        self.number = number
        self.key = agent.key
        self.profile = agent.profile
        self.capacity = agent.capacity
        self.is_online = agent.is_online
        self.primary = agent.primary_used
        self.interruptible = agent.interruptible_used
        self.calls = agent.calls
        self.flex = flex
        self.idle = idle
        """Rank of the time since they were last given something: the longest is smallest; unique."""

    def fits(self, work: "Waiting | _Line") -> bool:
        """C3: may be given this now."""
        if self.calls:
            return False
        after = self.primary + work.units
        if work.interruptible:
            return after + self.interruptible <= self.capacity
        return after <= self.capacity and after + self.interruptible <= 2 * self.capacity

    def bears(self, work: "Waiting | _Line") -> bool:
        """The part of C3 that holds at all times: may be given this to begin later."""
        return self.calls == 0 and self.primary + self.interruptible + work.units <= 2 * self.capacity

    @property
    def free(self) -> tuple[int, int]:
        """Units left for (real-time, interruptible) work."""
        if self.calls:
            return 0, 0
        left = self.capacity - self.primary
        return max(left, 0), max(left - self.interruptible, 0)


class _Line:
    """Tickets that the same people can take at the same cost, and a heap of these people, the best on top.

    An entry of the heap is one number: flexibility, packing and preference above, idle rank below. Loads only grow
    while a run goes on, so an entry that is out of date is too good, never too bad, and is corrected when it comes up;
    the one thing that makes somebody better (`_Floor._improve`) adds an entry.
    """

    __slots__ = ("_by_idle", "_heap", "_rank", "_takes", "interruptible", "is_call", "prefers", "units")

    def __init__(
        self, ticket: Waiting, desks: Sequence[_Desk], by_idle: dict[int, _Desk], *, is_overflow: bool
    ) -> None:
        self.units = ticket.units
        self.interruptible = ticket.interruptible
        self.is_call = ticket.channel is Channel.PHONE
        self.prefers = ticket.prefers
        self._by_idle = by_idle
        self._rank = self._by_load if is_overflow else self._by_fitness
        self._takes = _Desk.bears if is_overflow else _Desk.fits
        self._heap = [self._rank(desk) for desk in desks if self._takes(desk, self)]
        heapify(self._heap)

    def best(self, excluded: Collection[str] = ()) -> _Desk | None:
        """Who should get the next ticket of this line; None where nobody can."""
        heap, by_idle = self._heap, self._by_idle
        aside = []
        found = None
        while heap:
            desk = by_idle[heap[0] & _IDLE_MASK]
            if not self._takes(desk, self):
                heappop(heap)
            elif heap[0] != (rank := self._rank(desk)):
                heapreplace(heap, rank)
            elif desk.key in excluded:
                aside.append(heappop(heap))
            else:
                found = desk
                break
        for rank in aside:
            heappush(heap, rank)
        return found

    def add(self, desk: _Desk) -> None:
        """Somebody became a better choice."""
        heappush(self._heap, self._rank(desk))

    def _by_fitness(self, desk: _Desk) -> int:
        packing = desk.interruptible if self.is_call else 0 if desk.primary else 1
        misses = 1 if self.prefers and not desk.profile.likes(self.prefers) else 0
        return ((desk.flex << 16 | packing) << 1 | misses) << _IDLE_BITS | desk.idle

    def _by_load(self, desk: _Desk) -> int:
        load = ((desk.primary + desk.interruptible) << 16) // desk.capacity
        return (load << 16 | desk.flex) << _IDLE_BITS | desk.idle


_Kind: TypeAlias = tuple[int, int, bool, tuple[str, ...]]


class _Floor:
    """All agents of a run and the lines of tickets before them."""

    def __init__(self, agents: Sequence[Agent], now: datetime, at_once: Collection[Channel]) -> None:
        agents = sorted(agents, key=lambda agent: agent.key)
        self._now = now
        self._at_once = at_once
        self._staff = staff(tuple([agent.profile for agent in agents]))
        order = sorted(range(len(agents)), key=lambda number: agents[number].last_assigned_at or _NEVER)
        turns = {number: turn for turn, number in enumerate(order)}
        self._desks = [
            _Desk(agent, number, flex, turns[number])
            for number, (agent, flex) in enumerate(zip(agents, self._staff.flex_ranks, strict=True))
        ]
        self._numbers = {agent.key: number for number, agent in enumerate(agents)}
        self._online = frozenset(desk.number for desk in self._desks if desk.is_online)
        self._by_idle = {desk.idle: desk for desk in self._desks}
        self._next_idle = len(agents)
        self._served: dict[int, frozenset[int]] = {}
        self._lines: dict[_Kind, _Line] = {}
        self._overflow: dict[_Kind, _Line] = {}
        self._reasons: dict[_Kind, Reason] = {}

    def choose(self, ticket: Waiting) -> Choice | None:
        """Give a ticket to the best by routing-rules 3.4; None where nobody can take it, or it waits for its owner."""
        may_overflow = ticket.interruptible and ticket.channel in self._at_once
        because = Because.PREVIOUS_OWNER
        desk = self._previous_owner(ticket)
        if desk is not None and not desk.fits(ticket) and not (may_overflow and desk.bears(ticket)):
            if not may_overflow and ticket.affinity_until is not None and self._now < ticket.affinity_until:
                return None
            desk = None
        if desk is None:
            because = Because.FREE
            desk = self._line(ticket).best(ticket.excluded)
        if desk is None and may_overflow:
            because = Because.LEAST_LOADED
            desk = self._overflow_line(ticket).best(ticket.excluded)
        if desk is None:
            return None
        self._give(ticket, desk)
        return Choice(ticket, desk.key, because)

    def could_give(self, ticket: Waiting) -> bool:
        """Whether somebody has room for tickets like this one, but for whom it may not have or waits for."""
        return self._line(ticket).best() is not None

    def _previous_owner(self, ticket: Waiting) -> _Desk | None:
        """Who had it before, if they are online and may have it again, with or without room."""
        if ticket.previous_owner is None or ticket.previous_owner in ticket.excluded:
            return None
        number = self._numbers.get(ticket.previous_owner)
        if number is None or number not in self._online_for(ticket):
            return None
        return self._desks[number]

    def _give(self, ticket: Waiting, desk: _Desk) -> None:
        """Add to an agent's load, and put them behind the others."""
        had_real_time = desk.primary > 0
        if ticket.interruptible:
            desk.interruptible += ticket.units
        else:
            desk.primary += ticket.units
        if ticket.channel is Channel.PHONE:
            desk.calls += 1
        desk.idle = self._next_idle
        self._by_idle[desk.idle] = desk
        self._next_idle += 1
        if desk.primary and not had_real_time and desk.capacity > desk.primary and not desk.calls:
            self._improve(desk)

    def _improve(self, desk: _Desk) -> None:
        """They hold real-time work now, so they are preferred for more that fits beside it."""
        for (signature, *_), line in self._lines.items():
            if not line.is_call and desk.number in self._served[signature] and desk.fits(line):
                line.add(desk)

    def _line(self, ticket: Waiting) -> _Line:
        """The line this ticket stands in."""
        kind = _kind(ticket)
        line = self._lines.get(kind)
        if line is None:
            line = self._lines[kind] = _Line(ticket, self._desks_for(ticket), self._by_idle, is_overflow=False)
        return line

    def _overflow_line(self, ticket: Waiting) -> _Line:
        kind = _kind(ticket)
        line = self._overflow.get(kind)
        if line is None:
            line = self._overflow[kind] = _Line(ticket, self._desks_for(ticket), self._by_idle, is_overflow=True)
        return line

    def _desks_for(self, ticket: Waiting) -> list[_Desk]:
        return [self._desks[number] for number in self._online_for(ticket)]

    def _online_for(self, ticket: Waiting) -> frozenset[int]:
        served = self._served.get(ticket.signature)
        if served is None:
            served = self._online & self._staff.serving(ticket.channel, ticket.needs)
            self._served[ticket.signature] = served
        return served

    def reason(self, ticket: Waiting) -> Reason:
        """Why nobody gets it as loads are now (routing-rules 3.6)."""
        if ticket.excluded or ticket.previous_owner:
            return self._judge(ticket)
        kind = _kind(ticket)
        reason = self._reasons.get(kind)
        if reason is None:
            reason = self._reasons[kind] = self._judge(ticket)
        return reason

    def _judge(self, ticket: Waiting) -> Reason:
        skilled = [self._desks[number] for number in self._staff.serving(ticket.channel, ticket.needs)]
        if not skilled:
            return Reason.NO_SKILL
        allowed = [desk for desk in skilled if desk.key not in ticket.excluded]
        if not allowed:
            return Reason.EXCLUDED
        online = [desk for desk in allowed if desk.is_online]
        if not online:
            return Reason.OFFLINE
        free = [desk.free[ticket.interruptible] for desk in online]
        is_fragmented = max(free) < ticket.units <= sum(free)
        return Reason.FRAGMENTED if is_fragmented else Reason.FULL


def _kind(ticket: Waiting) -> _Kind:
    return (ticket.signature, ticket.units, ticket.interruptible, ticket.prefers)
