"""Several routers on one database, and somebody who watches: what tests of many workers at once are made of.

A router here is what one process has: connections, matching, intake, presence, upkeep. The watcher looks at whole
snapshots of the database from a connection of its own, and kills connections of routers while they work.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from itertools import count
from random import Random
from typing import TypeVar, cast

import asyncpg
import msgspec
from msgspec import Struct
from prometheus_client import CollectorRegistry

from services.router.agents import Agents
from services.router.assignment import Assignment, RunResult
from services.router.errors import IntakeUnavailable
from services.router.intake import Intake
from services.router.metrics.assignment import AssignmentMetrics
from services.router.metrics.presence import PresenceMetrics
from services.router.metrics.tickets import RouterMetrics
from services.router.presence import PresenceLoop
from services.router.reconciling import Reconciling
from services.router.store import QUERIES
from services.router.store.agents import AgentStatus
from services.router.tending import Tending
from services.router.versions import policies
from shared import timesource
from shared.contract.events import (
    Accepted,
    Assigned,
    Data,
    Declined,
    Opened,
    Released,
    Replied,
    Requester,
    StatusChanged,
    TicketEvent,
    Updated,
)
from shared.contract.tickets import Author, Status, Urgency
from shared.jetstream.relay import Relay
from shared.ledger.policies import PolicyShelf
from shared.postgres import time as database_time
from shared.postgres.pool import Connection, Pool, Record
from tests.integration.desk import NOW, Ears

T = TypeVar("T")
_decode = msgspec.json.decode

TENANT = "acme"
PEOPLE = 24
RATE = 240.0
"""Seconds that pass in one: promises of minutes are broken while a test runs."""
_CEILING = 1
POLICY = f"""
targets:
  - {{name: quick, when: {{channel: [phone, live_chat]}}, calendar: always, first_response: 10m}}
  - {{name: all, calendar: always, first_response: 2h, ownership: 1h}}
channels:
  live_chat: {{offer: 30s}}
  social: {{units: 2, at_most: {_CEILING}}}
pools:
  - {{name: urgent, when: {{urgency: urgent}}, overflow: {{to: west, after: 10%}}}}
  - {{name: west, when: {{attributes.town: west}}, overflow: {{to: east, after: 25%}}}}
  - {{name: east, when: {{attributes.town: east}}, overflow: {{to: west, after: 50%}}}}
skills:
  - {{need: ["{{attributes.skill}}"]}}
  - {{prefer: [vip], insist: true, when: {{requester.tier: gold, channel: [email, social]}}}}
"""
_POOLS = ("[west]", "[east]", "[west, east, urgent]", "[]", "[urgent, default]")
_SKILLS = ("[a]", "[b]", "[a, b]", "[a, vip]")
ROSTER = "people:\n" + "".join(
    f"  agent-{n:02}: {{channels: [email, social, live_chat, phone], skills: {_SKILLS[n % 4]}, pools: {_POOLS[n % 5]}, "
    f"presence: {'lease' if n % 6 == 1 else 'manual'}}}\n"
    for n in range(PEOPLE)
)
_CHANNELS = ("email", "email", "social", "live_chat", "phone")
_TRIES = 60
_SQUALLS = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    IntakeUnavailable,
)
"""What a caller may hear where a connection was killed, or the call was given up."""
_WRONG = """
WITH tenure AS (
    SELECT s.*, a.skills, a.channels, a.pools, a.over_capacity, t.needs
    FROM assignment s JOIN agent a ON a.tenant = s.tenant AND a.key = s.agent JOIN ticket t ON t.id = s.ticket_id
    WHERE s.ended_at IS NULL
)
SELECT 'over capacity' AS what, key AS who FROM agent
WHERE NOT over_capacity AND (primary_used > capacity OR primary_used + interruptible_used > 2 * capacity OR calls > 1)
UNION ALL SELECT 'marked as over capacity for nothing', key FROM agent
WHERE over_capacity AND primary_used <= capacity AND primary_used + interruptible_used <= 2 * capacity
UNION ALL SELECT 'over capacity, and not by hand', key FROM agent a
WHERE over_capacity AND NOT EXISTS (SELECT FROM tenure s WHERE s.agent = a.key AND s.by_hand)
UNION ALL SELECT 'has too many of a channel', agent FROM tenure
WHERE channel = 'social' AND state <> 'parked' GROUP BY agent HAVING count(*) > $1 AND NOT bool_or(by_hand)
UNION ALL SELECT 'waits and is somebody''s', ticket_id::text FROM queued JOIN tenure USING (ticket_id)
UNION ALL SELECT 'has two owners', ticket_id::text FROM tenure GROUP BY ticket_id HAVING count(*) > 1
UNION ALL SELECT 'lacks a skill', agent FROM tenure
WHERE NOT by_hand AND EXISTS (SELECT FROM jsonb_array_elements(needs) n
                              WHERE coalesce((skills ->> (n ->> 0))::integer, 0) < (n ->> 1)::integer)
UNION ALL SELECT 'is of another pool', agent FROM tenure WHERE NOT by_hand AND pools <> '{}' AND NOT pool = ANY (pools)
UNION ALL SELECT 'was excluded', agent FROM tenure WHERE NOT by_hand AND agent = ANY (excluded)
"""


class Wrong(Struct, frozen=True, order=True):
    """What must not be, found in one snapshot."""

    what: str
    who: str


async def look(connection: Connection) -> list[Wrong]:
    """All that is wrong in one snapshot (P1, P2, P3, P15): each part is one statement."""
    found = [Wrong(*row) for row in await connection.fetch(_WRONG, _CEILING)]
    found += [Wrong("drifted", row["key"]) for row in await connection.fetch(QUERIES["list_drifted"])]
    found += [Wrong("lost", row["external_id"]) for row in await connection.fetch(QUERIES["list_stranded"], 10)]
    return found


class Heard:
    """What reached callers that must not: deadlocks first of all."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.squalls = 0
        self.done = 0
        """Calls that came through."""

    async def of(self, act: Callable[[], Awaitable[T]]) -> T:
        """Do it; a fault that is no lost connection is kept, also where a caller of ours would bear it."""
        try:
            answer = await act()
        except _SQUALLS:
            self.squalls += 1
            raise
        except Exception as error:
            self.faults.append(repr(error))
            raise
        self.done += 1
        return answer


class Matching(Assignment):
    """Keeps what its callers would only log."""

    heard: Heard

    async def run(self, tenant: str, pool: str, *, refresh: bool = False) -> RunResult:
        """As it is; faults are kept."""
        return await self.heard.of(lambda: super(Matching, self).run(tenant, pool, refresh=refresh))


class Router:
    """What one process has."""

    def __init__(self, pool: Pool, heard: Heard) -> None:
        self.pool = pool
        relay, shelf, matching = cast("Relay", Ears()), PolicyShelf(), AssignmentMetrics(CollectorRegistry())
        metrics = RouterMetrics(CollectorRegistry())
        self.assignment = Matching(pool, shelf, matching, relay, tell=metrics.count_promises)
        self.assignment.heard = heard
        self.intake = Intake(pool, shelf, self.assignment, relay, metrics)
        presences = PresenceMetrics(CollectorRegistry(), metrics.tenures)
        self.agents = Agents(pool, shelf, self.assignment, relay, presences)
        self.presence = PresenceLoop(pool, shelf, self.assignment, relay, presences)
        self.tending = Tending(pool, shelf, self.assignment, metrics.tenures, relay)
        self.upkeep = Reconciling(pool, shelf, matching, relay)

    async def settle(self) -> None:
        """All that its loops find to do while time stands still."""
        for _ in range(30):
            found = [await act() for act in (self.tending.run_once, self.presence.advance, self.presence.sweep)]
            if not any(found):
                break
        else:
            raise AssertionError(f"it finds {found} again and again")
        await self.assignment.sweep()


async def set_up(connection: Connection, *, rate: float = RATE, at: datetime = NOW) -> None:
    """Policy, roster, everybody there, and time that runs."""
    async with connection.transaction():
        await policies.apply_roster(connection, TENANT, ROSTER, "lead", at)
        await policies.apply_policy(connection, TENANT, POLICY, "lead", at)
    await connection.execute("UPDATE agent SET status = 'online', gone_at = NULL")
    await database_time.warp(connection, to=at, rate=rate)


class Worker:
    """Does anything with its own router and those of others, again where it fails, as callers and JetStream do."""

    _serial = count(1)

    def __init__(self, seed: int, routers: list[Router], eyes: Pool, heard: Heard) -> None:
        self._random = Random(seed)
        self._routers = routers
        self._eyes = eyes
        self._heard = heard
        self.opened: list[str] = []

    async def work(self, steps: int) -> None:
        """So many acts."""
        acts = [
            self._open,
            self._open,
            *[self._change] * 4,
            self._come_and_go,
            self._come_and_go,
            self._sweep,
            self._tend,
        ]
        for _ in range(steps):
            await self._random.choice(acts)()
            if self._random.random() < 0.05:
                await self._insist(self._router.upkeep.run_once)

    @property
    def _router(self) -> Router:
        return self._random.choice(self._routers)

    async def _insist(self, act: Callable[[], Awaitable[T]]) -> T:
        """Until it is done: connections are killed, and now and then it is cut short in the middle."""
        for _ in range(_TRIES):
            limit = self._random.random() / 20 if self._random.random() < 0.15 else None
            try:
                async with asyncio.timeout(limit):
                    return await self._heard.of(act)
            except _SQUALLS:
                continue
        raise AssertionError("it never came through")

    async def _record(self, events: list[TicketEvent]) -> None:
        if not events:
            return
        receipts = await self._insist(lambda: self._router.intake.process(events))
        if self._random.random() < 0.1:  # delivered twice, to two routers at once
            await asyncio.gather(*(self._insist(lambda: self._router.intake.process(events)) for _ in range(2)))
        self._heard.faults += [str(receipt.rejected) for receipt in receipts if receipt.rejected]

    async def _open(self) -> None:
        random = self._random
        names = [f"ticket-{next(self._serial)}" for _ in range(random.randrange(3, 16))]
        now = await self._now()
        await self._record([self._event(name, now, self._opening()) for name in names])
        self.opened += names

    def _opening(self) -> Opened:
        random = self._random
        return Opened(
            channel=random.choice(_CHANNELS),
            urgency=random.choice((None, None, None, Urgency.URGENT, Urgency.LOW)),
            requester=Requester(tier=random.choice((None, None, "gold"))),
            attributes={
                "town": random.choice(("west", "west", "west", "east", "north")),
                "skill": random.choice("aab"),
            },
        )

    async def _change(self) -> None:
        rows = await self._eyes.fetch(
            """SELECT t.external_id, t.status, s.agent, s.state FROM ticket t
               LEFT JOIN assignment s ON s.ticket_id = t.id AND s.ended_at IS NULL
               ORDER BY random() LIMIT $1""",
            self._random.randrange(1, 7),
        )
        now = await self._now()
        await self._record([self._event(row["external_id"], now, self._change_of(row)) for row in rows])

    def _change_of(self, row: Record) -> Data:
        random, agent = self._random, row["agent"]
        if row["status"] == Status.SOLVED:
            return StatusChanged(status=Status.OPEN)
        by_hand = Assigned(agent=random.choice((None, f"agent-{random.randrange(PEOPLE):02}")))
        if agent is None:
            return random.choice((by_hand, Updated(urgency=random.choice(list(Urgency))), Replied(by=Author.CUSTOMER)))
        solved = StatusChanged(status=Status.SOLVED)
        if row["state"] == "offered":
            return random.choice((Accepted(agent=agent), Accepted(agent=agent), Declined(agent=agent), solved))
        return random.choice((solved, solved, solved, Released(agent=agent), Replied(by=Author.AGENT), by_hand))

    async def _come_and_go(self) -> None:
        status = self._random.choice((AgentStatus.ONLINE, AgentStatus.ONLINE, AgentStatus.AWAY))
        key = f"agent-{self._random.randrange(PEOPLE):02}"
        agents = self._router.agents
        if self._random.random() < 0.5:
            await self._insist(lambda: agents.set_status(TENANT, key, status))
        else:
            await self._insist(lambda: agents.beat(TENANT, key))

    async def _tend(self) -> None:
        router = self._router
        for act in (router.tending.run_once, router.presence.advance, router.presence.sweep):
            await self._insist(act)

    async def _sweep(self) -> None:
        await self._insist(self._router.assignment.sweep)

    def _event(self, ticket: str, at: object, data: Data) -> TicketEvent:
        event_id = f"{ticket}-{next(self._serial)}"
        return TicketEvent(tenant=TENANT, id=event_id, source="desk", ticket=ticket, occurred_at=at, data=data)  # type: ignore[arg-type]

    async def _now(self) -> object:
        return await self._eyes.fetchval("SELECT deskclock_now()")


class Watcher:
    """Looks at snapshots as fast as it can, and kills connections of routers at random."""

    def __init__(self, connection: Connection, random: Random, heard: Heard) -> None:
        self._connection = connection
        self._random = random
        self._heard = heard
        self.wrong: set[Wrong] = set()
        self.looks = 0
        self.killed = 0

    async def watch(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        next_kill = 0
        while not stop.is_set():
            self.wrong |= set(await look(self._connection))
            self.looks += 1
            if self._heard.done >= next_kill:  # by what comes through, so that a slow machine gets on, too
                self.killed += await self._kill()
                next_kill = self._heard.done + self._random.randrange(6)
            await timesource.pause(self._random.random() / 100)

    async def _kill(self) -> int:
        """One that is in the middle of something, if there is any."""
        ended = await self._connection.fetchval(
            """SELECT count(pg_terminate_backend(pid)) FROM (
                   SELECT pid FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name LIKE 'router-%' AND state <> 'idle'
                   ORDER BY random() LIMIT 1) one"""
        )
        return int(ended)


async def finish_all(router: Router, connection: Connection) -> int:
    """Solve whatever anybody has, so that there is room; returns how much it was."""
    rows = await connection.fetch(
        """SELECT t.external_id, deskclock_now() AS now FROM assignment s JOIN ticket t ON t.id = s.ticket_id
           WHERE s.ended_at IS NULL"""
    )
    events = [
        TicketEvent(
            tenant=TENANT,
            id=f"{row['external_id']}-done",
            source="desk",
            ticket=row["external_id"],
            occurred_at=row["now"],
            data=StatusChanged(status=Status.SOLVED),
        )
        for row in rows
    ]
    await router.intake.process(events)
    return len(events)


async def idle_pairs(connection: Connection) -> list[tuple[str, str]]:
    """P4, found without the matcher: tickets that wait, each with somebody who may have it and has room; time stands still.

    A ticket that waits for its previous owner, who is there and only busy, has that for an excuse, one that insists on a
    preference has its time.
    """
    assert 0 == await connection.fetchval("SELECT count(*) FROM queued WHERE relax_at[1] <= deskclock_now()")
    tickets = await connection.fetch(
        """SELECT q.*, t.external_id, deskclock_now() AS now FROM queued q JOIN ticket t ON t.id = q.ticket_id"""
    )
    agents = await connection.fetch(
        """SELECT a.*, deskclock_is_there(a.status, a.presence, a.present_until, deskclock_now()) AS is_there,
                  (SELECT count(*) FROM assignment s WHERE s.agent = a.key AND s.ended_at IS NULL
                        AND s.state <> 'parked' AND s.channel = 'social') AS social FROM agent a WHERE a.active"""
    )
    by_key = {agent["key"]: agent for agent in agents}
    return [
        (ticket["external_id"], agent["key"])
        for ticket in tickets
        for agent in agents
        if _may_have(ticket, agent) and _has_room(ticket, agent) and not _waits_for(ticket, by_key)
    ]


def _may_have(ticket: Record, agent: Record) -> bool:
    overflows = ticket["overflow_at"] is not None and ticket["overflow_at"] <= ticket["now"]
    pools = {ticket["pool"], *([ticket["overflow_pool"]] if overflows else [])}
    needs, skills = (_decode(raw) for raw in (ticket["needs"], agent["skills"]))
    return (
        agent["is_there"]
        and ticket["channel"] in agent["channels"]
        and (not agent["pools"] or bool(pools & set(agent["pools"])))
        and agent["key"] not in ticket["excluded"]
        and all(skills.get(skill, 0) >= level for skill, level in needs)
    )


def _has_room(ticket: Record, agent: Record) -> bool:
    primary, total = agent["primary_used"], agent["primary_used"] + agent["interruptible_used"]
    if agent["calls"] or (ticket["channel"] == "social" and agent["social"] >= _CEILING):
        return False
    if ticket["interruptible"]:
        return bool(total + ticket["units"] <= agent["capacity"])
    return bool(primary + ticket["units"] <= agent["capacity"] and total + ticket["units"] <= 2 * agent["capacity"])


def _waits_for(ticket: Record, agents: dict[str, Record]) -> bool:
    owner = agents.get(ticket["previous_owner"] or "")
    return (
        owner is not None
        and ticket["affinity_until"] is not None
        and ticket["now"] < ticket["affinity_until"]
        and _may_have(ticket, owner)
        and not _has_room(ticket, owner)
    )
