"""One ticket, many orders of arrival, on a real database: the rows end the same, and so do the pages."""

import random
from datetime import datetime, timedelta
from typing import Any

from shared.contract.events import (
    Assigned,
    Data,
    DeadlineSet,
    Feedback,
    Opened,
    Replied,
    StatusChanged,
    TicketEvent,
    Updated,
)
from shared.contract.tickets import Author, Status, TargetKind, Urgency
from tests.integration.escalation.whole_desk import START, Desk

ORDERS = 30
POLICY = """
calendars: {office: {timezone: Europe/Berlin, hours: {mon-fri: "09:00-17:00"}}, always: {hours: always}}
targets:
  - {name: urgent, when: {urgency: urgent}, calendar: always, first_response: 30m, next_response: 20m, resolution: 2h, warn: [50%], escalate: wake}
  - {name: rest, calendar: office, first_response: 2h, next_response: 1h, update: 3h, resolution: 5h, ownership: 30m, warn: [75%], escalate: wake}
  - {name: red team, kind: internal, when: {team: red}, calendar: office, resolution: 90m, escalate: wake}
escalations:
  wake: {steps: [{after: 0m, page: [person/ana]}, {after: 10m, page: [person/ben]}], otherwise: [person/ana]}
"""
LIFE: list[tuple[float, Data]] = [
    (0, Opened(channel="email", team="blue")),
    (20, Replied(by=Author.CUSTOMER)),
    (40, Assigned(team="red")),
    (65, Replied(by=Author.AGENT)),
    (65, StatusChanged(status=Status.PENDING_CUSTOMER)),
    (150, Replied(by=Author.CUSTOMER)),
    (150, StatusChanged(status=Status.OPEN)),
    (160, Updated(urgency=Urgency.URGENT)),
    (170, DeadlineSet(target=TargetKind.RESOLUTION, due_at=START + timedelta(minutes=400))),
    (215, Replied(by=Author.AGENT)),
    (300, StatusChanged(status=Status.SOLVED)),
    (320, Feedback(score=4)),
    (350, StatusChanged(status=Status.OPEN)),
    (355, Assigned(team="blue")),
    (380, Updated(urgency=Urgency.LOW)),
]
CLOCKS = """
SELECT target, cycle, state, matched, policy_version, started_at, due_at, breached_at, NULL AS met_at, NULL AS ended_at, open_used
FROM clock WHERE ticket_id = $1
UNION ALL
SELECT target, cycle, state, matched, policy_version, started_at, due_at, breached_at, met_at, ended_at, open_used
FROM clock_finished WHERE ticket_id = $1 AND NOT (state = 'cancelled' AND breached_at IS NULL)
ORDER BY target, cycle
"""
TOLD = """
SELECT count(*) FILTER (WHERE kind LIKE '%.clock.breached') AS breached,
       count(*) FILTER (WHERE kind LIKE '%.clock.breach_retracted') AS retracted
FROM (SELECT unnest(subjects) AS kind, convert_from(unnest(payloads), 'utf8')::jsonb AS payload FROM outbox) said
WHERE payload ->> 'subject' = $1
"""
LIVE = """
SELECT e.target, e.cycle FROM escalation e WHERE e.ticket_id = $1 AND e.state <> 'resolved' AND e.reason = 'breached'
ORDER BY e.target, e.cycle
"""
BROKEN = "SELECT target, cycle FROM clock WHERE ticket_id = $1 AND state = 'breached' ORDER BY target, cycle"


def event(ticket: str, n: int, minutes: float, data: Data) -> TicketEvent:
    """One event of a ticket's life."""
    return TicketEvent(
        tenant="default", id=f"{ticket}-{n}", source="zendesk", ticket=ticket,
        occurred_at=START + timedelta(minutes=minutes), data=data,
    )  # fmt: skip


async def test_rule_42_dozens_of_orders_end_in_the_same_rows_and_pages(desk: Desk, world: Any) -> None:
    """Shuffled, repeated, early by minutes and late by most of a day, with firing and paging in between, through the router's intake.

    Each ticket lives the same life; the first hears of it in order. All end with its clocks, every breach that does not
    stand was taken back, and escalations are live for just the clocks that are broken.
    """
    await desk.apply(POLICY)
    seed = random.Random(42)
    arrivals: list[tuple[datetime, TicketEvent]] = []
    tickets = [str(number) for number in range(ORDERS)]
    for number, ticket in enumerate(tickets):
        for n, (minutes, data) in enumerate(LIFE):
            happened = event(ticket, n, minutes, data)
            for _ in range(1 if number == 0 else seed.choice((1, 1, 2))):
                delay = 0.0 if number == 0 else seed.choice((-4, 0, 0, 30, 200, 1_200)) + seed.random()
                arrivals.append((max(happened.occurred_at + timedelta(minutes=delay), START), happened))
    arrivals.sort(key=lambda one: one[0])
    since = START
    batch: list[TicketEvent] = []
    for at, happened in [*arrivals, (START + timedelta(days=2), arrivals[0][1])]:
        if at >= since + timedelta(minutes=45):
            await desk.world_at((at - START) / timedelta(minutes=1))
            await desk.arrives(*batch)
            await world.drain()
            since, batch = at, []
        batch.append(happened)
    await desk.broke(minutes=7 * 24 * 60)

    ids = dict(await world.pool.fetch("SELECT external_id, id FROM ticket"))
    expected = [dict(row) for row in await world.pool.fetch(CLOCKS, ids["0"])]
    assert {"breached", "met"} <= {row["state"] for row in expected}
    retracted = 0
    for ticket in tickets:
        assert expected == [dict(row) for row in await world.pool.fetch(CLOCKS, ids[ticket])], ticket
        [told] = await world.pool.fetch(TOLD, ticket)
        assert sum(row["breached_at"] is not None for row in expected) == told["breached"] - told["retracted"]
        retracted += told["retracted"]
        assert await world.pool.fetch(BROKEN, ids[ticket]) == await world.pool.fetch(LIVE, ids[ticket])
    assert retracted
    await assert_no_page_stays_open(world)


async def assert_no_page_stays_open(world: Any) -> None:
    """Whoever was paged for an escalation that is over has heard so, once for each page."""
    over = "SELECT p.id::text FROM page p JOIN escalation e ON e.id = p.escalation_id WHERE p.kind <> 'resolve' AND p.state = 'accepted' AND p.told_by IS NULL AND e.state = 'resolved' ORDER BY 1"
    heard = "SELECT jsonb_array_elements_text(body -> 'resolves') FROM page WHERE kind = 'resolve' AND state = 'accepted' AND group_id IS NULL ORDER BY 1"
    triggered = [row[0] for row in await world.pool.fetch(over)]
    assert triggered
    assert triggered == [row[0] for row in await world.pool.fetch(heard)]
