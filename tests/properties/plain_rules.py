"""The rules of assignment in their plainest reading, and helpdesks to try them on: nothing here asks the matcher."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
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
KEYS = ("ana", "ben", "chi", "dan", "eva")

channels = st.sampled_from(list(COST))
minutes = st.integers(-30, 30).map(lambda n: NOW + n * MINUTE)
ceilings = st.dictionaries(channels, st.integers(0, 3), max_size=2)
closed = st.frozensets(channels, max_size=1)
profiles = st.builds(
    Profile,
    skills=st.dictionaries(st.sampled_from(SKILLS), st.integers(1, 5)),
    channels=st.frozensets(channels, min_size=1),
)
needs = st.dictionaries(st.sampled_from(SKILLS), st.integers(1, 4), max_size=2).map(
    lambda found: (*sorted(found.items()),)
)


_people = st.lists(st.sampled_from(KEYS), unique=True)
_capacities = st.sampled_from((0, 6, 12, 24))
_online = st.sampled_from((True, True, False))
_calls = st.sampled_from((0, 0, 0, 1))
_share = st.floats(0, 1)
_instants = st.none() | minutes


@st.composite
def agents(draw: st.DrawFn) -> list[Agent]:
    """Up to five, with loads that the rules allow."""
    made = []
    for key in draw(_people):
        capacity = draw(_capacities)
        primary = int(draw(_share) * capacity)
        made.append(
            Agent(
                key=key,
                profile=draw(profiles),
                capacity=capacity,
                is_online=draw(_online),
                primary_used=primary,
                interruptible_used=int(draw(_share) * (2 * capacity - primary)),
                calls=draw(_calls),
                last_assigned_at=draw(_instants),
                closed_channels=draw(closed),
                at_most=draw(ceilings),
                held=draw(ceilings),
            )
        )
    return made


_ids = st.integers(1, 10_000).map(lambda n: UUID(int=n))
_ranks = st.integers(0, 3)
_bands = st.sampled_from(Band)
_wishes = st.sampled_from(((), (), *((skill,) for skill in SKILLS)))
_exclusions = st.sets(st.sampled_from(KEYS), max_size=2).map(lambda found: (*sorted(found),))
_owners = st.none() | st.sampled_from(KEYS)


def _ticket(channel: Channel, asked: tuple[tuple[str, int], ...], **rest: Any) -> Waiting:
    units, interruptible = COST[channel]
    return Waiting(
        channel=channel,
        units=units,
        interruptible=interruptible,
        needs=asked,
        signature=signature(channel, asked),
        **rest,
    )


_plain = {
    "channel": channels,
    "asked": needs,
    "ticket_id": _ids,
    "prefers": _wishes,
    "queued_at": minutes,
    "band": _bands,
    "order_rank": _ranks,
    "order_at": minutes,
}
_plain_tickets = st.builds(_ticket, **_plain)
_tickets = st.builds(_ticket, **_plain, excluded=_exclusions, previous_owner=_owners, affinity_until=_instants)


def tickets(*, has_extras: bool = True) -> st.SearchStrategy[Waiting]:
    """One that waits; without extras nobody is excluded or preferred."""
    return _tickets if has_extras else _plain_tickets


def queues(*, has_extras: bool = True) -> st.SearchStrategy[list[Waiting]]:
    """Up to twenty-five tickets."""
    return st.lists(tickets(has_extras=has_extras), max_size=25, unique_by=lambda ticket: ticket.ticket_id)


channels_at_once = st.frozensets(channels, max_size=2)


def place(ticket: Waiting) -> tuple[int, int, datetime, datetime, UUID]:
    """3.3: band, rank and instant as stored, then age, then id."""
    return (ticket.band, ticket.order_rank, ticket.order_at, ticket.queued_at, ticket.ticket_id)


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
        return replace(entry, band=Band.RESCUE, order_rank=0, order_at=entry.due_at)
    if entry.band is Band.SAVABLE and now > entry.latest_start_at:
        return replace(entry, band=Band.LATE, order_rank=entry.urgency_rank, order_at=entry.due_at)
    return entry
