"""A desk for tests of rollouts: tickets recorded as intake does, versions applied, every clock row read back."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prometheus_client import CollectorRegistry

from services.escalation.firing import Firing
from services.escalation.metrics import EscalationMetrics
from services.router import recording
from services.router.domain.reach import NEW, Reach
from services.router.domain.standing import Touched
from services.router.metrics.rollout import RolloutMetrics
from services.router.store import rollouts as rollouts_store
from services.router.store.rollouts import Rollout
from services.router.versions import policies
from services.router.versions.policies import Applied
from services.router.versions.rollout import Did, RollingOut
from shared.contract.events import Assigned, DeadlineSet, Opened, Replied, StatusChanged, TicketEvent, Updated
from shared.contract.tickets import Author, Status, TargetKind, Urgency
from shared.ledger import clocks as clock_rows
from shared.ledger.policies import PolicyShelf
from shared.postgres import time as database_time
from shared.postgres.pool import Pool
from shared.sla.clock import Clock
from tests.integration.desk import Ears

TENANT = "acme"
START = datetime(2026, 6, 1, 7, tzinfo=UTC)
"""A Monday, 09:00 in Berlin."""
_CHANNELS = ("email", "chat", "phone", "fax")
_STATUSES = (Status.OPEN, Status.PENDING_CUSTOMER, Status.ON_HOLD, Status.SOLVED)


class RollingDesk:
    """One tenant's tickets under changing versions; time stands still but where `at` moves it."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.ears = Ears()
        self.shelf = PolicyShelf()
        self.told: list[Touched] = []
        self.worker = self.new_worker()

    def new_worker(self, *, batch: int = 50) -> RollingOut:
        """Another process that works on rollouts."""
        metrics = RolloutMetrics(CollectorRegistry())
        return RollingOut(
            self.pool, PolicyShelf(), metrics, relay=self.ears, batch=batch, rest=0, tell=self.told.extend
        )  # type: ignore[arg-type]

    async def at(self, when: datetime | timedelta) -> datetime:
        """Let it be that late: an instant, or so long after the start."""
        async with self.pool.acquire() as connection:
            to = START + when if isinstance(when, timedelta) else when
            return await database_time.warp(connection, to=to, rate=0)

    async def record(self, events: Sequence[TicketEvent]) -> None:
        """What happened, in one batch."""
        async with self.pool.acquire() as connection, connection.transaction():
            recorded = await recording.record(connection, self.shelf, events)
        assert [] == [receipt.rejected for receipt in recorded.receipts if receipt.rejected]

    async def apply(self, text: str, reach: Reach = NEW) -> Applied:
        """Put a policy in force."""
        async with self.pool.acquire() as connection:
            now = await database_time.now(connection)
            return await policies.put_in_force(connection, TENANT, text, "lead", now, reach)

    async def roll(self, worker: RollingOut | None = None) -> list[Rollout]:
        """Until no rollout has anything left; returns them, the newest version first."""
        worker = worker or self.worker
        while await worker.step() is not Did.NOTHING:
            pass
        async with self.pool.acquire() as connection:
            found = await rollouts_store.history(connection, TENANT, None, 100)
        return sorted(found, key=lambda rollout: rollout.version, reverse=True)

    async def apply_to_open(self, text: str) -> Rollout:
        """Put a policy in force for open tickets too, and wait until they have it."""
        await self.apply(text, Reach(is_for_open=True))
        return (await self.roll())[0]

    async def fire(self) -> None:
        """Let time act on what is due."""
        firing = Firing(self.pool, self.ears, EscalationMetrics(CollectorRegistry(), ("console",)))  # type: ignore[arg-type]
        while await firing.run_once():
            pass

    async def clocks(self) -> dict[UUID, list[Clock]]:
        """Every clock row, by ticket."""
        async with self.pool.acquire() as connection:
            ids = [row["id"] for row in await connection.fetch("SELECT id FROM ticket")]
            return {ticket_id: _sorted(found) for ticket_id, found in (await clock_rows.load(connection, ids)).items()}


def _sorted(clocks: Sequence[Clock]) -> list[Clock]:
    return sorted(clocks, key=lambda clock: (clock.target, clock.cycle))


def event(ticket: str, n: int | str, at: datetime, data: object) -> TicketEvent:
    """Something that happens to a ticket."""
    return TicketEvent(tenant=TENANT, id=f"{ticket}-{n}", source="desk", ticket=ticket, occurred_at=at, data=data)  # type: ignore[arg-type]


def opened(ticket: str, at: datetime, **fields: object) -> TicketEvent:
    """A ticket comes into being."""
    return event(ticket, "opened", at, Opened(**{"channel": "email", "subject": "hello", **fields}))  # type: ignore[arg-type]


def a_life(rng: random.Random, ticket: str, since: datetime, until: datetime) -> list[TicketEvent]:
    """Anything that may happen to a ticket between two instants."""
    seconds = int((until - since).total_seconds())
    times = sorted(since + timedelta(seconds=rng.randrange(seconds)) for _ in range(rng.randrange(1, 7)))
    life = [
        opened(
            ticket, times[0], channel=rng.choice(_CHANNELS), subject=rng.choice(("hello", "all is down", "billing")),
            urgency=rng.choice((None, *Urgency)), team=rng.choice((None, "north", "south")),
        )
    ]  # fmt: skip
    for n, at in enumerate(times[1:]):
        data = rng.choice(
            (
                Replied(by=rng.choice((Author.AGENT, Author.CUSTOMER)), public=rng.random() < 0.8),
                StatusChanged(status=rng.choice(_STATUSES)),
                StatusChanged(status=Status.OPEN),
                Updated(urgency=rng.choice(tuple(Urgency))),
                Assigned(team=rng.choice(("north", "south"))),
                DeadlineSet(target=TargetKind.RESOLUTION, due_at=at + timedelta(hours=rng.randrange(1, 90))),
            )
        )
        life.append(event(ticket, n, at, data))
    return life
