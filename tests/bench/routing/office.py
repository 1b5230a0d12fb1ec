"""The simulated office: a day's events in their order, whoever decides.

Real-time work goes on at full speed and never pauses. Interruptible work shares what attention real-time work leaves: it
goes at `min(1, (capacity - real-time units) / interruptible units)` of its speed, so a call stops it and a chat slows it.
Of what somebody leaves by vanishing, conversations go on with whoever gets them, and answers are begun anew.
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

    __slots__ = (
        "answered_at", "ends_at", "is_call", "is_glance", "kind", "left", "minutes", "state", "ticket", "token", "topic",
    )  # fmt: skip

    def __init__(self, ticket: Ticket, kind: Kind) -> None:
        self.ticket = ticket
        self.kind = kind
        self.topic = ticket.taken_for
        """What routing takes it for."""
        self.is_call = kind.channel is Channel.PHONE
        self.is_glance = False
        """Whoever has it only finds out that it isn't for them."""
        self.left = ticket.minutes
        self.state = State.WAITING
        self.answered_at: float | None = None
        self.ends_at = 0.0
        self.minutes = 0.0
        """To go, of a conversation that stands still."""
        self.token = 0
        """Grows with every change of hands, so that events of the past are known for what they are."""


class Worker:
    """An agent at work."""

    __slots__ = (
        "at", "background", "busy", "calls", "changes", "foreground", "idle_since", "interruptible", "is_online", "number",
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
        self.changes = 0
        """Of their load or presence, so far."""
        self.busy = 0.0
        """Unit-minutes worked within the day."""
        self.foreground: list[Job] = []
        self.background: list[tuple[float, int, Job]] = []
        """By the virtual minute in which each will be done: the one that goes at `speed`."""
        self.virtual = 0.0
        self.speed = 1.0
        self.at = 0.0
        """Up to when `virtual` and `busy` are counted."""
        self.wakes = 0

    def fits(self, kind: Kind) -> bool:
        """C1 and C3 of routing-rules: is there, and may be given this now."""
        if self.calls or not self.is_online:
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

    def over(self, job: Job) -> None:
        """A ticket is done, or its customer gave up."""


class _What(IntEnum):
    """To a ticket up to `GIVE_UP`, to a worker from there on."""

    ARRIVE = 0
    END = 1
    GIVE_UP = 2
    WAKE = 3
    VANISH = 4
    GIVE_BACK = 5
    RETURN = 6


class Office:
    """One day under one policy."""

    def __init__(self, day: Day, strategy: Strategy) -> None:
        self.day = day
        self.now = 0.0
        self.workers = [Worker(person) for person in day.people]
        self.jobs = [Job(ticket, day.kinds[ticket.kind]) for ticket in day.tickets]
        self._strategy = strategy
        self._sequence = count()
        self._events: list[tuple[float, int, _What, int, int]] = []
        self._holders: dict[int, Worker] = {}

    def run(self) -> None:
        """Let the whole day happen, until the last ticket is done."""
        for number, job in enumerate(self.jobs):
            self._plan(job.ticket.at, _What.ARRIVE, number)
        for absence in self.day.absences:
            self._plan(absence.at, _What.VANISH, absence.person)
            self._plan(absence.at + GRACE, _What.GIVE_BACK, absence.person)
            self._plan(absence.until, _What.RETURN, absence.person)
        while self._events:
            self.now, _, what, number, token = heappop(self._events)
            if what <= _What.GIVE_UP:
                self._happen_to_ticket(what, self.jobs[number], token)
            else:
                self._happen_to_worker(what, self.workers[number], token)

    def _happen_to_ticket(self, what: _What, job: Job, token: int) -> None:
        if what is _What.ARRIVE:
            self._await(job)
        elif job.token != token:
            return
        elif what is _What.END:
            self._end(job)
        else:
            job.state = State.GONE
            self._strategy.over(job)

    def _happen_to_worker(self, what: _What, worker: Worker, token: int) -> None:
        match what:
            case _What.VANISH:
                self._vanish(worker)
            case _What.GIVE_BACK:
                self._give_back(worker)
            case _What.RETURN:
                self._return(worker)
            case _ if worker.wakes == token:
                self._end(worker.background[0][2])

    def start(self, job: Job, worker: Worker) -> None:
        """Somebody begins with a ticket, now; the caller has asked whether it fits."""
        self._count(worker)
        self._holders[job.ticket.number] = worker
        job.state = State.WORKING
        job.token += 1
        level = worker.person.levels.get(job.ticket.topic)
        job.is_glance = level is None
        if job.kind.is_answered_at_start and job.answered_at is None and not job.is_glance:
            job.answered_at = self.now
        minutes = GLANCE if level is None else job.left * factor_of(level)
        if job.kind.interruptible:
            worker.interruptible += job.kind.units
            heappush(worker.background, (worker.virtual + minutes, next(self._sequence), job))
        else:
            worker.primary += job.kind.units
            worker.calls += job.is_call
            worker.foreground.append(job)
            job.ends_at = self.now + minutes
            self._plan(job.ends_at, _What.END, job.ticket.number, job.token)
        worker.turn = worker.idle_since = self.now
        self._pace(worker)

    def _await(self, job: Job) -> None:
        job.state = State.WAITING
        job.token += 1
        if job.answered_at is None and job.kind.patience is not None:
            self._plan(self.now + job.ticket.patience, _What.GIVE_UP, job.ticket.number, job.token)
        self._strategy.arrive(job, self)

    def _end(self, job: Job) -> None:
        worker = self._holders.pop(job.ticket.number)
        self._count(worker)
        if job.kind.interruptible:
            heappop(worker.background)
            worker.interruptible -= job.kind.units
        else:
            worker.foreground.remove(job)
            worker.primary -= job.kind.units
            worker.calls -= job.is_call
        worker.idle_since = self.now
        self._pace(worker)
        if job.is_glance:
            job.topic = job.ticket.topic
            self._await(job)
        else:
            job.state = State.DONE
            job.token += 1
            if job.answered_at is None:
                job.answered_at = self.now
            self._strategy.over(job)
        self._strategy.free(worker, self)

    def _vanish(self, worker: Worker) -> None:
        """Everything of theirs stands still."""
        self._count(worker)
        worker.is_online = False
        for job in worker.foreground:
            job.token += 1
            job.minutes = job.ends_at - self.now
        self._pace(worker)

    def _give_back(self, worker: Worker) -> None:
        """What they had goes to others with its age: conversations where they stopped, answers from the beginning."""
        if not self._strategy.takes_back:
            return
        for job in worker.foreground:
            level = worker.person.levels.get(job.ticket.topic)
            if level is not None:
                job.left = job.minutes / factor_of(level)
        jobs = [*worker.foreground, *(job for _, _, job in worker.background)]
        worker.foreground, worker.background = [], []
        worker.primary = worker.interruptible = worker.calls = 0
        worker.changes += 1
        for job in sorted(jobs, key=lambda job: job.ticket.number):
            del self._holders[job.ticket.number]
            self._await(job)

    def _return(self, worker: Worker) -> None:
        """Back, and on with whatever is still theirs."""
        self._count(worker)
        worker.is_online = True
        for job in worker.foreground:
            job.token += 1
            job.ends_at = self.now + job.minutes
            self._plan(job.ends_at, _What.END, job.ticket.number, job.token)
        worker.idle_since = self.now
        self._pace(worker)
        self._strategy.free(worker, self)

    def _count(self, worker: Worker) -> None:
        """Bring what somebody has worked up to now."""
        if worker.speed > 0 or worker.primary:
            in_day = min(self.now, self.day.length) - min(worker.at, self.day.length)
            if worker.is_online:
                worker.busy += in_day * (worker.primary + worker.interruptible * worker.speed)
            worker.virtual += (self.now - worker.at) * worker.speed
        worker.at = self.now

    def _pace(self, worker: Worker) -> None:
        """How fast interruptible work goes from now on, and when the first of it will be done."""
        worker.changes += 1
        worker.wakes += 1
        if not worker.is_online:
            worker.speed = 0.0
        elif worker.interruptible:
            worker.speed = min(1.0, (CAPACITY - worker.primary) / worker.interruptible)
            if worker.speed > 0:
                wait = max(worker.background[0][0] - worker.virtual, 0.0) / worker.speed
                self._plan(self.now + wait, _What.WAKE, worker.number, worker.wakes)
        else:
            worker.speed = 1.0

    def _plan(self, at: float, what: _What, number: int, token: int = 0) -> None:
        heappush(self._events, (at, next(self._sequence), what, number, token))
