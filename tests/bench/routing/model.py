"""The model: what arrives, who is there to answer, and how loaded they are (routing-rules 5).

Times are minutes from the opening of the day; shares add up to 1. Docs: docs/routing-benchmark.md.
"""

from collections.abc import Mapping, Sequence
from itertools import starmap
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from shared.contract.tickets import Channel, Urgency

CAPACITY = 12
"""Units of an agent."""
LENGTH = 480.0
"""Minutes during which tickets arrive; afterwards the agents stay until the queue is empty."""
SIGMA = 0.6
"""Of the logarithm of a handling time."""
GRACE = 1.0
"""Minutes after which the work of somebody who vanished goes back."""
GLANCE = 2.0
"""Minutes somebody needs to see that a ticket isn't for them."""

URGENCIES: tuple[tuple[Urgency, float, float, float], ...] = (
    (Urgency.URGENT, 0.10, 0.5, 8.0),
    (Urgency.HIGH, 0.20, 0.75, 4.0),
    (Urgency.NORMAL, 0.60, 1.0, 2.0),
    (Urgency.LOW, 0.10, 2.0, 1.0),
)
"""Share, factor on the target, weight."""

TOPICS_OF_AN_AGENT = (0.35, 0.40, 0.25)
"""Shares of agents with one, two and three topics."""
LANGUAGES_OF_AN_AGENT = (1.0, 0.25, 0.18)
"""Chance of each language to be spoken by an agent."""
LEAST_HOLDERS = 2
"""Every (topic, language) can be served by so many agents at least."""


class Kind(Struct, frozen=True, kw_only=True):
    """The work of one channel."""

    channel: Channel
    share: float
    minutes: float
    """Mean handling time by an agent of level 3.5."""
    units: int
    target: float
    interruptible: bool = False
    patience: float | None = None
    """Mean minutes until a customer gives up, exponentially distributed; None: never."""

    @property
    def is_answered_at_start(self) -> bool:
        """Answering is the response; otherwise it counts at the end of handling."""
        return not self.interruptible


class Mix(Struct, frozen=True, kw_only=True):
    """What arrives."""

    kinds: tuple[Kind, ...]
    topics: tuple[float, ...] = (0.35, 0.30, 0.20, 0.15)
    languages: tuple[float, ...] = (0.75, 0.15, 0.10)
    staffed_for: tuple[float, ...] = ()
    """The shares of topics the agents were hired for, where they aren't those that arrive."""

    @property
    def work(self) -> float:
        """Mean unit-minutes of a ticket."""
        return sum(kind.share * kind.minutes * kind.units for kind in self.kinds)


MIXED = Mix(
    kinds=(
        Kind(channel=Channel.PHONE, share=0.25, minutes=6, units=12, target=0.5, patience=4),
        Kind(channel=Channel.LIVE_CHAT, share=0.20, minutes=10, units=4, target=1, patience=6),
        Kind(channel=Channel.MESSAGING, share=0.15, minutes=12, units=3, target=15),
        Kind(channel=Channel.SOCIAL, share=0.08, minutes=8, units=3, target=60, interruptible=True),
        Kind(channel=Channel.EMAIL, share=0.25, minutes=9, units=6, target=240, interruptible=True),
        Kind(channel=Channel.SELF_SERVICE, share=0.07, minutes=8, units=6, target=480, interruptible=True),
    )
)
ASYNC = Mix(
    kinds=(
        Kind(channel=Channel.MESSAGING, share=0.30, minutes=12, units=4, target=15),
        Kind(channel=Channel.SOCIAL, share=0.15, minutes=8, units=12, target=30, interruptible=True),
        Kind(channel=Channel.EMAIL, share=0.40, minutes=9, units=12, target=60, interruptible=True),
        Kind(channel=Channel.SELF_SERVICE, share=0.15, minutes=8, units=12, target=120, interruptible=True),
    )
)
SHIFTED: Mapping[str, Mapping[Channel, float]] = {
    "mixed": {
        Channel.PHONE: 0.15,
        Channel.LIVE_CHAT: 0.30,
        Channel.MESSAGING: 0.20,
        Channel.SOCIAL: 0.12,
        Channel.EMAIL: 0.13,
        Channel.SELF_SERVICE: 0.10,
    },
    "async": {Channel.MESSAGING: 0.15, Channel.SOCIAL: 0.30, Channel.EMAIL: 0.30, Channel.SELF_SERVICE: 0.25},
}
SHIFTED_TOPICS = (0.20, 0.15, 0.25, 0.40)
SHIFTED_LANGUAGES = (0.60, 0.25, 0.15)


class ImpossibleMix(ValueError):
    """Nothing would arrive; the text says why."""


class Trouble(Struct, frozen=True, kw_only=True):
    """What goes wrong in a sensitivity run."""

    wrong_topic: float = 0.0
    """Share of tickets that were taken for another topic."""
    wrong_estimate: float = 0.0
    """The true mean of each channel is so much above or below what routing believes, at random."""
    absence: float = 0.0
    """Chance of each agent to vanish once, for `absent_minutes`."""
    absent_minutes: float = 45.0


class Scenario(Struct, frozen=True, kw_only=True):
    """A team, what arrives there, and how much of it."""

    name: str
    title: str
    family: str
    """`mixed`, `async`, or `trace`."""
    mix: Mix
    agents: int
    load: float
    """Offered unit-minutes for each unit-minute of the team, on the average of the day, at level 3.5 of everybody."""
    trouble: Trouble = Trouble()


SCENARIOS: Mapping[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario(name="S1", title="mixed, 60 agents, load .85", family="mixed", mix=MIXED, agents=60, load=0.85),
        Scenario(name="S2", title="mixed, 60 agents, load 1.1", family="mixed", mix=MIXED, agents=60, load=1.1),
        Scenario(name="S3", title="mixed, 14 agents, load .75", family="mixed", mix=MIXED, agents=14, load=0.75),
        Scenario(name="S4", title="async, 20 agents, load 1.0", family="async", mix=ASYNC, agents=20, load=1.0),
        Scenario(name="S5", title="async, 20 agents, load .9", family="async", mix=ASYNC, agents=20, load=0.9),
    )
}
TROUBLES: Mapping[str, Trouble] = {
    "10 % wrong topics": Trouble(wrong_topic=0.10),
    "20 % wrong estimates": Trouble(wrong_estimate=0.20),
    "a third of the agents vanish for 45 min": Trouble(absence=1 / 3),
}
SENSITIVE = ("S3", "S5")
"""The scenarios that are run with each trouble."""
LOADS = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
"""Of the plot."""
SEEDS = (
    11, 23, 31, 47, 59, 61, 73, 89, 97, 101, 113, 127, 131, 149, 151, 163, 179, 181, 193, 211,
    223, 239, 241, 257, 269, 271, 283, 307, 311, 331,
)  # fmt: skip
"""The days everybody gets who doesn't ask for others."""


def held_out(seed: int, days: int) -> tuple[int, ...]:
    """As many days as wanted that follow from one number, none of them in `SEEDS`."""
    return tuple(Random(seed).sample(range(1_000, 1_000_000_000), days))


def seeds(days: int) -> tuple[int, ...]:
    """The first days of `SEEDS`, and more by a fixed rule where these aren't enough."""
    return (*SEEDS, *held_out(0, max(days - len(SEEDS), 0)))[:days]


def mixed_as(
    scenario: Scenario,
    *,
    shares: Mapping[Channel, float] | None = None,
    topics: Sequence[float] = (),
    languages: Sequence[float] = (),
    is_staff_surprised: bool = False,
) -> Scenario:
    """The same team with other shares (made to add up to 1), so that the load stays the same and the number of tickets doesn't.

    Channels that `shares` doesn't name don't arrive. Agents are hired for the new topics, unless they are surprised. Raises
    `ImpossibleMix` where nothing would arrive.
    """
    mix = scenario.mix
    kinds = mix.kinds
    if shares is not None:
        known = {kind.channel for kind in kinds}
        total = sum(share for channel, share in shares.items() if channel in known)
        if total <= 0:
            raise ImpossibleMix(
                f"{scenario.name} has only {', '.join(kind.channel for kind in kinds)}: name one of them"
            )
        kinds = tuple(
            replace(kind, share=shares[kind.channel] / total) for kind in kinds if shares.get(kind.channel, 0) > 0
        )
    return replace(
        scenario,
        mix=replace(
            mix,
            kinds=kinds,
            topics=_normal(topics) or mix.topics,
            languages=_normal(languages) or mix.languages,
            staffed_for=mix.topics if is_staff_surprised else (),
        ),
    )


def shifted(scenario: Scenario, *, is_staff_surprised: bool = False) -> Scenario:
    """The shifted mix: less phone and email, more of the rare topics and languages."""
    return mixed_as(
        scenario,
        shares=SHIFTED[scenario.family],
        topics=SHIFTED_TOPICS,
        languages=SHIFTED_LANGUAGES,
        is_staff_surprised=is_staff_surprised,
    )


def _normal(shares: Sequence[float]) -> tuple[float, ...]:
    total = sum(shares)
    return tuple(share / total for share in shares)


def factor_of(level: int) -> float:
    """On the handling time: 1.25 at level 1 to 0.85 at level 5."""
    return 1.25 - 0.10 * (level - 1)


def classes(mix: Mix) -> list[tuple[int, int]]:
    """All (topic, language)."""
    return [(topic, language) for topic in range(len(mix.topics)) for language in range(len(mix.languages))]


def names(pairs: Sequence[tuple[int, int]]) -> list[str]:
    """How classes are called in tables."""
    return list(starmap("topic {} in language {}".format, ((topic + 1, language + 1) for topic, language in pairs)))
