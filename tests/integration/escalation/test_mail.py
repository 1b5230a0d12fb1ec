"""Pages by e-mail, from a broken promise to its answer, through a real mail server."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.escalation.channels.secrets import Secrets
from services.escalation.channels.smtp import Email
from shared.ledger import pages as ledger_pages
from shared.policy.document import Contact
from tests.providers import mail_server
from tests.providers.mail_server import MailServer

BROKE = datetime(2026, 6, 1, 9, 0, 1, tzinfo=UTC)
MAIL = Contact(method="email", address="ana@example.org", options={"from": "desk@example.org", "tls": "none"})


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    """A mail server."""
    async with mail_server.serving() as made:
        yield made


@pytest.fixture
async def mailed(world: Any, clock_control: Any, server: MailServer) -> AsyncIterator[Any]:
    """The small world at a broken promise, of which Ana is told by e-mail, and then by the scripted provider."""
    email = Email(frozenset(), Secrets(), server=f"localhost:{server.port}")
    world.channels |= {"email": email}
    world.stepping = world.another_stepping()
    world.delivery = world.another_delivery()
    await world.people("ana", contacts=[MAIL, Contact(method="webhook", address="x")])
    await world.people("ben", "head")
    await world.ticket(due_in=timedelta(hours=1))
    await clock_control.freeze(BROKE)
    await world.firing.run_once()
    await world.stepping.run_once()
    yield world
    await email.close()


async def state_of(world: Any) -> str:
    """Of the page by e-mail."""
    [page] = [page for page in await world.pages() if page["method"] == "email" and page["kind"] == "page"]
    return str(page["state"])


async def test_a_page_and_the_news_that_it_is_moot_are_one_thread(mailed, server):
    """With the link in the first, and none in the second (R14)."""
    await mailed.delivery.run_once()
    [escalation] = await mailed.escalations()
    async with mailed.pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "UPDATE escalation SET state = 'resolved', resolved_at = $1, resolution = 'answered', next_step_at = NULL",
            BROKE,
        )
        await ledger_pages.resolve(connection, [escalation["id"]], BROKE)
    await mailed.delivery.run_once()

    page, resolve = server.mails
    assert "http://desk.test/v1/ack/" in page.get_content()
    assert "/v1/ack/" not in resolve.get_content()
    assert (page["Message-ID"], page["References"]) == (resolve["In-Reply-To"], resolve["References"].split()[0])


@pytest.mark.parametrize(("fault", "state"), [("550 5.1.1 no such user", "failed"), ("450 4.2.1 busy", "pending")])
async def test_r37_what_the_server_refuses_goes_another_way_and_what_it_puts_off_is_tried_again(
    mailed, server, clock_control, fault, state
):
    """For good: the next contact at once. For now: the same again, in time for the next step."""
    server.fails = {"RCPT": fault}
    await mailed.delivery.run_once()
    assert state == await state_of(mailed)

    server.fails = {}
    await clock_control.freeze(BROKE + timedelta(seconds=2))
    await mailed.delivery.run_once()

    assert (["ana"], 0) == ([page.person for page in mailed.provider.sent], len(server.mails)) if state == "failed" else (
        [], 1) == (mailed.provider.sent, len(server.mails))  # fmt: skip


async def test_r36_a_message_without_an_answer_is_sent_once_more_as_the_same_message(mailed, server, clock_control):
    """Then it is given up, and the next contact tried."""
    server.fails = {"DATA": "drop"}
    for second in (0, 2, 4):
        await clock_control.freeze(BROKE + timedelta(seconds=second))
        await mailed.delivery.run_once()

    assert 2 == len(server.mails)
    assert 1 == len({mail["Message-ID"] for mail in server.mails})
    assert ("failed", ["ana"]) == (await state_of(mailed), [page.person for page in mailed.provider.sent])
