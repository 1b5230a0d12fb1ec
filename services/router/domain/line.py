"""Agents and the lines of tickets before them, while one matching run goes on: who is best for the next of a line.

Only `match` uses this. Loads only grow during a run, so who once can't take a kind of work never can again, and an entry
of a heap that is out of date is too good, never too bad: it is corrected when it comes up. The one thing that makes
somebody better (`Line.improve`) adds an entry.
"""

from collections.abc import Collection, Iterable, Sequence
from heapq import heapify, heappop, heappush, heapreplace
from typing import Protocol

from services.router.domain.queue import Waiting
from services.router.domain.roster import Agent
from shared.contract.tickets import Channel

_TURN_BITS = 40
_TURN_MASK = (1 << _TURN_BITS) - 1
_UNKNOWN = _TURN_MASK


class Work(Protocol):
    """What it costs to take something."""

    @property
    def channel(self) -> Channel:
        """Agents may have only so many of some channels."""

    @property
    def units(self) -> int:
        """Of capacity."""

    @property
    def interruptible(self) -> bool:
        """Whether it yields to real-time work."""


class Desk:
    """An agent while the run goes on: their load grows with what they are given."""

    __slots__ = (
        "calls",
        "capacity",
        "closed_channels",
        "flex",
        "interruptible",
        "is_online",
        "key",
        "number",
        "primary",
        "profile",
        "room",
        "turn",
    )

    def __init__(self, agent: Agent, number: int, flex: int, turn: int) -> None:
        self.key = agent.key
        self.number = number
        self.profile = agent.profile
        self.capacity = agent.capacity
        self.is_online = agent.is_online
        self.closed_channels = agent.closed_channels
        self.primary = agent.primary_used
        self.interruptible = agent.interruptible_used
        self.calls = agent.calls
        self.room: dict[Channel, int] = (
            {channel: most - agent.held.get(channel, 0) for channel, most in agent.at_most.items()}
            if agent.at_most
            else {}
        )
        """Tickets they may be given yet, of channels that have a ceiling."""
        self.flex = flex
        self.turn = turn
        """The smaller, the longer since they were given something. Unique, and new whenever their load changes."""

    def fits(self, work: Work) -> bool:
        """C3: may be given this now."""
        if self.calls or (self.room and self.room.get(work.channel, 1) <= 0):
            return False
        after = self.primary + work.units
        if work.interruptible:
            return after + self.interruptible <= self.capacity
        return after <= self.capacity and after + self.interruptible <= 2 * self.capacity

    def bears(self, work: Work) -> bool:
        """The part of C3 that holds at all times: may be given this to begin later."""
        if self.calls or self.room.get(work.channel, 1) <= 0:
            return False
        return self.primary + self.interruptible + work.units <= 2 * self.capacity

    def take(self, ticket: Waiting, turn: int) -> bool:
        """Add a ticket to the load; True where that makes them a better choice for what fits beside it."""
        had_real_time = self.primary > 0
        if ticket.interruptible:
            self.interruptible += ticket.units
        else:
            self.primary += ticket.units
        if ticket.channel is Channel.PHONE:
            self.calls += 1
        if ticket.channel in self.room:
            self.room[ticket.channel] -= 1
        self.turn = turn
        return self.primary > 0 and not had_real_time and not self.calls

    def free_for(self, work: Work) -> int:
        """Units left for work of this channel."""
        if self.calls or self.room.get(work.channel, 1) <= 0:
            return 0
        left = self.capacity - self.primary
        if work.interruptible:
            return max(left - self.interruptible, 0)
        return max(min(left, left + self.capacity - self.interruptible), 0)


class Ranking:
    """How good each desk is for one kind of work, shared by all lines of that kind.

    A rank is one number, smaller is better: flexibility, packing and preference above (routing-rules 3.4), turn below,
    so that it tells by itself whether it is out of date. Negative: can't take it.
    """

    def __init__(self, ticket: Waiting, desks: int, *, is_overflow: bool) -> None:
        self.channel = ticket.channel
        self.units = ticket.units
        self.interruptible = ticket.interruptible
        self.is_call = ticket.channel is Channel.PHONE
        self._prefers = ticket.prefers
        self._is_overflow = is_overflow
        self._ranks = [_UNKNOWN] * desks

    def of(self, desk: Desk) -> int:
        """The rank as loads are now."""
        rank = self._ranks[desk.number]
        if rank >= 0 and rank & _TURN_MASK != desk.turn:
            rank = self._ranks[desk.number] = self._by_load(desk) if self._is_overflow else self._by_fitness(desk)
        return rank

    def _by_fitness(self, desk: Desk) -> int:
        if not desk.fits(self):
            return -1
        packing = desk.interruptible if self.is_call else 0 if desk.primary else 1
        misses = 1 if self._prefers and not desk.profile.likes(self._prefers) else 0
        return ((desk.flex << 16 | packing) << 1 | misses) << _TURN_BITS | desk.turn

    def _by_load(self, desk: Desk) -> int:
        if not desk.bears(self):
            return -1
        load = ((desk.primary + desk.interruptible) << 16) // desk.capacity
        return (load << 16 | desk.flex) << _TURN_BITS | desk.turn


class Line:
    """Tickets that the same people can take at the same cost, and a heap of these people's ranks."""

    __slots__ = ("_by_turn", "_heap", "_members", "_ranking")

    def __init__(
        self, ranking: Ranking, members: Collection[int], desks: Sequence[Desk], by_turn: Sequence[Desk]
    ) -> None:
        """`members` are numbers of desks; `by_turn` says whose turn is or was which, and grows with the run."""
        self._ranking = ranking
        self._members = members
        self._by_turn = by_turn
        self._heap = [rank for number in members if (rank := ranking.of(desks[number])) >= 0]
        heapify(self._heap)

    def best(self, excluded: Collection[str] = ()) -> Desk | None:
        """Who should get the next ticket of this line; None where nobody can."""
        heap, by_turn = self._heap, self._by_turn
        aside: list[int] = []
        found = None
        while heap:
            turn = heap[0] & _TURN_MASK
            desk = by_turn[turn]
            if turn != desk.turn:
                rank = self._ranking.of(desk)
                if rank < 0:
                    heappop(heap)
                else:
                    heapreplace(heap, rank)
            elif desk.key in excluded:
                aside.append(heappop(heap))
            else:
                found = desk
                break
        _push_back(heap, aside)
        return found

    def improve(self, desk: Desk) -> None:
        """Somebody holds real-time work now, and so is preferred for more that fits beside it."""
        if not self._ranking.is_call and desk.number in self._members and (rank := self._ranking.of(desk)) >= 0:
            heappush(self._heap, rank)


def _push_back(heap: list[int], ranks: Iterable[int]) -> None:
    for rank in ranks:
        heappush(heap, rank)
