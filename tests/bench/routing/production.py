"""The policy under test: `place_in_queue` and `match` as the router calls them, on a simulated office.

Between two runs nothing waits that somebody could take, so a run looks at what changed: a ticket that came, or the lines
of one agent with more room. `is_whole` shows the matcher all lines each time; what comes out is the same (a test holds it
to that).
"""

from datetime import timedelta
from uuid import UUID

from msgspec.structs import replace

from services.router.domain.match import match
from services.router.domain.queue import Band, QueueEntry, place_in_queue
from services.router.domain.roster import Agent, Profile
from shared.contract.tickets import Channel
from shared.policy.document import ChannelRule
from tests.bench.routing.day import Day
from tests.bench.routing.instants import instant
from tests.bench.routing.lines import Banded, Placed
from tests.bench.routing.model import CAPACITY
from tests.bench.routing.office import Job, Office, Worker

_POOL = "bench"


def place(job: Job, now: float) -> QueueEntry:
    """Where the production queue puts a ticket at an instant."""
    ticket = job.ticket
    return place_in_queue(
        ticket_id=UUID(int=ticket.number),
        tenant=_POOL,
        pool=_POOL,
        channel=job.kind.channel,
        rule=ChannelRule(units=job.kind.units, interruptible=job.kind.interruptible),
        needs=((f"topic-{job.topic}", 1), (f"lang:{ticket.language}", 1)),
        prefers=(),
        urgency=ticket.urgency,
        queued_at=instant(ticket.at),
        due_at=instant(ticket.due),
        promised=timedelta(minutes=ticket.target),
        now=instant(now),
    )


def place_by_due_time(job: Job, now: float) -> QueueEntry:
    """Earliest deadline first: the production queue with everything in one band, in which only the due time counts."""
    entry = place(job, now)
    return replace(entry, band=Band.RESCUE, order_rank=0, order_at=entry.due_at)


def profiles(day: Day) -> list[Profile]:
    """The people as the roster knows them."""
    channels = frozenset(Channel)
    return [
        Profile(
            skills={f"topic-{topic}": level for topic, level in sorted(person.levels.items())}
            | {f"lang:{language}": 5 for language in sorted(person.languages)},
            channels=channels,
        )
        for person in day.people
    ]


class Production:
    """The production matcher as a policy."""

    takes_back = True

    def __init__(self, day: Day, place: Placed = place, *, is_whole: bool = False) -> None:
        self._place = place
        self._is_whole = is_whole
        self._profiles = profiles(day)
        self._agents: list[tuple[int, Agent]] = [(-1, _agent(n, one)) for n, one in enumerate(self._profiles)]
        classes = [(kind, *pair) for kind in range(len(day.kinds)) for pair in day.classes]
        self._lines = {name: Banded(place) for name in classes}
        self._able = {pair: [person.number for person in day.people if person.serves(*pair)] for pair in day.classes}
        self._served = [
            [
                [self._lines[kind, *pair] for pair in day.classes if person.serves(*pair)]
                for kind in range(len(day.kinds))
            ]
            for person in day.people
        ]

    def arrive(self, job: Job, office: Office) -> None:
        """One run for the new ticket, with everybody, unless nobody has room; what nobody can take joins its line."""
        entry = self._place(job, office.now)
        if self._is_whole:
            self._line(job).add(job, entry)
            self._run_whole(office)
            return
        if any(office.workers[number].fits(job.kind) for number in self._able[job.topic, job.ticket.language]):
            for choice in match([entry], self._everybody(office), instant(office.now)).chosen:
                office.start(job, office.workers[_number(choice.agent)])
                return
        self._line(job).add(job, entry)

    def free(self, worker: Worker, office: Office) -> None:
        """Runs over the heads of all lines they serve, until nothing fits any more: as the router reads its queue."""
        if self._is_whole:
            self._run_whole(office)
            return
        while True:
            heads = [
                first
                for kind, lines in zip(office.day.kinds, self._served[worker.number], strict=True)
                if worker.fits(kind)
                for line in lines
                if (first := line.first(office.now))
            ]
            if not heads:
                return
            entries = [entry for entry, _ in heads]
            matched = match(entries, self._everybody(office), instant(office.now), ends=entries)
            if not matched.chosen:
                return
            jobs = {entry.ticket_id: job for entry, job in heads}
            for choice in matched.chosen:
                office.start(jobs[choice.ticket.ticket_id], office.workers[_number(choice.agent)])

    def over(self, job: Job) -> None:
        """Nothing to forget: lines drop it when it comes up."""

    def _run_whole(self, office: Office) -> None:
        while True:
            heads = [first for line in self._lines.values() if (first := line.first(office.now))]
            entries = [entry for entry, _ in heads]
            jobs = {entry.ticket_id: job for entry, job in heads}
            matched = match(entries, self._everybody(office), instant(office.now), ends=entries)
            if not matched.chosen:
                return
            for choice in matched.chosen:
                office.start(jobs[choice.ticket.ticket_id], office.workers[_number(choice.agent)])

    def _line(self, job: Job) -> Banded:
        return self._lines[job.ticket.kind, job.topic, job.ticket.language]

    def _everybody(self, office: Office) -> list[Agent]:
        return [self._as_is(worker) for worker in office.workers]

    def _as_is(self, worker: Worker) -> Agent:
        changes, agent = self._agents[worker.number]
        if changes != worker.changes:
            agent = Agent(
                key=agent.key,
                profile=agent.profile,
                capacity=CAPACITY,
                is_online=worker.is_online,
                primary_used=worker.primary,
                interruptible_used=worker.interruptible,
                calls=worker.calls,
                last_assigned_at=None if worker.turn is None else instant(worker.turn),
            )
            self._agents[worker.number] = (worker.changes, agent)
        return agent


def _agent(number: int, profile: Profile) -> Agent:
    return Agent(key=f"{number:04}", profile=profile, capacity=CAPACITY, is_online=True)


def _number(key: str) -> int:
    return int(key)
