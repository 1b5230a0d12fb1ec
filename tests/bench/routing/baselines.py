"""What helpdesks ship: one queue with simple orders and choices, or an owner for each ticket as it arrives.

All of them know skills and units as well as the production matcher does, and may interrupt the same work.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from shared.contract.tickets import Channel
from tests.bench.routing.day import Day
from tests.bench.routing.lines import Banded, Fixed, Line, Order
from tests.bench.routing.model import factor_of
from tests.bench.routing.office import Job, Office, Worker
from tests.bench.routing.production import place

_CHANNELS = (
    Channel.PHONE,
    Channel.LIVE_CHAT,
    Channel.MESSAGING,
    Channel.SOCIAL,
    Channel.EMAIL,
    Channel.SELF_SERVICE,
    Channel.OTHER,
)
"""The usual priorities of channels."""


def by_age(job: Job) -> Order:
    """First come, first served."""
    return (job.ticket.at,)


def by_priority(job: Job) -> Order:
    """The urgent first."""
    return (job.ticket.urgency.rank, job.ticket.at)


def by_channel(job: Job) -> Order:
    """Calls before chats before messages before mail."""
    return (_CHANNELS.index(job.kind.channel), job.ticket.at)


class RoundRobin:
    """Everybody in turn; who can't is passed over."""

    def __init__(self) -> None:
        self._last = -1

    def __call__(self, able: Sequence[Worker], office: Office) -> Worker:
        """Whose turn it is."""
        count = len(office.workers)
        chosen = min(able, key=lambda worker: (worker.number - self._last - 1) % count)
        self._last = chosen.number
        return chosen


def longest_idle(able: Sequence[Worker], office: Office) -> Worker:
    """Who hasn't begun or finished anything for the longest time."""
    return min(able, key=lambda worker: (worker.idle_since, worker.number))


def least_loaded(able: Sequence[Worker], office: Office) -> Worker:
    """Who has the fewest units; among these, whose turn it is."""
    return min(able, key=lambda worker: (worker.primary + worker.interruptible, _turn(worker), worker.number))


def _turn(worker: Worker) -> float:
    return -1.0 if worker.turn is None else worker.turn


Choose: TypeAlias = Callable[[Sequence[Worker], Office], Worker]
"""One of those who may be given the ticket."""


def _first(lines: Iterable[Line], now: float) -> Job | None:
    heads: list[tuple[Any, Job]] = [head for line in lines if (head := line.head(now))]
    return min(heads, key=lambda head: head[0])[1] if heads else None


class Queue:
    """One queue: whoever becomes free takes the first ticket that they can, and a new ticket goes to one of the free."""

    takes_back = True

    def __init__(self, day: Day, order: Callable[[Job], Order], choose: Choose) -> None:
        self._choose = choose
        lines = {(kind, *pair): Fixed(order) for kind in range(len(day.kinds)) for pair in day.classes}
        self._lines = lines
        self._able = {pair: [person.number for person in day.people if person.serves(*pair)] for pair in day.classes}
        self._served = [
            [[lines[kind, *pair] for pair in day.classes if person.serves(*pair)] for kind in range(len(day.kinds))]
            for person in day.people
        ]

    def arrive(self, job: Job, office: Office) -> None:
        """To one of those who can start, or into the queue."""
        workers, kind, ticket = office.workers, job.kind, job.ticket
        able = [workers[n] for n in self._able[job.topic, ticket.language] if workers[n].fits(kind)]
        if able:
            office.start(job, self._choose(able, office))
        else:
            self._lines[ticket.kind, job.topic, ticket.language].join(job, office.now)

    def free(self, worker: Worker, office: Office) -> None:
        """The first they can take, until nothing fits."""
        served = self._served[worker.number]
        while True:
            fitting = (
                line
                for kind, lines in zip(office.day.kinds, served, strict=True)
                if worker.fits(kind)
                for line in lines
            )
            job = _first(fitting, office.now)
            if job is None:
                return
            office.start(job, worker)

    def over(self, job: Job) -> None:
        """Nothing to forget: lines drop it when it comes up."""


class Push:
    """An owner for each ticket as it arrives; each works on their own list, and what is on it stays there."""

    takes_back = False

    def __init__(self, day: Day, choose: "ChooseOwner", line: Callable[[], Line]) -> None:
        self._choose = choose
        self._able = {pair: [person.number for person in day.people if person.serves(*pair)] for pair in day.classes}
        self._lists: list[list[Line]] = [[line() for _ in day.kinds] for _ in day.people]
        self._owned: dict[int, tuple[int, float]] = {}
        self.units = [0] * len(day.people)
        """Of everything that each has, begun or not."""
        self.work = [0.0] * len(day.people)
        """Expected unit-minutes of the same."""

    def arrive(self, job: Job, office: Office) -> None:
        """An owner among those who are there and can do it, or who can do it where none is there."""
        self.over(job)
        able = [office.workers[n] for n in self._able[job.topic, job.ticket.language]]
        owner = self._choose([worker for worker in able if worker.is_online] or able, self, office)
        work = job.kind.minutes * job.kind.units * factor_of(owner.person.levels[job.topic])
        self._owned[job.ticket.number] = (owner.number, work)
        self.units[owner.number] += job.kind.units
        self.work[owner.number] += work
        self._lists[owner.number][job.ticket.kind].join(job, office.now)
        self.free(owner, office)

    def free(self, worker: Worker, office: Office) -> None:
        """The first of their own list that fits, until nothing does."""
        lines = self._lists[worker.number]
        while True:
            fitting = (line for kind, line in zip(office.day.kinds, lines, strict=True) if worker.fits(kind))
            job = _first(fitting, office.now)
            if job is None:
                return
            office.start(job, worker)

    def over(self, job: Job) -> None:
        """It weighs on its owner no longer."""
        owned = self._owned.pop(job.ticket.number, None)
        if owned is not None:
            owner, work = owned
            self.units[owner] -= job.kind.units
            self.work[owner] -= work


ChooseOwner: TypeAlias = Callable[[Sequence[Worker], Push, Office], Worker]
"""One of those who can do it, whether or not they have room."""


def _fewest_units(able: Sequence[Worker], push: Push, office: Office) -> Worker:
    return min(able, key=lambda worker: (push.units[worker.number], _turn(worker), worker.number))


def _least_work(able: Sequence[Worker], push: Push, office: Office) -> Worker:
    return min(able, key=lambda worker: (push.work[worker.number], _turn(worker), worker.number))


def push_round_robin(day: Day) -> Push:
    """In turn, whatever they have."""
    choose = RoundRobin()
    return Push(day, lambda able, _, office: choose(able, office), lambda: Fixed(by_age))


def push_least_loaded(day: Day) -> Push:
    """To whoever has the fewest units on their list."""
    return Push(day, _fewest_units, lambda: Fixed(by_age))


def push_least_work(day: Day) -> Push:
    """To whoever should be done soonest; each list in the production order."""
    return Push(day, _least_work, lambda: Banded(place))
