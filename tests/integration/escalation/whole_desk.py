"""A router's intake beside escalation, both on one database: what a helpdesk says, and what time does."""

from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry

from services.router.assignment import Assignment
from services.router.intake import Intake
from services.router.metrics.assignment import AssignmentMetrics
from services.router.metrics.tickets import RouterMetrics
from services.router.versions import policies
from shared.contract.events import Data, Opened, StatusChanged, TicketEvent
from shared.contract.tickets import Status
from shared.ledger.policies import PolicyShelf
from shared.postgres import time as database_time

START = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
ROSTER = """
people:
  ana: {name: Ana, contacts: [{webhook: "https://pager.test/ana", secret: "env:DESKCLOCK_SECRET_S"}]}
  ben: {name: Ben, contacts: [{webhook: "https://pager.test/ben", secret: "env:DESKCLOCK_SECRET_S"}]}
"""
POLICY = """
calendars: {always: {hours: always}}
targets: [{name: all, calendar: always, resolution: 1h, escalate: wake}]
escalations:
  wake:
    steps: [{after: 0m, page: [person/ana]}, {after: 10m, page: [person/ben]}]
    otherwise: [person/ana]
paging: {window: 0s, settle: 0s}
"""


class Desk:
    """A router's intake beside escalation, both on one database."""

    def __init__(self, world: Any, relay: Any) -> None:
        self.world = world
        registry = CollectorRegistry()
        shelf = PolicyShelf()
        self.intake = Intake(
            world.pool, shelf, Assignment(world.pool, shelf, AssignmentMetrics(registry), relay), relay,
            RouterMetrics(registry),
        )  # fmt: skip
        world.shelf = shelf
        world.stepping = world.another_stepping()
        world.waking = world.another_waking()
        world.answering = world.another_answering()
        world.delivery = world.another_delivery()
        self._serial = 0

    async def apply(self, policy: str) -> None:
        """Let the default tenant have this policy, and the roster of this file."""
        async with self.world.pool.acquire() as connection, connection.transaction():
            await policies.apply_roster(connection, "default", ROSTER, "lead", START)
            await policies.apply_policy(connection, "default", policy, "lead", START)

    async def happens(self, ticket: str, data: Data, minutes: float) -> None:
        """Something happened so many minutes after START; we hear of it now."""
        self._serial += 1
        event = TicketEvent(
            tenant="default", id=f"event-{self._serial}", source="zendesk", ticket=ticket,
            occurred_at=START + timedelta(minutes=minutes), data=data,
        )  # fmt: skip
        [receipt] = await self.intake.process([event])
        assert receipt.rejected is None

    async def opens(self, ticket: str = "881") -> None:
        """A customer writes."""
        await self.happens(ticket, Opened(channel="email"), 0)

    async def arrives(self, *events: TicketEvent) -> None:
        """These events reach the router in one batch."""
        assert [None] * len(events) == [receipt.rejected for receipt in await self.intake.process(events)]

    async def broke(self, *, minutes: float = 63) -> None:
        """It is so many minutes after START, and all that time brings has been done."""
        await self.world_at(minutes)
        await self.world.drain()

    async def world_at(self, minutes: float) -> None:
        """Let it be so many minutes after START."""
        async with self.world.pool.acquire() as connection:
            await database_time.warp(connection, to=START + timedelta(minutes=minutes), rate=0)

    def sent(self) -> list[tuple[str, str | None]]:
        """What the provider got, in order."""
        return [(page.kind.value, page.person) for page in self.world.provider.sent]

    async def states(self) -> dict[str, list[str]]:
        """The states of pages by their kind."""
        found: dict[str, list[str]] = {}
        for page in await self.world.pages():
            found.setdefault(str(page["kind"]), []).append(str(page["state"]))
        return found


PENDING = StatusChanged(status=Status.PENDING_CUSTOMER)
OPEN = StatusChanged(status=Status.OPEN)
SOLVED = StatusChanged(status=Status.SOLVED)
