"""A real arrival trace: the requests that ship with the example of Boston, under what the model says of everything else.

The arrival times, channels and departments are the city's (working days of May and June 2015, see examples/boston/README.md
for source and licence). The team serves four such cities, so a day is a weekday of all four weeks laid over each other.
Urgencies, languages, handling times, patience, targets and people are drawn as in the other scenarios.
"""

from collections import Counter
from datetime import date, datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from services.console.domain import requests
from shared.contract.tickets import Channel
from tests.bench.routing.day import Day, draw_absences, draw_tickets, people_of
from tests.bench.routing.model import MIXED, Mix, Scenario, classes

_FILE = Path(__file__).parents[3] / "examples" / "boston" / "requests.csv.gz"
_ZONE = ZoneInfo("America/New_York")
_OPENS, _CLOSES = 8, 17
_HOLIDAY = date(2015, 5, 25)
_CHANNELS = {
    "Constituent Call": Channel.PHONE,
    "Citizens Connect App": Channel.MESSAGING,
    "City Worker App": Channel.MESSAGING,
    "Self Service": Channel.SELF_SERVICE,
}
"""The others are employees' notes, which are worked like email."""
_DEPARTMENTS = ("Public Works Department", "Inspectional Services", "Transportation - Traffic Division")
"""A topic each; the others are the fourth."""


class _Arrival(Struct, frozen=True, order=True):
    minute: float
    number: str
    channel: Channel
    topic: int


@cache
def _weekdays() -> tuple[tuple[_Arrival, ...], ...]:
    """Monday to Friday."""
    found: list[list[_Arrival]] = [[] for _ in range(5)]
    for request in requests.read(_FILE):
        at = request.opened_at.astimezone(_ZONE)
        if at.weekday() < len(found) and at.date() != _HOLIDAY and _OPENS <= at.hour < _CLOSES:
            found[at.weekday()].append(
                _Arrival(
                    minute=_minute(at),
                    number=request.number,
                    channel=_CHANNELS.get(request.channel, Channel.EMAIL),
                    topic=_DEPARTMENTS.index(request.subject) if request.subject in _DEPARTMENTS else len(_DEPARTMENTS),
                )
            )
    return tuple(tuple(sorted(day)) for day in found)


def _minute(at: datetime) -> float:
    return (at.hour - _OPENS) * 60 + at.minute + at.second / 60


@cache
def _mix() -> Mix:
    arrivals = [arrival for day in _weekdays() for arrival in day]
    channels = Counter(arrival.channel for arrival in arrivals)
    topics = Counter(arrival.topic for arrival in arrivals)
    return Mix(
        kinds=tuple(
            replace(kind, share=channels[kind.channel] / len(arrivals))
            for kind in MIXED.kinds
            if channels[kind.channel]
        ),
        topics=tuple(topics[topic] / len(arrivals) for topic in sorted(topics)),
    )


def scenario() -> Scenario:
    """The city's days and a team for them."""
    return Scenario(
        name="trace",
        title="requests to a city, 16 agents",
        family="trace",
        mix=_mix(),
        agents=16,
        load=0.0,
    )


def draw(of: Scenario, seed: int) -> Day:
    """One of the five weekdays, by the seed."""
    arrivals = _weekdays()[seed % 5]
    numbers = {kind.channel: number for number, kind in enumerate(of.mix.kinds)}
    kinds: list[int] = [numbers[arrival.channel] for arrival in arrivals]
    return Day(
        kinds=of.mix.kinds,
        people=people_of(of, seed),
        tickets=draw_tickets(
            of, seed, [arrival.minute for arrival in arrivals], kinds, [arrival.topic for arrival in arrivals]
        ),
        classes=tuple(classes(of.mix)),
        absences=draw_absences(of, seed),
        length=(_CLOSES - _OPENS) * 60.0,
    )
