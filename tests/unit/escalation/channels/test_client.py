"""What a request comes to when the other side misbehaves: real sockets, a real server."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.escalation.channels.answers import Answer, by_status, known_as, shown
from services.escalation.channels.client import HttpClient, check_url
from services.escalation.domain.retry import Outcome, Result
from services.escalation.errors import AddressRefused
from tests.providers.faults import Fault
from tests.providers.server import FaultServer

LOCAL = frozenset({"127.0.0.1", "localhost"})


@pytest.fixture
async def providers() -> AsyncIterator[FaultServer]:
    """The local providers."""
    async with FaultServer() as started:
        yield started


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    """A client that may speak to this host."""
    made = HttpClient(LOCAL, concurrency=4)
    yield made
    await made.close()


async def post(client: HttpClient, providers: FaultServer, *, within: float = 2.0) -> Answer | Outcome:
    """A request of no meaning."""
    return await client.post(
        f"{providers.url('pagerduty')}/v2/enqueue", b"{}", {"content-type": "application/json"}, within=within
    )


async def test_an_answer_is_read_whole(client, providers):
    """Status, headers in lower case, and the body."""
    answer = await post(client, providers)
    assert isinstance(answer, Answer)
    assert (400, True, "invalid event") == (answer.status, answer.is_whole, answer.text("status"))
    assert "application/json" == answer.headers["content-type"]


@pytest.mark.parametrize(
    "fault",
    [Fault(kind="hang"), Fault(kind="close"), Fault(kind="garbage"), Fault(kind="close", is_handled=True), Fault(kind="delay", seconds=60)],
    ids=lambda fault: f"{fault.kind}{'_handled' * fault.is_handled}",
)  # fmt: skip
async def test_r35_bytes_sent_and_no_answer_is_unknown(client, providers, fault):
    """The provider may have what was sent."""
    providers.misbehave(fault)
    outcome = await post(client, providers, within=0.3)
    assert isinstance(outcome, Outcome)
    assert (Result.UNKNOWN, True) == (outcome.result, outcome.detail.startswith("sent, no answer"))


async def test_r35_a_refused_connection_is_retryable(client, providers):
    """Not a byte was sent."""
    await providers.stop()
    outcome = await post(client, providers)
    assert (Result.RETRYABLE, True) == (outcome.result, outcome.detail.startswith("no connection"))


async def test_r35_a_name_that_nobody_has_is_retryable(client):
    """A name server may be away for a while."""
    outcome = await client.post("https://nobody.invalid/", b"", {})
    assert (Result.RETRYABLE, True) == (outcome.result, "can't be resolved" in outcome.detail)


async def test_r35_a_server_without_tls_is_retryable_and_never_spoken_to(client, providers):
    """No page goes where nobody proved who they are."""
    outcome = await client.post(providers.base.replace("http:", "https:") + "/pagerduty/v2/enqueue", b"{}", {})
    assert (Result.RETRYABLE, True) == (outcome.result, "TLS" in outcome.detail)
    assert [] == providers.ledger.requests()


async def test_r35_a_server_whose_certificate_nobody_trusts_is_retryable_and_never_spoken_to(client):
    """A certificate may have run out: whoever is on call is reached another way meanwhile."""
    async with FaultServer(is_untrusted=True) as stranger:
        outcome = await post(client, stranger)
        assert (Result.RETRYABLE, True) == (outcome.result, "TLS: self-signed certificate" in outcome.detail)
        assert [] == stranger.ledger.requests()


async def test_an_answer_that_trickles_in_is_given_up(client, providers):
    """Byte by byte would be for ever: all told, there is a limit."""
    providers.misbehave(Fault(kind="trickle", seconds=0.05))
    outcome = await post(client, providers, within=0.3)
    assert Result.UNKNOWN == outcome.result


async def test_a_body_that_never_ends_is_cut(client, providers):
    """The status counts; what is read of the body has a bound."""
    providers.misbehave(Fault(kind="status", status=202, body="x" * 1_000_000))
    answer = await post(client, providers)
    assert isinstance(answer, Answer)
    assert (202, False, 64 * 1024) == (answer.status, answer.is_whole, len(answer.body))
    assert 400 == (await post(client, providers)).status


async def test_a_body_that_hangs_leaves_its_status(client, providers):
    """What the provider said first is true."""
    providers.misbehave(Fault(kind="garbage", body="HTTP/1.1 202 OK\r\ncontent-length: 10\r\n\r\nhalf"))
    answer = await post(client, providers)
    assert isinstance(answer, Answer)
    assert (202, False, {}) == (answer.status, answer.is_whole, answer.json())


async def test_headers_without_end_are_given_up(client, providers):
    """More than any answer has."""
    head = "HTTP/1.1 202 OK\r\n" + "".join(f"x-{number}: {'y' * 1000}\r\n" for number in range(500)) + "\r\n"
    providers.misbehave(Fault(kind="garbage", body=head))
    assert Result.UNKNOWN == (await post(client, providers)).result


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"[" * 5000, b'{"ok": 1'])
def test_a_body_that_is_no_json_object_says_nothing(body):
    """Whatever a provider sends, reading it raises nothing."""
    answer = Answer(status=200, headers={}, body=body)
    assert ({}, "") == (answer.json(), answer.text("error"))


async def test_redirects_are_not_followed(client, providers):
    """A provider can't send us elsewhere."""
    providers.misbehave(Fault(kind="redirect"))
    answer = await post(client, providers)
    assert (Result.REJECTED, 307) == (by_status(answer, is_keyed=True).result, answer.status)
    assert ["pagerduty"] == [request.provider for request in providers.ledger.requests()]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "localhost.", "[::1]", "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]", "[::127.0.0.1]", "0.0.0.0", "0",  # noqa: S104
        "169.254.169.254", "[fd00:ec2::254]", "100.100.100.200", "10.0.0.1",
        "192.168.0.1", "172.16.0.1", "100.64.0.1", "[fe80::1]", "[fc00::1]", "[64:ff9b::7f00:1]", "168.63.129.16",
    ],
)  # fmt: skip
async def test_no_request_goes_into_our_own_network(providers, host):
    """Whatever the spelling: nobody is called, and the way out is said."""
    guarded = HttpClient()
    outcome = await guarded.post(f"https://{host}:{providers.base.rpartition(':')[2]}/", b"", {}, within=2)
    await guarded.close()
    assert Result.REJECTED == outcome.result or "can't be resolved" in outcome.detail
    assert "DESKCLOCK_PAGE_ALLOW_HOSTS" in outcome.detail or "can't be resolved" in outcome.detail
    assert 0 == providers.connections


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "ftp://example.com/", "https://", "nonsense", "https://[::1", "https://example.com:x/", "file:///etc/passwd",
        "https://user@example.com/", "https://user:hunter2@example.com/", "https://example.com\\@10.0.0.1/", "https://example.com/a b",
        "https://example.com/\r\nx: y", "https://exämple.com/", "https://example.com:22/", "https://example.com:25/", "https://example.com:0/",
        "https://example.com:70000/", "//example.com/", "https:/example.com", "https://example.com/\x00",
    ],
)  # fmt: skip
def test_only_plain_https_addresses_are_called(url):
    """No user, no odd port, nothing that two readers could read in two ways; an address may be a secret, so it isn't shown."""
    with pytest.raises(AddressRefused) as refused:
        check_url(url)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["https://example.com/x?y=z#w", "https://example.com:8443/", "https://xn--exmple-cua.com/", "HTTPS://EXAMPLE.COM/"],
)
def test_addresses_of_the_web_are_called(url):
    """Encoded names, and ports that anybody may open."""
    check_url(url)


def test_hosts_that_the_operator_allows_may_be_called_without_tls_and_at_any_port():
    """But never with a password in the address."""
    check_url("http://Hooks.Internal:25/x", frozenset({"hooks.internal"}))
    with pytest.raises(AddressRefused):
        check_url("http://user@hooks.internal/", frozenset({"hooks.internal"}))


@pytest.mark.parametrize("token", ["plan\nted", "plan\x00ted", "pl\u00e4nted", "plan\r\nx: ted"])
async def test_a_secret_that_no_header_can_hold_is_rejected_without_being_shown(client, providers, token):
    """A line break in a token, as from a file that was put together wrongly; no connection is lost by it."""
    for _ in range(5):
        outcome = await client.post(providers.url("slack"), b"", {"authorization": f"Bearer {token}"})
        assert (Result.REJECTED, False) == (outcome.result, "ted" in outcome.detail.replace("characters", ""))
    assert 400 == (await post(client, providers)).status
    assert ["pagerduty"] == [request.provider for request in providers.ledger.requests()]


def test_what_a_provider_repeats_of_a_secret_is_not_shown():
    """One short line, printable."""
    assert "bad key *** here" == shown("bad key planted\n\x1b[2Jhere".replace("\x1b[2J", ""), "planted")
    assert 200 == len(shown("x" * 500))


@pytest.mark.parametrize(
    ("text", "known"),
    [("m0042", True), ("C1:1.2", True), ("", False), ("a b", False), ("x" * 101, False), ("x-planted-x", False)],
)  # fmt: skip
def test_what_a_provider_calls_a_page_is_a_name_or_nothing(text, known):
    """It is stored: short, and no secret that came back."""
    assert (text if known else None) == known_as(text, "planted", "")


@pytest.mark.parametrize(("status", "keyed", "unkeyed"), [(502, Result.RETRYABLE, Result.UNKNOWN), (504, Result.RETRYABLE, Result.UNKNOWN), (503, Result.RETRYABLE, Result.RETRYABLE)])  # fmt: skip
def test_r36_a_gateway_may_have_passed_the_page_on(status, keyed, unkeyed):
    """502 and 504 are unknown where a second one would be noticed by nobody but the person."""
    answer = Answer(status=status, headers={})
    assert (keyed, unkeyed) == (by_status(answer, is_keyed=True).result, by_status(answer, is_keyed=False).result)


async def test_one_slow_provider_holds_no_more_than_its_own_connections(client, providers):
    """A fifth request waits its turn, and is told so before anything was sent."""
    providers.misbehave(Fault(kind="hang", times=4))
    async with asyncio.TaskGroup() as group:
        hanging = [group.create_task(post(client, providers)) for _ in range(4)]
        await providers.got("pagerduty", 4)
        fifth = await post(client, providers, within=0.2)
        providers.behave()
    assert Result.RETRYABLE == fifth.result
    assert [Result.UNKNOWN] * 4 == [task.result().result for task in hanging]
    assert 400 == (await post(client, providers)).status
