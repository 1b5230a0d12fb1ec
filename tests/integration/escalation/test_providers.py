"""Whole pages through real channels to providers that keep a ledger: opened once, closed with the promise."""

from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest

from services.escalation.channels import assembly
from services.escalation.settings import Settings
from shared.policy.document import Contact
from tests.integration.escalation.whole_desk import SOLVED
from tests.providers import credentials
from tests.providers.faults import ALWAYS, Fault
from tests.providers.server import FaultServer
from tests.unit.escalation.channels.conftest import ADDRESSES

CLOSING = ("jsm", "pagerduty", "slack", "webhook")
KEYED = ("jsm", "pagerduty", "webhook")


@pytest.fixture
async def providers(desk, monkeypatch) -> AsyncIterator[FaultServer]:
    """The local providers, and all channels of the process turned to them."""
    async with FaultServer() as server:
        for name, value in credentials.environment(server.base).items():
            monkeypatch.setenv(name, value)
        addresses = {f"{method}_url": server.url(method) for method in ("jsm", "ntfy", "pagerduty", "slack")}
        built = assembly.build_channels(Settings(database_url="x", page_allow_hosts="127.0.0.1", **addresses))
        desk.world.channels.update({name: channel for name, channel in built.items() if name != "console"})
        desk.world.stepping, desk.world.delivery = desk.world.another_stepping(), desk.world.another_delivery()
        yield server
        for channel in built.values():
            await channel.close()


def contact(server: FaultServer, method: str) -> Contact:
    """By this way, with its secret."""
    address = ADDRESSES.get(method) or server.url(method)
    return Contact(method=method, address=address, secret=f"env:DESKCLOCK_SECRET_{method.upper()}")


async def reached_by(desk, *contacts: Contact) -> None:
    """Ana, by these ways."""
    await desk.world.pool.execute(
        "UPDATE agent SET contacts = $1 WHERE key = 'ana'", msgspec.json.encode(list(contacts))
    )


async def breaks(desk) -> None:
    """A ticket whose promise of an hour breaks."""
    await desk.opens()
    await desk.broke(minutes=61)


async def wait(desk, minutes: float) -> None:
    """It is so many minutes after START, and what was due is done."""
    await desk.world_at(minutes)
    await desk.world.drain()


@pytest.mark.parametrize("method", CLOSING)
async def test_r14_what_was_opened_is_closed_when_the_promise_needs_nobody(desk, providers, method):
    """Opened once, closed once, and nothing stays open at the provider."""
    await reached_by(desk, contact(providers, method))
    await breaks(desk)
    [item] = providers.ledger.items()
    assert (method, 1, True) == (item.provider, item.opened, item.is_open)
    await desk.happens("881", SOLVED, 62)
    await wait(desk, 62)
    [item] = providers.ledger.items()
    assert (1, 1, False) == (item.opened, item.resolved, item.is_open)


@pytest.mark.parametrize("method", KEYED)
async def test_r36_a_page_taken_but_not_answered_for_is_sent_again_and_opened_once(desk, providers, method):
    """Three answers lost on the way back: the key is the same; then it is closed."""
    await reached_by(desk, contact(providers, method))
    providers.misbehave(Fault(kind="close", is_handled=True, times=3))
    await breaks(desk)
    for seconds in range(1, 16):
        await wait(desk, 61 + seconds / 60)
    [item] = providers.ledger.items()
    assert (1, 3) == (item.opened, item.joined)
    await desk.happens("881", SOLVED, 62)
    await wait(desk, 62)
    assert not any(item.is_open for item in providers.ledger.items())


async def test_r36_slack_gets_what_is_unknown_once_more_and_no_oftener(desk, providers):
    """It can't tell a repeated page: one duplicate at most, then the next way."""
    await reached_by(desk, contact(providers, "slack"), contact(providers, "pagerduty"))
    providers.misbehave(*[Fault(kind="close", is_handled=True, provider="slack", times=9)])
    await breaks(desk)
    for seconds in range(1, 30):
        await wait(desk, 61 + seconds / 60)
    assert {"slack": 2, "pagerduty": 1} == {item.provider: item.opened for item in providers.ledger.items()}


@pytest.mark.parametrize("fault", [Fault(kind="status", status=401), Fault(kind="status", status=404), Fault(kind="redirect")], ids=lambda fault: f"{fault.kind}{fault.status}")  # fmt: skip
async def test_r37_a_provider_that_refuses_is_followed_by_the_next_at_once(desk, providers, fault):
    """A wrong key in PagerDuty: Slack in the same moment."""
    providers.misbehave(msgspec.structs.replace(fault, provider="pagerduty"))
    await reached_by(desk, contact(providers, "pagerduty"), contact(providers, "slack"))
    await breaks(desk)
    assert ["slack"] == [item.provider for item in providers.ledger.items()]


async def test_r37_a_provider_that_is_down_is_followed_by_the_next_within_thirty_seconds_and_tried_on(desk, providers):
    """503 for a while: the person is reached another way, and PagerDuty gets it once it is back."""
    providers.misbehave(Fault(kind="status", status=503, provider="pagerduty", times=100))
    await reached_by(desk, contact(providers, "pagerduty"), contact(providers, "slack"))
    await breaks(desk)
    taken = None
    for seconds in range(1, 31):
        await wait(desk, 61 + seconds / 60)
        if taken is None and providers.ledger.items("slack"):
            taken = timedelta(seconds=seconds)
    assert taken is not None
    assert taken < timedelta(seconds=30)
    providers.behave()
    await wait(desk, 63)
    assert {"pagerduty": 1, "slack": 1} == {item.provider: item.opened for item in providers.ledger.items()}


async def test_r14_what_may_have_been_opened_is_closed_too(desk, providers):
    """PagerDuty took the page, and no answer of its ever came: given up here, it must not stay open there."""
    providers.misbehave(Fault(kind="close", is_handled=True, times=ALWAYS))
    await reached_by(desk, contact(providers, "pagerduty"))
    await breaks(desk)
    for minutes in range(62, 75):
        await wait(desk, minutes)
    assert "failed" in (await desk.states())["page"]
    providers.behave()
    await desk.happens("881", SOLVED, 75)
    for minutes in range(75, 80):  # our breaker lets go of the provider by and by
        await wait(desk, minutes)
    items = providers.ledger.items("pagerduty")
    pages = {str(page["id"]) for page in await desk.world.pages() if page["kind"] == "page"}
    items = [item for item in items if item.key in pages]
    assert items
    assert not any(item.is_open for item in items)
