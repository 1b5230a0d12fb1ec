"""A small world for escalation's tests: one tenant, one ladder, tickets with clocks, a provider that answers as told."""

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from services.escalation.answering import Answering
from services.escalation.channels import Capabilities, Channel, Page
from services.escalation.channels.console import Console
from services.escalation.delivery.delivery import Delivery
from services.escalation.domain import invariants
from services.escalation.domain.invariants import Host, Invariant
from services.escalation.domain.retry import Outcome, Result
from services.escalation.firing import Firing
from services.escalation.grouping import Grouping
from services.escalation.metrics import EscalationMetrics
from services.escalation.stepping import Stepping
from services.escalation.store import auditing
from services.escalation.tidying import Tidying
from services.escalation.tokens import Tokens
from services.escalation.waking import WakingUp
from shared import ids
from shared.contract.ledger import Ticket
from shared.contract.tickets import ClockState, TargetKind
from shared.ledger import clocks, tickets
from shared.ledger.clocks import ClockRow
from shared.policy.document import Contact, Ladder, Paging, Policy, Rotation, Step
from shared.postgres.outbox import Batch
from shared.postgres.pool import Pool
from shared.sla.calendar import Calendar
from shared.sla.clock import Clock
from shared.sla.policy import SlaPolicy
from tests.integration.escalation.whole_desk import POLICY, Desk
from tests.turns import layer, rotation

START = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
TENANT = "default"
LADDER = Ladder(
    name="wake the lead",
    steps=(
        Step(after=timedelta(), page=("on-call/support",)),
        Step(after=timedelta(minutes=10), page=("person/ben",)),
    ),
    repeat=1,
    otherwise=("person/head",),
)
UNGROUPED = Paging(window=timedelta())
"""Every page goes by itself."""
SUPPORT = rotation(layer("ana"), zone="Europe/Berlin")


class KeptRelay:
    """Keeps what was posted after commits, instead of publishing it."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def post(self, batch: Batch | None) -> bool:
        """Take a committed batch."""
        if batch is not None:
            self.batches.append(batch)
        return True

    def kinds(self) -> list[str]:
        """What was said, in order: the last two words of each subject."""
        return [subject.split(".", 2)[2] for batch in self.batches for subject in batch.subjects]

    def data(self, kind: str) -> list[dict[str, object]]:
        """The data of all events of a kind."""
        return [
            msgspec.json.decode(payload)["data"]
            for batch in self.batches
            for subject, payload in zip(batch.subjects, batch.payloads, strict=True)
            if subject.endswith("." + kind)
        ]


class OneShelf:
    """Has one policy, in force for everybody."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    async def current(self, _connection: object, _tenant: str) -> Policy:
        """The policy."""
        return self.policy

    async def version(self, _connection: object, _tenant: str, _version: int) -> Policy:
        """The policy, whatever the number."""
        return self.policy


class Provider:
    """A paging channel whose answers are set in advance; accepts when nothing is set."""

    def __init__(self, name: str = "webhook", *, is_keyed: bool = True, concurrency: int = 50) -> None:
        self.name = name
        self.capabilities = Capabilities(
            is_keyed=is_keyed,
            concurrency=concurrency,
            timeout=timedelta(seconds=5),
            per_account=concurrency,
            per_second=1000.0,
            burst=1000.0,
        )
        self.sent: list[Page] = []
        self.answers: list[Outcome] = []

    def account(self, contact: Contact) -> str:
        """One for each address."""
        return f"{self.name} {contact.address}"

    async def send(self, page: Page) -> Outcome:
        """Note the page and answer as set."""
        self.sent.append(page)
        return self.answers.pop(0) if self.answers else Outcome(result=Result.ACCEPTED)

    async def close(self) -> None:
        """Nothing to close."""


class World:
    """Everything escalation consists of, on one database."""

    def __init__(self, pool: Pool, ladder: Ladder = LADDER) -> None:
        self.pool = pool
        self.relay = KeptRelay()
        self.registry = CollectorRegistry()
        self.metrics = EscalationMetrics(self.registry)
        self.tokens = Tokens(b"a key", "http://desk.test")
        self.printed = io.StringIO()
        self.amiss: set[Invariant] = set()
        """What a test leaves broken on purpose."""
        self.provider = Provider()
        self.channels: dict[str, Channel] = {"console": Console(self.printed), "webhook": self.provider}
        self.use(ladder)
        self.firing = Firing(pool, self.relay, self.metrics)
        self.grouping = Grouping(pool, self.tokens)

    def use(
        self,
        ladder: Ladder,
        rotations: Mapping[str, Rotation] | None = None,
        calendars: Mapping[str, Calendar] | None = None,
        paging: Paging = UNGROUPED,
    ) -> None:
        """Let the policy have this ladder, and rotations and calendars, and this way to hold pages together."""
        policy = Policy(
            version=1,
            sla=SlaPolicy(version=1, calendars=calendars or {}, targets=()),
            channels={},
            aliases={},
            escalations={ladder.name: ladder},
            on_call=rotations if rotations is not None else {"support": SUPPORT},
            paging=paging,
        )
        self.shelf = OneShelf(policy)
        self.stepping = self.another_stepping()
        self.waking = self.another_waking()
        self.answering = self.another_answering()
        self.delivery = self.another_delivery()
        self.tidying = Tidying(self.pool, self.delivery, self.metrics)

    def another_stepping(self) -> Stepping:
        """A second worker."""
        return Stepping(self.pool, self.shelf, self.relay, self.metrics, self.tokens, self.channels)

    def another_waking(self) -> WakingUp:
        """A second worker."""
        return WakingUp(self.pool, self.shelf, self.relay, self.metrics, self.tokens, self.channels)

    def another_answering(self) -> Answering:
        """One that knows the present policy."""
        return Answering(self.pool, self.shelf, self.relay, self.metrics)

    def another_delivery(self, lease_for: timedelta = timedelta(seconds=10)) -> Delivery:
        """A second worker."""
        return Delivery(
            self.pool,
            self.shelf,
            self.relay,
            self.metrics,
            self.tokens,
            self.channels,
            lease_for=lease_for,
            jitter=lambda: 1.0,
        )

    async def people(self, *keys: str, contacts: Sequence[Contact] = (Contact(method="webhook", address="x"),)) -> None:
        """Put people on the roster."""
        for key in keys:
            await self.pool.execute(
                "INSERT INTO agent (tenant, key, name, contacts) VALUES ($1, $2, $3, $4)",
                TENANT,
                key,
                key.title(),
                msgspec.json.encode(contacts),
            )

    async def ticket(
        self,
        external_id: str = "881",
        *,
        due_in: timedelta = timedelta(hours=1),
        warn_in: Sequence[timedelta] = (),
        escalate: str | None = LADDER.name,
    ) -> UUID:
        """A ticket with one running clock, both begun at START."""
        made = ticket(external_id)
        async with self.pool.acquire() as connection, connection.transaction():
            await tickets.insert(connection, [made])
            await clocks.insert(connection, [clock_row(made, due_in, warn_in, escalate)])
        return made.id

    async def escalations(self) -> list[dict[str, object]]:
        """All escalations, in the order of their opening."""
        return [dict(row) for row in await self.pool.fetch("SELECT * FROM escalation ORDER BY opened_at, id")]

    async def pages(self) -> list[dict[str, object]]:
        """All pages, in the order of their making."""
        query = "SELECT * FROM page ORDER BY committed_at, kind = 'resolve', step, recipient, method, id"
        return [dict(row) for row in await self.pool.fetch(query)]

    async def audit(self) -> set[Invariant]:
        """What the auditor would find amiss, had everything stood like this for an hour."""
        async with self.pool.acquire() as connection:
            trial = connection.transaction()
            await trial.start()
            await connection.execute(
                "UPDATE time_warp SET real_anchor = real_anchor - interval '1 h', virtual_anchor = virtual_anchor - interval '1 h' * rate"
            )
            seen = await auditing.look(connection)
            await trial.rollback()
        return set(invariants.broken_in_database(seen, Host(wall_at=seen.server_at, last_server_at=None)))

    async def drain(self) -> None:
        """Let every loop do what is due now: then the auditor finds nothing amiss but what the test has said before."""
        while sum(
            [await loop.run_once() for loop in (self.firing, self.waking, self.stepping, self.grouping, self.delivery)]
        ):
            pass
        assert self.amiss == await self.audit()


def ticket(external_id: str) -> Ticket:
    """A ticket of START."""
    return Ticket(
        id=ids.uuid7(START),
        tenant=TENANT,
        source="zendesk",
        external_id=external_id,
        status="open",
        opened_at=START,
        solved_at=None,
        channel="email",
        urgency="high",
        theme=None,
        language=None,
        subject="Charged twice",
        requester_key="c-17",
        requester_tier="gold",
        matched="everything else",
        needs=b"[]",
        prefers=[],
        rules=[],
        pool="default",
        policy_version=1,
    )


def clock_row(of: Ticket, due_in: timedelta, warn_in: Sequence[timedelta], escalate: str | None) -> ClockRow:
    """A running first response of a ticket."""
    return ClockRow(
        of.tenant,
        of.id,
        Clock(
            target=TargetKind.FIRST_RESPONSE,
            cycle=1,
            matched="everything else",
            policy_version=1,
            calendar="always",
            state=ClockState.RUNNING,
            started_at=START,
            due_at=START + due_in,
            warn_at=tuple(START + moment for moment in warn_in),
            escalate=escalate,
        ),
    )


@pytest.fixture
async def world(pool: Pool, clock_control: "object") -> World:
    """The small world at START; time stands still until it is moved."""
    await clock_control.freeze(START)  # type: ignore[attr-defined]
    return World(pool)


@pytest.fixture
async def desk(world: World) -> Desk:
    """A router's intake beside it, and a promise of an hour."""
    made = Desk(world, world.relay)
    await made.apply(POLICY)
    return made
