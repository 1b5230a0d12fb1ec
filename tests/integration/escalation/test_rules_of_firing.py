"""Rules 59 to 64 of firing, on a real database and beside a router: once, in order, on time, and never by a stale wake-up."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from nats.aio.client import Client
from nats.js import JetStreamContext

from services.escalation import loop
from services.escalation.firing import Firing
from shared import timesource
from shared.contract.events import Opened, Replied, TicketEvent
from shared.contract.tickets import Author
from shared.jetstream.publish import open_publisher
from shared.jetstream.relay import Relay
from shared.runtime.periodic import Health
from tests.integration.escalation.whole_desk import OPEN, PENDING, START, Desk

OFFICE = """
calendars: {office: {timezone: Europe/Berlin, hours: {mon-fri: "09:00-17:00"}}, always: {hours: always}}
targets:
  - {name: all, calendar: CALENDAR, resolution: 1h, escalate: wake}
escalations:
  wake:
    steps: [{after: 0m, page: [person/ana]}, {after: 10m, page: [person/ben]}]
    repeat: 3
    otherwise: [person/ana]
"""


def broken(world: Any) -> list[str]:
    """The tickets whose breach was told, in the order in which it was."""
    return [str(one["ticket"]) for one in world.relay.data("clock.breached")]


async def test_rule_59_events_that_arrive_again_break_no_promise_again(desk: Desk, world: Any) -> None:
    """The whole log three times over, before, while and after its promise breaks: one breach, one escalation, one page."""
    log = [
        TicketEvent(tenant="default", id=f"{n}", source="zendesk", ticket="881", occurred_at=START, data=data)
        for n, data in enumerate((Opened(channel="email"), Replied(by=Author.AGENT), Replied(by=Author.CUSTOMER)))
    ]
    await desk.arrives(*log, *log)
    await desk.world_at(63)
    await asyncio.gather(
        *(Firing(world.pool, world.relay, world.metrics).run_once() for _ in range(2)),
        *(desk.arrives(*reversed(log)) for _ in range(2)),
    )
    await world.drain()
    await desk.arrives(*log)
    await world.drain()
    assert ["881"] == broken(world)
    assert 1 == len(await world.escalations())
    assert [("page", "ana")] == desk.sent()


async def test_rule_59_a_crash_between_the_commit_and_the_publication_tells_it_once(
    world: Any, nats_client: Client, jetstream: JetStreamContext, clock_control: Any
) -> None:
    """The process dies with the events in its outbox, the next one after it published them but before it noted so."""
    for number in range(20):
        await world.ticket(str(number), due_in=timedelta(minutes=1))
    await clock_control.advance(hours=1)
    await world.firing.run_once()  # its relay keeps what was posted, as a process that died then
    rows = await world.pool.fetch("UPDATE outbox SET written_at = written_at - interval '1 h' RETURNING *")
    publisher = await open_publisher(nats_client)
    await Relay(publisher, world.pool).sweep()
    await world.pool.executemany(
        "INSERT INTO outbox (id, written_at, subjects, payloads) VALUES ($1, $2, $3, $4)", [tuple(row) for row in rows]
    )
    await Relay(publisher, world.pool).sweep()
    assert 0 == await world.pool.fetchval("SELECT count(*) FROM outbox")
    info = await jetstream.stream_info("SLA", subjects_filter="sla.default.clock.breached")
    assert {"sla.default.clock.breached": 20} == info.state.subjects


async def test_rule_60_what_was_due_during_an_outage_fires_on_start_in_due_order(
    world: Any, clock_control: Any
) -> None:
    """Down 10:00 to 11:00 with 250 due: all at once, each at its due time, its lateness measured."""
    minutes = [(number * 37) % 250 for number in range(250)]
    for number, minute in enumerate(minutes):
        await world.ticket(str(number), due_in=timedelta(hours=2, seconds=minute * 14))
    back_at = await clock_control.freeze(START + timedelta(hours=3))

    assert 250 == await world.firing.run_backlog()

    in_order = [str(number) for number, _ in sorted(enumerate(minutes), key=lambda entry: entry[1])]
    assert in_order == broken(world)
    rows = await world.pool.fetch("SELECT due_at, breached_at, detected_at FROM clock")
    assert all(row["breached_at"] == row["due_at"] and row["detected_at"] == back_at for row in rows)
    told = world.relay.data("clock.breached")
    assert [one["due_at"] for one in told] == [one["at"] for one in told]
    sample = world.registry.get_sample_value
    assert 250 == sample("sla_firing_lag_seconds_count")
    late = sum((back_at - row["due_at"]).total_seconds() for row in rows)
    assert abs(late - (sample("sla_firing_lag_seconds_sum") or 0)) < 1


async def test_rule_61_skipped_warnings_are_recorded_and_counted(world: Any, clock_control: Any) -> None:
    """One warning was told in time; two more and the breach are overdue: the row and the metric know of the two."""
    warnings = [timedelta(hours=hours) for hours in (1, 2, 3)]
    await world.ticket(due_in=timedelta(hours=4), warn_in=warnings)
    await clock_control.freeze(START + timedelta(hours=1, seconds=1))
    await world.firing.run_once()
    await clock_control.freeze(START + timedelta(hours=9))
    await world.firing.run_once()
    assert ["clock.warned", "clock.breached"] == [one for one in world.relay.kinds() if one.startswith("clock.")]
    [row] = await world.pool.fetch("SELECT warn_at, warned, warned_at FROM clock")
    assert (3, START + timedelta(hours=1)) == (row["warned"], row["warned_at"])
    assert 2 == sum(at > row["warned_at"] for at in row["warn_at"])
    labels = {"target": "first_response", "channel": "email", "urgency": "high"}
    assert 1 == world.registry.get_sample_value("sla_warnings_total", labels)
    assert 2 == world.registry.get_sample_value("sla_warnings_skipped_total", labels)


async def test_rule_61_of_several_overdue_warnings_the_last_is_told(world: Any, clock_control: Any) -> None:
    """The others are skipped, and counted so."""
    await world.ticket(due_in=timedelta(hours=4), warn_in=[timedelta(hours=1), timedelta(hours=2)])
    await clock_control.freeze(START + timedelta(hours=3))
    await world.firing.run_once()
    [told] = world.relay.data("clock.warned")
    assert "2026-06-01T10:00:00Z" == told["at"]
    labels = {"target": "first_response", "channel": "email", "urgency": "high"}
    assert 1 == world.registry.get_sample_value("sla_warnings_skipped_total", labels)


async def test_rule_62_a_wake_up_for_a_deadline_that_has_moved_does_nothing(desk: Desk, world: Any) -> None:
    """It was due at 09:00 and firing was under way when a pause moved it: nothing fires, then or after."""
    await desk.opens()
    await desk.world_at(63)
    ticket = "SELECT FROM ticket FOR NO KEY UPDATE"
    async with world.pool.acquire() as held, held.transaction():
        await held.execute(ticket)  # as intake has it while it moves the deadline
        assert 0 == await world.firing.run_once()
    await desk.happens("881", PENDING, 10)
    await desk.happens("881", OPEN, 40)
    assert 0 == await world.firing.run_once()
    assert [] == broken(world)
    await desk.world_at(91)
    assert 1 == await world.firing.run_once()
    assert ["881"] == broken(world)


async def test_rule_62_a_deadline_that_moves_while_it_fires_ends_well_whoever_is_first(desk: Desk, world: Any) -> None:
    """Twenty tickets, two replicas, and a pause that comes late for each: a breach that was told is taken back, once."""
    tickets = [str(number) for number in range(20)]
    for ticket in tickets:
        await desk.opens(ticket)
    await desk.world_at(63)
    replicas = [Firing(world.pool, world.relay, world.metrics, batch=3) for _ in range(2)]

    async def fire(replica: Firing) -> None:
        for _ in range(6):
            await replica.run_once()

    async def move(some: Sequence[str]) -> None:
        for ticket in some:
            await desk.happens(ticket, PENDING, 50)

    await asyncio.gather(*(fire(replica) for replica in replicas), move(tickets[:10]), move(tickets[10:]))
    await world.drain()

    told, taken_back = (
        Counter(broken(world)),
        Counter(one["ticket"] for one in world.relay.data("clock.breach_retracted")),
    )
    assert told == taken_back
    assert {1} >= set(told.values())
    assert {"paused"} == {row["state"] for row in await world.pool.fetch("SELECT state FROM clock")}
    assert {"resolved"} >= {row["state"] for row in await world.escalations()}


async def test_rule_63_reminders_keep_to_the_calendar_of_the_promise(desk: Desk, world: Any) -> None:
    """Broken at 16:50 in Berlin: both are paged that day; the other walks and the end come in the morning, as many as told."""
    await desk.apply(OFFICE.replace("CALENDAR", "office"))
    opened_at = 5 * 60 + 50  # 15:50 in Berlin, in minutes after START, which is 10:00 there
    await desk.world_at(opened_at)
    await desk.happens("881", Opened(channel="email"), opened_at)
    assert [
        ("1 16:50", "ana"), ("1 17:00", "ben"),
        ("2 09:00", "ana"), ("2 09:10", "ben"), ("2 09:20", "ana"), ("2 09:30", "ben"), ("2 09:40", "ana"),
    ] == await lived(desk)  # fmt: skip
    assert 6 == world.relay.kinds().count("escalation.stepped")


async def test_rule_63_a_promise_around_the_clock_reminds_at_night(desk: Desk, world: Any) -> None:
    """The same ladder for a calendar that never closes."""
    await desk.apply(OFFICE.replace("CALENDAR", "always"))
    await desk.world_at(13 * 60)
    await desk.happens("881", Opened(channel="email"), 13 * 60)
    assert ["2 00:00", "2 00:10", "2 00:20", "2 00:30", "2 00:40", "2 00:50", "2 01:00"] == [
        at for at, _ in await lived(desk)
    ]


async def test_rule_63_a_reminder_made_due_at_night_waits_for_the_morning(desk: Desk, world: Any) -> None:
    """The engine was down from before the first reminder until midnight: nobody is mailed then."""
    await desk.apply(OFFICE.replace("CALENDAR", "office"))
    await desk.opens()
    await desk.broke(minutes=61)
    await desk.broke(minutes=71)
    await desk.broke(minutes=14 * 60)
    assert [("page", "ana"), ("page", "ben")] == desk.sent()
    [escalation] = await world.escalations()
    assert datetime(2026, 6, 2, 7, tzinfo=UTC) == escalation["next_step_at"]
    assert 2 == world.relay.kinds().count("escalation.stepped")


async def lived(desk: Desk) -> list[tuple[str, str]]:
    """Let everything come due, one thing after the other: whom the provider got a page for, and when in Berlin."""
    world, heard = desk.world, []
    due = """SELECT least((SELECT min(next_fire_at) + interval '1 microsecond' FROM clock),
                          (SELECT min(next_step_at) FROM escalation))"""
    while (at := await world.pool.fetchval(due)) is not None:
        await desk.world_at((at - START) / timedelta(minutes=1))
        before = len(world.provider.sent)
        await world.drain()
        berlin = at + timedelta(hours=2)
        heard += [(f"{berlin.day} {berlin:%H:%M}", page.person) for page in world.provider.sent[before:]]
    return heard


async def test_rule_64_the_databases_clock_jumping_back_fires_nothing_twice(desk: Desk, world: Any) -> None:
    """Five minutes back after the breach was paged, and an event comes meanwhile: all is as it was when the time returns."""
    await desk.opens()
    await desk.broke(minutes=62)
    told = Counter(world.relay.kinds())
    await desk.broke(minutes=57)
    await desk.happens("881", Replied(by=Author.CUSTOMER), 30)
    await desk.broke(minutes=58)
    await desk.broke(minutes=63)
    assert told == Counter(world.relay.kinds())
    assert [("page", "ana")] == desk.sent()
    [escalation] = await world.escalations()
    assert ("open", 1) == (escalation["state"], escalation["generation"])


async def test_rule_64_clocks_due_within_one_tick_are_not_lost(world: Any, clock_control: Any) -> None:
    """Two loops look, sleep and look again while 200 clocks come due a few milliseconds apart, and more come meanwhile."""
    for number in range(100):
        await world.ticket(str(number), due_in=timedelta(milliseconds=10 * number))
    stop, health = asyncio.Event(), Health()
    await clock_control.run(to=START, rate=1)
    loops = [
        asyncio.create_task(loop.follow(name, one.run_once, one.pulse, health=health, stop=stop))
        for name in ("first", "second")
        for one in [Firing(world.pool, world.relay, world.metrics)]
    ]
    for number in range(100, 200):
        await world.ticket(str(number), due_in=timedelta(milliseconds=10 * number))
    async with asyncio.timeout(20):
        while len(broken(world)) < 200:
            await health.next_success("first")
    stop.set()
    await asyncio.gather(*loops)
    assert {str(number): 1 for number in range(200)} == dict(Counter(broken(world)))


async def test_rule_64_only_the_databases_clock_decides(world: Any, clock_control: Any, monkeypatch: Any) -> None:
    """This host is a day ahead, then a day behind: what fires is what the database says is due."""
    await world.ticket(due_in=timedelta(hours=1))
    for days in (1, -1):
        off = days * 86_400.0
        real = timesource.unix_time
        with monkeypatch.context() as patch:
            patch.setattr("shared.timesource.unix_time", lambda real=real, off=off: real() + off)
            assert START + timedelta(hours=1) == (await world.firing.pulse()).due_at
            assert 0 == await world.firing.run_once()
            assert world.firing.halted is None
    await clock_control.freeze(START + timedelta(hours=1, seconds=1))
    assert 1 == await world.firing.run_once()
