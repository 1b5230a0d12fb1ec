"""Who could take a ticket: what agents can do, how much room they have, and how precious they are.

Pure data and rules. An agent's skills and channels are a `Profile`, parsed once and shared between matching runs.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache

from msgspec import Struct

from services.router.domain.queue import Needs
from shared.contract.tickets import Channel

LANGUAGE_PREFIX = "lang:"
"""Skills that begin with it are languages; the others are topics."""


class Profile(Struct, frozen=True, kw_only=True, eq=False):
    """What an agent can do; compared by identity, so that it can stand for itself in caches."""

    skills: Mapping[str, int]
    channels: frozenset[str]

    def likes(self, prefers: Iterable[str]) -> bool:
        """Whether every preferred skill is there, at whatever level."""
        return all(skill in self.skills for skill in prefers)


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


class Staff:
    """Everybody's profiles by number, and what is asked of them again and again while the roster stays the same."""

    def __init__(self, profiles: Sequence[Profile]) -> None:
        self._profiles = profiles
        self._able: dict[tuple[str, int], frozenset[int]] = {}
        flex = flexes(profiles)
        ranks = {value: rank for rank, value in enumerate(sorted(set(flex)))}
        self.flex_ranks: Sequence[int] = [ranks[value] for value in flex]
        """By number: 0 for the least flexible; alike where they are equally flexible."""
        self._takers = {
            channel: frozenset(number for number, profile in enumerate(profiles) if channel in profile.channels)
            for channel in {channel for profile in profiles for channel in profile.channels}
        }

    def serving(self, channel: Channel, needs: Needs) -> frozenset[int]:
        """C2 and the lasting half of C1: who takes this channel, and has every mandatory skill at its level."""
        found = self._takers.get(channel, _NOBODY)
        for need in needs:
            found &= self._having(need)
        return found

    def _having(self, need: tuple[str, int]) -> frozenset[int]:
        able = self._able.get(need)
        if able is None:
            if len(self._able) >= _MOST_REMEMBERED:  # skills may be made of what customers write
                self._able.clear()
            skill, level = need
            able = frozenset(
                number for number, profile in enumerate(self._profiles) if profile.skills.get(skill, 0) >= level
            )
            self._able[need] = able
        return able


_NOBODY: frozenset[int] = frozenset()
_MOST_REMEMBERED = 4096


@lru_cache(maxsize=64)
def staff(profiles: tuple[Profile, ...]) -> Staff:
    """The staff with these profiles; the same object while the roster stays the same."""
    return Staff(profiles)


def flexes(profiles: Sequence[Profile]) -> list[float]:
    """How much each could do that few can: the work to be kept from them while somebody else is free (routing-rules 3.4).

    The number of (channel, topic, language) classes they serve, each part counting more the fewer people have it.
    """
    holders = Counter(part for profile in profiles for part in (*profile.skills, *profile.channels))
    everybody = len(profiles)

    def weigh(parts: Iterable[str]) -> float:
        # sorted, so that rounding doesn't depend on the order in which a roster lists skills
        return sum(sorted(everybody / holders[part] for part in parts)) or 1.0

    return [
        weigh(profile.channels)
        * weigh(skill for skill in profile.skills if not skill.startswith(LANGUAGE_PREFIX))
        * weigh(skill for skill in profile.skills if skill.startswith(LANGUAGE_PREFIX))
        for profile in profiles
    ]
