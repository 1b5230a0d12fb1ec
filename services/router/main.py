"""The router put together: settings, connections, parts; plain constructors, nothing hidden."""

from contextlib import AsyncExitStack
from functools import partial

from prometheus_client import CollectorRegistry

from services.router.agents import Agents
from services.router.api import agents as agents_api
from services.router.api.app import build_router_app
from services.router.api.dependencies import Dependencies
from services.router.assignment import Assignment
from services.router.consumer import Consumer
from services.router.intake import Intake
from services.router.metrics.assignment import AssignmentMetrics
from services.router.metrics.gauges import SECONDS as GAUGE_SECONDS
from services.router.metrics.gauges import Gauges
from services.router.metrics.presence import PresenceMetrics
from services.router.metrics.promises import PromiseGauge
from services.router.metrics.rollout import RolloutMetrics
from services.router.metrics.tickets import RouterMetrics
from services.router.presence import PresenceLoop
from services.router.reconciling import Reconciling
from services.router.scoring import SECONDS as SCORING_SECONDS
from services.router.scoring import Scoring
from services.router.settings import Settings
from services.router.tending import Tending
from services.router.versions.rollout import RollingOut
from services.router.versions.shadowing import SECONDS as SHADOW_SECONDS
from services.router.versions.shadowing import Shadows
from services.router.views import Views
from shared.contract import subjects
from shared.jetstream import streams
from shared.jetstream.publish import open_publisher
from shared.jetstream.pull import Puller
from shared.jetstream.relay import Relay
from shared.ledger.policies import PolicyShelf
from shared.runtime import http, logs, points, servers, vitals
from shared.runtime.periodic import Health
from shared.runtime.run import Part, Service, looping, run
from shared.runtime.settings import load
from shared.web import checks
from shared.web.keyring import KeyRing

SWEEP_SECONDS = 1.0
RECONCILE_SECONDS = 60.0
SHIFTS_SECONDS = 10.0
OFFLINE_SECONDS = 5.0


def main() -> int:
    """Run the router until it is told to stop; returns the exit code."""
    return run(assemble)


async def assemble(stack: AsyncExitStack) -> Service:
    """The router with all its parts; what they use closes with the stack. Raises CannotStart, SettingsError."""
    settings = load(Settings)
    logs.set_up(logs.Format(settings.log_format))
    points.arm(settings.fault_point, environment=settings.environment)
    health, registry = Health(), CollectorRegistry()
    listening = http.bind(settings.http_host, settings.router_port, setting="DESKCLOCK_ROUTER_PORT")
    stack.callback(listening.close)
    pool = await servers.open_database(stack, settings.database_url, name="deskclock-router", size=settings.pool_size)
    await servers.require_fit(pool, environment=settings.environment)
    client = await servers.open_nats(stack, settings.nats_url, name="deskclock-router")
    await streams.ensure(client)
    publisher = await open_publisher(client)

    relay = Relay(publisher, pool)
    shelf = PolicyShelf()
    metrics = RouterMetrics(registry)
    vitals.register(registry, health)
    matching = AssignmentMetrics(registry)
    assignment = Assignment(pool, shelf, matching, relay, tell=metrics.count_promises)
    shadows = Shadows(pool, metrics)
    scoring = Scoring(pool, metrics)
    await scoring.run_once()  # before the first ticket
    intake = Intake(pool, shelf, assignment, relay, metrics, shadows, scoring)
    puller = Puller(client, subjects.TICKETS, streams.ROUTER, health=health, restore=partial(streams.ensure, client))
    consumer = Consumer(puller, publisher, intake, metrics)
    tending = Tending(pool, shelf, assignment, metrics.tenures, relay, tell=metrics.count_promises)
    gauges = Gauges(pool, client, registry)
    presences = PresenceMetrics(registry, metrics.tenures)
    presence = PresenceLoop(pool, shelf, assignment, relay, presences, tell=metrics.count_promises)
    promises = PromiseGauge(pool, shelf, registry)
    rolling_out = RollingOut(pool, shelf, RolloutMetrics(registry), relay=relay, tell=metrics.count_promises)
    app = build_router_app(
        Dependencies(pool=pool, intake=intake, views=Views(pool), keyring=KeyRing(pool), shelf=shelf),
        registry=registry,
        checks=checks.standard(pool, client, health),
        version=vitals.VERSION,
        more_routes=agents_api.ROUTES,
        more_state={agents_api.STATE: Agents(pool, shelf, assignment, relay, presences)},
        metrics_open=settings.metrics_open,
        docs_open=settings.docs_open,
    )

    return Service(
        name="router",
        health=health,
        stages=[
            [Part(name="http", run=lambda stop: http.serve(app, listening, stop=stop))],
            [Part(name="consumer", run=consumer.run), Part(name="intake", run=intake.run)],
            [
                looping("matching", SWEEP_SECONDS, assignment.sweep, health, drain=False),
                looping(
                    "reconcile",
                    RECONCILE_SECONDS,
                    Reconciling(pool, shelf, matching, relay, tell=metrics.count_promises).run_once,
                    health,
                    drain=False,
                ),
                looping("tending", SWEEP_SECONDS, tending.run_once, health),
                looping("assignment gauges", GAUGE_SECONDS, tending.measure, health, drain=False),
                looping("presence", SWEEP_SECONDS, presence.advance, health),
                looping("shifts", SHIFTS_SECONDS, presence.set_shifts, health, drain=False),
                looping("offline sweep", OFFLINE_SECONDS, presence.sweep, health),
                looping("agent gauge", GAUGE_SECONDS, presence.measure, health, drain=False),
                looping("rollout", SWEEP_SECONDS, rolling_out.run_once, health),
                looping("rollout gauge", GAUGE_SECONDS, rolling_out.measure, health, drain=False),
                looping("queue gauges", GAUGE_SECONDS, assignment.measure, health, drain=False),
                looping("models", SCORING_SECONDS, scoring.run_once, health),
                looping("shadow policies", SHADOW_SECONDS, shadows.run_once, health),
                looping("ticket gauges", GAUGE_SECONDS, gauges.measure, health, drain=False),
                looping("promise gauge", GAUGE_SECONDS, promises.measure, health, drain=False),
                looping("outbox", SWEEP_SECONDS, relay.sweep, health),
            ],
            [Part(name="relay", run=relay.run), Part(name="nats", run=partial(servers.stay_open, client))],
        ],
    )
