"""`deskclock policy rehearse` without a file: the policy, the roster and the overrides in force."""

import asyncio
import json
from pathlib import Path

import pytest

from services.console.__main__ import run
from shared.postgres.pool import Pool
from tests.conftest import Database

POLICY = """
calendars: {always: {hours: always}}
targets: [{name: all, calendar: always, first_response: 1h, escalate: wake}]
escalations: {wake: {steps: [{page: on-call/support}, {after: 10m, page: lead}]}}
on_call: {support: {timezone: Europe/Berlin, rotation: weekly, handoff: "mon 09:00", people: [ana]}}
"""
ROSTER = "people: {ana: {channels: [email], lead: head}, ben: {name: Ben}, head: {name: Head}}"


async def test_r21_an_override_is_rehearsed_too(
    database: Database, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ben stands in for Ana in the coming fortnight; the owner's lead is the second step."""
    monkeypatch.setenv("DESKCLOCK_DATABASE_URL", database.url)
    monkeypatch.setenv("DESKCLOCK_HOME", str(tmp_path / "home"))
    policy, roster = tmp_path / "policy.yaml", tmp_path / "roster.yaml"
    policy.write_text(POLICY)
    roster.write_text(ROSTER)

    async def call(*arguments: str) -> str:
        capsys.readouterr()
        assert 0 == await asyncio.to_thread(run, list(arguments))
        return capsys.readouterr().out

    await call("roster", "apply", str(roster))
    await call("policy", "apply", str(policy))

    async def paged() -> list[list[str]]:
        [one] = json.loads(await call("policy", "rehearse", "--owner", "ana", "--json"))
        return [[page["person"] for page in moment["paged"]] for moment in one["moments"]]

    assert [["ana"], ["head"]] == (await paged())[:2]
    await pool.execute(
        "INSERT INTO on_call_override (id, tenant, rotation, person, starts_at, ends_at, made_at, made_by) "
        "VALUES (gen_random_uuid(), 'default', 'support', 'ben', now(), now() + interval '14 d', now(), 'ana')"
    )
    assert [["ben"], ["head"]] == (await paged())[:2]
