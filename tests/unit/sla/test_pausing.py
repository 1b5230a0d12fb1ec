"""Pauses found by search: what a walk through them finds, without the walk."""

import random
from collections.abc import Sequence

import pytest

from shared.contract.tickets import Status
from shared.sla.calendar import NEVER, Calendar, to_microseconds
from shared.sla.pausing import Pause, Pauses, Table
from tests.unit.sla.building import (
    ALWAYS,
    NEXT,
    OFFICE,
    RESOLUTION,
    UPDATE,
    WAITING,
    at,
    h,
    opened,
    place,
    policy,
    target,
)
from tests.unit.sla.building import status as becomes

QUARTER = 900_000_000


def walked(pauses: Sequence[Pause], calendar: Calendar, position: int, instant: int) -> int:
    """When a position is reached, one pause after the other."""
    paused = 0
    for pause in pauses:
        if instant < pause.since:
            break
        if pause.until is None:
            return NEVER
        paused += calendar.position(pause.until) - calendar.position(pause.since)
        instant = max(calendar.instant(position + paused) if paused else instant, pause.until)
    return instant


@pytest.mark.parametrize("seed", range(40))
def test_a_search_finds_what_a_walk_finds(seed: int) -> None:
    """Windows that cut pauses, pauses that touch or last, positions reached on their edges: the same answers."""
    rng = random.Random(seed)
    start = to_microseconds(at("09:00"))
    told = [(start, Status.OPEN)]
    for _ in range(rng.randrange(40)):
        told.append((told[-1][0] + QUARTER * rng.choice((0, 1, 2, 20, 60)), rng.choice((*WAITING, Status.OPEN))))
    table = Table(told, WAITING)
    for _ in range(40):
        calendar = rng.choice((OFFICE, ALWAYS))
        since = start + QUARTER * rng.randrange(200)
        until = rng.choice((None, since + QUARTER * rng.randrange(400)))
        pauses = Pauses(table, since, until)
        position = calendar.position(since) + QUARTER * rng.randrange(1, 120)
        instant = calendar.instant(position)
        assert walked(list(pauses), calendar, position, instant) == pauses.reached(calendar, position, instant)
        end = since + QUARTER * rng.randrange(300)
        spent = sum(
            calendar.position(min(pause.until or NEVER, end)) - calendar.position(pause.since)
            for pause in pauses
            if pause.since < end
        )
        assert spent == pauses.open_time(calendar, end)
        inside = [pause for pause in pauses if pause.since <= end < (pause.until or NEVER)]
        assert (inside[0].until or NEVER if inside else end) == pauses.end_of(end)


def test_rule_35_a_pause_that_goes_on_at_the_instant_it_ends_is_one() -> None:
    """On hold, open and on hold again within one instant."""
    ten, eleven, noon = (to_microseconds(at(hour)) for hour in ("10:00", "11:00", "12:00"))
    told = [(ten, Status.ON_HOLD), (eleven, Status.OPEN), (eleven, Status.PENDING_CUSTOMER), (noon, Status.OPEN)]
    assert [Pause(ten, noon)] == list(Pauses(Table(told, WAITING), ten, None))


def test_a_ticket_reopened_again_and_again_costs_each_time_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the log asks the calendars twice as much, not four times: nobody waits for a loop of somebody's making."""
    asked = 0
    position = Calendar.position

    def counted(calendar: Calendar, instant: int) -> int:
        nonlocal asked
        asked += 1
        return position(calendar, instant)

    monkeypatch.setattr(Calendar, "position", counted)
    rules = policy(target({NEXT: h(1), UPDATE: h(2), RESOLUTION: h(900)}))

    def effort(cycles: int) -> int:
        nonlocal asked
        asked = 0
        log = [opened("09:00")]
        for n in range(cycles):
            day, minute = n // 480 + 1, f"{9 + n % 480 // 60:02}:{n % 60:02}"
            log += [becomes(f"{day} {minute}:10", Status.SOLVED), becomes(f"{day} {minute}:40", Status.OPEN)]
        assert cycles + 1 == len(
            [clock for clock in place(log, rules, "30 09:00").clocks if clock.target is RESOLUTION]
        )
        return asked

    assert effort(400) < 2.5 * effort(200)
