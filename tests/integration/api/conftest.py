"""The router's whole HTTP surface on real servers, asked with keys of two tenants."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest
from msgspec import Struct
from nats.aio.client import Client
from nats.js import JetStreamContext
from prometheus_client import CollectorRegistry

from services.router.agents import Agents
from services.router.api import agents as agents_api
from services.router.api.app import build_router_app
from services.router.api.dependencies import Dependencies
from services.router.assignment import Assignment
from services.router.intake import Intake
from services.router.metrics.assignment import AssignmentMetrics
from services.router.metrics.presence import PresenceMetrics
from services.router.metrics.tickets import RouterMetrics
from services.router.scoring import Scoring
from services.router.versions.shadowing import Shadows
from services.router.views import Views
from shared.contract.access import Scope
from shared.jetstream.publish import open_publisher
from shared.jetstream.relay import Relay
from shared.ledger import keys
from shared.ledger.policies import PolicyShelf
from shared.postgres.pool import Pool
from shared.web.keyring import KeyRing

NOW = datetime(2026, 6, 1, 9, 30, tzinfo=UTC)
"""A Monday."""


class Router(Struct, frozen=True, kw_only=True):
    """A running router: its application, and a client of each tenant with all rights."""

    acme: httpx.AsyncClient
    globex: httpx.AsyncClient
    nobody: httpx.AsyncClient
    """Has no key."""
    pool: Pool
    shadows: Shadows
    """Tries candidate policies when it is told to."""
    scoring: Scoring
    """Looks which models are used when it is told to."""


@pytest.fixture
async def router(pool: Pool, nats_client: Client, jetstream: JetStreamContext, clock_control) -> AsyncIterator[Router]:
    """The router as `main.py` builds it, without its loops; time stands still."""
    await clock_control.freeze(NOW)
    registry, shelf = CollectorRegistry(), PolicyShelf()
    relay = Relay(await open_publisher(nats_client), pool)
    assignment = Assignment(pool, shelf, AssignmentMetrics(registry), relay)
    metrics = RouterMetrics(registry)
    shadows = Shadows(pool, metrics)
    scoring = Scoring(pool, metrics)
    intake = Intake(pool, shelf, assignment, relay, metrics, shadows, scoring)
    app = build_router_app(
        Dependencies(pool=pool, intake=intake, views=Views(pool), keyring=KeyRing(pool)),
        registry=registry,
        checks={},
        version="1",
        more_routes=agents_api.ROUTES,
        more_state={
            agents_api.STATE: Agents(pool, shelf, assignment, relay, PresenceMetrics(registry, metrics.tenures))
        },
    )
    stop = asyncio.Event()
    running = asyncio.create_task(intake.run(stop))
    transport = httpx.ASGITransport(app)
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://router") as nobody,
        httpx.AsyncClient(transport=transport, base_url="http://router", headers=await bearer(pool, "acme")) as acme,
        httpx.AsyncClient(
            transport=transport, base_url="http://router", headers=await bearer(pool, "globex")
        ) as globex,
    ):
        yield Router(acme=acme, globex=globex, nobody=nobody, pool=pool, shadows=shadows, scoring=scoring)
    stop.set()
    await running


async def bearer(pool: Pool, tenant: str) -> dict[str, str]:
    """The header of a fresh key that may do everything in its tenant."""
    async with pool.acquire() as connection:
        made = await keys.create(connection, tenant, [Scope.ADMIN], "test")
    return {"authorization": f"Bearer {made.key}"}
