"""Escalation put together: settings, connections, use cases, HTTP, loops. Plain constructors, nothing global."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack

from msgspec import Struct
from nats.aio.client import Client
from prometheus_client import CollectorRegistry

from services.escalation import loop
from services.escalation.answering import Answering
from services.escalation.api.app import build_escalation_app
from services.escalation.api.dependencies import Dependencies
from services.escalation.audit.auditor import Auditor
from services.escalation.audit.heartbeat import Heartbeat
from services.escalation.channels import Channel
from services.escalation.channels.assembly import build_channels
from services.escalation.channels.client import HttpClient, check_url
from services.escalation.channels.secrets import Secrets
from services.escalation.delivery.delivery import Delivery
from services.escalation.delivery.receipts import Receipts
from services.escalation.delivery.trying import Trying
from services.escalation.errors import AddressRefused
from services.escalation.firing import Firing
from services.escalation.grouping import Grouping
from services.escalation.helping import Helping
from services.escalation.metrics import EscalationMetrics
from services.escalation.on_call.outlook import Outlook
from services.escalation.raising import Raising
from services.escalation.settings import Settings
from services.escalation.stepping import Stepping
from services.escalation.store import Pulse
from services.escalation.tidying import Tidying
from services.escalation.tokens import Tokens
from services.escalation.waking import WakingUp
from shared.jetstream import publish, streams
from shared.jetstream.relay import Relay
from shared.ledger.policies import PolicyShelf
from shared.postgres.pool import Pool
from shared.runtime import http, logs, points, servers, vitals
from shared.runtime import settings as runtime_settings
from shared.runtime.periodic import Health
from shared.runtime.run import CannotStart, Part, Service, looping
from shared.web import checks
from shared.web.keyring import KeyRing

NAME = "escalation"
_TIDY_SECONDS = 1.0
_SWEEP_SECONDS = 2.0
_MEASURE_SECONDS = 5.0
_OUTLOOK_SECONDS = 60.0


async def assemble(stack: AsyncExitStack) -> Service:
    """The service from the environment's settings."""
    return await assemble_with(runtime_settings.load(Settings), stack)


class _Ground(Struct, frozen=True, kw_only=True):
    """What the parts stand on: opened first, closed last."""

    pool: Pool
    client: Client
    relay: Relay
    listening: socket.socket
    channels: Mapping[str, Channel]
    registry: CollectorRegistry
    metrics: EscalationMetrics
    health: Health


async def assemble_with(settings: Settings, stack: AsyncExitStack) -> Service:
    """Open what the service needs and put its parts together. Raises CannotStart."""
    logs.set_up(logs.Format(settings.log_format))
    points.arm(settings.fault_point, environment=settings.environment)
    heartbeat = _heartbeat(settings, stack)
    ground = await _open(settings, stack)
    pool, relay, channels, metrics, health = ground.pool, ground.relay, ground.channels, ground.metrics, ground.health
    shelf = PolicyShelf()
    links = Tokens(settings.token_key, settings.link_base(ground.listening.getsockname()[1]))
    firing = Firing(pool, relay, metrics)
    helping = Helping(pool, shelf, relay, metrics, is_halted=lambda: firing.halted is not None)
    stepping = Stepping(pool, shelf, relay, metrics, links, channels, is_halted=lambda: firing.halted is not None)
    waking = WakingUp(pool, shelf, relay, metrics, links, channels, is_halted=lambda: firing.halted is not None)
    delivery = Delivery(pool, shelf, relay, metrics, links, channels)
    grouping = Grouping(pool, links)
    tidying = Tidying(pool, delivery, metrics)
    auditor = Auditor(pool, ground.client, metrics.watch, heartbeat.beat, beat_seconds=settings.heartbeat_seconds)
    receipts = Receipts(pool, metrics, Secrets(settings.secrets_dir), settings.public_url)
    methods = frozenset(name for name, channel in channels.items() if not channel.capabilities.is_informational)
    outlook = Outlook(pool, shelf, metrics, methods)
    app = build_escalation_app(
        Dependencies(
            pool=pool,
            shelf=shelf,
            answering=Answering(pool, shelf, relay, metrics),
            raising=Raising(pool, shelf, relay, metrics),
            trying=Trying(pool, shelf, links, channels),
            keyring=KeyRing(pool),
            receipts=receipts,
            methods=methods,
        ),
        registry=ground.registry,
        checks={**checks.standard(pool, ground.client, health), "time": firing.time_check},
        notes={"invariants": auditor.check},
        version=vitals.VERSION,
        metrics_open=settings.metrics_open,
        docs_open=settings.docs_open,
    )
    steps, pages = asyncio.Event(), asyncio.Event()
    return Service(
        name=NAME,
        health=health,
        stages=(
            (Part(name="http", run=lambda stop: http.serve(app, ground.listening, stop=stop)),),
            (
                Part(name="firing", run=_following("firing", firing.run_backlog, firing.pulse, health, None, steps)),
                Part(name="waking", run=_following("waking", waking.run_once, waking.pulse, health, None, steps)),
                Part(name="helping", run=_following("helping", helping.run_once, helping.pulse, health, None, steps)),
                Part(
                    name="stepping", run=_following("stepping", stepping.run_once, stepping.pulse, health, steps, pages)
                ),
                Part(
                    name="grouping", run=_following("grouping", grouping.run_once, grouping.pulse, health, None, pages)
                ),
                Part(name="delivery", run=lambda stop: delivery.run(stop, health, pages)),
                looping("tidying", _TIDY_SECONDS, tidying.run_once, health),
                looping("receipts", _TIDY_SECONDS, receipts.run_once, health),
                looping("gauges", _MEASURE_SECONDS, tidying.measure, health, drain=False),
                looping("on_call", _OUTLOOK_SECONDS, outlook.measure, health, drain=False),
                looping("outbox", _SWEEP_SECONDS, relay.sweep, health),
                looping("audit", auditor.look_seconds, auditor.run_once, health, drain=False),
            ),
            (
                Part(name="relay", run=relay.run),
                Part(name="nats", run=lambda stop: servers.stay_open(ground.client, stop)),
            ),
        ),
    )


async def _open(settings: Settings, stack: AsyncExitStack) -> _Ground:
    pool = await servers.open_database(stack, settings.database_url, name=NAME, size=settings.pool_size)
    await servers.require_fit(pool, environment=settings.environment)
    client = await servers.open_nats(stack, settings.nats_url, name=NAME)
    await streams.ensure(client)
    listening = http.bind(settings.http_host, settings.escalation_port, setting="DESKCLOCK_ESCALATION_PORT")
    stack.callback(listening.close)
    channels = build_channels(settings)
    for channel in channels.values():
        stack.push_async_callback(channel.close)
    registry = CollectorRegistry()
    health = Health()
    vitals.register(registry, health)
    return _Ground(
        pool=pool,
        client=client,
        relay=Relay(await publish.open_publisher(client), pool),
        listening=listening,
        channels=channels,
        registry=registry,
        metrics=EscalationMetrics(registry, tuple(channels)),
        health=health,
    )


def _heartbeat(settings: Settings, stack: AsyncExitStack) -> Heartbeat:
    """What tells the outside that all is well. Raises CannotStart where its address can't be asked."""
    try:
        if settings.heartbeat_url:
            check_url(settings.heartbeat_url, settings.allowed_hosts)
    except AddressRefused as error:
        raise CannotStart(f"DESKCLOCK_HEARTBEAT_URL: {error}") from None
    http_client = HttpClient(settings.allowed_hosts, concurrency=1)
    stack.push_async_callback(http_client.close)
    return Heartbeat(http_client, settings.heartbeat_url)


def _following(
    name: str,
    run_once: Callable[[], Awaitable[int]],
    pulse: Callable[[], Awaitable[Pulse]],
    health: Health,
    wake: asyncio.Event | None,
    wakes: asyncio.Event,
) -> Callable[[asyncio.Event], Awaitable[None]]:
    return lambda stop: loop.follow(name, run_once, pulse, health=health, stop=stop, wake=wake, wakes=wakes)
