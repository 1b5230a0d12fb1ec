"""The pager itself dies, or something it lives by breaks: a check outside alarms, because it hears nothing."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest

from services.escalation.audit.heartbeat import Heartbeat
from services.escalation.channels.client import HttpClient
from shared.postgres.pool import Pool
from tests.faults.outside_check import OutsideCheck
from tests.integration.escalation import rows

PERIOD = 0.5
SLACK = 0.3
"""What a busy machine takes to notice that a time is over."""
LOCAL = frozenset({"127.0.0.1"})


@pytest.fixture
async def outside() -> AsyncIterator[OutsideCheck]:
    """The check of another house."""
    check = OutsideCheck(PERIOD)
    await check.start()
    yield check
    await check.stop()


async def test_the_outside_check_alarms_within_two_periods_once_the_last_replica_is_dead(
    pool: Pool, jetstream, spawn, outside: OutsideCheck
) -> None:
    """Two replicas beat; one killed is no alarm; a forgotten escalation is one though both services answer; so is death."""
    first, second = (
        spawn(
            "services.escalation",
            is_doomed=True,
            DESKCLOCK_HEARTBEAT_URL=f"{outside.url}/{name}",
            DESKCLOCK_HEARTBEAT_SECONDS=str(PERIOD),
            DESKCLOCK_PAGE_ALLOW_HOSTS="127.0.0.1",
        )
        for name in ("first", "second")
    )
    first.launch()
    second.launch()
    await outside.beats("/first")
    await outside.beats("/second")
    first.kill()
    await outside.beats("/second", 4, within=4 * PERIOD + 10)

    now = datetime.now(UTC)  # noqa: TID251 - real services live by the real clock
    escalation = await rows.escalation(pool, now, await rows.ticket(pool, now), next_step_at=None)
    assert await outside.alarm() <= 3 * PERIOD + SLACK
    async with httpx.AsyncClient(base_url=second.url, trust_env=False) as http:
        ready = await http.get("/health/ready")
        assert (200, 200) == ((await http.get("/health/live")).status_code, ready.status_code)
        assert "nobody_forgotten: 1 escalations" in ready.json()["checks"]["invariants"]
    await pool.execute("DELETE FROM escalation WHERE id = $1", escalation)
    await outside.beats("/second")

    second.kill()
    assert await outside.alarm() <= 2 * PERIOD + SLACK
    assert "/first" not in second.log
    assert "invariant_broken" in second.log or "No heartbeat goes out" in second.log


async def test_an_address_that_can_not_be_asked_ends_the_start_with_the_way_out(spawn, jetstream) -> None:
    """And the address, which is a secret, is not shown."""
    service = spawn("services.escalation", DESKCLOCK_HEARTBEAT_URL="http://hc.example/a-secret-key")
    service.launch()
    assert 1 == service._process.wait(30)
    assert "DESKCLOCK_HEARTBEAT_URL: " in service.log
    assert "DESKCLOCK_PAGE_ALLOW_HOSTS" in service.log
    assert "a-secret-key" not in service.log


@pytest.mark.parametrize(
    ("answer", "is_heard"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n", False),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", False),
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", False),
    ],
)
async def test_only_a_yes_from_the_address_itself_is_heard(
    outside: OutsideCheck, answer: bytes, is_heard: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """No redirect is followed, anything but 2xx is no; the address is never in the log, however often it fails."""
    outside.answer = answer
    http = HttpClient(LOCAL)
    heartbeat = Heartbeat(http, f"{outside.url}/a-secret-key")
    assert [is_heard] * 2 == [await heartbeat.beat() for _ in range(2)]
    await http.close()
    assert {"/a-secret-key": 2} == outside.heard
    assert "a-secret-key" not in caplog.text
    assert (0 if is_heard else 1) == len(caplog.records)


async def test_a_private_address_is_not_asked_unless_the_operator_allows_it(outside: OutsideCheck) -> None:
    """As with every other address we call."""
    http = HttpClient()
    assert not await Heartbeat(http, outside.url).beat()
    await http.close()
    assert not outside.heard


async def test_without_an_address_the_metric_alone_tells() -> None:
    """Nothing is asked."""
    http = HttpClient()
    assert await Heartbeat(http, "").beat()
    await http.close()
