"""Channels to the local providers, and pages to send by them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec import structs

from services.escalation.channels import Channel, Page, assembly
from services.escalation.domain.ladder import Kind
from services.escalation.domain.notice import Facts
from services.escalation.settings import Settings
from tests.providers import credentials
from tests.providers.server import FaultServer

DUE = datetime(2026, 6, 1, 9, tzinfo=UTC)
FACTS = Facts(
    source="zendesk", ticket="881", channel="email", urgency="high", target="resolution", due_at=DUE, reason="breached",
    at=DUE + timedelta(minutes=3), recipient="on-call/support",
)  # fmt: skip
LINK = "https://desk.test/v1/ack/token"
TEXT = (
    "BROKEN: resolution of ticket 881\nNext: ben at 09:13\nOwner: nobody\nWhy you: you are on call\nAcknowledge: "
    + LINK
)
ADDRESSES = {
    "jsm": "support",
    "ntfy": credentials.NTFY_TOPIC,
    "pagerduty": "support",
    "slack": credentials.SLACK_CHANNEL,
    "teams": "support",
}


@pytest.fixture
async def providers(monkeypatch) -> AsyncIterator[FaultServer]:
    """The local providers, whose secrets are in the environment."""
    async with FaultServer() as started:
        for name, value in credentials.environment(started.base).items():
            monkeypatch.setenv(name, value)
        yield started


@pytest.fixture
async def channels(providers) -> AsyncIterator[dict[str, Channel]]:
    """All channels as the process builds them, turned to the local providers."""
    settings = Settings(
        database_url="x",
        jsm_url=providers.url("jsm"),
        ntfy_url=providers.url("ntfy"),
        pagerduty_url=providers.url("pagerduty"),
        slack_url=providers.url("slack"),
        twilio_url=providers.url("twilio"),
        page_allow_hosts="127.0.0.1",
    )
    built = dict(assembly.build_channels(settings))
    yield built
    for channel in built.values():
        await channel.close()


def page_by(method: str, providers: FaultServer, **changed: object) -> Page:
    """A page by one of the channels."""
    page = Page(
        id=UUID(int=1),
        kind=Kind.PAGE,
        address=ADDRESSES.get(method) or providers.url(method),
        secret=f"env:DESKCLOCK_SECRET_{method.upper()}",
        urgency="high",
        recipient="on-call/support",
        person="ana",
        facts=FACTS,
        text=TEXT,
        link=LINK,
    )
    return structs.replace(page, **changed)


def moot(page: Page, *closes: object) -> Page:
    """What says that pages are moot."""
    return structs.replace(
        page,
        id=UUID(int=99),
        kind=Kind.RESOLVE,
        closes=tuple(closes),
        text="ANSWERED: resolution of ticket 881: kept\nNext: nothing",
        link="",
    )
