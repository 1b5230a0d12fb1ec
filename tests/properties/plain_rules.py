"""The rules of assignment in their plainest reading, and helpdesks to try them on: nothing here asks the matcher."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import sqrt
from random import Random
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import strategies as st
from msgspec.structs import replace

from services.router.domain.match import Matched
from services.router.domain.queue import Band, QueueEntry, Waiting, signature
from services.router.domain.roster import Agent, Profile
from shared.contract.tickets import Channel

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
COST = {
    Channel.PHONE: (12, False),
    Channel.LIVE_CHAT: (4, False),
    Channel.MESSAGING: (3, False),
    Channel.EMAIL: (6, True),
    Channel.SOCIAL: (3, True),
}
SKILLS = ("a", "b", "lang:en")
KEYS = ("ana", "ben", "chi", "dan", "eva", "fay", "gus")

NEEDS: tuple[tuple[tuple[str, int], ...], ...] = (
    (),
    *(((skill, level),) for skill in SKILLS for level in (1, 3)),
    (("a", 5),),
    (("a", 1), ("b", 1)),
    (("a", 3), ("lang:en", 1)),
)
CHANNELS = tuple(COST)
NO_CHANNEL: frozenset[Channel] = frozenset()
INSTANTS = tuple(NOW + n * MINUTE for n in range(-30, 31))
T = TypeVar("T")


class Dice:
    """Choices rolled from a seed: far quicker to generate than drawn one by one, and far more of them tell something."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def of(self, *options: T) -> T:
        """One of these."""
        return self._random.choice(options)


_dice = st.integers(0, (1 << 24) - 1).map(Dice)


def rolled(make: Callable[[Dice], T]) -> st.SearchStrategy[T]:
    """What is made of one seed."""
    return _dice.map(make)


channels = st.sampled_from(CHANNELS)
needs = st.sampled_from(NEEDS)


def _profile(dice: Dice) -> Profile:
    levels = {skill: dice.of(5, 3, 2, 1, 0) for skill in SKILLS}
    left_out = {dice.of(None, None, *CHANNELS), dice.of(None, None, *CHANNELS)}
    return Profile(
        skills={skill: level for skill, level in levels.items() if level},
        channels=frozenset(channel for channel in CHANNELS if channel not in left_out),
    )


profiles = rolled(_profile)


def _agent(key: str, dice: Dice) -> Agent:
    capacity = dice.of(12, 12, 12, 24, 24, 18, 6, 0)
    primary = min(dice.of(0, 0, 0, 0, 3, 4, 12), capacity)
    channel = dice.of(*CHANNELS)
    return Agent(
        key=key,
        profile=_profile(dice),
        capacity=capacity,
        is_online=dice.of(True, True, True, True, True, False),
        primary_used=primary,
        interruptible_used=min(dice.of(0, 0, 0, 0, 3, 6, 16), 2 * capacity - primary),
        calls=dice.of(0, 0, 0, 0, 0, 0, 0, 1),
        last_assigned_at=dice.of(None, *INSTANTS[:7]),
        closed_channels=dice.of(*[NO_CHANNEL] * 5, frozenset({dice.of(*CHANNELS)})),
        at_most=dice.of({}, {}, {}, {}, {channel: 1}, {channel: 2}, {channel: 0, dice.of(*CHANNELS): 3}),
        held=dice.of({}, {channel: 1}, {channel: 2}),
    )


def _agents(dice: Dice) -> list[Agent]:
    return [_agent(key, dice) for key in KEYS[: dice.of(1, 2, 3, 4, 5)]]


def agents() -> st.SearchStrategy[list[Agent]]:
    """One to five, with loads that the rules allow."""
    return rolled(_agents)


def _ticket(number: int, dice: Dice, *, has_extras: bool) -> Waiting:
    channel, asked = dice.of(*CHANNELS), dice.of(*NEEDS)
    extras: dict[str, Any] = {}
    if has_extras:
        extras = {
            "excluded": dice.of((), (), (dice.of(*KEYS),), (dice.of(*KEYS), dice.of(*KEYS))),
            "previous_owner": dice.of(*[None] * 7, *KEYS),
            "affinity_until": dice.of(None, *INSTANTS),
        }
    return Waiting(
        ticket_id=UUID(int=number),
        channel=channel,
        units=COST[channel][0],
        interruptible=COST[channel][1],
        needs=asked,
        signature=signature(channel, asked),
        prefers=dice.of((), (), *((skill,) for skill in SKILLS)),
        queued_at=dice.of(*INSTANTS[:5]),
        band=dice.of(*Band),
        order_rank=dice.of(0, 1, 2, 3),
        order_at=dice.of(*INSTANTS[:20]),
        **extras,
    )


def queues(*, has_extras: bool = True, at_most: int = 25) -> st.SearchStrategy[list[Waiting]]:
    """Of tickets; without extras nobody is excluded or preferred."""
    sizes = range(at_most + 1)
    return rolled(lambda dice: [_ticket(number, dice, has_extras=has_extras) for number in range(dice.of(*sizes))])


channels_at_once = st.frozensets(channels, max_size=2)


def place(ticket: Waiting) -> tuple[int, int, datetime, datetime, UUID]:
    """3.3: band, rank and instant as stored, then age, then id."""
    return (ticket.band, ticket.order_rank, ticket.order_at, ticket.queued_at, ticket.ticket_id)


def in_order(queue: Iterable[Waiting], roster: Sequence[Agent]) -> list[Waiting]:
    """3.3: as by `place`, where the time left to save a ticket counts by the root of the share of those who could take it."""
    present = [Load(agent) for agent in roster if agent.is_online]

    def weighed(ticket: Waiting) -> tuple[int, int, float, datetime, UUID]:
        band, rank, at, *rest = place(ticket)
        if band is not Band.SAVABLE:
            return (band, rank, at.timestamp(), *rest)
        able = sum(load.may_have(replace(ticket, excluded=())) for load in present)
        return (band, rank, (at - NOW).total_seconds() * sqrt(able / (len(present) or 1)), *rest)

    return sorted(queue, key=weighed)


def is_skilled(agent: Agent, channel: Channel, asked: Iterable[tuple[str, int]]) -> bool:
    """C2, and that they take the channel at all."""
    return channel in agent.profile.channels and all(
        agent.profile.skills.get(skill, 0) >= level for skill, level in asked
    )


class Load:
    """An agent's load."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.primary = agent.primary_used
        self.interruptible = agent.interruptible_used
        self.calls = agent.calls
        self.held = dict(agent.held)

    def has_ceiling_for(self, channel: Channel) -> bool:
        """Whether they have all of this channel that they may."""
        most = self.agent.at_most.get(channel)
        return most is not None and self.held.get(channel, 0) >= most

    def fits(self, ticket: Waiting) -> bool:
        """C3."""
        total = self.primary + self.interruptible + ticket.units
        if self.calls or total > 2 * self.agent.capacity or self.has_ceiling_for(ticket.channel):
            return False
        return (total if ticket.interruptible else self.primary + ticket.units) <= self.agent.capacity

    @property
    def total(self) -> int:
        """Units of whatever kind."""
        return self.primary + self.interruptible

    def bears(self, ticket: Waiting) -> bool:
        """The part of C3 that holds for what is bound on arrival."""
        return (
            not self.calls
            and self.total + ticket.units <= 2 * self.agent.capacity
            and not self.has_ceiling_for(ticket.channel)
        )

    def may_have(self, ticket: Waiting) -> bool:
        """C1, C2 and C4."""
        return (
            self.agent.is_online
            and ticket.channel not in self.agent.closed_channels
            and is_skilled(self.agent, ticket.channel, ticket.needs)
            and self.agent.key not in ticket.excluded
        )

    def add(self, ticket: Waiting) -> None:
        """They got it."""
        if ticket.interruptible:
            self.interruptible += ticket.units
        else:
            self.primary += ticket.units
        self.calls += ticket.channel is Channel.PHONE
        self.held[ticket.channel] = self.held.get(ticket.channel, 0) + 1


def waits_for_owner(ticket: Waiting, loads: Mapping[str, Load], now: datetime) -> bool:
    """3.4: who had it before is there and only busy, and its time to wait for them isn't over."""
    owner = loads.get(ticket.previous_owner or "")
    return (
        owner is not None
        and owner.may_have(ticket)
        and not owner.fits(ticket)
        and ticket.affinity_until is not None
        and now < ticket.affinity_until
    )


def loads_after(matched: Matched, roster: Sequence[Agent]) -> dict[str, Load]:
    """Everybody's load when all was given."""
    loads = {agent.key: Load(agent) for agent in roster}
    for choice in matched.chosen:
        loads[choice.agent].add(choice.ticket)
    return loads


def carry(matched: Matched, roster: Sequence[Agent], now: datetime = NOW) -> list[Agent]:
    """The roster as the database has it after the run."""
    loads = loads_after(matched, roster)
    first = max([now, *(agent.last_assigned_at for agent in roster if agent.last_assigned_at)])
    stamps = {choice.agent: first + timedelta(microseconds=n) for n, choice in enumerate(matched.chosen, start=1)}
    return [
        replace(
            agent,
            primary_used=loads[agent.key].primary,
            interruptible_used=loads[agent.key].interruptible,
            calls=loads[agent.key].calls,
            held=loads[agent.key].held,
            last_assigned_at=stamps.get(agent.key, agent.last_assigned_at),
        )
        for agent in roster
    ]


def moved_on(entry: QueueEntry, now: datetime) -> QueueEntry:
    """The two timers of 3.3, as the database keeps them."""
    if entry.band is not Band.RESCUE and now > entry.rescue_at:
        return replace(entry, band=Band.RESCUE, order_rank=0, order_at=entry.rescue_at)
    if entry.band is Band.SAVABLE and now > entry.latest_start_at:
        return replace(entry, band=Band.LATE, order_rank=entry.urgency_rank, order_at=entry.due_at)
    return entry
