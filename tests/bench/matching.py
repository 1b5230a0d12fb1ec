"""A matching run beside `scipy.optimize.linear_sum_assignment` on a matrix of the same tickets and agents, in one process.

Both get data that is ready: the matcher its tickets and agents, scipy its matrix of costs (who is eligible, and how
flexible they are). The helpdesk has 20 topics and 4 languages, tickets ask for a topic and often a language at levels 1 to 3 in
six channels, agents know 1 to 5 topics, and half of them have something to do already; every ticket can be done by
somebody who is online. What the matcher keeps between runs of one roster (`staff`) is emptied before each one that is timed,
unless it says warm.
"""

import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from services.router.domain import roster
from services.router.domain.match import match
from services.router.domain.queue import Band, Needs, Waiting, signature
from services.router.domain.roster import Agent, Profile
from shared.contract.tickets import Channel

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
AGENTS, FEW, MANY = 500, 1_000, 4_000
_ROUNDS, _IN_A_ROW = 10, 3
_TOPICS = [f"topic:{n}" for n in range(20)]
_LANGUAGES = {"lang:en": 1.0, "lang:fr": 0.25, "lang:de": 0.18, "lang:es": 0.12}
_WORK = {
    Channel.PHONE: (0.25, 12, False),
    Channel.LIVE_CHAT: (0.20, 4, False),
    Channel.MESSAGING: (0.15, 3, False),
    Channel.SOCIAL: (0.08, 3, True),
    Channel.EMAIL: (0.25, 6, True),
    Channel.SELF_SERVICE: (0.07, 6, True),
}
_NOBODY = 1e6
"""Cost of a pair that may not be."""


class Cost(Struct, frozen=True, kw_only=True):
    """Seconds, the best of several rounds."""

    few: float
    few_warm: float
    many: float
    scipy: float
    given_few: int
    given_many: int
    signatures: int


def cost() -> Cost:
    """Runs in turns, so that what else the machine does falls on all of them."""
    agents = _agents(random.Random(1))
    few, many = (_tickets(random.Random(2), agents, count) for count in (FEW, MANY))
    matrix = _matrix(few, agents)
    works: list[Callable[[], object]] = [
        lambda: match(few, agents, NOW),
        lambda: match(few, agents, NOW),
        lambda: match(many, agents, NOW),
        lambda: linear_sum_assignment(matrix),
    ]
    best = [float("inf")] * len(works)
    for _ in range(_ROUNDS):
        for n, work in enumerate(works):
            for _ in range(_IN_A_ROW):  # so that nobody pays for what another left in the processor's caches
                if n != 1:
                    roster.staff.cache_clear()
                begun = time.process_time()
                work()
                best[n] = min(best[n], time.process_time() - begun)
    return Cost(
        few=best[0],
        few_warm=best[1],
        many=best[2],
        scipy=best[3],
        given_few=len(match(few, agents, NOW).chosen),
        given_many=len(match(many, agents, NOW).chosen),
        signatures=len({ticket.signature for ticket in few}),
    )


def _agents(chance: random.Random) -> list[Agent]:
    return [_agent(chance, f"agent{n:03}") for n in range(AGENTS)]


def _agent(chance: random.Random, key: str) -> Agent:
    skills = {topic: chance.randint(1, 5) for topic in chance.sample(_TOPICS, chance.randint(1, 5))}
    skills |= {language: 5 for language, share in _LANGUAGES.items() if chance.random() < share}
    channels = frozenset(chance.sample(list(_WORK), chance.randint(2, 6)))
    is_busy = chance.random() < 0.5
    return Agent(
        key=key,
        profile=Profile(skills=skills, channels=channels),
        capacity=12,
        is_online=chance.random() < 0.95,
        primary_used=chance.choice((0, 3, 4, 7)) if is_busy else 0,
        interruptible_used=chance.choice((0, 3, 6, 12)) if is_busy else 0,
        last_assigned_at=NOW - timedelta(seconds=chance.randrange(3_600)),
    )


def _tickets(chance: random.Random, agents: Sequence[Agent], count: int) -> list[Waiting]:
    """Of so many kinds as there are, and only such as somebody who is online can do."""
    online = [agent.profile for agent in agents if agent.is_online]
    able: dict[tuple[Channel, Needs], bool] = {}
    tickets: list[Waiting] = []
    while len(tickets) < count:
        channel = chance.choices(list(_WORK), [share for share, _, _ in _WORK.values()])[0]
        asked = {chance.choice(_TOPICS): chance.randint(1, 3)}
        if chance.random() < 0.7:
            asked[chance.choices(list(_LANGUAGES), list(_LANGUAGES.values()))[0]] = 1
        needs = tuple(sorted(asked.items()))
        if (channel, needs) not in able:
            able[channel, needs] = any(_can(profile, channel, needs) for profile in online)
        if able[channel, needs]:
            tickets.append(_ticket(chance, len(tickets), channel, needs))
    chance.shuffle(tickets)
    return tickets


def _ticket(chance: random.Random, number: int, channel: Channel, needs: Needs) -> Waiting:
    _, units, interruptible = _WORK[channel]
    band = chance.choices(list(Band), (5, 75, 20))[0]
    return Waiting(
        ticket_id=UUID(int=number + 1),
        channel=channel,
        units=units,
        interruptible=interruptible,
        needs=needs,
        prefers=("vip",) if chance.random() < 0.1 else (),
        signature=signature(channel, needs),
        queued_at=NOW - timedelta(seconds=chance.randrange(7_200)),
        band=band,
        order_rank=chance.randint(0, 3) if band is Band.LATE else 0,
        order_at=NOW + timedelta(seconds=chance.randrange(-7_200, 7_200)),
    )


def _can(profile: Profile, channel: Channel, needs: Needs) -> bool:
    return channel in profile.channels and all(profile.skills.get(skill, 0) >= level for skill, level in needs)


def _matrix(tickets: Sequence[Waiting], agents: Sequence[Agent]) -> NDArray[np.float64]:
    """What it costs to give each ticket to each agent: how flexible they are, and too much where they may not have it."""
    flex = roster.flexes([agent.profile for agent in agents])
    return np.array(
        [
            [
                weight if agent.is_online and _can(agent.profile, ticket.channel, ticket.needs) else _NOBODY
                for agent, weight in zip(agents, flex, strict=True)
            ]
            for ticket in tickets
        ]
    )
