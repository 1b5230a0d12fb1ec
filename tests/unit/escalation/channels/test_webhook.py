"""What HTTP answers mean, and what is never called."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec import json, structs

from services.escalation.channels import Page, webhook
from services.escalation.channels.answers import Answer
from services.escalation.channels.client import HttpClient
from services.escalation.channels.console import Console
from services.escalation.channels.secrets import Secrets
from services.escalation.channels.webhook import Webhook
from services.escalation.domain.ladder import Kind
from services.escalation.domain.notice import Facts
from services.escalation.domain.retry import Result
from shared.policy.document import Contact
from tests.unit.escalation.channels.conftest import page_by

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
REFERENCE = "env:DESKCLOCK_SECRET_PAGER"
DUE = datetime(2026, 6, 1, 9, tzinfo=UTC)


def page(address: str, secret: str = REFERENCE) -> Page:
    """A page to an address."""
    facts = Facts(
        source="zendesk", ticket="881", channel="email", urgency="high", target="resolution", due_at=DUE,
        reason="breached", at=DUE, recipient="owner",
    )  # fmt: skip
    return Page(
        id=UUID(int=1), kind=Kind.PAGE, address=address, secret=secret, recipient="owner", person="ana", facts=facts,
        text="BROKEN\x1b[2J", link="https://desk.test/v1/ack/x",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (200, Result.ACCEPTED), (204, Result.ACCEPTED), (301, Result.REJECTED), (400, Result.REJECTED),
        (404, Result.REJECTED), (408, Result.RETRYABLE), (410, Result.REJECTED), (425, Result.RETRYABLE),
        (429, Result.RETRYABLE), (500, Result.RETRYABLE), (503, Result.RETRYABLE),
    ],
)  # fmt: skip
def test_r35_each_status_has_its_class(status, result):
    """Asked again only where that can help."""
    assert result == webhook.outcome(Answer(status=status, headers={})).result


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), ("99999999999", 3600), ("Thu, 01 Jan 1970 00:20:00 GMT", 200), ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("soon", None), ("", None)],
)  # fmt: skip
def test_r37_retry_after_is_seconds_or_a_date(monkeypatch, text, seconds):
    """At most an hour; what can't be read is as if it were not there."""
    monkeypatch.setattr("shared.timesource.unix_time", lambda: 1000.0)
    wait = webhook.outcome(Answer(status=503, headers={"retry-after": text})).retry_after
    assert (None if seconds is None else timedelta(seconds=seconds)) == wait


@pytest.mark.parametrize(
    "address",
    ["http://example.com/", "ftp://example.com/", "https://", "nonsense", "https://[::1", "https://example.com:x/", "file:///etc/passwd"],
)  # fmt: skip
async def test_only_https_addresses_are_called(monkeypatch, address):
    """Anything else is rejected before a connection is made, with the way out."""
    monkeypatch.setenv("DESKCLOCK_SECRET_PAGER", SECRET)
    outcome = await Webhook(HttpClient(), Secrets()).send(page(address))
    assert (Result.REJECTED, True) == (outcome.result, "https://" in outcome.detail)


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("", "has no secret"), ("env:DESKCLOCK_SECRET_NOT_THERE", "NOT_THERE"), ("env:DESKCLOCK_SECRET_BAD", "not in the form"),
        ("env:DESKCLOCK_SECRET_EMPTY", "is empty"),
    ],
)  # fmt: skip
async def test_a_page_is_never_sent_unsigned(monkeypatch, reference, problem):
    """A missing secret is a rejection that says what to do, and never shows a secret."""
    monkeypatch.setenv("DESKCLOCK_SECRET_BAD", "whsec_!!!")
    monkeypatch.setenv("DESKCLOCK_SECRET_EMPTY", "")
    outcome = await Webhook(HttpClient(), Secrets()).send(page("https://example.com/", reference))
    assert (Result.REJECTED, True) == (outcome.result, problem in outcome.detail)
    assert "whsec_!!!" not in outcome.detail


async def test_the_console_prints_nothing_that_steers_a_terminal(capsys):
    """Names come from outside."""
    outcome = await Console().send(page(""))
    printed = capsys.readouterr().out
    assert (Result.ACCEPTED, True, False) == (outcome.result, "PAGE" in printed, "\x1b" in printed)
    await Console().close()


async def test_a_console_that_is_closed_can_be_tried_again():
    """A page is not lost to a closed stream."""

    class Closed:
        def write(self, _: str) -> None:
            raise BrokenPipeError

    assert Result.RETRYABLE == (await Console(Closed()).send(page(""))).result


def test_r14_a_resolve_names_the_pages_that_it_closes():
    """What a receiver opened for them it can close; there is nothing to acknowledge."""
    facts = structs.replace(
        page("").facts, resolution="withdrawn", due_at=None, was_due_at=DUE, resolves=(UUID(int=7), UUID(int=8))
    )
    moot = structs.replace(page("https://pager.test"), kind=Kind.RESOLVE, facts=facts, link="")
    told = json.decode(webhook.payload(moot))
    assert ("page.resolved", "resolve", None) == (
        told["type"], told["data"]["kind"], told["data"]["acknowledge_url"],
    )  # fmt: skip
    assert [str(UUID(int=7)), str(UUID(int=8))] == told["data"]["resolves"]
    assert ("withdrawn", None, "2026-06-01T09:00:00Z") == tuple(
        told["data"][name] for name in ("resolution", "due_at", "was_due_at")
    )
    assert "page.triggered" == json.decode(webhook.payload(page("https://pager.test")))["type"]


@pytest.mark.parametrize(
    ("address", "account"),
    [("https://Hooks.test:8443/x", "webhook hooks.test:8443"), ("https://u:hunter2@hooks.test/", "webhook hooks.test"), ("https://[::1", "webhook ")],
)  # fmt: skip
def test_an_account_is_the_receivers_host(address, account):
    """Never a password, and never an error: it is made where pages are."""
    contact = Contact(method="webhook", address=address)
    assert account == Webhook(HttpClient(), Secrets()).account(contact)


async def test_r33_signatures_tell_the_databases_time(monkeypatch, providers, channels):
    """A receiver takes a page of a host whose clock is ten minutes off; by that clock it would not."""
    right = datetime.now(UTC)  # noqa: TID251 - the receiver lives by the real clock
    monkeypatch.setattr("shared.timesource.unix_time", lambda: right.timestamp() - 600)
    taken = await channels["webhook"].send(page_by("webhook", providers, claimed_at=right))
    refused = await channels["webhook"].send(page_by("webhook", providers, id=UUID(int=2)))
    assert (Result.ACCEPTED, Result.REJECTED) == (taken.result, refused.result)
