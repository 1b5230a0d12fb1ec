"""`deskclock page`, as somebody types it, beside the service at work."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.console.__main__ import run
from services.escalation.domain.retry import Outcome, Result
from shared.policy.document import Contact
from shared.runtime.periodic import Health
from tests.integration.escalation.browser import serving
from tests.integration.escalation.links import path_of

TWO = (Contact(method="webhook", address="x"), Contact(method="console"))
Cli = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
async def cli(
    world: Any, database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Cli]:
    """Runs a command line while escalation serves and delivers: its exit code, what it said, and what it complained of."""

    async def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = await asyncio.to_thread(run, ["page", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    stop = asyncio.Event()
    async with serving(world) as address:
        monkeypatch.setenv("DESKCLOCK_DATABASE_URL", database.url)
        monkeypatch.setenv("DESKCLOCK_HOME", str(tmp_path))
        monkeypatch.setenv("DESKCLOCK_ESCALATION_PORT", address.rpartition(":")[2])
        delivering = asyncio.create_task(world.delivery.run(stop, Health()))
        yield call
        stop.set()
        await delivering


async def test_page_test_shows_every_stage_of_every_contact(world, cli):
    """Whom it went to and why, and how far each came; its key is gone afterwards."""
    await world.people("ana", contacts=TWO)
    code, out, _ = await cli("test", "on-call/support")
    assert 0 == code
    assert "on-call/support is Ana (ana): you are on call for support until" in out
    for words in ("webhook", "console", "stored", "tried", "confirmed", "accepted", "+0.00 s"):
        assert words in out
    assert [True] == [
        row["gone"] for row in await world.pool.fetch("SELECT revoked_at IS NOT NULL AS gone FROM api_key")
    ]


async def test_page_test_waits_for_whoever_confirms(world, cli):
    """The receiver presses the button while it waits."""
    await world.people("ana")

    async def confirm() -> None:
        while not world.provider.sent:
            await world.pool.fetchval("SELECT 1")
        await world.answering.by_token(path_of(world.provider.sent[0].link).rpartition("/")[2])

    (code, out, _), _ = await asyncio.gather(cli("test", "ana", "--until", "acknowledged", "--json"), confirm())
    told = msgspec.json.decode(out)
    assert (0, "ana") == (code, told["tested"]["person"])
    assert told["pages"][0]["page"]["acknowledged_at"] is not None


async def test_page_test_fails_where_a_page_does(world, cli):
    """With what the provider said; dead pages are listed, and tried anew once that is mended."""
    await world.people("ana")
    world.provider.answers = [Outcome(result=Result.REJECTED, detail="no such number")]
    code, out, complaint = await cli("test", "ana")
    assert (1, True, True) == (code, "failed" in out, "no such number" in complaint)
    code, out, _ = await cli("dead", "--json")
    [dead] = [one for one in msgspec.json.decode(out) if one["kind"] == "canary"]
    assert (0, "no such number") == (code, dead["reason"])
    assert "no such number" in (await cli("dead"))[1]
    code, out, _ = await cli("replay", dead["id"])
    assert (0, True) == (code, "tried anew, to ana by webhook" in out)
    code, _, complaint = await cli("replay", "00000000-0000-0000-0000-000000000007")
    assert (4, True) == (code, "has no such page" in complaint)


async def test_page_test_gives_up_in_time(world, cli):
    """Nobody confirms: after a second it says what is missing."""
    await world.people("ana")
    code, out, complaint = await cli("test", "ana", "--until", "acknowledged", "--timeout", "1")
    assert (1, True, True) == (code, "accepted" in out, "not acknowledged: webhook: accepted" in complaint)


async def test_page_test_says_who_can_not_be_tried(world, cli):
    """4, with the way out; and 3 where nobody answers."""
    code, _, complaint = await cli("test", "nobody")
    assert (4, True) == (code, "nobody `nobody` on the roster" in complaint)
    assert 4 == (await cli("test", "ana", "--tenant", "NO SUCH"))[0]


async def test_page_test_says_where_no_service_answers(world, cli, monkeypatch):
    """3, and which address was asked."""
    monkeypatch.setenv("DESKCLOCK_ESCALATION_PORT", "9")
    code, _, complaint = await cli("test", "ana")
    assert (3, True) == (code, "http://127.0.0.1:9" in complaint)
