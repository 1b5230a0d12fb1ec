"""Escalation's HTTP surface on a world, keys for it, and broken promises whose links can be followed."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from litestar.types import ASGIApp

from services.escalation.api.app import build_escalation_app
from services.escalation.api.dependencies import Dependencies
from services.escalation.delivery.trying import Trying
from services.escalation.raising import Raising
from shared import ids
from shared.contract.access import Scope
from shared.ledger import keys
from shared.policy.document import Ladder, Step
from shared.web.keyring import KeyRing

START = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
DUE = START + timedelta(hours=1)
NOW = DUE + timedelta(seconds=1)
LADDER = Ladder(
    name="wake the lead",
    steps=(
        Step(after=timedelta(), page=("person/ana",)),
        Step(after=timedelta(minutes=10), page=("person/ben",)),
    ),
)
HTML = {"accept": "text/html"}


def app_of(world: Any) -> ASGIApp:
    """The application, on what the world has at present."""
    return build_escalation_app(
        Dependencies(
            pool=world.pool,
            shelf=world.shelf,
            answering=world.answering,
            raising=Raising(world.pool, world.shelf, world.relay, world.metrics),
            trying=Trying(world.pool, world.shelf, world.tokens, world.channels),
            keyring=KeyRing(world.pool),
        ),
        registry=world.registry,
        checks={},
        version="0",
    )


def client_of(world: Any) -> httpx.AsyncClient:
    """A client without a key."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app_of(world)), base_url="http://desk.test")


async def key_of(world: Any, *scopes: Scope, tenant: str = "default") -> dict[str, str]:
    """The header of a new key."""
    async with world.pool.acquire() as connection:
        created = await keys.create(connection, tenant=tenant, scopes=scopes, label="test")
    return {"authorization": f"Bearer {created.key}"}


async def paged(world: Any, clock_control: Any) -> str:
    """A broken promise of which Ana was told; the path of her link."""
    await world.people("ana", "ben", "head")
    await world.ticket(due_in=timedelta(hours=1))
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.drain()
    [page] = world.provider.sent
    assert page.link.startswith("http://desk.test/v1/ack/")
    return path_of(page.link)


def path_of(link: str) -> str:
    """Of a link, what comes after the host."""
    return link.removeprefix("http://desk.test")


async def gather(world: Any, escalations: Sequence[UUID]) -> UUID:
    """Let the first pages of these escalations be one group, in this order; returns its id."""
    group_id = ids.uuid7(START)
    await world.pool.execute(
        "INSERT INTO page_group (id, tenant, who, recipient, person, kind, urgency, step, opened_at, closes_at, open_for, members) "
        "VALUES ($1, 'default', 'ana', 'on-call/support', 'ana', 'page', 'high', 0, $2, $3, interval '1 min', $4)",
        group_id,
        DUE,
        DUE + timedelta(minutes=1),
        len(escalations),
    )
    await world.pool.execute(
        "UPDATE page p SET group_id = $1, group_version = k.n FROM unnest($2::uuid[]) WITH ORDINALITY AS k (id, n) "
        "WHERE p.escalation_id = k.id",
        group_id,
        list(escalations),
    )
    return group_id


async def broken(world: Any, clock_control: Any, count: int = 1) -> list[str]:
    """So many promises broke at once; the links of their pages, by ticket."""
    await world.people("ana", "ben", "head")
    for number in range(count):
        await world.ticket(str(number), due_in=timedelta(hours=1))
    await clock_control.freeze(NOW)
    await world.drain()
    by_ticket = {page.facts.ticket: path_of(page.link) for page in world.provider.sent}
    return [by_ticket[str(number)] for number in range(count)]


async def in_order(world: Any) -> list[UUID]:
    """Ids of the escalations, by ticket."""
    rows = await world.pool.fetch(
        "SELECT e.id FROM escalation e JOIN ticket t ON t.id = e.ticket_id ORDER BY t.external_id"
    )
    return [row["id"] for row in rows]
