"""A whole desk in one process, on a real database and a real NATS: tickets go in, time passes, pages come out.

Time stands still until `advance` moves it; on the way it stops at every instant at which something is due, as it would
for services that live through it.
"""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from prometheus_client import CollectorRegistry

from services.escalation.answering import Answer, Answering
from services.escalation.channels.console import Console
from services.escalation.delivery.delivery import Delivery
from services.escalation.firing import Firing
from services.escalation.grouping import Grouping
from services.escalation.helping import Helping
from services.escalation.metrics import EscalationMetrics
from services.escalation.stepping import Stepping
from services.escalation.tidying import Tidying
from services.escalation.tokens import Tokens
from services.escalation.waking import WakingUp
from services.router import escalating
from services.router.agents import Agents
from services.router.assignment import Assignment
from services.router.intake import Intake
from services.router.metrics.assignment import AssignmentMetrics
from services.router.metrics.presence import PresenceMetrics
from services.router.metrics.tickets import RouterMetrics
from services.router.presence import PresenceLoop
from services.router.reconciling import Reconciling
from services.router.recording import Receipt
from services.router.store import QUERIES
from services.router.store.agents import AgentStatus
from services.router.tending import Tending
from services.router.versions import policies
from shared.contract.events import (
    Accepted,
    Assigned,
    DeadlineSet,
    Declined,
    Opened,
    Released,
    Replied,
    StatusChanged,
    TicketEvent,
)
from shared.contract.tickets import Author, Status, TargetKind
from shared.jetstream.publish import open_publisher
from shared.jetstream.relay import Relay
from shared.ledger.policies import PolicyShelf
from shared.postgres import time as database_time
from shared.postgres.pool import Pool

TENANT = "acme"
MOMENT = timedelta(microseconds=1)

POLICY = """
calendars:
  office: {timezone: Europe/Berlin, hours: {mon-fri: "09:00-17:00"}}
  always: {hours: always}
channels:
  email: {units: 6, interruptible: true}
urgency:
  - {name: outage, urgency: urgent, when: {text: ["is down"]}}
skills:
  - {need: [billing], when: {text: [invoice]}}
targets:
  - name: urgent
    when: {urgency: urgent}
    calendar: always
    first_response: 30m
    resolution: 4h
    warn: [50%]
    escalate: wake the lead
  - {name: everything else, calendar: office, first_response: 4h, next_response: 2h, resolution: 2bd, warn: [75%], escalate: tell the team}
escalations:
  wake the lead:
    steps: [{after: 0m, page: [on-call/support]}, {after: 10m, page: [person/chi]}]
    repeat: 2
    otherwise: [person/head]
  tell the team:
    steps: [{after: 0m, page: [owner]}]
    otherwise: [person/head]
on_call:
  support: {timezone: Europe/Berlin, rotation: weekly, handoff: "mon 09:00", people: [ana]}
paging: {window: 0s, settle: 0s}
"""

ROSTER = """
people:
  ana: {name: Ana, skills: {billing: 4}, channels: [email, live_chat], capacity: 12}
  ben: {name: Ben, channels: [email, live_chat], capacity: 12}
  chi: {name: Chi}
  head: {name: Head}
"""


class Desk:
    """What a scenario talks to."""

    def __init__(self, pool: Pool, relay: Relay) -> None:
        self.pool = pool
        self.registry = CollectorRegistry()
        self._relay = relay
        shelf = PolicyShelf()
        links = Tokens(b"scenarios", "http://desk.test")
        self.screen = io.StringIO()
        console = Console(self.screen)
        metrics = EscalationMetrics(self.registry, (console.name,))
        router_registry = CollectorRegistry()
        self._assignment = Assignment(pool, shelf, AssignmentMetrics(router_registry), relay)
        self._reconciling = Reconciling(pool, shelf, AssignmentMetrics(CollectorRegistry()), relay)
        self.router_registry = router_registry
        router_metrics = RouterMetrics(router_registry)
        self._intake = Intake(pool, shelf, self._assignment, relay, router_metrics)
        self._tending = Tending(
            pool, shelf, self._assignment, router_metrics.tenures, relay, tell=router_metrics.count_promises
        )
        self._firing = Firing(pool, relay, metrics)
        presences = PresenceMetrics(router_registry, router_metrics.tenures)
        self._presence = PresenceLoop(pool, shelf, self._assignment, relay, presences)
        self._agents = Agents(pool, shelf, self._assignment, relay, presences)
        self._helping = Helping(pool, shelf, relay, metrics)
        self._shelf = shelf
        channels = {console.name: console}
        self._stepping = Stepping(pool, shelf, relay, metrics, links, channels)
        self._waking = WakingUp(pool, shelf, relay, metrics, links, channels)
        self._grouping = Grouping(pool, links)
        self._delivery = Delivery(pool, shelf, relay, metrics, links, channels)
        self._tidying = Tidying(pool, self._delivery, metrics)
        self._answering = Answering(pool, shelf, relay, metrics)
        self._links = links
        self._serial = 0

    async def set_up(self, at: datetime) -> None:
        """The policy and the roster of this file, at this instant."""
        async with self.pool.acquire() as connection:
            await database_time.warp(connection, to=at, rate=0)
            async with connection.transaction():
                await policies.apply_roster(connection, TENANT, ROSTER, "scenario", at)
                await policies.apply_policy(connection, TENANT, POLICY, "scenario", at)

    async def applies(self, policy: str) -> None:
        """Another policy, for the tickets to come."""
        async with self.pool.acquire() as connection:
            await policies.apply_policy(connection, TENANT, policy, "scenario", await database_time.now(connection))

    async def leaves(self, person: str) -> None:
        """Somebody is off the roster; the minute after, everything has heard of it."""
        kept = "".join(line + "\n" for line in ROSTER.splitlines() if not line.strip().startswith(f"{person}:"))
        async with self.pool.acquire() as connection:
            await policies.apply_roster(connection, TENANT, kept, "scenario", await database_time.now(connection))
        await self._reconciling.run_once()

    async def opens(self, ticket: str, *, channel: str = "email", subject: str = "", **fields: Any) -> Receipt:
        """A customer writes."""
        return await self._send(ticket, Opened(channel=channel, subject=subject, **fields))

    async def replies(self, ticket: str, by: Author = Author.AGENT, *, public: bool = True) -> Receipt:
        """Somebody answers."""
        return await self._send(ticket, Replied(by=by, public=public))

    async def becomes(self, ticket: str, status: Status, *, at: datetime | None = None) -> Receipt:
        """The helpdesk moves the ticket."""
        return await self._send(ticket, StatusChanged(status=status), at=at)

    async def accepts(self, ticket: str, agent: str) -> Receipt:
        """An agent takes what they are offered."""
        return await self._send(ticket, Accepted(agent=agent))

    async def declines(self, ticket: str, agent: str) -> Receipt:
        """An agent doesn't."""
        return await self._send(ticket, Declined(agent=agent))

    async def releases(self, ticket: str, agent: str) -> Receipt:
        """An agent gives back what they have."""
        return await self._send(ticket, Released(agent=agent))

    async def gives(self, ticket: str, agent: str | None, *, at: datetime | None = None) -> Receipt:
        """The helpdesk names an agent, or takes the ticket back; or did so at an earlier time."""
        return await self._send(ticket, Assigned(agent=agent), at=at)

    async def writes_late(self, ticket: str, ago: timedelta) -> Receipt:
        """A customer's message of a while ago reaches us now."""
        return await self._send(ticket, Replied(by=Author.CUSTOMER), at=await self.now() - ago)

    async def move(self, **span: float) -> None:
        """Let time pass, and nobody notice yet."""
        await self._move_to(await self.now() + timedelta(**span))

    async def stands(self, ticket: str) -> tuple[str, str] | None:
        """Who has a ticket, or is offered it, and how."""
        row = await self.pool.fetchrow(
            "SELECT a.agent, a.state FROM assignment a JOIN ticket t ON t.id = a.ticket_id"
            " WHERE t.external_id = $1 AND a.ended_at IS NULL",
            ticket,
        )
        return None if row is None else (row["agent"], row["state"])

    async def load(self, agent: str) -> tuple[int, int]:
        """Units of real-time and of interruptible work that somebody has."""
        row = await self.pool.fetchrow("SELECT primary_used, interruptible_used FROM agent WHERE key = $1", agent)
        assert row is not None
        return row["primary_used"], row["interruptible_used"]

    async def drift(self) -> int:
        """Agents whose load isn't the sum of what they have."""
        return len(await self.pool.fetch(QUERIES["list_drifted"]))

    def counted(self, name: str, **labels: str) -> float:
        """What the router tells Prometheus."""
        return self.router_registry.get_sample_value(name, labels) or 0.0

    async def takes_back(self) -> None:
        """What people have who have gone goes to somebody else."""
        await self._presence.sweep()

    async def is_staffed(self) -> None:
        """Somebody is there who takes everything and has no room: tickets wait in their order, and nobody is called for that."""
        await self.pool.execute(
            "INSERT INTO agent (tenant, key, name, skills, channels, capacity, status)"
            " VALUES ($1, 'zoe', 'Zoe', '{\"billing\": 5}', '{email,live_chat}', 0, 'online')",
            TENANT,
        )

    async def sets_deadline(self, ticket: str, target: str, due_at: datetime) -> Receipt:
        """The helpdesk sets a due time by hand."""
        return await self._send(ticket, DeadlineSet(target=TargetKind(target), due_at=due_at))

    async def escalates(self, ticket: str, by: str, said: str = "") -> Any:
        """Somebody wants a lead to look at the ticket."""
        ticket_id = await self.pool.fetchval("SELECT id FROM ticket WHERE external_id = $1", ticket)
        async with self.pool.acquire() as connection:
            return await escalating.escalate(connection, self._shelf, TENANT, ticket_id, by=by, said=said)

    async def employs(self, roster: str) -> None:
        """Another roster."""
        async with self.pool.acquire() as connection:
            await policies.apply_roster(connection, TENANT, roster, "scenario", await database_time.now(connection))
        await self._presence.set_shifts()

    async def comes(self, agent: str, status: str = "online") -> None:
        """An agent is there, or not any more."""
        assert await self._agents.set_status(TENANT, agent, AgentStatus(status)) is not None
        await self._assignment.sweep()

    async def advance(self, **span: float) -> datetime:
        """Let time pass, stopping wherever something is due."""
        end = await self.now() + timedelta(**span)
        await self._settle()
        while (due := await self._next_due()) is not None and due < end:
            await self._move_to(max(due + MOMENT, await self.now()))
            await self._settle()
        await self._move_to(end)
        await self._settle()
        return end

    async def now(self) -> datetime:
        """The time that decides."""
        async with self.pool.acquire() as connection:
            return await database_time.now(connection)

    async def clock(self, ticket: str, target: str, cycle: int = 1) -> dict[str, Any]:
        """One clock of a ticket, running or finished."""
        for table in ("clock", "clock_finished"):
            row = await self.pool.fetchrow(
                f"SELECT c.* FROM {table} c JOIN ticket t ON t.id = c.ticket_id"
                " WHERE t.external_id = $1 AND c.target = $2 AND c.cycle = $3",
                ticket,
                target,
                cycle,
            )
            if row is not None:
                return dict(row)
        raise LookupError(f"{ticket} has no {target} clock of cycle {cycle}")

    async def owner(self, ticket: str) -> str | None:
        """Who has the ticket."""
        owner: str | None = await self.pool.fetchval(
            "SELECT a.agent FROM assignment a JOIN ticket t ON t.id = a.ticket_id"
            " WHERE t.external_id = $1 AND a.ended_at IS NULL AND a.accepted_at IS NOT NULL",
            ticket,
        )
        return owner

    async def waits_because(self, ticket: str) -> str | None:
        """Why nobody has the ticket."""
        reason: str | None = await self.pool.fetchval(
            "SELECT q.reason FROM queued q JOIN ticket t ON t.id = q.ticket_id WHERE t.external_id = $1", ticket
        )
        return reason

    async def paged(self) -> list[tuple[str, str]]:
        """Who was paged, in order, and for what kind of news."""
        rows = await self.pool.fetch(
            "SELECT person, recipient, kind FROM page WHERE accepted_at IS NOT NULL ORDER BY due_at, committed_at, id"
        )
        return [(row["person"] or row["recipient"], row["kind"]) for row in rows]

    async def acknowledges(self, person: str) -> Answer | None:
        """Somebody follows the link of the newest page they got."""
        page = await self.pool.fetchval(
            "SELECT id FROM page WHERE person = $1 AND kind <> 'resolve' ORDER BY committed_at DESC LIMIT 1", person
        )
        return await self._answering.by_token(self._links.token(page))

    async def escalation(self, target: str = "first_response") -> str | None:
        """The state of the newest escalation of a target."""
        state: str | None = await self.pool.fetchval(
            "SELECT state FROM escalation WHERE target = $1 ORDER BY opened_at DESC LIMIT 1", target
        )
        return state

    async def said(self) -> list[str]:
        """The kinds of all our events, in the order in which they were said."""
        return [event["type"].removeprefix("sla.") for event in await self._events()]

    async def said_of(self, kind: str) -> list[dict[str, Any]]:
        """What our events of one kind say, in order."""
        return [event["data"] for event in await self._events() if event["type"] == f"sla.{kind}"]

    async def _events(self) -> list[dict[str, Any]]:
        rows = await self.pool.fetch("SELECT payloads FROM outbox ORDER BY id")
        return [msgspec.json.decode(payload) for row in rows for payload in row["payloads"]]

    async def _send(self, ticket: str, data: Any, *, at: datetime | None = None) -> Receipt:
        self._serial += 1
        event = TicketEvent(
            tenant=TENANT,
            id=f"event-{self._serial}",
            source="helpdesk",
            ticket=ticket,
            occurred_at=at or await self.now(),
            data=data,
        )
        (receipt,) = await self._intake.process([event])
        return receipt

    async def _settle(self) -> None:
        """Let every loop do what there is to do."""
        await self._presence.advance()
        await self._presence.sweep()
        await self._assignment.sweep()
        while (
            await self._tending.run_once()
            + await self._firing.run_once()
            + await self._waking.run_once()
            + await self._helping.run_once()
            + await self._stepping.run_once()
            + await self._grouping.run_once()
            + await self._delivery.run_once()
            + await self._tidying.run_once()
        ):
            pass

    async def _next_due(self) -> datetime | None:
        due: datetime | None = await self.pool.fetchval(
            """
            SELECT least((SELECT min(next_at) FROM assignment), (SELECT min(next_fire_at) FROM clock), (SELECT min(next_step_at) FROM escalation),
                         (SELECT min(next_attempt_at) FROM page), (SELECT min(next_at) FROM page_group),
                         (SELECT min(wakes_at) FROM escalation),
                         (SELECT min(due_at) FROM escalation_request), (SELECT min(next_present_at) FROM agent),
                         (SELECT min(present_until) FROM agent WHERE gone_at IS NULL),
                         (SELECT min(gone_at + interval '60 seconds') FROM agent
                          WHERE gone_at + interval '60 seconds' > deskclock_now()))
            """
        )
        return due

    async def _move_to(self, instant: datetime) -> None:
        async with self.pool.acquire() as connection:
            await database_time.warp(connection, to=instant)


MONDAY_TEN = datetime(2026, 6, 1, 8, tzinfo=UTC)
"""10:00 in Berlin, a Monday."""


@pytest.fixture
async def desk(pool: Pool, nats_client: Client, jetstream: JetStreamContext) -> Desk:
    """A desk on Monday, 1 June 2026, 10:00 in Berlin; its agents are not there yet."""
    desk = Desk(pool, Relay(await open_publisher(nats_client), pool))
    await desk.set_up(MONDAY_TEN)
    return desk
