"""Teams workflows, whose address is the secret, and ntfy on any server."""

from uuid import UUID

import pytest
from msgspec import json

from services.escalation.channels import Closed, ntfy, teams
from services.escalation.channels.client import HttpClient
from services.escalation.channels.ntfy import Ntfy
from services.escalation.channels.secrets import Secrets
from services.escalation.domain.ladder import Kind
from services.escalation.domain.retry import Result
from shared.policy.document import Contact
from tests.providers import credentials
from tests.providers.faults import Fault
from tests.unit.escalation.channels.conftest import LINK, moot, page_by


@pytest.mark.parametrize(
    "fault", [Fault(kind="close"), Fault(kind="garbage"), Fault(kind="redirect"), Fault(kind="status", status=401), Fault(kind="status")],
    ids=lambda fault: f"{fault.kind}{fault.status}",
)  # fmt: skip
async def test_the_address_of_a_workflow_is_never_shown(channels, providers, fault):
    """Whoever knows it can post; outcomes are stored and shown."""
    providers.misbehave(fault)
    outcome = await channels["teams"].send(page_by("teams", providers))
    assert Result.ACCEPTED != outcome.result
    for part in (credentials.TEAMS_SIGNATURE, "/workflows/", "api-version"):
        assert part not in outcome.detail


@pytest.mark.parametrize(
    "url",
    ["hunter2", "http://example.com/?sig=hunter2", "https://127.1/?sig=hunter2", "https://u:hunter2@example.com/"],
)
async def test_a_workflow_that_may_not_be_called_is_not_shown_either(providers, monkeypatch, url):
    """No private address, no user, no plain HTTP."""
    monkeypatch.setenv("DESKCLOCK_SECRET_TEAMS", url)
    channel = teams.Teams(HttpClient(), Secrets())
    outcome = await channel.send(page_by("teams", providers))
    await channel.close()
    assert (Result.REJECTED, False) == (outcome.result, "hunter2" in outcome.detail)


def test_text_in_a_card_is_no_markup(providers):
    """Only runs of text, which Teams shows as they are; and one button."""
    page = page_by("teams", providers, text=f"# *a* [b](https://evil.test)\n<at>all</at>\nAcknowledge: {LINK}")
    content = teams.card(page)["attachments"][0]["content"]
    assert {"RichTextBlock"} == {block["type"] for block in content["body"]}
    assert ["# *a* [b](https://evil.test)", "<at>all</at>", f"page {UUID(int=1)}"] == [
        block["inlines"][0]["text"] for block in content["body"]
    ]
    assert [{"type": "Action.OpenUrl", "title": "Acknowledge", "url": LINK}] == content["actions"]


@pytest.mark.parametrize(
    ("kind", "urgency", "priority"),
    [
        (Kind.PAGE, "urgent", 5), (Kind.PAGE, "high", 4), (Kind.PAGE, "normal", 4), (Kind.PAGE, "low", 3), (Kind.WARNING, "urgent", 3),
        (Kind.COPY, "urgent", 2), (Kind.ALARM, "low", 5), (Kind.RESOLVE, "urgent", 2), (Kind.CANARY, "urgent", 5),
    ],
)  # fmt: skip
def test_how_loud_a_notification_is_follows_its_kind_and_urgency(providers, kind, urgency, priority):
    """What is moot makes no sound."""
    assert priority == ntfy.notification(page_by("ntfy", providers, kind=kind, urgency=urgency), "t")["priority"]


def test_r36_a_notification_has_the_pages_id_as_its_sequence(providers):
    """A newer server shows an attempt that came twice once, and what is moot in place of its page."""
    page = page_by("ntfy", providers)
    assert str(page.id) == ntfy.notification(page, "t")["sequence_id"]
    over = moot(page, Closed(id=page.id, provider_id=None))
    assert str(page.id) == ntfy.notification(over, "t")["sequence_id"]
    several = moot(page, Closed(id=page.id, provider_id=None), Closed(id=UUID(int=2), provider_id=None))
    assert str(several.id) == ntfy.notification(several, "t")["sequence_id"]


def test_a_tap_opens_the_link(providers):
    """And so does the button; neither is there where there is nothing to acknowledge."""
    page = page_by("ntfy", providers)
    made = ntfy.notification(page, "t")
    assert (LINK, [{"action": "view", "label": "Acknowledge", "url": LINK}]) == (made["click"], made["actions"])
    assert not {"click", "actions"} & ntfy.notification(moot(page), "t").keys()


async def test_a_server_of_ones_own_is_named_with_the_topic(channels, providers):
    """Of those that the operator allows, with its token."""
    page = page_by("ntfy", providers, address=f"{providers.url('ntfy')}/other-topic")
    assert Result.ACCEPTED == (await channels["ntfy"].send(page)).result
    [request] = providers.ledger.requests()
    assert ("other-topic", f"Bearer {credentials.NTFY_TOKEN}") == (
        json.decode(request.body)["topic"], request.headers["authorization"],
    )  # fmt: skip


async def test_a_token_goes_to_no_server_that_only_a_roster_names(providers):
    """It could be somebody else's secret."""
    channel = Ntfy(HttpClient(), HttpClient(), Secrets(), url="https://ntfy.sh")
    outcome = await channel.send(page_by("ntfy", providers, address="https://evil.example/topic"))
    assert (Result.REJECTED, True) == (outcome.result, "DESKCLOCK_NTFY_URL" in outcome.detail)
    await channel.close()


async def test_a_server_that_a_roster_names_is_called_only_where_it_is_public(providers):
    """Although the operator's own may be private: it may not be called by another address either."""
    own = HttpClient(frozenset({"127.0.0.1"}))
    channel = Ntfy(own, HttpClient(), Secrets(), url=providers.url("ntfy"))
    for address in (
        f"{providers.base}/slack/topic",
        "http://127.0.0.1:9/topic",
        "https://127.0.0.1:9443/topic",
        "nonsense://x/topic",
    ):
        outcome = await channel.send(page_by("ntfy", providers, address=address, secret=""))
        assert Result.REJECTED == outcome.result
    assert 0 == providers.connections
    assert Result.ACCEPTED == (await channel.send(page_by("ntfy", providers, secret=""))).result
    await channel.close()


def test_an_account_of_ntfy_is_a_server_and_a_token(channels):
    """A password in an address, which is refused when it is used, is not stored as an account's name."""
    for address, account in (("desk", "ntfy 127.0.0.1:"), ("https://u:hunter2@ntfy.example/desk", "ntfy ntfy.example")):
        assert channels["ntfy"].account(Contact(method="ntfy", address=address)).startswith(account)
