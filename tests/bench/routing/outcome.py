"""What became of one day under one policy, in figures that can be added up over days."""

from collections.abc import Callable

from msgspec import Struct

from services.router.domain.roster import flexes
from tests.bench.routing.day import Day
from tests.bench.routing.model import CAPACITY
from tests.bench.routing.office import Job, Office, State, Strategy
from tests.bench.routing.production import profiles

_ROUNDING = 1e-9


class Count(Struct):
    """So many of so many."""

    good: int = 0
    all: int = 0

    @property
    def part(self) -> float:
        """From 0 to 1; 1 of nothing."""
        return self.good / self.all if self.all else 1.0


class Outcome(Struct, frozen=True, kw_only=True):
    """One day under one policy. What was never answered was not answered in time."""

    in_target: Count
    weight_in_target: float
    weight: float
    gave_up: Count
    """Of the customers who would at some time."""
    by_channel: dict[str, Count]
    by_class: dict[str, Count]
    lateness: list[float]
    """In targets, of each answer that was late."""
    answered: int
    occupancy: list[tuple[float, float]]
    """Flexibility as the matcher sees it, and share of the day's units used; one for each agent."""

    @property
    def attainment(self) -> float:
        """Share answered in target."""
        return self.in_target.part


def play(day: Day, make: Callable[[Day], Strategy]) -> Outcome:
    """One day under one policy."""
    office = Office(day, make(day))
    office.run()
    return _measure(office)


def _measure(office: Office) -> Outcome:
    in_target, gave_up = Count(), Count()
    by_channel = {kind.channel.value: Count() for kind in office.day.kinds}
    by_class = {f"{topic + 1}/{language + 1}": Count() for topic, language in office.day.classes}
    weight_in_target = weight = 0.0
    answered = 0
    lateness = []
    for job in office.jobs:
        ticket, late = job.ticket, _lateness(job)
        is_good = late is not None and late <= _ROUNDING
        for count in (
            in_target,
            by_channel[job.kind.channel],
            by_class[f"{ticket.topic + 1}/{ticket.language + 1}"],
        ):
            count.all += 1
            count.good += is_good
        weight += ticket.weight
        weight_in_target += ticket.weight * is_good
        if job.kind.patience is not None:
            gave_up.all += 1
            gave_up.good += job.state is State.GONE
        if late is not None:
            answered += 1
            if not is_good:
                lateness.append(late)
    return Outcome(
        in_target=in_target,
        weight_in_target=weight_in_target,
        weight=weight,
        gave_up=gave_up,
        by_channel=by_channel,
        by_class=by_class,
        lateness=lateness,
        answered=answered,
        occupancy=[
            (flex, worker.busy / (CAPACITY * office.day.length))
            for flex, worker in zip(flexes(profiles(office.day)), office.workers, strict=True)
        ],
    )


def _lateness(job: Job) -> float | None:
    """In targets; negative before the due time, None where it was never answered."""
    return None if job.answered_at is None else (job.answered_at - job.ticket.due) / job.ticket.target
