"""The simulated office: a day's events in their order, whoever decides.

Real-time work goes on at full speed and never pauses. Interruptible work shares what attention real-time work leaves: at
`r = min(1, (capacity - real-time units) / interruptible units)` of its speed, so a call stops it and a chat slows it.
What somebody leaves unfinished by vanishing is begun anew by whoever gets it, except what was answered: that goes on.
"""

from enum import IntEnum
from heapq import heappop, heappush
from itertools import count
from typing import Protocol

from shared.contract.tickets import Channel
from tests.bench.routing.day import Day, Person, Ticket
from tests.bench.routing.model import CAPACITY, GLANCE, GRACE, Kind, factor_of


class State(IntEnum):
    """Of a ticket."""

    WAITING = 0
    WORKING = 1
    DONE = 2
    GONE = 3
    """The customer gave up."""


class Job:
    """A ticket on its way through the office."""

    __slots__ = ("answered_at", "began_at", "is_glance", "kind", "left", "state", "ticket", "topic", "waits_since")

    def __init__(self, ticket: Ticket, kind: Kind) -> None:
        self.ticket = ticket
        self.kind = kind
        self.topic = ticket.taken_for
        """What routing takes it for."""
        self.left = ticket.minutes
        self.state = State.WAITING
        self.answered_at: float | None = None
        self.began_at = 0.0
        self.is_glance = False
        self.waits_since = ticket.at


class Worker:
    """An agent at work."""

    __slots__ = (
        "at", "background", "busy", "calls", "changed", "foreground", "idle_since", "interruptible", "is_online", "number",
        "person", "primary", "speed", "turn", "virtual", "wakes",
    )  # fmt: skip

    def __init__(self, person: Person) -> None:
        self.person = person
        self.number = person.number
        self.is_online = True
        self.primary = 0
        self.interruptible = 0
        self.calls = 0
        self.turn: float | None = None
        """When they were last given something."""
        self.idle_since = 0.0
        """When they last began or finished something."""
        self.changed = 0
        """Grows whenever their load does anything."""
        self.foreground: list[Job] = []
        self.background: list[tuple[float, int, Job]] = []
        """By the virtual minute in which each will be done; virtual time stands still while a call lasts."""
        self.virtual = 0.0
        self.speed = 1.0
        self.at = 0.0
        self.wakes = 0
        self.busy = 0.0
        """Unit-minutes worked within the day."""

    def fits(self, kind: Kind) -> bool:
        """C3 of routing-rules: may be given this now. Presence is the caller's to ask."""
        if self.calls:
            return False
        after = self.primary + kind.units
        if kind.interruptible:
            return after + self.interruptible <= CAPACITY
        return after <= CAPACITY and after + self.interruptible <= 2 * CAPACITY


class Strategy(Protocol):
    """A policy at work in one office."""

    takes_back: bool
    """Whether the work of somebody who vanished is given to others."""

    def arrive(self, job: Job, office: "Office") -> None:
        """A ticket arrives, or comes back: give it to somebody by `office.start`, or let it wait."""

    def free(self, worker: Worker, office: "Office") -> None:
        """Somebody has more room than before, or is back: give them what waits."""


class _What(IntEnum):
    BACK = 0
    END = 1
    WAKE = 2
    VANISH = 3
    RETURN_WORK = 4
    ARRIVE = 5
    GIVE_UP = 6


class Office:
    """One day under one policy."""

    def __init__(self, day: Day, strategy: Strategy) -> None:
        self.day = day
        self.now = 0.0
        self.workers = [Worker(person) for person in day.people]
        self.jobs = [Job(ticket, day.kinds[ticket.kind]) for ticket in day.tickets]
        self._strategy = strategy
        self._sequence = count()
        self._events: list[tuple[float, _What, int, Job | None, Worker | None]] = []

    def run(self) -> None:
        """Let the whole day happen, until the last ticket is done."""
        for job in self.jobs:
            self._at(job.ticket.at, _What.ARRIVE, job=job)
        for absence in self.day.absences:
            self._at(absence.at, _What.VANISH, worker=self.workers[absence.person])
            self._at(absence.until, _What.BACK, worker=self.workers[absence.person])
        events = self._events
        while events:
            self.now, what, number, job, worker = heappop(events)
            match what:
                case _What.ARRIVE:
                    assert job
                    self._await(job)
                case _What.END:
                    assert job and worker
                    if job.state is State.WORKING and job in worker.foreground and job.waits_since == number:
                        pass
                case _:
                    pass
