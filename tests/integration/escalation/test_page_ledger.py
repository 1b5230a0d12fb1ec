"""The page ledger: what was told to whom and when, over HTTP; and how prompt that was."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from services.escalation import reporting
from services.escalation.api.app import build_escalation_app
from services.escalation.api.dependencies import Dependencies
from services.escalation.domain.promptness import Stage
from shared import ids
from shared.contract.access import Scope
from shared.ledger import keys
from shared.web.keyring import KeyRing
from tests.integration.escalation import rows

NOW = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
"""When the small world begins."""


@pytest.fixture
async def ledger(world) -> AsyncIterator[httpx.AsyncClient]:
    """The HTTP surface, with a key that may read."""
    app = build_escalation_app(
        Dependencies(pool=world.pool, shelf=world.shelf, answering=world.answering, keyring=KeyRing(world.pool)),
        registry=world.registry,
        checks={},
        version="0",
    )
    async with world.pool.acquire() as connection:
        created = await keys.create(connection, tenant="default", scopes=(Scope.TICKETS_READ,), label="test")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://desk.test",
        headers={"authorization": f"Bearer {created.key}"},
    ) as client:
        yield client


async def found(client: httpx.AsyncClient, **query: Any) -> list[str]:
    """Ids of the pages that a question finds."""
    answer = await client.get("/v1/pages", params={name.rstrip("_"): str(value) for name, value in query.items()})
    assert 200 == answer.status_code, answer.text
    return [page["id"] for page in answer.json()["pages"]]


async def test_every_filter_finds_its_pages(world, ledger):
    """Each alone and two at once; the newest first."""
    pool = world.pool
    ticket = await rows.ticket(pool, NOW, "881")
    other = await rows.ticket(pool, NOW, "882")
    escalation, second = await rows.escalation(pool, NOW, ticket), await rows.escalation(pool, NOW, other)
    group = await rows.group(pool, NOW)
    first = str(await rows.page(pool, NOW, 0, escalation_id=escalation, person="ben", group_id=group))
    later = NOW + timedelta(minutes=5)
    failed = str(await rows.page(pool, later, 0, escalation_id=second, state="failed", method="smtp"))
    warning = str(await rows.page(pool, later, 1, escalation_id=second, kind="warning"))

    assert [warning, failed, first] == await found(ledger)
    assert [first] == await found(ledger, escalation=escalation)
    assert [warning, failed] == await found(ledger, ticket="882")
    assert [first] == await found(ledger, person="ben")
    assert [failed] == await found(ledger, method="smtp")
    assert [failed] == await found(ledger, state="failed")
    assert [warning] == await found(ledger, kind="warning")
    assert [first] == await found(ledger, group=group)
    assert [warning] == await found(ledger, from_="2026-06-01T10:05:01+02:00")
    assert [first] == await found(ledger, to=later.isoformat())
    assert [] == await found(ledger, state="failed", person="ben")
    assert [failed] == await found(ledger, ticket="882", state="failed")


async def test_pages_of_no_escalation_are_listed_too(world, ledger):
    """Summaries, digests, trials and alarms have no ticket of their own."""
    for seconds, kind in enumerate(("summary", "digest", "canary", "alarm", "copy")):
        await rows.page(world.pool, NOW + timedelta(seconds=seconds), 0, kind=kind)
    shown = (await ledger.get("/v1/pages", params={"limit": "4"})).json()
    assert ["copy", "alarm", "canary", "digest"] == [page["kind"] for page in shown["pages"]]
    assert {None} == {page[name] for page in shown["pages"] for name in ("escalation_id", "source", "external_id")}
    rest = (await ledger.get("/v1/pages", params={"cursor": shown["next_cursor"]})).json()
    assert ["summary"] == [page["kind"] for page in rest["pages"]]


async def test_a_page_tells_its_whole_life_without_secrets(world, ledger):
    """The six instants, why it is held back, its group, every attempt; no address, secret, token or body."""
    ticket = await rows.ticket(world.pool, NOW)
    escalation = await rows.escalation(world.pool, NOW, ticket)
    page = await rows.page(
        world.pool, NOW, 1, 2, 3, 4, 5, escalation_id=escalation, secret="env:DESKCLOCK_SECRET_X", token_hash=b"hash",
        deferred_until=NOW + timedelta(hours=1), deferred_for="throttle", provider_id="SM1", group_version=3,
        body={"fallback_of": "smtp"},
    )  # fmt: skip
    await rows.insert(
        world.pool, "page_attempt", page_id=page, n=1, started_at=NOW, finished_at=NOW, outcome="unknown", detail="late"
    )
    story = (await ledger.get(f"/v1/pages/{page}")).json()
    shown = story["page"]
    stages = ("due_at", "committed_at", "attempted_at", "accepted_at", "delivered_at", "acknowledged_at")
    assert [0, 1, 3, 6, 10, 15] == [(datetime.fromisoformat(shown[stage]) - NOW).total_seconds() for stage in stages]
    assert ("throttle", 3, "SM1", "smtp", 1) == tuple(
        shown[name] for name in ("deferred_for", "group_version", "provider_id", "fallback_of", "generation")
    )
    assert [("unknown", "late")] == [(one["outcome"], one["detail"]) for one in story["attempts"]]
    assert not {"address", "secret", "token_hash", "body", "options"} & shown.keys()


async def test_a_page_of_another_tenant_is_not_found(world, ledger):
    """Neither by its id nor in the list."""
    page = await rows.page(world.pool, NOW, tenant="other")
    assert [] == await found(ledger)
    assert 404 == (await ledger.get(f"/v1/pages/{page}")).status_code
    assert 404 == (await ledger.get(f"/v1/pages/{ids.uuid7(NOW)}")).status_code


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("from", "yesterday"), ("to", "2026-06-01T00:00:00"), ("state", "lost"), ("group", "1"), ("kind", "letter")],
)
async def test_a_wrong_filter_is_named(ledger, parameter, value):
    """422, with the parameter."""
    answer = await ledger.get("/v1/pages", params={parameter: value})
    assert (422, parameter) == (answer.status_code, answer.json()["errors"][0]["parameter"])


async def test_the_report_takes_its_percentiles_from_the_ledger(world, ledger):
    """A hundred pages tried after 10 ms to 1 s: each figure is one that a page took."""
    for n in range(1, 101):
        await rows.page(world.pool, NOW, 0, n / 100, 1, name=str(n))
    report = (await ledger.get("/v1/reports/paging", params={"to": (NOW + timedelta(hours=1)).isoformat()})).json()
    took = {stage["stage"]: stage for stage in report["stages"]}[Stage.DUE_TO_ATTEMPT]
    assert (0.5, 0.95, 0.99, 1.0, 100) == tuple(took[name] for name in ("p50", "p95", "p99", "max", "pages"))
    assert (100, 100, 1.0, True) == (
        report["counted"]["attempted"], report["counted"]["prompt"], report["share"], report["is_met"],
    )  # fmt: skip
    assert ["webhook"] == [method["method"] for method in report["methods"]]


async def test_what_was_held_back_went_another_way_or_joined_a_group_is_counted_apart(world):
    """Four say how prompt we are: two in time, one late, one throttled; the others have a count of their own, or none."""
    pool, late = world.pool, 5.0
    await rows.page(pool, NOW, 0, 1, 1, name="in time")
    await rows.page(pool, NOW, 0, late, 1, name="late")
    await rows.page(pool, NOW, 0, name="waits")
    await rows.page(pool, NOW, 0, late, 1, name="held", held_for="throttle")
    await rows.page(pool, NOW, 0, 3600, 1, name="slept", held_for="quiet_hours")
    await rows.page(pool, NOW, 0, name="quiet", deferred_until=NOW, deferred_for="quiet_hours")
    await rows.page(pool, NOW, late, 0, 1, name="fallback", body={"fallback_of": "smtp"})
    await rows.page(pool, NOW, 0, name="grouped", state="grouped")
    await rows.page(pool, NOW, 0, name="cancelled", state="cancelled")
    await rows.page(pool, NOW, 0, late, name="trial", kind="canary")
    await rows.page(pool, NOW, 0, late, name="elsewhere", tenant="other")
    unknown = await rows.page(pool, NOW, late, late, name="resolve", kind="resolve", state="pending")
    for page in (unknown, await rows.page(pool, NOW, 0, 1, 1, name="twice", state="failed")):
        await rows.insert(pool, "page_attempt", page_id=page, n=1, started_at=NOW, outcome="unknown")

    async with pool.acquire() as connection:
        report = await reporting.paging(
            connection, "default", until=NOW + timedelta(minutes=1), since=NOW - timedelta(1)
        )
    counted = report.counted
    assert (4, 2, 0, {"throttle": 1, "quiet_hours": 2}) == (
        counted.attempted, counted.prompt, counted.overdue, counted.deferred,
    )  # fmt: skip
    assert (1, 1, 1, 1) == (counted.grouped, counted.fallbacks, counted.failed, counted.unknown_attempts)
    assert 2 / 4 == report.share
    assert report.is_met is False
    took = {stage.stage: stage for stage in report.stages}
    assert (4, late) == (took[Stage.DUE_TO_ATTEMPT].pages, took[Stage.DUE_TO_ATTEMPT].max)


async def test_a_page_that_waits_misses_the_objective_once_that_has_passed(world, clock_control):
    """Nobody may look good by not sending."""
    await rows.page(world.pool, NOW, 0)
    shares = []
    for seconds in (2, 3):
        await clock_control.freeze(NOW + timedelta(seconds=seconds))
        async with world.pool.acquire() as connection:
            shares.append((await reporting.paging(connection, "default")).share)
    assert [None, 0.0] == shares


async def test_a_wrong_stretch_of_time_is_refused(ledger):
    """By name, with what is allowed."""
    query = {"from": "2026-06-02T00:00:00Z", "to": "2026-06-01T00:00:00Z"}
    answer = await ledger.get("/v1/reports/paging", params=query)
    assert (422, "from") == (answer.status_code, answer.json()["errors"][0]["parameter"])


async def test_the_histogram_and_the_ledger_tell_the_same(world, clock_control):
    """Three promises broken at once and paged five seconds late: each stage is observed once a page, as the ledger has it."""
    await world.people("ana", "ben", "head")
    for number in range(3):
        await world.ticket(str(number), due_in=timedelta(minutes=1))
    await clock_control.freeze(NOW + timedelta(seconds=63))
    await world.firing.run_once()
    await world.stepping.run_once()
    await clock_control.freeze(NOW + timedelta(seconds=65))
    await world.delivery.run_once()
    await clock_control.freeze(NOW + timedelta(minutes=5))
    async with world.pool.acquire() as connection:
        report = await reporting.paging(connection, "default")
    assert {"due_to_commit": 3.0, "commit_to_attempt": 2.0, "due_to_attempt": 5.0, "attempt_to_accept": 0.0} == {
        took.stage: took.max for took in report.stages
    }
    for took in report.stages:
        labels = {"stage": took.stage.value}
        assert took.pages == world.registry.get_sample_value("sla_page_lag_seconds_count", labels)
        assert took.pages * took.max == world.registry.get_sample_value("sla_page_lag_seconds_sum", labels)
