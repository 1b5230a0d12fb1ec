"""Slack: what its codes mean, messages rewritten in place, and text that can mention nobody."""

from datetime import timedelta
from uuid import UUID

import pytest
from msgspec import json, structs

from services.escalation.channels import Closed, slack
from services.escalation.channels.answers import Answer
from services.escalation.domain.retry import Result
from shared.policy.document import Contact
from tests.providers import credentials
from tests.providers.faults import Fault
from tests.unit.escalation.channels.conftest import FACTS, LINK, moot, page_by


@pytest.mark.parametrize(
    ("body", "result", "said"),
    [
        (b'{"ok":true,"channel":"C1","ts":"1.2"}', Result.ACCEPTED, ""),
        (b'{"ok":false,"error":"ratelimited"}', Result.RETRYABLE, "ratelimited"),
        (b'{"ok":false,"error":"service_unavailable"}', Result.RETRYABLE, ""),
        (b'{"ok":false,"error":"request_timeout"}', Result.RETRYABLE, ""),
        (b'{"ok":false,"error":"internal_error"}', Result.UNKNOWN, "internal_error"),
        (b'{"ok":false,"error":"fatal_error"}', Result.UNKNOWN, ""),
        (b'{"ok":false,"error":"not_in_channel"}', Result.REJECTED, "invite the bot"),
        (b'{"ok":false,"error":"invalid_auth"}', Result.REJECTED, "token is wrong"),
        (b'{"ok":false,"error":"something_new"}', Result.REJECTED, "something_new"),
        (b'{"ok":false}', Result.REJECTED, "refused"),
        (b"<html>proxy</html>", Result.UNKNOWN, "not in its form"), (b"", Result.UNKNOWN, ""), (b'{"ok":"yes"}', Result.UNKNOWN, ""),
    ],
)  # fmt: skip
def test_r35_the_code_decides_not_the_status(body, result, said):
    """Slack says 200 to everything."""
    outcome = slack.outcome(Answer(status=200, headers={}, body=body), "token")
    assert (result, True) == (outcome.result, said in outcome.detail)


def test_r37_a_code_that_says_later_has_its_wait():
    """`Retry-After` counts beside a code too."""
    answer = Answer(status=200, headers={"retry-after": "30"}, body=b'{"ok":false,"error":"ratelimited"}')
    assert timedelta(seconds=30) == slack.outcome(answer, "").retry_after


async def test_r14_a_page_that_is_moot_is_rewritten_in_place(channels, providers):
    """Known by channel and timestamp, also where the contact names the channel."""
    sent = await channels["slack"].send(page_by("slack", providers, address="#support-pages"))
    page = page_by("slack", providers, address="#support-pages")
    over = moot(page, Closed(id=page.id, provider_id=sent.provider_id))
    assert Result.ACCEPTED == (await channels["slack"].send(over)).result
    post, update = providers.ledger.requests()
    assert ("/api/chat.postMessage", "/api/chat.update") == (post.path, update.path)
    assert "ANSWERED" in update.body
    assert LINK not in update.body
    [item] = providers.ledger.items()
    assert (1, 1, False) == (item.opened, item.resolved, item.is_open)


async def test_r14_where_the_message_is_not_known_or_gone_a_new_one_says_so(channels, providers):
    """Its timestamp was never heard, or somebody deleted it."""
    page = page_by("slack", providers)
    for provider_id in (None, f"{credentials.SLACK_CHANNEL}:1.999999"):
        assert (
            Result.ACCEPTED
            == (await channels["slack"].send(moot(page, Closed(id=page.id, provider_id=provider_id)))).result
        )
    assert ["/api/chat.postMessage", "/api/chat.update", "/api/chat.postMessage"] == [
        request.path for request in providers.ledger.requests()
    ]


async def test_an_update_that_failed_otherwise_is_not_followed_by_a_post(channels, providers):
    """A second message beside the first would be needless."""
    page = page_by("slack", providers)
    sent = await channels["slack"].send(page)
    providers.misbehave(Fault(kind="status", status=503))
    outcome = await channels["slack"].send(moot(page, Closed(id=page.id, provider_id=sent.provider_id)))
    assert (Result.RETRYABLE, 2) == (outcome.result, len(providers.ledger.requests()))


def test_what_customers_wrote_can_mention_nobody_and_link_nowhere(providers):
    """Plain text in blocks, escaped where Slack reads markup; nothing is unfurled, so that no robot fetches the link."""
    page = page_by("slack", providers, text="<!channel> <https://evil.test|x> & :fire:\n<@U1>", facts=FACTS)
    made = slack.message(page)
    assert "&lt;!channel&gt; &lt;https://evil.test|x&gt; &amp; :fire:" == made["text"]
    assert (False, False) == (made["unfurl_links"], made["unfurl_media"])
    for block in made["blocks"]:
        for text in [block["text"]] if "text" in block else block["elements"]:
            if text["type"] == "plain_text":
                assert text["emoji"] is False
            else:
                assert f"<{LINK}|Acknowledge>" == text["text"]
                assert text["verbatim"] is True


def test_r36_the_body_has_the_pages_id(providers):
    """Whoever gets a page twice sees that it is one."""
    assert str(UUID(int=1)) in json.encode(slack.message(page_by("slack", providers))).decode()


def test_r29_a_channel_of_a_bot_is_an_account_of_one_message_a_second(channels):
    """What Slack takes; two channels, or two bots, don't hold each other."""
    contact = Contact(method="slack", address="C1234567", secret="env:DESKCLOCK_SECRET_SLACK")
    accounts = {
        channels["slack"].account(one)
        for one in (contact, structs.replace(contact, address="C7654321"), structs.replace(contact, secret="file:bot"))
    }
    assert (3, 1.0) == (len(accounts), channels["slack"].capabilities.per_second)
