"""The local providers themselves: as strict as the real ones, faithful in their ledger, and at home in a process of their own."""

import asyncio
import urllib.error
import urllib.request
from uuid import UUID

import pytest
from msgspec import json

from tests.providers import credentials, jsm, ntfy, pagerduty, slack, teams, twilio
from tests.providers.faults import ALWAYS, Fault
from tests.providers.ledger import Ledger
from tests.providers.remote import provider_process
from tests.providers.server import FaultServer
from tests.providers.wire import Request

JSON = {"content-type": "application/json"}
EVENT = {
    "routing_key": credentials.PAGERDUTY_KEY, "event_action": "trigger", "dedup_key": "k",
    "payload": {"summary": "s", "source": "s", "severity": "info"},
}  # fmt: skip
CARD = {"type": "AdaptiveCard", "version": "1.4", "body": [{"type": "TextBlock", "text": "x"}]}
BOUND = {**JSON, "authorization": f"Bearer {credentials.SLACK_TOKEN}"}


def request(provider: str, path: str, body: object, headers: dict[str, str], query: str = "") -> Request:
    """A request as the server reads it."""
    return Request(method="POST", provider=provider, path=path, query=query, headers=headers, body=json.encode(body))


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (EVENT, 202), ({**EVENT, "routing_key": "x"}, 400), ({**EVENT, "event_action": "page"}, 400), ({**EVENT, "dedup_key": "k" * 256}, 400),
        ({**EVENT, "payload": {}}, 400), ({**EVENT, "payload": {**EVENT["payload"], "severity": "high"}}, 400), ({**EVENT, "links": [{}]}, 400),
        ({**EVENT, "event_action": "resolve", "dedup_key": ""}, 400), ({**EVENT, "surplus": 1}, 400), ({**EVENT, "x" * 600_000: 1}, 413),
    ],
)  # fmt: skip
def test_pagerduty_refuses_what_the_real_one_refuses(event, status):
    """Keys, actions, lengths, severities, links, size."""
    assert status == pagerduty.answer(request("pagerduty", "/v2/enqueue", event, JSON), Ledger()).status


@pytest.mark.parametrize(
    ("body", "key", "status"),
    [
        ({"message": "m"}, credentials.JSM_KEY, 202), ({"message": "m"}, "other", 401), ({"message": "m" * 131}, credentials.JSM_KEY, 422),
        ({}, credentials.JSM_KEY, 422), ({"message": "m", "priority": "P6"}, credentials.JSM_KEY, 422), ({"message": "m", "details": {"a": 1}}, credentials.JSM_KEY, 422),
    ],
)  # fmt: skip
def test_jsm_refuses_what_the_real_one_refuses(body, key, status):
    """Its key, lengths, priorities."""
    headers = {**JSON, "authorization": f"GenieKey {key}"}
    assert status == jsm.answer(request("jsm", "/jsm/ops/integration/v2/alerts", body, headers), Ledger()).status


@pytest.mark.parametrize(
    ("body", "headers", "error"),
    [
        ({"channel": credentials.SLACK_CHANNEL, "text": "x"}, BOUND, ""), ({"channel": "C9999999", "text": "x"}, BOUND, "channel_not_found"),
        ({"channel": credentials.SLACK_CHANNEL}, BOUND, "no_text"), ({"channel": credentials.SLACK_CHANNEL, "text": "x"}, JSON, "not_authed"),
        ({"channel": credentials.SLACK_CHANNEL, "text": "x"}, {**JSON, "authorization": "Bearer x"}, "invalid_auth"),
        ({"channel": credentials.SLACK_CHANNEL, "text": "x" * 40_001}, BOUND, "msg_too_long"),
        ({"channel": credentials.SLACK_CHANNEL, "text": "x", "blocks": [{"type": "section", "text": {"type": "plain_text", "text": "x" * 3001}}]}, BOUND, "invalid_blocks"),
    ],
)  # fmt: skip
def test_slack_refuses_what_the_real_one_refuses(body, headers, error):
    """With 200, and a code."""
    reply = slack.answer(request("slack", "/api/chat.postMessage", body, headers), Ledger())
    assert (200, error) == (reply.status, reply.problem)


@pytest.mark.parametrize(
    ("content", "query", "status"),
    [
        (CARD, f"api-version=1&sig={credentials.TEAMS_SIGNATURE}", 202), (CARD, "api-version=1&sig=x", 401),
        ({**CARD, "body": []}, f"api-version=1&sig={credentials.TEAMS_SIGNATURE}", 400),
        ({**CARD, "actions": [{"type": "Action.OpenUrl", "url": "javascript:x"}]}, f"api-version=1&sig={credentials.TEAMS_SIGNATURE}", 400),
        ({**CARD, "body": [{"type": "TextBlock", "text": "x" * 30_000}]}, f"api-version=1&sig={credentials.TEAMS_SIGNATURE}", 400),
    ],
)  # fmt: skip
def test_teams_refuses_what_the_real_one_refuses(content, query, status):
    """The signature in its address, cards, size."""
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": content}
    posted = request(
        "teams",
        "/workflows/1/triggers/manual/paths/invoke",
        {"type": "message", "attachments": [attachment]},
        JSON,
        query,
    )
    assert status == teams.answer(posted, Ledger()).status


@pytest.mark.parametrize(
    ("body", "token", "status"),
    [
        ({"topic": "t", "message": "m"}, "", 200), ({"topic": "t", "message": "m"}, "tk_other", 401), ({"topic": "no topic"}, "", 400),
        ({"topic": "t", "message": "m" * 5000}, "", 400), ({"topic": "t", "priority": 6}, "", 400), ({"topic": "locked"}, "", 403),
        ({"topic": "t", "actions": [{"action": "view"}]}, "", 400),
    ],
)  # fmt: skip
def test_ntfy_refuses_what_the_real_one_refuses(body, token, status):
    """Tokens, topics, lengths, priorities, actions."""
    headers = {**JSON, "authorization": f"Bearer {token}"} if token else JSON
    assert status == ntfy.answer(request("ntfy", "/", body, headers), Ledger()).status


def test_twilio_asks_for_its_own_authentication():
    """Before all else."""
    path = f"/2010-04-01/Accounts/{credentials.TWILIO_SID}/Messages.json"
    assert 401 == twilio.answer(request("twilio", path, {}, JSON), Ledger()).status


def test_the_ledger_tells_a_duplicate_from_a_key_that_was_known():
    """Opened again after it was resolved is a second notification, repeated while open is none."""
    ledger = Ledger()
    for action in ("trigger", "trigger", "resolve", "resolve", "trigger"):
        posted = request("pagerduty", "/v2/enqueue", {**EVENT, "event_action": action}, JSON)
        reply = pagerduty.answer(posted, ledger)
        ledger.write(posted, 1.0, status=reply.status, problem="", fault="", effects=reply.effects)
    [item] = ledger.items()
    assert ("k", 2, 1, 1, True) == (item.key, item.opened, item.joined, item.resolved, item.is_open)


async def test_faults_are_met_in_their_order_and_counted():
    """The first that fits, as often as it says."""
    async with FaultServer() as server:
        server.misbehave(
            Fault(kind="status", status=500, provider="slack"), Fault(kind="status", status=501, containing="x-only"), Fault(kind="status", status=502, times=2)
        )  # fmt: skip
        statuses = [await asyncio.to_thread(ask, server.url("ntfy")) for _ in range(3)]
        assert [502, 502, 400] == statuses
        server.misbehave(Fault(kind="status", status=503, times=ALWAYS))
        assert [503] * 3 == [await asyncio.to_thread(ask, server.url("ntfy")) for _ in range(3)]
        server.behave()
        assert 400 == await asyncio.to_thread(ask, server.url("ntfy"))


def ask(url: str) -> int:
    """The status of an answer to nothing."""
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/", data=b"{}", headers=JSON), timeout=5) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_a_provider_process_keeps_its_ledger_in_a_file_that_outlives_it(tmp_path):
    """Told and asked from outside; read while it writes, and after it was ended."""
    file = tmp_path / "ledger.sqlite"
    with provider_process(file) as remote:
        body = json.encode({"topic": "t", "message": f"page {UUID(int=5)}"})
        url = remote.url("ntfy") + "/"
        with urllib.request.urlopen(urllib.request.Request(url, data=body, headers=JSON), timeout=5) as answer:  # noqa: S310
            assert 200 == answer.status
        remote.misbehave(Fault(kind="status", status=503), Fault(kind="status", status=429, retry_after="7"))
        assert [503, 429] == [ask(remote.url("ntfy")) for _ in range(2)]
        remote.misbehave(Fault(kind="hang", times=ALWAYS))
        remote.behave()
        assert 400 == ask(remote.url("ntfy"))
        assert 4 == len(remote.ledger.requests("ntfy"))
    kept = Ledger(file)
    assert [str(UUID(int=5))] == [item.key for item in kept.items("ntfy")]
    assert [200, 503, 429, 400] == [request.status for request in kept.requests()]
    kept.close()
