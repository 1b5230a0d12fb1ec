"""Whatever happens to a ticket and its escalation, in any order: nothing is lost, nothing is live twice, nobody is woken in vain."""

import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from services.escalation.answering import Wanted
from services.escalation.domain.answer import Action
from services.escalation.raising import Raising, Seen
from shared.contract.events import Assigned, DeadlineSet, Updated
from shared.contract.tickets import TargetKind, Urgency
from tests import effort
from tests.integration.escalation.whole_desk import OPEN, PENDING, SOLVED, START, Desk

LIVES = effort.examples(1)
MOMENTS = 20
POLICY = """
calendars: {always: {hours: always}}
targets:
  - {name: urgent, when: {urgency: urgent}, calendar: always, resolution: 30m, warn: [50%], escalate: fast}
  - {name: all, calendar: always, resolution: 1h, warn: [50%], escalate: wake}
on_call: {support: {timezone: UTC, rotation: daily, handoff: "10:30", people: [ana, ben]}}
escalations:
  wake:
    steps: [{after: 0m, page: [on-call/support, person/ben], answers: all}, {after: 10m, page: person/ben}, {after: 0m, page: person/ana}]
    repeat: 2
    otherwise: person/ana
    silence: {high: 30m, urgent: 10m}
    handoff: hand_over
    ends_after: 12h
  fast: {steps: [{after: 0m, page: person/ana}, {after: 5m, counts: open, page: person/ben}], otherwise: person/ben, copy: person/ana}
"""


class Life:
    """One ticket, and what happens to it."""

    def __init__(self, desk: Desk, world: Any, seed: int) -> None:
        self.desk = desk
        self.world = world
        self.chance = random.Random(seed)
        self.at = 0.0
        self.raising = Raising(world.pool, world.shelf, world.relay, world.metrics)
        self.told: list[str] = []

    async def moment(self) -> None:
        """Time passes, something happens, and all that follows is done."""
        self.at += self.chance.choice((0, 0, 1, 3, 4, 9, 11, 20, 45))
        await self.desk.world_at(self.at)
        if self.chance.random() < 0.5:
            await self.world.drain()
        actions: list[Callable[[], Awaitable[None]]] = [
            self.turns, self.turns, self.turns, self.moves, self.goes, self.answers, self.answers, self.answers, self.goes_up,
        ]  # fmt: skip
        action = self.chance.choice(actions)
        self.told.append(f"{self.at:g} {action.__name__}")
        await action()
        await self.world.drain()
        await self.world.tidying.run_once()

    async def turns(self) -> None:
        await self.desk.happens("881", self.chance.choice((PENDING, PENDING, OPEN, OPEN, OPEN, SOLVED)), self.at)

    async def moves(self) -> None:
        due = START + timedelta(minutes=self.at + self.chance.choice((-20, 5, 90)))
        await self.desk.happens(
            "881", DeadlineSet(target=TargetKind.RESOLUTION, due_at=due), self.at - self.chance.choice((0, 30))
        )

    async def goes(self) -> None:
        data = self.chance.choice(
            (Assigned(team="red"), Assigned(team="blue"), Updated(urgency=self.chance.choice(list(Urgency))))
        )
        await self.desk.happens("881", data, self.at)

    async def answers(self) -> None:
        live = [one for one in await self.world.escalations() if one["state"] != "resolved"]
        if live:
            action = self.chance.choice(list(Action))
            until = START + timedelta(minutes=self.at + 40) if action is Action.SNOOZE else None
            by = self.chance.choice(("ana", "ben"))
            await self.world.answering.by_key("default", live[0]["id"], by, Wanted(action=action, until=until))

    async def goes_up(self) -> None:
        for one in await self.world.escalations():
            seen = Seen(generation=one["generation"], loop=one["loop"], step=one["step"])
            await self.raising.send_up("default", one["id"], seen, by="ana")

    async def check(self) -> None:
        """What holds at any moment."""
        now = START + timedelta(minutes=self.at)
        for one in await self.world.escalations():
            is_warned = one["reason"] == "warned"
            match one["state"]:
                case "open":
                    assert one["next_step_at"] or one["held_for"] is not None or is_warned, (self.told, one)
                    assert one["next_step_at"] is None or one["next_step_at"] > now, (self.told, one)
                case "acknowledged":
                    assert one["acknowledged_by"], (self.told, one)
                    assert one["wakes_at"] is None or one["wakes_at"] > now, (self.told, one)
                case "resolved":
                    assert one["resolution"], (self.told, one)
        stale = await self.world.pool.fetch(
            "SELECT p.kind, p.state, e.state FROM page p JOIN escalation e ON e.id = p.escalation_id"
            " WHERE p.state IN ('pending', 'sending') AND p.kind <> 'resolve' AND e.state IN ('acknowledged', 'resolved')"
        )
        assert [] == stale, self.told
        broken = await self.world.pool.fetch("SELECT target, cycle FROM clock WHERE state = 'breached'")
        live = await self.world.pool.fetch(
            "SELECT target, cycle FROM escalation WHERE reason IN ('breached', 'manual') AND (state <> 'resolved' OR resolution = 'expired')"
        )
        assert set(broken) <= set(live), self.told


@pytest.mark.parametrize("seed", range(LIVES))
async def test_whatever_happens_in_any_order_somebody_has_it_or_is_paged(desk: Desk, world: Any, seed: int) -> None:
    """Pauses, deadlines, teams, urgencies, answers, snoozes, hand-backs and hands at any time: what must hold, holds."""
    await desk.apply(POLICY)
    await desk.opens()
    await desk.happens("881", Assigned(team="blue"), 0)
    life = Life(desk, world, seed)
    for _ in range(MOMENTS):
        await life.moment()
        await life.check()
    await desk.world_at(life.at)
    await desk.happens("881", SOLVED, life.at)
    await desk.broke(minutes=life.at + 900)
    assert {"resolved"} >= {str(one["state"]) for one in await world.escalations()}, life.told
    sent = [page.id for page in world.provider.sent]
    assert len(sent) == len(set(sent)), life.told
