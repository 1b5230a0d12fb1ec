"""One day, drawn from a seed: who works, what arrives, how long it takes, and how long customers wait.

Drawn once and given to every policy, so that they differ in nothing but their decisions (common random numbers).
"""

from bisect import bisect
from itertools import accumulate
from math import ceil, log, pi, sin
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from shared.contract.tickets import Urgency
from tests.bench.routing.model import (
    CAPACITY,
    LANGUAGES_OF_AN_AGENT,
    LEAST_HOLDERS,
    LENGTH,
    SIGMA,
    TOPICS_OF_AN_AGENT,
    URGENCIES,
    Kind,
    Mix,
    Scenario,
    classes,
)

_SWING, _PERIOD = 0.35, 240.0
_BURST, _BURST_FROM, _BURST_TO = 0.35, 180.0, 210.0


class Ticket(Struct, frozen=True, kw_only=True, eq=False):
    """A ticket as it will turn out, whoever gets it."""

    number: int
    at: float
    kind: int
    """Which of the mix's."""
    topic: int
    taken_for: int
    """The topic that classification says."""
    language: int
    urgency: Urgency
    weight: float
    minutes: float
    """Of handling, by an agent whose factor is 1."""
    patience: float
    target: float

    @property
    def due(self) -> float:
        """When it must be answered."""
        return self.at + self.target


class Person(Struct, frozen=True, kw_only=True, eq=False):
    """An agent: levels by topic, and languages."""

    number: int
    levels: dict[int, int]
    languages: frozenset[int]

    def serves(self, topic: int, language: int) -> bool:
        """Whether they can do it at all."""
        return topic in self.levels and language in self.languages


class Absence(Struct, frozen=True, order=True):
    """Somebody vanishes, and is back later."""

    at: float
    until: float
    person: int


class Day(Struct, frozen=True, kw_only=True):
    """What happens, but for what routing decides."""

    kinds: tuple[Kind, ...]
    people: tuple[Person, ...]
    tickets: tuple[Ticket, ...]
    """By time of arrival."""
    classes: tuple[tuple[int, int], ...]
    absences: tuple[Absence, ...] = ()
    length: float = LENGTH


def draw(scenario: Scenario, seed: int) -> Day:
    """The day of a scenario and a seed; the same whenever and wherever it is drawn."""
    mix = scenario.mix
    return Day(
        kinds=mix.kinds,
        people=people_of(scenario, seed),
        tickets=_tickets(scenario, seed),
        classes=tuple(classes(mix)),
        absences=draw_absences(scenario, seed),
    )


def stream(scenario: Scenario, seed: int, what: str) -> Random:
    """Dice for one purpose, so that what is thrown for one never moves what is thrown for another."""
    return Random(f"{scenario.family} {scenario.agents} {scenario.load} {seed} {what}")


def people_of(scenario: Scenario, seed: int) -> tuple[Person, ...]:
    """The team of a seed, the same under every load."""
    return draw_people(scenario.mix, scenario.agents, stream(replace(scenario, load=0.0), seed, "people"))


def draw_people(mix: Mix, count: int, dice: Random) -> tuple[Person, ...]:
    """A team hired for the topics that arrive, which could do the work at all.

    Of each topic, language and pair of the two there are as many hands as its share of the team, and `LEAST_HOLDERS` at
    least: where chance gave fewer, more people learn it.
    """
    weights = mix.staffed_for or mix.topics
    levels: list[dict[int, int]] = []
    languages: list[set[int]] = []
    for _ in range(count):
        topics = _distinct(weights, 1 + _pick(TOPICS_OF_AN_AGENT, dice), dice)
        levels.append({topic: dice.randint(1, 5) for topic in topics})
        languages.append(
            {
                number
                for number in range(len(mix.languages))
                if dice.random() < LANGUAGES_OF_AN_AGENT[min(number, len(LANGUAGES_OF_AN_AGENT) - 1)]
            }
        )
    wanted: list[tuple[float, int | None, int | None]] = [
        *((share, topic, None) for topic, share in enumerate(weights)),
        *((share, None, language) for language, share in enumerate(mix.languages)),
        *((weights[topic] * mix.languages[language], topic, language) for topic, language in classes(mix)),
    ]
    for share, topic, language in wanted:
        able = [
            (topic is None or topic in levels[n]) and (language is None or language in languages[n])
            for n in range(count)
        ]
        missing = max(LEAST_HOLDERS, ceil(share * count)) - sum(able)
        others = [n for n in range(count) if not able[n]]
        others.sort(key=lambda n: (topic is not None and topic not in levels[n], dice.random()))
        for chosen in others[: max(missing, 0)]:
            if topic is not None:
                levels[chosen].setdefault(topic, dice.randint(1, 5))
            if language is not None:
                languages[chosen].add(language)
    return tuple(Person(number=n, levels=levels[n], languages=frozenset(languages[n])) for n in range(count))


def draw_absences(scenario: Scenario, seed: int) -> tuple[Absence, ...]:
    """Who vanishes when."""
    dice, trouble = stream(scenario, seed, "absences"), scenario.trouble
    found = []
    for person in range(scenario.agents):
        chance, at = dice.random(), dice.uniform(0, LENGTH)
        if chance < trouble.absence:
            found.append(Absence(at, at + trouble.absent_minutes, person))
    return tuple(sorted(found))


def _tickets(scenario: Scenario, seed: int) -> tuple[Ticket, ...]:
    mix = scenario.mix
    per_minute = scenario.load * scenario.agents * CAPACITY / mix.work
    arrivals = draw_arrivals(per_minute, stream(scenario, seed, "arrivals"))
    dice = stream(scenario, seed, "kinds")
    kinds = [_pick([kind.share for kind in mix.kinds], dice) for _ in arrivals]
    topics = [_pick(mix.topics, dice) for _ in arrivals]
    return draw_tickets(scenario, seed, arrivals, kinds, topics)


def draw_tickets(
    scenario: Scenario, seed: int, arrivals: list[float], kinds: list[int], topics: list[int]
) -> tuple[Ticket, ...]:
    """The rest of each ticket; the same draws whatever goes wrong beside."""
    mix, trouble = scenario.mix, scenario.trouble
    dice, mistakes = stream(scenario, seed, "tickets"), stream(scenario, seed, "mistakes")
    shift = -SIGMA * SIGMA / 2
    truth = [(1 + trouble.wrong_estimate) ** mistakes.choice((-1, 1)) for _ in mix.kinds]
    found = []
    for number, (at, kind_number, topic) in enumerate(zip(arrivals, kinds, topics, strict=True)):
        kind = mix.kinds[kind_number]
        urgency, _, on_target, weight = URGENCIES[_pick([share for _, share, _, _ in URGENCIES], dice)]
        language = _pick(mix.languages, dice)
        minutes = kind.minutes * truth[kind_number] * dice.lognormvariate(shift, SIGMA)
        wait = -log(1 - dice.random())
        is_mistaken, other = mistakes.random() < trouble.wrong_topic, mistakes.randrange(1, len(mix.topics))
        found.append(
            Ticket(
                number=number,
                at=at,
                kind=kind_number,
                topic=topic,
                taken_for=(topic + other) % len(mix.topics) if is_mistaken else topic,
                language=language,
                urgency=urgency,
                weight=weight,
                minutes=minutes,
                patience=float("inf") if kind.patience is None else kind.patience * wait,
                target=kind.target * on_target,
            )
        )
    return tuple(found)


def draw_arrivals(per_minute: float, dice: Random) -> list[float]:
    """Poisson arrivals with a swing over the day and a burst, thinned from a steady stream; `per_minute` is the day's mean."""
    steps = range(int(LENGTH))
    mean = sum(_intensity(minute + 0.5) for minute in steps) / len(steps)
    highest = 1 + _SWING + _BURST
    at = 0.0
    found: list[float] = []
    while True:
        at += dice.expovariate(per_minute / mean * highest)
        if at >= LENGTH:
            return found
        if dice.random() * highest < _intensity(at):
            found.append(at)


def _intensity(minute: float) -> float:
    burst = _BURST if _BURST_FROM <= minute < _BURST_TO else 0.0
    return 1 + _SWING * sin(2 * pi * minute / _PERIOD) + burst


def _pick(shares: list[float] | tuple[float, ...], dice: Random) -> int:
    edges = list(accumulate(shares))
    return min(bisect(edges, dice.random() * edges[-1]), len(shares) - 1)


def _distinct(weights: tuple[float, ...], count: int, dice: Random) -> list[int]:
    left = list(range(len(weights)))
    return [left.pop(_pick([weights[number] for number in left], dice)) for _ in range(min(count, len(left)))]
