"""Copies through Apprise: they arrive, or they hold nobody up."""

import asyncio
import contextlib
import sys
import threading
from datetime import UTC, datetime
from uuid import UUID

import pytest
from msgspec import json

from services.escalation.channels import Page, apprise
from services.escalation.channels.apprise import Apprise
from services.escalation.channels.secrets import Secrets
from services.escalation.domain.ladder import Kind
from services.escalation.domain.notice import Facts
from services.escalation.domain.retry import Outcome, Result
from shared.policy.document import Contact

REFERENCE = "env:DESKCLOCK_SECRET_ROOM"
pytestmark = pytest.mark.filterwarnings("ignore:.imghdr.:DeprecationWarning")
ACCEPTED = Outcome(result=Result.ACCEPTED)


def copy() -> Page:
    """A copy for a room."""
    facts = Facts(source="zendesk", ticket="881", channel="email", urgency="high", target="resolution", due_at=None,
                  reason="breached", at=datetime(2026, 6, 1, tzinfo=UTC), recipient="owner")  # fmt: skip
    return Page(
        id=UUID(int=1), kind=Kind.COPY, address="the team room", secret=REFERENCE, recipient="owner", person=None, facts=facts,
        text="BROKEN: resolution of ticket 881\nNext: nobody", link="",
    )  # fmt: skip


@pytest.fixture
def installed():
    """Apprise with all its services, which take a while to load: longer than a copy waits, where the machine is busy."""
    module = pytest.importorskip("apprise", reason="install deskclock[apprise]")
    assert module.Apprise().add("json://localhost")


@pytest.fixture
async def room(monkeypatch):
    """A service of Apprise's on this host, that keeps what it is sent and answers with `status`."""
    got: list[bytes] = []
    answers = {"status": "200 OK"}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
            got.append(await reader.readexactly(length))
            writer.write(f"HTTP/1.1 {answers['status']}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("DESKCLOCK_SECRET_ROOM", f"json://user:hunter2@127.0.0.1:{port}/room")
    yield got, answers
    server.close()
    await server.wait_closed()


async def test_a_copy_reaches_a_service(installed, room):
    """Through Apprise itself; it never counts as a page."""
    got, _ = room
    channel = Apprise(Secrets())

    assert Result.ACCEPTED == (await channel.send(copy())).result
    assert copy().text.splitlines()[0] == json.decode(got[0])["title"]
    assert channel.capabilities.is_informational
    assert f"apprise {REFERENCE}" == channel.account(Contact(method="apprise", secret=REFERENCE))


async def test_a_service_that_refuses_is_not_told_of_in_our_logs(installed, room, caplog):
    """Apprise would name its URL, which is a secret."""
    _, answers = room
    answers["status"] = "403 Forbidden"

    outcome = await Apprise(Secrets()).send(copy())

    assert (Result.REJECTED, []) == (outcome.result, [each for each in caplog.records if each.name == "apprise"])
    assert "hunter2" not in outcome.detail


async def test_a_url_of_no_service_is_refused_by_the_name_of_its_secret(installed, monkeypatch):
    """Never by the URL."""
    monkeypatch.setenv("DESKCLOCK_SECRET_ROOM", "nonsense://hunter2")

    outcome = await Apprise(Secrets()).send(copy())

    assert Result.REJECTED == outcome.result
    assert REFERENCE in outcome.detail
    assert "hunter2" not in outcome.detail


async def test_without_the_extra_it_says_what_to_install(monkeypatch):
    """And nothing else fails."""
    monkeypatch.setenv("DESKCLOCK_SECRET_ROOM", "json://localhost")
    monkeypatch.setitem(sys.modules, "apprise", None)

    outcome = await Apprise(Secrets()).send(copy())

    assert (Result.REJECTED, True) == (outcome.result, "deskclock[apprise]" in outcome.detail)


async def test_services_that_hang_use_up_their_own_threads_and_no_more(monkeypatch):
    """The next copy is told to come again at once; when a thread is free, it goes."""
    monkeypatch.setenv("DESKCLOCK_SECRET_ROOM", "json://localhost")
    monkeypatch.setattr(apprise, "_SECONDS", 0.05)
    over = threading.Event()
    channel = Apprise(
        Secrets(), threads=2, notify=lambda *_: ACCEPTED if over.wait(10) else Outcome(result=Result.REJECTED)
    )

    outcomes = [await channel.send(copy()) for _ in range(3)]
    over.set()
    async with asyncio.timeout(5):
        while (last := await channel.send(copy())).result is not Result.ACCEPTED:
            await asyncio.to_thread(threading.active_count)

    assert [Result.UNKNOWN, Result.UNKNOWN, Result.RETRYABLE] == [outcome.result for outcome in outcomes]
    assert Result.ACCEPTED == last.result


async def test_what_fails_inside_apprise_stays_there(monkeypatch):
    """Any exception is an outcome."""
    monkeypatch.setenv("DESKCLOCK_SECRET_ROOM", "json://localhost")

    def broken(*_: str) -> Outcome:
        raise ValueError("with hunter2 in it")

    outcome = await Apprise(Secrets(), notify=broken).send(copy())

    assert (Result.UNKNOWN, "Apprise failed: ValueError") == (outcome.result, outcome.detail)


async def test_a_missing_secret_says_so():
    """As everywhere."""
    assert Result.REJECTED == (await Apprise(Secrets()).send(copy())).result
