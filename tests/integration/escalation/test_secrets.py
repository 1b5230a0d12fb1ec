"""A planted secret is looked for wherever pages leave traces: the database, events, logs, outcomes, printed settings."""

import logging
from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest

from services.escalation.channels import assembly
from services.escalation.settings import Settings
from shared.policy.document import Contact, Ladder, Step
from shared.runtime import settings as runtime_settings
from tests.providers import credentials
from tests.providers.faults import ALWAYS, Fault
from tests.providers.server import FaultServer
from tests.unit.escalation.channels.conftest import ADDRESSES

METHODS = ("jsm", "ntfy", "pagerduty", "slack", "teams", "webhook")


@pytest.fixture
async def providers(world, monkeypatch) -> AsyncIterator[FaultServer]:
    """The local providers, and all channels of the process turned to them."""
    async with FaultServer() as server:
        for name, value in credentials.environment(server.base).items():
            monkeypatch.setenv(name, value)
        addresses = {f"{method}_url": server.url(method) for method in ("jsm", "ntfy", "pagerduty", "slack")}
        built = assembly.build_channels(Settings(database_url="x", page_allow_hosts="127.0.0.1", **addresses))
        world.channels.update({name: channel for name, channel in built.items() if name in METHODS})
        yield server
        for channel in built.values():
            await channel.close()


def contact(server: FaultServer, method: str) -> Contact:
    """By this way, with its secret."""
    address = ADDRESSES.get(method) or server.url(method)
    return Contact(method=method, address=address, secret=f"env:DESKCLOCK_SECRET_{method.upper()}")


def planted(server: FaultServer) -> list[str]:
    """Every secret there is, and the part of an address that is one."""
    held = credentials.environment(server.base)
    return [*(held[f"DESKCLOCK_SECRET_{method.upper()}"] for method in METHODS), credentials.TEAMS_SIGNATURE]


async def everything_stored(world) -> str:
    """All rows of all tables, as text."""
    tables = await world.pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    rows = [
        str(dict(row)) for table in tables for row in await world.pool.fetch(f'SELECT * FROM "{table["tablename"]}"')
    ]
    return "\n".join(rows)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="status", status=202), Fault(kind="status", status=400), Fault(kind="status", status=503), Fault(kind="close"),
        Fault(kind="garbage"), Fault(kind="redirect"),
    ],
    ids=lambda fault: f"{fault.kind}{fault.status}",
)  # fmt: skip
async def test_no_secret_of_a_page_is_stored_published_or_logged(world, clock_control, providers, caplog, fault):
    """Whatever the provider answers, and though it repeats what it was sent: the rosters hold references only."""
    caplog.set_level(logging.DEBUG)
    secrets = planted(providers)
    for method, secret in zip((*METHODS, "teams"), secrets, strict=True):
        said = dict.fromkeys(("error", "message", "id", "requestId", "code", "ts", "channel"), secret)
        body = msgspec.json.encode({**said, "ok": True}).decode()
        providers.misbehave(msgspec.structs.replace(fault, provider=method, body=body, times=ALWAYS))
    for method in METHODS:
        await world.people(method, contacts=[contact(providers, method)])
    await world.people("ben", "head", contacts=[Contact(method="console")])
    page = tuple(f"person/{method}" for method in METHODS)
    world.use(Ladder(name="wake the lead", steps=(Step(after=timedelta(), page=page),), otherwise=("person/head",)))
    await world.ticket(due_in=timedelta(minutes=1))
    await clock_control.advance(minutes=2)
    await world.firing.run_once()
    await world.stepping.run_once()
    await world.delivery.run_once()
    assert len(METHODS) == len({request.provider for request in providers.ledger.requests()} - {"_landed"})
    stored = await everything_stored(world)
    assert "DESKCLOCK_SECRET_SLACK" in stored
    traces = {
        "database": stored,
        "events": str([batch.payloads for batch in world.relay.batches]),
        "logs": caplog.text + str([record.__dict__ for record in caplog.records]),
        "console": world.printed.getvalue(),
    }
    for place, text in traces.items():
        assert [] == [secret for secret in secrets if secret in text], place


def test_settings_show_no_secret(monkeypatch):
    """`deskclock settings` prints what an operator set; secrets of pages are no settings, and those that are, are masked."""
    monkeypatch.setenv("DESKCLOCK_SECRET_SLACK", "planted")
    loaded = runtime_settings.load(Settings, {"DESKCLOCK_DATABASE_URL": "planted", "DESKCLOCK_ACK_KEY": "planted"})
    assert "planted" not in str([line.value for line in runtime_settings.describe(loaded)])
