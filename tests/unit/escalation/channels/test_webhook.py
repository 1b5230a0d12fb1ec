"""What HTTP answers mean, and what is never called."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpcore
import pytest
from msgspec import json, structs

from services.escalation.channels import Page, secrets, webhook
from services.escalation.channels.console import Console
from services.escalation.channels.webhook import Webhook
from services.escalation.domain.ladder import Kind
from services.escalation.domain.notice import Facts
from services.escalation.domain.retry import Result
from services.escalation.errors import SecretMissing

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
REFERENCE = "env:PAGER_SECRET"
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
    assert result == webhook._outcome(status, {}).result


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(b"7", 7), (b"99999999999", 3600), (b"Thu, 01 Jan 1970 00:20:00 GMT", 200), (b"Thu, 01 Jan 1970 00:00:00 GMT", 0), (b"soon", None), (b"", None)],
)  # fmt: skip
def test_r37_retry_after_is_seconds_or_a_date(monkeypatch, text, seconds):
    """At most an hour; what can't be read is as if it were not there."""
    monkeypatch.setattr("shared.timesource.unix_time", lambda: 1000.0)
    wait = webhook._outcome(503, {b"retry-after": text}).retry_after
    assert (None if seconds is None else timedelta(seconds=seconds)) == wait


@pytest.mark.parametrize(
    "address",
    ["http://example.com/", "ftp://example.com/", "https://", "nonsense", "https://[::1", "https://example.com:x/", "file:///etc/passwd"],
)  # fmt: skip
async def test_only_https_addresses_are_called(monkeypatch, address):
    """Anything else is rejected before a connection is made, with the way out."""
    monkeypatch.setenv("PAGER_SECRET", SECRET)
    outcome = await Webhook().send(page(address))
    assert (Result.REJECTED, True) == (outcome.result, "https://" in outcome.detail)


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (httpcore.ConnectError(), Result.RETRYABLE), (httpcore.ConnectTimeout(), Result.RETRYABLE),
        (httpcore.PoolTimeout(), Result.RETRYABLE), (httpcore.ReadTimeout(), Result.UNKNOWN),
        (httpcore.ReadError(), Result.UNKNOWN), (httpcore.RemoteProtocolError(), Result.UNKNOWN),
    ],
)  # fmt: skip
async def test_r35_a_failure_before_the_bytes_were_sent_is_retryable_and_after_it_unknown(monkeypatch, error, result):
    """The provider may have what was sent."""
    monkeypatch.setenv("PAGER_SECRET", SECRET)
    channel = Webhook()

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(channel._http, "stream", fail)
    assert result == (await channel.send(page("https://example.com/"))).result


@pytest.mark.parametrize(
    ("reference", "problem"),
    [("", "needs a secret"), ("env:NOT_THERE", "NOT_THERE"), ("file:/not/there", "can't be read"), ("env:BAD", "not in the form"), ("env:EMPTY", "is empty")],
)  # fmt: skip
async def test_a_page_is_never_sent_unsigned(monkeypatch, reference, problem):
    """A missing secret is a rejection that says what to do, and never shows a secret."""
    monkeypatch.setenv("BAD", "whsec_!!!")
    monkeypatch.setenv("EMPTY", "")
    outcome = await Webhook().send(page("https://example.com/", reference))
    assert (Result.REJECTED, True) == (outcome.result, problem in outcome.detail)
    assert "whsec_!!!" not in outcome.detail


def test_a_secret_may_stand_in_a_file(tmp_path):
    """Several on one line while one is rotated."""
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n{SECRET}\n")
    assert 2 == len(secrets.webhook_keys(f"file:{file}"))
    with pytest.raises(SecretMissing):
        secrets.webhook_keys(f"file:{tmp_path}")


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
