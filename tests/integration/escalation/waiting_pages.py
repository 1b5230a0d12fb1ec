"""Pages put into the way by hand, and what holds them back, for tests of sending."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from services.escalation.domain.ladder import Kind
from services.escalation.domain.notice import Facts
from services.escalation.domain.recipient import Evidence
from services.escalation.store import pages
from services.escalation.store.pages import NewPage
from shared.policy.document import Contact, Ladder, Step

START = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def canary(
    number: int,
    *,
    tenant: str = "default",
    account: str = "webhook a",
    address: str = "a",
    method: str = "webhook",
    kind: Kind = Kind.CANARY,
    urgency: str = "normal",
    fallback: tuple[Contact, ...] = (),
    secret: str = "",
    due_at: datetime = START,
) -> NewPage:
    """A page that needs no escalation."""
    return NewPage(
        id=UUID(int=number + 1),
        tenant=tenant,
        escalation_id=None,
        kind=kind,
        step=0,
        loop=0,
        recipient="person/ana",
        person="ana",
        method=method,
        address=address,
        secret=secret,
        account=account,
        urgency=urgency,
        evidence=Evidence(policy_version=1, generation=1, fallback=fallback),
        body=Facts(
            source="deskclock", ticket="1", channel="other", urgency=urgency, target="test", due_at=None, reason="test",
            at=START, recipient="person/ana",
        ),
        due_at=due_at,
        token_hash=None,
    )  # fmt: skip


async def put(world: Any, *made: NewPage) -> None:
    """Store pages, due now."""
    async with world.pool.acquire() as connection, connection.transaction():
        await pages.insert(connection, made, await connection.fetchval("SELECT deskclock_now()"))


def slow(world: Any, **changes: Any) -> None:
    """Let the provider bear less."""
    world.provider.capabilities = msgspec.structs.replace(world.provider.capabilities, **changes)


def sample(world: Any, name: str, **labels: str) -> float | None:
    """A metric."""
    return world.registry.get_sample_value(name, labels)


async def deferred(world: Any) -> list[tuple[str, datetime]]:
    """What is held back: why and until when."""
    rows = await world.pool.fetch(
        "SELECT deferred_for, deferred_until FROM page WHERE deferred_for IS NOT NULL ORDER BY deferred_until, id"
    )
    return [(row["deferred_for"], row["deferred_until"]) for row in rows]


async def broken(world: Any, clock_control: Any, *contacts: Contact, ladder: Ladder | None = None) -> None:
    """A promise to Ana's customer is broken, and her page stored."""
    await world.people("ana", contacts=contacts or [Contact(method="webhook", address="a")])
    await world.people("ben", "head")
    world.use(
        ladder
        or Ladder(
            name="wake the lead",
            steps=(
                Step(after=timedelta(), page=("person/ana",)),
                Step(after=timedelta(minutes=10), page=("person/ben",)),
            ),
            otherwise=("person/head",),
        )
    )
    await world.ticket(due_in=timedelta(minutes=1))
    await clock_control.advance(seconds=61)
    await world.firing.run_once()
    await world.stepping.run_once()
