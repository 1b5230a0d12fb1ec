"""Simulated people: agents who come and go by shift, answer what they own and hand it on; on-call people who acknowledge.

Pure and repeatable: every choice comes from a hash of names, so two runs of the replay differ only by when things reach
them. Agents do at the desk what the data doesn't tell (first answers); when a request is done the data says.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from msgspec import Struct

ZONE = ZoneInfo("America/New_York")


class Shift(Struct, frozen=True, kw_only=True):
    """Working hours of one agent, in local time; `ends` may be 24:00 of the day, written as 0:00."""

    begins: time
    ends: time
    weekdays: frozenset[int]
    """0 is Monday."""


WEEK = frozenset(range(7))
EARLY = Shift(begins=time(6, 30), ends=time(15, 0), weekdays=frozenset(range(5)))
DAY = Shift(begins=time(8, 30), ends=time(17, 0), weekdays=frozenset(range(5)))
LATE = Shift(begins=time(14, 30), ends=time(23, 30), weekdays=WEEK)
NIGHT = Shift(begins=time(22, 0), ends=time(7, 0), weekdays=WEEK)
WEEKEND = Shift(begins=time(7, 0), ends=time(19, 0), weekdays=frozenset({4, 5, 6, 0}))

_ROTA = (DAY, EARLY, LATE, DAY, NIGHT, DAY, WEEKEND, LATE)
"""Handed out in this order: a desk that is full by day and never empty."""


def rota(agents: Iterable[str]) -> dict[str, Shift]:
    """A shift for every agent, in the order of their keys."""
    return {agent: _ROTA[n % len(_ROTA)] for n, agent in enumerate(sorted(agents))}


class Presence(StrEnum):
    """What an agent tells the router."""

    ONLINE = "online"
    OFFLINE = "offline"


class PresenceChange(Struct, frozen=True, order=True):
    """An agent comes or goes."""

    at: datetime
    agent: str
    status: Presence


def presence(shifts: Mapping[str, Shift], since: datetime, until: datetime) -> list[PresenceChange]:
    """Every coming and going in `[since, until)`, in order; who is at work at `since` comes then."""
    changes = []
    for agent, shift in shifts.items():
        for begins, ends in spells(shift, since, until):
            if ends > since and begins < until:
                changes.append(PresenceChange(max(begins, since), agent, Presence.ONLINE))
                if ends < until:
                    changes.append(PresenceChange(ends, agent, Presence.OFFLINE))
    return sorted(changes)


def spells(shift: Shift, since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The working spells around `[since, until)`, half-open, as instants."""
    day = since.astimezone(ZONE).date() - timedelta(days=1)
    while day <= until.astimezone(ZONE).date():
        if day.weekday() in shift.weekdays:
            last = day if shift.ends > shift.begins else day + timedelta(days=1)
            yield _local(day, shift.begins), _local(last, shift.ends)
        day += timedelta(days=1)


def working(shift: Shift, at: datetime) -> datetime:
    """`at` itself if the agent works then, else the beginning of the next spell."""
    for begins, ends in spells(shift, at, at + timedelta(days=7)):
        if at < ends:
            return max(at, begins)
    return at


def _local(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock, tzinfo=ZONE).astimezone(ZoneInfo("UTC"))


_ANSWER_MINUTES: Mapping[str, tuple[float, float]] = {
    "phone": (1.0, 6.0),
    "live_chat": (1.0, 8.0),
    "messaging": (5.0, 40.0),
    "social": (5.0, 60.0),
    "self_service": (10.0, 90.0),
    "email": (10.0, 120.0),
    "other": (10.0, 120.0),
}
"""From and to: how long an agent takes for a first answer once the ticket is theirs."""


def answer_after(number: str, channel: str) -> timedelta:
    """How long the first answer to this ticket takes its agent."""
    low, high = _ANSWER_MINUTES.get(channel, _ANSWER_MINUTES["other"])
    return timedelta(minutes=low + (high - low) * chance(number, "answer") ** 2)


UPDATES_SENT = 0.85
"""Share of the updates owed that somebody remembers to send once warned."""


class Reaction(Struct, frozen=True, kw_only=True):
    """What a person does about one page."""

    acknowledges: bool
    after: timedelta
    """From the page to the acknowledgement."""


_PROMPT = 0.72
_LATE = 0.92


def reaction(page: str, person: str) -> Reaction:
    """Most acknowledge within minutes; some so late that the ladder climbs meanwhile; few never do."""
    luck = chance(page, person)
    if luck < _PROMPT:
        return Reaction(acknowledges=True, after=timedelta(minutes=2 + 8 * luck / _PROMPT))
    if luck < _LATE:
        return Reaction(acknowledges=True, after=timedelta(minutes=40 + 200 * (luck - _PROMPT)))
    return Reaction(acknowledges=False, after=timedelta())


def chance(*names: str) -> float:
    """A number in [0, 1) that depends on the names alone."""
    digest = hashlib.blake2b("\0".join(names).encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
