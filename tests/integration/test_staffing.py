"""Who was missing in the last weeks: waits as matching writes them, and the report of them, in virtual time."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from services.router import reports
from services.router.assignment import Assignment
from services.router.domain.queue import QueueEntry, place_in_queue, signature
from services.router.domain.staffing import Lack, Line, Staffing
from services.router.metrics.assignment import AssignmentMetrics
from services.router.reconciling import FORGET_BATCH, Reconciling
from services.router.reports import StaffingQuestion
from services.router.store import queue as queue_store
from shared import ids
from shared.contract.tickets import Channel, Urgency
from shared.ledger.policies import PolicyShelf
from shared.postgres.pool import Pool
from tests.conftest import ClockControl
from tests.integration.desk import RULES, Ears, finish, give, make

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 6, 1, 12, tzinfo=BERLIN)
"""The window of four weeks begins here."""
END = MONDAY + timedelta(weeks=4)
CHAT = Channel.LIVE_CHAT


class Desk:
    """A desk whose time goes by, with tickets that come and go."""

    def __init__(self, pool: Pool, clock: ClockControl) -> None:
        self.pool = pool
        self.assignment: Assignment = make(pool)
        self._clock = clock

    async def at(self, when: datetime) -> None:
        """Time stands still there."""
        await self._clock.freeze(when.astimezone(UTC))

    async def hire(self, key: str, skills: Sequence[str], status: str = "offline", capacity: int = 12) -> None:
        """Somebody on the roster."""
        await self.pool.execute(
            """INSERT INTO agent (tenant, key, name, skills, channels, status, capacity)
               VALUES ('default', $1, $1, $2, $3, $4, $5)""",
            key,
            msgspec.json.encode(dict.fromkeys(skills, 3)),
            list(RULES),
            status,
            capacity,
        )

    async def tell(self, key: str, status: str) -> None:
        """They come or go."""
        await self.pool.execute("UPDATE agent SET status = $2 WHERE key = $1", key, status)
        await self.run()

    async def come(
        self, when: datetime, channel: Channel, *skills: str, pool: str = "default", tenant: str = "default"
    ) -> QueueEntry:
        """A ticket comes, and whoever is free gets it."""
        await self.at(when)
        now = when.astimezone(UTC)
        needs = tuple((skill, 1) for skill in skills)
        entry = place_in_queue(
            ticket_id=ids.uuid7(now),
            tenant=tenant,
            pool=pool,
            channel=channel,
            rule=RULES[channel],
            needs=needs,
            prefers=(),
            urgency=Urgency.NORMAL,
            queued_at=now,
            due_at=now + timedelta(hours=1),
            promised=timedelta(hours=1),
            now=now,
        )
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(
                """INSERT INTO ticket (id, tenant, source, external_id, status, opened_at, channel, needs, pool, policy_version)
                   VALUES ($1::uuid, $2, 'shop', $1::uuid::text, 'open', $3, $4, $5, $6, 0)""",
                entry.ticket_id,
                tenant,
                now,
                channel,
                msgspec.json.encode(needs),
                pool,
            )
            await queue_store.enqueue_new(connection, [entry])
        await self.run(pool, tenant)
        return entry

    async def leave(self, when: datetime, *tickets: QueueEntry) -> None:
        """Tickets are solved, or given up by who wrote them."""
        await self.at(when)
        await finish(self.pool, *(ticket.ticket_id for ticket in tickets), now=when)
        await self.run()

    async def run(self, pool: str = "default", tenant: str = "default") -> None:
        """What matching does whenever something happened."""
        await self.assignment.run(tenant, pool, refresh=True)

    async def report(self, tenant: str = "default", **asked: object) -> Staffing:
        """Of the last weeks."""
        question = StaffingQuestion(**{"timezone": "Europe/Berlin", **asked})  # type: ignore[arg-type]
        async with self.pool.acquire() as connection:
            return await reports.staffing(connection, PolicyShelf(), tenant, question)

    async def waits(self) -> list[tuple[UUID, str, float]]:
        """Ticket, reason and minutes of each stretch."""
        rows = await self.pool.fetch("SELECT * FROM wait ORDER BY since, until, ticket_id")
        return [(row["ticket_id"], row["reason"], (row["until"] - row["since"]) / timedelta(minutes=1)) for row in rows]


@pytest.fixture
def desk(pool: Pool, clock_control: ClockControl) -> Desk:
    """With nobody, and nothing to do."""
    return Desk(pool, clock_control)


def only(lines: Sequence[Line]) -> Line:
    """Of a report that has one."""
    [line] = lines
    return line


def cells(rows: Sequence[Sequence[float]]) -> dict[tuple[int, int], float]:
    """Weekday and hour of what isn't zero."""
    return {(day, hour): cell for day, row in enumerate(rows) for hour, cell in enumerate(row) if cell}


async def test_nobody_is_on_for_billing_chats_on_sunday_evening(desk: Desk) -> None:
    """Four Sundays, three chats an hour from 18 to 20 h that give up after 12 minutes; on Mondays ana has one for 6."""
    await desk.hire("ana", ["billing", "lang:de"])
    for sunday in (MONDAY + timedelta(days=6 + 7 * number) for number in range(4)):
        for minutes in (0, 20, 40, 60, 80, 100):
            begin = sunday.replace(hour=18) + timedelta(minutes=minutes)
            chat = await desk.come(begin, CHAT, "billing", "lang:de")
            await desk.leave(begin + timedelta(minutes=12), chat)
        if (monday := sunday + timedelta(days=1, hours=-2)) < END:
            await desk.at(monday)
            await desk.tell("ana", "online")
            chat = await desk.come(monday, CHAT, "billing", "lang:de")
            await desk.leave(monday + timedelta(minutes=6), chat)
            await desk.tell("ana", "offline")
    await desk.at(END)

    found = await desk.report()

    line = only(found.lines)
    assert (CHAT, ("billing", "lang:de"), Lack.OFFLINE) == (line.channel, line.skills, line.reason)
    assert (28, 24, 24 / 28, 0) == (line.arrived, line.waited, line.share, line.waiting)
    assert line.minutes is not None
    assert (12.0, 12.0) == (line.minutes.median, line.minutes.p90)
    assert line.peak is not None
    assert (6, 18, 20) == (line.peak.weekday, line.peak.first, line.peak.until)
    assert line.heat is not None
    assert {(6, 18): 12, (6, 19): 12} == cells(line.heat.waited)
    assert {(6, 18): 12, (6, 19): 12, (0, 10): 4} == cells(line.heat.arrived)
    hands = pytest.approx(12 * 6 / 60 * 4 / 12 / 4)  # 6 minutes: so long ana has one
    assert {(6, 18): hands, (6, 19): hands} == cells(line.heat.hands)
    assert pytest.approx(0.2) == line.hours_a_week
    assert {CHAT: 6.0} == found.held_minutes
    assert [("billing",), ("lang:de",)] == [each.skills for each in found.skills]
    assert (28, 24) == (found.total.arrived, found.total.waited)
    assert ("Europe/Berlin", 12.0, True) == (found.timezone, found.capacity, found.is_complete)
    assert found.hours == ((4.0,) * 24,) * 7


async def test_everyone_is_full_on_monday_morning(desk: Desk) -> None:
    """Two of four e-mails wait 40 minutes and 50; so do they in the map, and the calm ones write nothing."""
    await desk.hire("ben", [], "online")
    for number in range(4):
        nine = (MONDAY + timedelta(weeks=number + 1)).replace(hour=9)
        mails = [await desk.come(nine + timedelta(seconds=each), Channel.EMAIL) for each in range(4)]
        await desk.leave(nine + timedelta(minutes=40, seconds=2), mails[0])
        await desk.leave(nine + timedelta(minutes=50, seconds=3), mails[1])
        await desk.leave(nine + timedelta(minutes=60), mails[2], mails[3])
    await desk.at(END)

    found = await desk.report()

    line = only(found.lines)
    assert (Channel.EMAIL, (), Lack.FULL, 16, 8) == (
        line.channel, line.skills, line.reason, line.arrived, line.waited,
    )  # fmt: skip
    assert line.minutes is not None
    assert (40.0, 50.0) == (line.minutes.median, line.minutes.p90)
    assert line.heat is not None
    assert {(0, 9): 8} == cells(line.heat.waited)
    assert () == found.skills
    assert {"full"} == {reason for _, reason, _ in await desk.waits()}


async def test_nobody_speaks_french(desk: Desk) -> None:
    """Tickets that still wait count with what they waited so far, by skill and by all their skills."""
    await desk.hire("ana", ["billing"], "online")
    await desk.come(END - timedelta(minutes=30), CHAT, "lang:fr")
    await desk.come(END - timedelta(minutes=10), Channel.PHONE, "billing", "lang:fr")
    await desk.at(END)

    found = await desk.report()

    assert [(Channel.PHONE, ("billing", "lang:fr"), 1, 1, 10.0), (CHAT, ("lang:fr",), 1, 1, 30.0)] == [
        (line.channel, line.skills, line.waited, line.waiting, line.minutes and line.minutes.median)
        for line in found.lines
    ]
    assert {Lack.NO_SKILL} == {line.reason for line in found.lines}
    french = found.skills[0]
    assert (("lang:fr",), 2, 2, 10.0, 30.0) == (
        french.skills, french.arrived, french.waited, french.minutes and french.minutes.median,
        french.minutes and french.minutes.p90,
    )  # fmt: skip
    # the chat counts for a quarter of an hour, as nobody ever had one: 15 x 4 and 10 x 12 unit-minutes of 12 units
    assert pytest.approx((15 * 4 + 10 * 12) / 60 / 12 / 4) == found.total.hours_a_week


async def test_a_stretch_ends_when_its_reason_does(desk: Desk) -> None:
    """Offline, then full, then it is given: two rows, each as long as it was, and one ticket in all."""
    await desk.hire("ana", ["a"])
    first = await desk.come(END - timedelta(hours=3), CHAT, "a")
    await desk.at(END - timedelta(hours=2))
    await desk.pool.execute("UPDATE agent SET primary_used = 12, over_capacity = true WHERE key = 'ana'")
    await desk.tell("ana", "online")
    await desk.at(END - timedelta(hours=1, minutes=30))
    await desk.pool.execute("UPDATE agent SET primary_used = 0, over_capacity = false WHERE key = 'ana'")
    await desk.run()
    await desk.at(END)

    assert [(first.ticket_id, "offline", 60.0), (first.ticket_id, "full", 30.0)] == await desk.waits()
    found = await desk.report()
    assert {Lack.OFFLINE: (9, 1), Lack.FULL: (10, 1)} == {
        line.reason: (line.peak and line.peak.first, line.arrived) for line in found.lines
    }
    assert (1, 1, {(0, 9): 1}) == (
        found.total.arrived, found.total.waited, cells(found.total.heat.waited if found.total.heat else ()),
    )  # fmt: skip
    assert found.total.minutes is not None
    assert 90.0 == found.total.minutes.median


async def test_whatever_takes_it_out_of_the_queue_ends_the_stretch(desk: Desk) -> None:
    """By hand, solved, or moved to where others are looked for."""
    await desk.hire("ana", ["a"])
    tickets = [await desk.come(END - timedelta(hours=1), CHAT, "a") for _ in range(3)]
    await desk.at(END - timedelta(minutes=50))
    await give(desk.pool, tickets[:1], "ana")
    await desk.leave(END - timedelta(minutes=40), tickets[1])
    await desk.at(END - timedelta(minutes=30))
    [moved] = [msgspec.structs.replace(tickets[2], needs=(("b", 1),), signature=7)]
    async with desk.pool.acquire() as connection, connection.transaction():
        await queue_store.enqueue(connection, [moved])

    assert [("offline", 10.0), ("offline", 20.0), ("offline", 30.0)] == [wait[1:] for wait in await desk.waits()]
    assert ("new", None) == tuple(await desk.pool.fetchrow("SELECT reason, reason_at FROM queued") or ())
    await desk.run()
    await desk.at(END)
    found = await desk.report()  # it needs `a` by the ledger, and waited as `b` too
    assert {("a",): (3, 3, Lack.OFFLINE), ("b",): (1, 1, Lack.NO_SKILL)} == {
        line.skills: (line.arrived, line.waited, line.reason) for line in found.lines
    }
    assert (3, 3) == (found.total.arrived, found.total.waited)


async def test_a_ticket_whose_needs_change_came_as_each(desk: Desk) -> None:
    """Never do more wait than came, though it is the level alone that changes."""
    await desk.hire("ana", ["a"])
    ticket = await desk.come(END - timedelta(hours=1), CHAT, "a")
    await desk.at(END - timedelta(minutes=40))
    needs = (("a", 2),)
    async with desk.pool.acquire() as connection, connection.transaction():
        await connection.execute("UPDATE ticket SET needs = $1", msgspec.json.encode(needs))
        await queue_store.enqueue(connection, [msgspec.structs.replace(ticket, needs=needs, signature=7)])
    await desk.run()
    await desk.at(END)

    found = await desk.report()

    line, skill = only(found.lines), only(found.skills)
    assert (2, 2, 1, 1.0) == (line.arrived, line.waited, line.waiting, line.share)
    assert (2, 2) == (skill.arrived, skill.waited)
    assert (1, 1) == (found.total.arrived, found.total.waited)


async def _step(desk: Desk, dice: random.Random, now: datetime, waiting: list[QueueEntry]) -> None:
    """Something happens: a ticket comes, one is over, given by hand or needs something else, somebody comes or goes."""
    match dice.randrange(6):
        case 0 | 1:
            waiting.append(await desk.come(now, dice.choice([CHAT, Channel.EMAIL]), dice.choice("abc")))
        case 2 if waiting:
            await desk.leave(now, waiting.pop(dice.randrange(len(waiting))))
        case 3 if waiting:
            await give(desk.pool, [dice.choice(waiting)], "ana")
        case 4 if waiting:
            ticket = dice.choice(waiting)
            needs = ((dice.choice("abc"), 1),)
            other = msgspec.structs.replace(ticket, needs=needs, signature=signature(ticket.channel, needs))
            async with desk.pool.acquire() as connection, connection.transaction():
                await queue_store.enqueue(connection, [other])
        case _:
            await desk.tell(dice.choice(["ana", "ben"]), dice.choice(["online", "offline", "away"]))
    await desk.run()


@pytest.mark.parametrize("seed", range(2))
async def test_waits_are_what_somebody_watching_the_queue_would_write_down(desk: Desk, seed: int) -> None:
    """Each stretch once, from when its reason was first seen to when it was not any more, whatever ended it."""
    dice = random.Random(seed)
    await desk.hire("ana", ["a"], "online")
    await desk.hire("ben", ["a", "b"])
    tickets: list[QueueEntry] = []
    seen: dict[tuple[UUID, str, str], datetime] = {}
    written: list[tuple[UUID, str, str, datetime, datetime]] = []
    for minute in range(80):
        now = END - timedelta(minutes=80 - minute)
        await desk.at(now)
        await _step(desk, dice, now, tickets)
        rows = await desk.pool.fetch("SELECT ticket_id, reason, needs::text AS needs FROM queued WHERE reason <> 'new'")
        present = {(row["ticket_id"], row["reason"], row["needs"]) for row in rows}
        written += [(*stretch, since, now) for stretch, since in seen.items() if stretch not in present]
        seen = {stretch: seen.get(stretch, now) for stretch in present}

    rows = await desk.pool.fetch(
        "SELECT ticket_id, reason, needs::text AS needs, since, until FROM wait WHERE since < until"
    )
    assert len(written) > 10
    assert sorted(written) == sorted(tuple(row) for row in rows)


async def test_a_ticket_that_is_given_at_once_leaves_no_trace(desk: Desk) -> None:
    """The calm path writes nothing."""
    await desk.hire("ana", ["a"], "online")
    ticket = await desk.come(END - timedelta(hours=1), CHAT, "a")
    await desk.leave(END, ticket)
    await desk.at(END + timedelta(seconds=1))

    assert [] == await desk.waits()
    found = await desk.report()
    assert (1, 0, None, (), ()) == (
        found.total.arrived, found.total.waited, found.total.minutes, found.lines, found.skills,
    )  # fmt: skip


async def test_questions_narrow_what_is_told(desk: Desk) -> None:
    """By channel, skill, pool and weeks; each tenant alone."""
    await desk.come(END - timedelta(weeks=2), CHAT, "a")
    await desk.come(END - timedelta(hours=1), CHAT, "a", "b", pool="north")
    await desk.come(END - timedelta(hours=1), Channel.EMAIL, "b")
    await desk.come(END - timedelta(hours=1), CHAT, "a", tenant="acme")
    await desk.at(END)

    for asked, expected in (
        ({}, {("a",), ("a", "b"), ("b",)}),
        ({"weeks": 1}, {("a", "b"), ("b",)}),
        ({"channel": CHAT}, {("a",), ("a", "b")}),
        ({"skill": "b"}, {("a", "b"), ("b",)}),
        ({"pool": "north"}, {("a", "b")}),
        ({"pool": "south"}, set()),
        ({"tenant": "acme"}, {("a",)}),
    ):
        found = await desk.report(**asked)  # type: ignore[arg-type]
        assert expected == {line.skills for line in found.lines}, asked
        assert len(expected) == found.total.arrived == found.total.waited


async def test_hours_are_those_of_the_zone_that_is_asked_for(desk: Desk) -> None:
    """Half past two, twice: the hour that the clocks of Berlin repeat occurred once more."""
    autumn = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    await desk.come(autumn, CHAT, "a")
    await desk.come(autumn + timedelta(hours=1), CHAT, "a")
    await desk.at(autumn + timedelta(days=1))

    berlin, kolkata = await desk.report(), await desk.report(timezone="Asia/Kolkata")

    for found, expected in ((berlin, {(6, 2): 2}), (kolkata, {(6, 6): 1, (6, 7): 1})):
        assert found.lines[0].heat is not None
        assert expected == cells(found.lines[0].heat.waited)
    assert (5.0, 4.0) == (berlin.hours[6][2], kolkata.hours[6][2])
    assert berlin.total.heat is not None
    assert {(6, 2): pytest.approx(2 * 15 / 60 * 4 / 12 / 5)} == cells(berlin.total.heat.hands)


async def test_waits_are_kept_as_long_as_a_report_looks_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then they go, of every tenant, a bounded number at a time."""
    await desk.at(END)
    await desk.pool.execute(
        """INSERT INTO wait (tenant, ticket_id, pool, channel, needs, units, reason, since, until)
           SELECT tenant, gen_random_uuid(), 'default', 'email', '[]', 6, 'full', $1::timestamptz, $1::timestamptz + n * interval '1 second'
           FROM unnest(ARRAY['acme', 'default', 'zebra']) AS tenant, generate_series(0, 4) AS n""",
        END - timedelta(weeks=13, seconds=2),
    )
    monkeypatch.setattr("services.router.reconciling.FORGET_BATCH", 4)
    assert FORGET_BATCH > 4
    reconciling = Reconciling(desk.pool, PolicyShelf(), AssignmentMetrics(CollectorRegistry()), Ears())  # type: ignore[arg-type]

    await reconciling.run_once()

    left = await desk.pool.fetch("SELECT tenant, until FROM wait ORDER BY tenant, until")
    assert [
        (tenant, END - timedelta(weeks=13) + timedelta(seconds=n))
        for tenant in ("acme", "default", "zebra")
        for n in range(3)
    ] == [tuple(row) for row in left]
    assert 0 == await reconciling.forget_waits()
