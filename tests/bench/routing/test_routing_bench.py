"""The routing benchmark itself: fair, repeatable, and true to the production matcher; and on a small scale, its result."""

import pytest
from msgspec.structs import replace

from shared.contract.tickets import Channel
from tests.bench.routing import model, running, trace
from tests.bench.routing.__main__ import main
from tests.bench.routing.day import Day, draw
from tests.bench.routing.figures import gain, student
from tests.bench.routing.model import SCENARIOS, Trouble
from tests.bench.routing.office import Office, State
from tests.bench.routing.outcome import play
from tests.bench.routing.policies import OURS, POLICIES
from tests.bench.routing.production import Production

SMALL = replace(SCENARIOS["S3"], agents=7, load=0.9)
TROUBLED = replace(SMALL, trouble=Trouble(wrong_topic=0.2, absence=0.5))


def _played(day: Day, policy: str) -> Office:
    office = Office(day, POLICIES[policy](day))
    office.run()
    return office


def test_a_day_is_the_same_for_the_same_seed_only() -> None:
    """Tickets, people and draws follow from the seed."""
    one, again, other = draw(SMALL, 7), draw(SMALL, 7), draw(SMALL, 8)

    assert [ticket.minutes for ticket in one.tickets] == [ticket.minutes for ticket in again.tickets]
    assert [person.levels for person in one.people] == [person.levels for person in again.people]
    assert [ticket.minutes for ticket in one.tickets] != [ticket.minutes for ticket in other.tickets]


def test_results_do_not_depend_on_the_number_of_processes() -> None:
    """The same days give the same outcomes, in the order of the seeds."""
    policies = ("FIFO, longest idle", OURS)

    alone = running.run([SMALL], (1, 2, 3), policies=policies, processes=1)
    shared = running.run([SMALL], (1, 2, 3), policies=policies, processes=2)

    assert alone == shared


def test_what_goes_wrong_changes_nothing_else() -> None:
    """A sensitivity run has the tickets, draws and people of the scenario it troubles."""
    plain, troubled = draw(SMALL, 7), draw(TROUBLED, 7)

    assert [(one.at, one.minutes, one.topic) for one in plain.tickets] == [
        (one.at, one.minutes, one.topic) for one in troubled.tickets
    ]
    assert not plain.absences
    assert troubled.absences
    assert any(ticket.taken_for != ticket.topic for ticket in troubled.tickets)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    "scenario", [SMALL, TROUBLED, replace(SCENARIOS["S4"], agents=6)], ids=["calm", "troubled", "async"]
)
def test_every_ticket_ends_and_nobody_is_overloaded(scenario: model.Scenario, policy: str) -> None:
    """Each is done, or its customer gave up before anybody answered; each was done by somebody who can."""
    day = draw(scenario, 5)
    office = _played(day, policy)

    assert {job.state for job in office.jobs} <= {State.DONE, State.GONE}
    assert all(job.answered_at is not None for job in office.jobs if job.state is State.DONE)
    assert all(job.answered_at is None for job in office.jobs if job.state is State.GONE)
    assert all(worker.primary == worker.interruptible == worker.calls == 0 for worker in office.workers)
    assert all(worker.busy <= model.CAPACITY * day.length for worker in office.workers)


@pytest.mark.parametrize("scenario", [SMALL, TROUBLED], ids=["calm", "troubled"])
def test_looking_at_what_changed_finds_what_looking_at_everything_finds(scenario: model.Scenario) -> None:
    """The short cut of the benchmark does not change what the production matcher decides."""
    day = draw(scenario, 3)

    assert play(day, Production) == play(day, lambda day: Production(day, is_whole=True))


def test_interruptible_work_waits_for_a_call() -> None:
    """An email of six units stands still while its agent is on the phone, and goes on afterwards."""
    day = draw(SMALL, 1)
    kinds = {kind.channel: number for number, kind in enumerate(day.kinds)}
    person = replace(day.people[0], number=0, levels={0: 3}, languages=frozenset({0}))
    email, call = (
        replace(
            day.tickets[0], number=n, at=at, kind=kinds[channel], topic=0, taken_for=0, language=0, minutes=10, patience=99,
            target=99,
        )
        for n, (channel, at) in enumerate([(Channel.EMAIL, 0.0), (Channel.PHONE, 4.0)])
    )  # fmt: skip
    office = _played(replace(day, people=(person,), tickets=(email, call)), OURS)
    minutes = 10 * model.factor_of(3)

    assert office.jobs[1].answered_at == 4
    assert office.jobs[0].answered_at == pytest.approx(2 * minutes)


def test_it_wins_clearly_where_targets_are_tight() -> None:
    """On a few small days, over each baseline; `make bench-routing` says how much on many."""
    small = replace(SCENARIOS["S4"], agents=10)
    results = running.run([small], model.held_out(5, 5))[0]

    gains = {name: gain(results[OURS], outcomes) for name, outcomes in results.items() if name != OURS}

    assert {} == {name: found for name, found in gains.items() if found.mean <= 1}
    assert gains["FIFO, longest idle"].lower > 5


def test_a_real_day_is_replayed_as_it_came_in() -> None:
    """The trace has its own arrivals: the city's on that weekday."""
    city = trace.scenario()
    tuesday, same, wednesday = (trace.draw(city, seed) for seed in (1, 6, 2))

    assert [ticket.at for ticket in tuesday.tickets] == [ticket.at for ticket in same.tickets]
    assert [ticket.at for ticket in tuesday.tickets] != [ticket.at for ticket in wednesday.tickets]
    assert [ticket.minutes for ticket in tuesday.tickets] != [ticket.minutes for ticket in same.tickets]


@pytest.mark.parametrize(("freedom", "quantile"), [(5, 2.571), (9, 2.262), (29, 2.045), (99, 1.984)])
def test_intervals_are_students(freedom: int, quantile: float) -> None:
    """As the tables have it."""
    assert student(freedom) == pytest.approx(quantile, abs=0.002)


def test_a_missed_mark_fails_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Two days prove nothing in S5; the exit code says so, and so does the table."""
    code = main(["--scenario", "S5", "--seeds", "2", "--channels", "email=1,messaging=1", "--topics", "1,1,1,1"])

    assert ("MISSED" in capsys.readouterr().out) == (code == 1)
