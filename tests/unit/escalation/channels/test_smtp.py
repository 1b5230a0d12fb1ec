"""Pages as e-mail, to a real mail server."""

import shutil
from datetime import UTC, datetime
from uuid import UUID

import pytest
from msgspec import structs

from services.escalation.channels import Closed, Page, smtp
from services.escalation.channels.secrets import Secrets
from services.escalation.channels.smtp import Email
from services.escalation.domain.ladder import Kind
from services.escalation.domain.notice import Facts
from services.escalation.domain.retry import Result
from tests.providers import mail_server
from tests.providers.mail_server import PASSWORD, USER

DUE = datetime(2026, 6, 1, 9, tzinfo=UTC)
LOGIN = "env:DESKCLOCK_SECRET_MAIL"
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="install openssl: it makes the certificates")


def page(**changes) -> Page:
    """A page to Ana by way of a server without TLS."""
    facts = Facts(
        source="zendesk", ticket="881", channel="email", urgency="high", target="resolution", due_at=DUE,
        reason="breached", at=DUE, recipient="owner",
    )  # fmt: skip
    made = Page(
        id=UUID(int=1), kind=Kind.PAGE, address="ana@example.org", secret="", recipient="owner", person="ana", facts=facts,
        urgency="high", options={"from": "desk@example.org", "tls": "none"},
        text="BROKEN: resolution of ticket 881 – Zoë\nNext: nobody\nAcknowledge: https://desk.test/v1/ack/x",
        link="https://desk.test/v1/ack/x",
    )  # fmt: skip
    return structs.replace(made, **changes)


def via(server, made: Page, **options: str) -> Page:
    """The page by way of this server."""
    return structs.replace(made, options={**made.options, "server": f"localhost:{server.port}", **options})


@pytest.fixture
async def email():
    """The channel; this host is allowed."""
    made = Email(frozenset({"localhost"}), Secrets())
    yield made
    await made.close()


@pytest.fixture
async def server():
    """A mail server without TLS."""
    async with mail_server.serving() as made:
        yield made


async def test_a_page_is_a_plain_message_that_says_it_was_sent_by_a_machine(email, server):
    """What broke is the subject, the whole page the body, the page's id in it (R36) and in the Message-ID."""
    outcome = await email.send(via(server, page()))

    [mail] = server.mails
    assert (Result.ACCEPTED, "SMTP 250: 2.0.0 OK: queued as 4f2") == (outcome.result, outcome.detail)
    assert [("desk@example.org", ["ana@example.org"])] == server.envelopes
    assert "BROKEN: resolution of ticket 881 – Zoë" == mail["Subject"]
    assert ("auto-generated", "high", "text/plain") == (
        mail["Auto-Submitted"],
        mail["Importance"],
        mail.get_content_type(),
    )
    assert f"<{UUID(int=1)}@example.org>" == mail["Message-ID"]
    assert f"{page().text}\n\nPage {UUID(int=1)}\n" == mail.get_content().replace("\r\n", "\n")


async def test_r34_a_repeated_attempt_is_the_same_message(email, server):
    """Whoever drops what they have already can tell."""
    for attempt in (1, 2):
        await email.send(via(server, page(attempt=attempt)))

    first, second = server.mails
    assert first["Message-ID"] == second["Message-ID"]


async def test_what_is_of_one_promise_is_one_thread(email, server):
    """A repeat refers to the same root, and a resolve to the pages that it closes."""
    closes = (Closed(id=UUID(int=1), provider_id=None), Closed(id=UUID(int=2), provider_id=None))
    for made in (page(), page(id=UUID(int=2)), page(id=UUID(int=3), kind=Kind.RESOLVE, closes=closes)):
        await email.send(via(server, made))

    first, second, resolve = server.mails
    assert first["References"] == second["References"] == first["In-Reply-To"]
    assert f"{first['References']} {first['Message-ID']} {second['Message-ID']}" == " ".join(
        resolve["References"].split()
    )
    assert second["Message-ID"] == resolve["In-Reply-To"]
    assert None is resolve["Importance"]


async def test_nothing_that_a_page_says_becomes_a_header(email, server):
    """A line break in a subject is a mark, one in an address is refused, and a dot alone ends no message."""
    outcome = await email.send(via(server, page(text="BROKEN\r\x85Bcc: x@example.org\n.\nQUIT\n..")))

    [mail] = server.mails
    assert Result.ACCEPTED == outcome.result
    assert "BROKEN\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}Bcc: x@example.org" == mail["Subject"]
    assert None is mail["Bcc"]
    assert ".\nQUIT\n..\n" in mail.get_content().replace("\r\n", "\n")
    for address in (
        "ana@example.org\r\nBcc: x@example.org",
        "ana@example.org\nRCPT TO:<x@example.org>",
        "ana@example.org,x@example.org",
    ):
        assert Result.REJECTED == (await email.send(via(server, page(address=address)))).result
        sender = {"from": address}
        assert Result.REJECTED == (await email.send(via(server, page(), **sender))).result
    assert 1 == len(server.mails)


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ("421 4.3.2 closing down", Result.RETRYABLE),
        ("450 4.2.1 mailbox busy", Result.RETRYABLE),
        ("452 4.2.2 mailbox full", Result.RETRYABLE),
        ("550 5.1.1 no such user", Result.REJECTED),
        ("554 5.7.1 refused", Result.REJECTED),
    ],
)
async def test_r35_each_reply_has_its_class(email, server, step, answer, result):
    """By its first digit, wherever it comes."""
    server.fails = {step: answer}

    outcome = await email.send(via(server, page()))

    assert (result, f"SMTP {answer[:3]}: {answer[4:]}") == (outcome.result, outcome.detail[: len(answer) + 6])


@pytest.mark.parametrize("fault", ["hang", "drop"])
@pytest.mark.parametrize(
    ("step", "result"),
    [("EHLO", Result.RETRYABLE), ("MAIL", Result.RETRYABLE), ("RCPT", Result.RETRYABLE), ("DATA", Result.UNKNOWN)],
)
async def test_r35_only_what_was_handed_over_may_have_arrived(email, server, monkeypatch, step, fault, result):
    """A connection lost before the message is safe to try again; after it nobody knows."""
    monkeypatch.setattr(smtp, "_ATTEMPT_SECONDS", 0.2)
    server.fails = {step: fault}

    outcome = await email.send(via(server, page()))

    assert result == outcome.result


async def test_nobody_there_can_be_tried_again(email, server):
    """A refused connection, and a name that no server has."""
    refused = await email.send(page(options={**page().options, "server": "localhost:1"}))
    nowhere = await Email(frozenset({"nowhere.invalid"}), Secrets()).send(
        page(options={**page().options, "server": "nowhere.invalid:25"})
    )

    assert [Result.RETRYABLE, Result.RETRYABLE] == [refused.result, nowhere.result]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"server": "localhost:{port}", "tls": "starttls"}, "port"),
        ({"server": "localhost:587", "tls": "none"}, "mail goes over TLS"),
        ({"server": "localhost:587", "tls": "starttls"}, "not on the public internet"),
        ({"server": "127.0.0.1:465"}, "not on the public internet"),
        ({"server": "http://x"}, "no mail server"),
        ({"server": ""}, "no mail server"),
    ],
)
async def test_mail_goes_only_where_it_may(server, options, said):
    """No private host, no other port, no clear text, unless the operator allows the host."""
    email = Email(frozenset(), Secrets())
    named = {name: value.format(port=server.port) for name, value in options.items()}

    outcome = await email.send(page(options={"from": "desk@example.org", **named}))
    await email.close()

    assert (Result.REJECTED, 0) == (outcome.result, server.calls)
    assert said in outcome.detail


@needs_openssl
@pytest.mark.parametrize("way", ["starttls", "implicit"])
async def test_a_login_goes_over_a_verified_connection_only(tmp_path, monkeypatch, way):
    """User and password come from the secret; a wrong one is refused for good, and never shown."""
    ours, trust = mail_server.certificate(tmp_path)
    monkeypatch.setenv("DESKCLOCK_SECRET_MAIL", f"{USER.decode()}:{PASSWORD.decode()}")
    email = Email(frozenset({"localhost"}), Secrets(), trust=trust)
    async with mail_server.serving(**{way: ours}, asks_login=True) as server:
        accepted = await email.send(via(server, page(secret=LOGIN), tls=way))
        monkeypatch.setenv("DESKCLOCK_SECRET_MAIL", "desk:hunter2")
        refused = await email.send(via(server, page(secret=LOGIN), tls=way))
    await email.close()

    assert ([True], [USER, USER]) == (server.was_secure, [server.logins[0], server.logins[-1]])
    assert (Result.ACCEPTED, Result.REJECTED) == (accepted.result, refused.result)
    assert "user and password" in refused.detail
    assert "hunter2" not in refused.detail


@needs_openssl
@pytest.mark.parametrize("way", ["starttls", "implicit"])
async def test_a_server_that_is_not_who_it_says_gets_nothing(tmp_path, way):
    """Neither one that nobody vouches for nor one of another name."""
    ours, _ = mail_server.certificate(tmp_path)
    others, trust = mail_server.certificate(tmp_path, "other.test")
    for shown in (ours, others):
        email = Email(frozenset({"localhost"}), Secrets(), trust=trust)
        async with mail_server.serving(**{way: shown}) as server:
            outcome = await email.send(via(server, page(), tls=way))
        await email.close()

        assert (Result.RETRYABLE, []) == (outcome.result, server.mails)
        assert "TLS" in outcome.detail


async def test_a_server_without_tls_is_not_spoken_to_in_the_clear(email, server):
    """What the contact asks for is not given up because the server doesn't offer it."""
    outcome = await email.send(via(server, page(), tls="starttls"))

    assert (Result.REJECTED, []) == (outcome.result, server.mails)
    assert "TLS" in outcome.detail


async def test_a_secret_that_is_missing_says_so(email, server):
    """Nothing is sent without the login that the contact wants."""
    outcome = await email.send(via(server, page(secret=LOGIN)))

    assert (Result.REJECTED, 0) == (outcome.result, server.calls)
    assert "DESKCLOCK_SECRET_MAIL" in outcome.detail


def test_the_account_is_the_server():
    """One that hangs is found broken for all who use it."""
    contact = smtp.Contact(method="email", address="a@example.org", options={"server": "SMTP.example.org:587"})

    assert "email smtp.example.org:587" == Email(frozenset(), Secrets()).account(contact)


async def test_a_login_goes_to_no_server_that_only_the_roster_names(monkeypatch):
    """A tenant could name a server of theirs, and have our secrets come to it."""
    monkeypatch.setenv("DESKCLOCK_SECRET_MAIL", "desk:hunter2")
    email = Email(frozenset(), Secrets(), server="smtp.example.org:587")

    outcome = await email.send(page(secret=LOGIN, options={"from": "desk@example.org", "server": "1.1.1.1:587"}))
    await email.close()

    assert Result.REJECTED == outcome.result
    assert "DESKCLOCK_SMTP_SERVER" in outcome.detail


async def test_the_operator_s_own_server_is_for_contacts_that_name_none(server, monkeypatch):
    """Where the operator says it is, it may be."""
    email = Email(frozenset(), Secrets(), server=f"localhost:{server.port}")

    outcome = await email.send(page())
    await email.close()

    assert (Result.ACCEPTED, 1) == (outcome.result, len(server.mails))
    assert f"email localhost:{server.port}" == email.account(smtp.Contact(method="email"))
