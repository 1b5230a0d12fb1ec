"""What every HTTP channel keeps to, each against a local provider that is as strict as the real one."""

from datetime import timedelta
from uuid import UUID

import msgspec
import pytest
from msgspec import structs

from services.escalation.channels import Closed
from services.escalation.domain.ladder import Kind
from services.escalation.domain.retry import Result
from shared.policy.document import Contact
from tests.providers import credentials
from tests.providers.faults import ALWAYS, Fault
from tests.unit.escalation.channels.conftest import FACTS, LINK, TEXT, moot, page_by

KEYED = ("jsm", "pagerduty", "webhook")
UNKEYED = ("ntfy", "slack", "teams")
METHODS = (*KEYED, *UNKEYED)
HOSTILE = "<!channel> <@U1> <https://evil.test|click> & *bold* [click](https://evil.test) <at>all</at> @here \x1b[2J\u202e\x00 ```"

by_every = pytest.mark.parametrize("method", METHODS)


@by_every
async def test_a_page_is_accepted_and_known_by_its_id(channels, providers, method):
    """One request; the provider has it under the page's id."""
    outcome = await channels[method].send(page_by(method, providers))
    assert Result.ACCEPTED == outcome.result
    [request] = providers.ledger.requests()
    assert "" == request.problem
    [item] = providers.ledger.items()
    assert (method, str(UUID(int=1)), 1, True) == (item.provider, item.key, item.opened, item.is_open)


@by_every
async def test_a_page_says_what_broke_what_follows_who_owns_it_why_you_and_one_link(channels, providers, method):
    """In this order, whatever the form."""
    await channels[method].send(page_by(method, providers))
    [request] = providers.ledger.requests()
    said = request.body.replace("\\n", "\n")
    places = [said.find(text) for text in ("BROKEN", "Next:", "Owner:", "Why you:")]
    assert -1 not in places
    assert sorted(places) == places
    assert LINK in said


@by_every
@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.RESOLVE])
async def test_every_kind_of_page_is_taken_whatever_customers_wrote(channels, providers, method, kind):
    """Long, without a link, with markup of every provider and letters that steer."""
    line = HOSTILE * 200
    page = page_by(
        method, providers, kind=kind, text="\n".join([line] * 40), link="", urgency="unheard of",
        facts=structs.replace(FACTS, ticket=HOSTILE, source="", target=HOSTILE),
    )  # fmt: skip
    outcome = await channels[method].send(page)
    assert (Result.ACCEPTED, "") == (outcome.result, providers.ledger.requests()[0].problem)
    if method != "webhook":  # whose receiver is a program: it gets what there is
        said = providers.ledger.requests()[0].body
        told = msgspec.json.encode(msgspec.json.decode(said)).decode()
        assert "\\u001b" not in told
        assert "\u202e" not in told
        assert "\\u0000" not in told


@by_every
@pytest.mark.parametrize(
    ("fault", "result"),
    [
        (Fault(kind="status", status=400), Result.REJECTED), (Fault(kind="status", status=401), Result.REJECTED),
        (Fault(kind="status", status=403), Result.REJECTED), (Fault(kind="status", status=404), Result.REJECTED),
        (Fault(kind="status", status=410), Result.REJECTED), (Fault(kind="status", status=422), Result.REJECTED),
        (Fault(kind="status", status=408), Result.RETRYABLE), (Fault(kind="status", status=429), Result.RETRYABLE),
        (Fault(kind="status", status=500), Result.RETRYABLE), (Fault(kind="status", status=503), Result.RETRYABLE),
        (Fault(kind="redirect"), Result.REJECTED), (Fault(kind="close"), Result.UNKNOWN),
        (Fault(kind="close", is_handled=True), Result.UNKNOWN), (Fault(kind="garbage"), Result.UNKNOWN),
    ],
    ids=lambda given: f"{given.kind}{given.status}{'_handled' * given.is_handled}" if isinstance(given, Fault) else str(given),
)  # fmt: skip
async def test_r35_each_answer_has_its_class(channels, providers, method, fault, result):
    """Asked again only where that can help; no second request is made by the channel itself."""
    providers.misbehave(structs.replace(fault))
    outcome = await channels[method].send(page_by(method, providers))
    assert result == outcome.result
    assert [method] == [request.provider for request in providers.ledger.requests()]


@by_every
async def test_r35_a_provider_that_is_down_is_retryable(channels, providers, method):
    """Nothing was sent."""
    await providers.stop()
    assert Result.RETRYABLE == (await channels[method].send(page_by(method, providers))).result


@by_every
async def test_r37_a_provider_that_asks_for_seven_seconds_gets_them(channels, providers, method):
    """429 with Retry-After; delivery holds the whole account by it."""
    providers.misbehave(Fault(kind="status", status=429, retry_after="7"))
    assert timedelta(seconds=7) == (await channels[method].send(page_by(method, providers))).retry_after


@pytest.mark.parametrize("method", KEYED)
@pytest.mark.parametrize("kind", ["close", "garbage"])
async def test_r36_a_keyed_channel_retries_what_is_unknown_without_a_duplicate(channels, providers, method, kind):
    """Taken, but never answered; then sent again with the same key."""
    providers.misbehave(Fault(kind=kind, is_handled=True, times=3))
    page = page_by(method, providers)
    results = [(await channels[method].send(page)).result for _ in range(4)]
    assert [*[Result.UNKNOWN] * 3, Result.ACCEPTED] == results
    [item] = providers.ledger.items()
    assert (1, 3) == (item.opened, item.joined)


@pytest.mark.parametrize("method", KEYED)
async def test_r14_a_resolve_closes_what_was_opened_and_may_be_repeated(channels, providers, method):
    """By the ids of the pages that it closes; one that the provider never had is no trouble."""
    pages = [page_by(method, providers, id=UUID(int=number)) for number in range(1, 8)]
    for page in pages:
        await channels[method].send(page)
    closes = [Closed(id=page.id, provider_id=None) for page in (*pages, page_by(method, providers, id=UUID(int=50)))]
    over = moot(pages[0], *closes)
    over = structs.replace(over, facts=structs.replace(FACTS, resolves=tuple(one.id for one in closes)))
    for _ in range(2):
        assert Result.ACCEPTED == (await channels[method].send(over)).result
    items = providers.ledger.items()
    assert (7, []) == (len(items), [item for item in items if item.is_open])
    assert {1} == {item.resolved for item in items}


@pytest.mark.parametrize("method", ["jsm", "pagerduty"])
async def test_r14_a_resolve_of_which_one_part_failed_is_tried_again_whole(channels, providers, method):
    """The outcome is that of what failed, its wait too."""
    pages = [page_by(method, providers, id=UUID(int=number)) for number in range(1, 4)]
    for page in pages:
        await channels[method].send(page)
    over = moot(pages[0], *(Closed(id=page.id, provider_id=None) for page in pages))
    providers.misbehave(Fault(kind="status", status=429, retry_after="7", containing=str(pages[1].id)))
    outcome = await channels[method].send(over)
    assert (Result.RETRYABLE, timedelta(seconds=7)) == (outcome.result, outcome.retry_after)
    assert Result.ACCEPTED == (await channels[method].send(over)).result
    assert not any(item.is_open for item in providers.ledger.items())


@pytest.mark.parametrize("method", ["jsm", "pagerduty"])
async def test_r14_where_there_is_nothing_to_close_nobody_is_called(channels, providers, method):
    """And the resolve is done."""
    assert Result.ACCEPTED == (await channels[method].send(moot(page_by(method, providers)))).result
    assert [] == providers.ledger.requests()


@by_every
async def test_r34_every_attempt_says_the_same(channels, providers, method):
    """Keys and bodies; only a webhook's signature has the time in it."""
    for attempt in (1, 2):
        await channels[method].send(page_by(method, providers, attempt=attempt))
    first, second = providers.ledger.requests()
    assert (first.path, first.body) == (second.path, second.body)


@by_every
@pytest.mark.parametrize(
    "reference", ["env:DESKCLOCK_SECRET_NOT_THERE", "env:DESKCLOCK_ACK_KEY", "file:/etc/passwd", "planted"]
)
async def test_a_secret_that_cant_be_read_is_a_rejection_that_says_what_to_do(
    channels, providers, monkeypatch, method, reference
):
    """Nothing is sent, nothing is shown."""
    monkeypatch.setenv("DESKCLOCK_ACK_KEY", "planted")
    outcome = await channels[method].send(page_by(method, providers, secret=reference))
    assert (Result.REJECTED, True, False) == (
        outcome.result,
        "DESKCLOCK_SECRET" in outcome.detail,
        "planted" in outcome.detail,
    )
    assert [] == providers.ledger.requests()


@by_every
@pytest.mark.parametrize("status", [200, 302, 400, 429, 500])
async def test_a_secret_that_the_provider_repeats_is_not_shown(channels, providers, method, status):
    """Outcomes are stored, logged and shown."""
    secret = credentials.environment(providers.base)[f"DESKCLOCK_SECRET_{method.upper()}"]
    parts = [secret, secret.rpartition("/")[2], *([credentials.TEAMS_SIGNATURE] if method == "teams" else [])]
    said = dict.fromkeys(
        ("error", "message", "errors", "code", "status", "id", "requestId", "dedup_key", "ts", "channel"),
        f"wrong: {' '.join(parts)}",
    )
    providers.misbehave(
        Fault(
            kind="status", status=status, body=msgspec.json.encode({**said, "ok": status < 300}).decode(), times=ALWAYS
        )
    )
    outcome = await channels[method].send(page_by(method, providers))
    for part in parts:
        assert part not in str(outcome)


@by_every
async def test_accounts_never_hold_a_secret(channels, providers, method):
    """They are stored, and shown where sending is throttled."""
    page = page_by(method, providers)
    contact = msgspec.convert({"method": method, "address": page.address, "secret": page.secret}, type=Contact)
    account = channels[method].account(contact)
    assert account.startswith(f"{method} ")
    for secret in credentials.environment(providers.base).values():
        assert secret not in account


def test_the_text_of_these_tests_has_its_link_at_the_end():
    """So that what is said of the order is said of a real page's."""
    assert TEXT.endswith(LINK)
