"""The agents of one matching run: who has room for what, and who is best for the next ticket (routing-rules 3.2, 3.4).

Only `match` uses this. Sets of agents are numbers in binary (`Crowd`), so that who may have a ticket and has room for it
is one `&`, whoever the lowest bit stands for is among the least flexible, and nothing is sorted or scanned for each
ticket. Loads only grow during a run, so who once can't take a kind of work never can again.
"""

from bisect import insort
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from math import sqrt

from msgspec import Struct

from services.router.domain.queue import Waiting
from services.router.domain.roster import Agent, Crowd, staff
from shared.contract.tickets import Channel

_NEVER = datetime.min.replace(tzinfo=UTC)
_NOTHING = (0, 0)
_FEW = 8
"""So many are looked at one by one to find who waited longest; of more the order is kept."""


def numbers(crowd: Crowd) -> Iterator[int]:
    """Of the agents in a crowd, ascending."""
    while crowd:
        bit = crowd & -crowd
        yield bit.bit_length() - 1
        crowd ^= bit


class Desk(Struct, eq=False, gc=False):
    """An agent while the run goes on: their load grows with what they are given."""

    key: str
    number: int
    bit: Crowd
    capacity: int
    primary: int
    interruptible: int
    calls: int
    room: dict[Channel, int]
    """Tickets they may be given yet, of channels that have a ceiling."""
    free: tuple[int, int] = (0, 0)
    """Units left for (real-time, interruptible) work: C3 without ceilings; nothing where it is negative."""

    def count_free(self) -> None:
        """Bring `free` up to date with the load."""
        if self.calls:
            self.free = _NOTHING
            return
        left = self.capacity - self.primary
        beside = left - self.interruptible
        self.free = (min(left, self.capacity + beside), beside)

    @property
    def bearable(self) -> int:
        """Units they may be given to begin later: the part of C3 that holds at all times."""
        return 0 if self.calls else 2 * self.capacity - self.primary - self.interruptible

    @property
    def load(self) -> int:
        """Beside their capacity, in 65,536ths of it."""
        return ((self.primary + self.interruptible) << 16) // (self.capacity or 1)

    def is_at_ceiling(self, channel: Channel) -> bool:
        """Whether they have as many tickets of the channel as they may."""
        return bool(self.room) and self.room.get(channel, 1) <= 0


def _desk(agent: Agent, number: int) -> Desk:
    room = (
        {channel: most - agent.held.get(channel, 0) for channel, most in agent.at_most.items()} if agent.at_most else {}
    )
    desk = Desk(
        agent.key,
        number,
        1 << number,
        agent.capacity,
        agent.primary_used,
        agent.interruptible_used,
        agent.calls,
        room,
    )
    desk.count_free()
    return desk


class Kind:
    """A kind of work by what it costs, and who has room for it."""

    __slots__ = ("bears", "channel", "fits", "interruptible", "is_call", "may_overflow", "units")

    def __init__(self, ticket: Waiting, desks: Iterable[Desk], *, may_overflow: bool) -> None:
        self.channel = channel = ticket.channel
        self.units = units = ticket.units
        self.interruptible = ticket.interruptible
        self.is_call = channel is Channel.PHONE
        self.may_overflow = may_overflow
        """Whether it is bound on arrival, and may wait with an agent."""
        self.fits: Crowd = 0
        """Who may be given it now, so far as units and ceilings go (C3)."""
        self.bears: Crowd = 0
        """Who may be given it to begin later."""
        side = 1 if ticket.interruptible else 0
        for desk in desks:
            if desk.free[side] >= units and not (desk.room and desk.is_at_ceiling(channel)):
                self.fits |= desk.bit
            if may_overflow and desk.bearable >= units and not desk.is_at_ceiling(channel):
                self.bears |= desk.bit


class Line(Struct, eq=False, gc=False):
    """Tickets that the same people can take at the same cost."""

    present: Crowd
    """Who may have them and is there, with or without room."""
    kind: Kind
    weight: float
    """The root of their share of those who are there, from 0 to 1."""
    search: int = 0
    """The last search for room that looked on behalf of one of them."""


class Levels:
    """Agents by a number that changes, to find those who have the least."""

    def __init__(self, levels: Iterable[tuple[int, Crowd]]) -> None:
        self._crowds: dict[int, Crowd] = {}
        for level, bit in levels:
            self._crowds[level] = self._crowds.get(level, 0) | bit
        self._order = sorted(self._crowds)

    def least(self, crowd: Crowd) -> Crowd:
        """Those of the crowd who have the least."""
        return next((found for level in self._order if (found := crowd & self._crowds[level])), 0)

    def move(self, bit: Crowd, before: int, after: int) -> None:
        """Somebody's number has changed."""
        if after not in self._crowds:
            self._crowds[after] = 0
            insort(self._order, after)
        self._crowds[before] ^= bit
        self._crowds[after] |= bit


class Floor:
    """All agents of a run."""

    def __init__(self, agents: Iterable[Agent], at_once: Collection[Channel]) -> None:
        people = sorted(agents, key=lambda agent: agent.key)
        self.at_once = at_once
        self.staff = staff(tuple([agent.profile for agent in people]))
        self.desks = [_desk(people[place], number) for number, place in enumerate(self.staff.places)]
        self._by_key = {desk.key: desk for desk in self.desks}
        self._online: Crowd = 0
        self._closed: dict[str, Crowd] = {}
        self._holding: Crowd = 0
        """Those who have real-time work."""
        for desk, place in zip(self.desks, self.staff.places, strict=True):
            agent = people[place]
            if agent.is_online:
                self._online |= desk.bit
            if desk.primary > 0:
                self._holding |= desk.bit
            if agent.closed_channels:
                for channel in agent.closed_channels:
                    self._closed[channel] = self._closed.get(channel, 0) | desk.bit
        self._online_count = self._online.bit_count() or 1
        order = sorted(range(len(people)), key=lambda place: people[place].last_assigned_at or _NEVER)
        turns = {place: turn - len(order) for turn, place in enumerate(order)}
        self._turns = [turns[place] for place in self.staff.places]
        """By number: the smaller, the longer since they were given something; negative before the run."""
        self._given = 0
        self._queues: dict[Crowd, OrderedDict[int, None]] = {}
        self._lines: dict[tuple[int, int, bool], Line] = {}
        self._kinds: dict[tuple[Channel, int, bool], Kind] = {}
        self._real_time: list[Kind] = []
        self._interruptible: list[Kind] = []
        self._has_ceilings = any(desk.room for desk in self.desks)
        self._spare: dict[tuple[bool, Channel | None], dict[int, Crowd]] = {}
        self._paused: Levels | None = None
        self._loaded: Levels | None = None
        self._liking: dict[tuple[str, ...], Crowd] = {}

    def line(self, ticket: Waiting) -> Line:
        """The line a ticket stands in."""
        key = (ticket.signature, ticket.units, ticket.interruptible)
        line = self._lines.get(key)
        if line is None:
            present = self.staff.serving(ticket.channel, ticket.needs) & self._online
            if self._closed:
                present &= ~self._closed.get(ticket.channel, 0)
            weight = sqrt(present.bit_count() / self._online_count)
            line = self._lines[key] = Line(present, self._kind(ticket), weight)
        return line

    def allowed(self, ticket: Waiting, line: Line) -> Crowd:
        """C1, C2 and C4: who may have a ticket of this line and is there, with or without room."""
        return line.present & ~self.crowd(ticket.excluded) if ticket.excluded else line.present

    def _kind(self, ticket: Waiting) -> Kind:
        key = (ticket.channel, ticket.units, ticket.interruptible)
        kind = self._kinds.get(key)
        if kind is None:
            may_overflow = ticket.interruptible and ticket.channel in self.at_once
            kind = self._kinds[key] = Kind(ticket, self.desks, may_overflow=may_overflow)
            (self._interruptible if ticket.interruptible else self._real_time).append(kind)
        return kind

    def find(self, key: str) -> Desk | None:
        """An agent by their key."""
        return self._by_key.get(key)

    def crowd(self, keys: Iterable[str]) -> Crowd:
        """Agents by their keys; the unknown are left out."""
        found = 0
        for key in keys:
            desk = self._by_key.get(key)
            if desk is not None:
                found |= desk.bit
        return found

    def spare(self, kind: Kind) -> dict[int, Crowd]:
        """Who has how many units free for a kind of work, without those who have none; at the end of a run."""
        key = (kind.interruptible, kind.channel if self._has_ceilings else None)
        spare = self._spare.get(key)
        if spare is None:
            spare = self._spare[key] = {}
            side = 1 if kind.interruptible else 0
            for desk in self.desks:
                units = desk.free[side]
                if units > 0 and not desk.is_at_ceiling(kind.channel):
                    spare[units] = spare.get(units, 0) | desk.bit
        return spare

    def best(self, crowd: Crowd, kind: Kind, prefers: tuple[str, ...]) -> Desk:
        """Who of a crowd (not an empty one) gets work that they have room for, by routing-rules 3.4."""
        lowest = crowd & -crowd
        number = lowest.bit_length() - 1
        peers = self.staff.peers[number]
        alike = crowd & peers
        if alike != lowest:
            alike = self._pausing().least(alike) if kind.is_call else alike & self._holding or alike
            if prefers:
                alike = alike & self._who_like(prefers) or alike
            number = self._longest_idle(alike, peers)
        return self.desks[number]

    def least_loaded(self, crowd: Crowd) -> Desk:
        """Who of a crowd (not an empty one) gets work into their own list: least loaded, then least flexible."""
        if self._loaded is None:
            self._loaded = Levels((desk.load, desk.bit) for desk in self.desks)
        alike = self._loaded.least(crowd)
        peers = self.staff.peers[(alike & -alike).bit_length() - 1]
        return self.desks[self._longest_idle(alike & peers, peers)]

    def _pausing(self) -> Levels:
        if self._paused is None:
            self._paused = Levels((desk.interruptible, desk.bit) for desk in self.desks)
        return self._paused

    def _who_like(self, prefers: tuple[str, ...]) -> Crowd:
        liking = self._liking.get(prefers)
        if liking is None:
            liking = self._liking[prefers] = self.staff.liking(prefers)
        return liking

    def _longest_idle(self, alike: Crowd, peers: Crowd) -> int:
        """The number of who was given nothing for the longest time, then by key."""
        if not alike & (alike - 1):
            return alike.bit_length() - 1
        if alike.bit_count() <= _FEW:
            return min(numbers(alike), key=self._turns.__getitem__)
        queue = self._queues.get(peers)
        if queue is None:
            queue = OrderedDict.fromkeys(sorted(numbers(peers), key=self._turns.__getitem__))
            self._queues[peers] = queue
        return next(number for number in queue if alike >> number & 1)

    def take(self, desk: Desk, ticket: Waiting) -> None:
        """Add a ticket to somebody's load."""
        load, paused = desk.load if self._loaded else 0, desk.interruptible
        if ticket.interruptible:
            desk.interruptible += ticket.units
            if self._paused:
                self._paused.move(desk.bit, paused, desk.interruptible)
        else:
            desk.primary += ticket.units
            self._holding |= desk.bit
        if ticket.channel is Channel.PHONE:
            desk.calls += 1
        if self._loaded:
            self._loaded.move(desk.bit, load, desk.load)
        self._shrink(desk)
        if desk.room and ticket.channel in desk.room:
            desk.room[ticket.channel] -= 1
            self._close(desk, ticket.channel)
        self._given += 1
        self._turns[desk.number] = self._given
        if self._queues and (queue := self._queues.get(self.staff.peers[desk.number])) is not None:
            queue.move_to_end(desk.number)

    def _shrink(self, desk: Desk) -> None:
        """Take somebody out of the crowds that have room, where they have none any more."""
        had_real_time, had_beside = desk.free
        desk.count_free()
        real_time, beside = desk.free
        if real_time != had_real_time:
            for kind in self._real_time:
                if real_time < kind.units <= had_real_time:
                    kind.fits &= ~desk.bit
        for kind in self._interruptible:
            if beside < kind.units <= had_beside:
                kind.fits &= ~desk.bit
            if kind.may_overflow and desk.bearable < kind.units:
                kind.bears &= ~desk.bit

    def _close(self, desk: Desk, channel: Channel) -> None:
        if desk.is_at_ceiling(channel):
            for kind in self._kinds.values():
                if kind.channel is channel:
                    kind.fits &= ~desk.bit
                    kind.bears &= ~desk.bit
