"""Who could take a ticket: what agents can do, how much room they have, and how precious they are.

Pure data and rules. An agent's skills and channels are a `Profile`, parsed once and shared between matching runs.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import chain
from math import fsum
from typing import TypeAlias

from msgspec import Struct

from services.router.domain.queue import Needs
from shared.contract.tickets import Channel

LANGUAGE_PREFIX = "lang:"
"""Skills that begin with it are languages; the others are topics."""


class Profile(Struct, frozen=True, kw_only=True, eq=False):
    """What an agent can do; compared by identity, so that it can stand for itself in caches."""

    skills: Mapping[str, int]
    channels: frozenset[str]


class Agent(Struct, frozen=True, kw_only=True):
    """An agent at one instant."""

    key: str
    profile: Profile
    capacity: int
    is_online: bool
    primary_used: int = 0
    interruptible_used: int = 0
    calls: int = 0
    """Phone calls they are in: while there is one, they get no new work."""
    last_assigned_at: datetime | None = None
    closed_channels: frozenset[str] = frozenset()
    """Channels they don't accept just now: for these they count as offline."""
    at_most: Mapping[Channel, int] = {}
    """Tickets of a channel they may have at a time, beside what units allow; what isn't here is bounded by units alone."""
    held: Mapping[Channel, int] = {}
    """Tickets they have, by channel; asked only of channels in `at_most`."""


Crowd: TypeAlias = int
"""A set of agents as a number in binary: bit n stands for the agent numbered n."""


class Staff:
    """Everybody's profiles, and what is asked of them again and again while the roster stays the same.

    Agents are numbered by flexibility, so that the lowest bit of a crowd is one of its least flexible agents.
    """

    def __init__(self, profiles: Sequence[Profile]) -> None:
        flex = flexes(profiles)
        self.places: Sequence[int] = sorted(range(len(profiles)), key=flex.__getitem__)
        """By number: the place among `profiles`."""
        equals: dict[float, Crowd] = {}
        alike: dict[frozenset[str], Crowd] = {}
        levels: dict[tuple[str, int], Crowd] = {}
        for number, place in enumerate(self.places):
            bit, profile = 1 << number, profiles[place]
            equals[flex[place]] = equals.get(flex[place], 0) | bit
            alike[profile.channels] = alike.get(profile.channels, 0) | bit
            for skill in profile.skills.items():
                levels[skill] = levels.get(skill, 0) | bit
        self._takers: dict[str, Crowd] = {}
        for channels, crowd in alike.items():
            for channel in channels:
                self._takers[channel] = self._takers.get(channel, 0) | crowd
        self._skilled: dict[str, dict[int, Crowd]] = {}
        for (name, level), crowd in levels.items():
            self._skilled.setdefault(name, {})[level] = crowd
        self.peers: Sequence[Crowd] = [equals[flex[place]] for place in self.places]
        """By number: those who are as flexible."""
        self._able: dict[tuple[str, int], Crowd] = {}

    def serving(self, channel: Channel, needs: Needs) -> Crowd:
        """C2 and the lasting half of C1: who takes this channel, and has every mandatory skill at its level."""
        found = self._takers.get(channel, 0)
        for need in needs:
            able = self._able.get(need)
            found &= self._having(need) if able is None else able
        return found

    def liking(self, prefers: Iterable[str]) -> Crowd:
        """Who has every preferred skill, at whatever level."""
        found = -1
        for skill in prefers:
            found &= sum(self._skilled.get(skill, {}).values())
        return found

    def _having(self, need: tuple[str, int]) -> Crowd:
        if len(self._able) >= _MOST_REMEMBERED:  # skills may be made of what customers write
            self._able.clear()
        skill, least = need
        able = sum(crowd for level, crowd in self._skilled.get(skill, {}).items() if level >= least)
        self._able[need] = able
        return able


_MOST_REMEMBERED = 4096


@lru_cache(maxsize=64)
def staff(profiles: tuple[Profile, ...]) -> Staff:
    """The staff with these profiles; the same object while the roster stays the same."""
    return Staff(profiles)


def flexes(profiles: Sequence[Profile]) -> list[float]:
    """How much each could do that few can: the work to be kept from them while somebody else is free (routing-rules 3.4).

    The number of (channel, topic, language) classes they serve, each part counting more the fewer people have it.
    """
    everybody = len(profiles)
    holders = Counter(chain.from_iterable([profile.skills for profile in profiles]))
    holders.update(chain.from_iterable([profile.channels for profile in profiles]))
    weights = {part: everybody / count for part, count in holders.items()}
    languages = {part for part in weights if part.startswith(LANGUAGE_PREFIX)}
    weigh_channels = {
        channels: fsum([weights[channel] for channel in channels]) or 1.0
        for channels in {profile.channels for profile in profiles}
    }
    flex = []
    for profile in profiles:
        topics = [weights[skill] for skill in profile.skills if skill not in languages]
        spoken = [weights[skill] for skill in profile.skills if skill in languages]
        # `fsum`, so that the order in which a roster lists skills makes no difference
        flex.append(weigh_channels[profile.channels] * (fsum(topics) or 1.0) * (fsum(spoken) or 1.0))
    return flex
