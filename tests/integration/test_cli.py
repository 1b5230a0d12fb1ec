"""The commands on a real database and a real NATS server, as somebody types them."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.js import JetStreamContext

from services.console import store
from services.console.__main__ import run
from shared.contract import subjects
from shared.contract.tickets import TargetKind
from shared.jetstream import publish
from shared.postgres.pool import Pool
from shared.sla.explaining.explained import Explanation
from tests.conftest import ClockControl, Database
from tests.integration.rolling import START, RollingDesk, opened

ROSTER = "people:\n  ana: {name: Ana Lopez, channels: [email], contacts: [console]}\n"
POLICY = """
targets:
  - {name: all, calendar: always, first_response: 4h, escalate: tell}
escalations:
  tell: {steps: [{after: 0m, page: [person/ana]}]}
"""


class Answer(msgspec.Struct, frozen=True):
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.out)


Cli = Callable[..., Awaitable[Answer]]


@pytest.fixture
def cli(
    database: Database,
    nats_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Cli:
    """Runs a command line against this test's database."""
    monkeypatch.setenv("DESKCLOCK_DATABASE_URL", database.url)
    monkeypatch.setenv("DESKCLOCK_NATS_URL", nats_url)
    monkeypatch.setenv("DESKCLOCK_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DESKCLOCK_ENVIRONMENT", raising=False)

    async def call(*arguments: str) -> Answer:
        capsys.readouterr()
        code = await asyncio.to_thread(run, list(arguments))
        said = capsys.readouterr()
        return Answer(code, said.out, said.err)

    return call


async def test_keys_are_made_listed_and_revoked(cli: Cli) -> None:
    """The key is shown once; the list has no secret."""
    made = (await cli("keys", "create", "--scope", "tickets:read", "--label", "till", "--json")).json
    listed = await cli("keys", "list")
    assert made["id"] in listed.out
    assert "till" in listed.out
    assert made["key"] not in listed.out
    assert 0 == (await cli("keys", "revoke", made["key"])).code
    again = await cli("keys", "revoke", made["id"])
    assert (1, True) == (again.code, "no valid key" in again.err)


async def test_a_new_key_comes_with_the_id_that_revokes_it(cli: Cli) -> None:
    """The key alone on standard output, for scripts; the rest beside it."""
    made = await cli("keys", "create")
    key_id = made.out.split("_")[1]
    assert f"id {key_id}," in made.err
    assert 0 == (await cli("keys", "revoke", key_id)).code


async def test_a_roster_and_a_policy_are_planned_applied_and_shown(cli: Cli, tmp_path: Path) -> None:
    """Versions count up; the same file again changes nothing."""
    policy, roster = tmp_path / "policy.yaml", tmp_path / "roster.yaml"
    policy.write_text(POLICY)
    roster.write_text(ROSTER)
    refused = await cli("policy", "apply", str(policy))
    assert 4 == refused.code
    assert f"{policy}:5:" in refused.err
    assert "nothing was changed" in refused.err
    assert 0 == (await cli("roster", "apply", str(roster))).code
    planned = (await cli("policy", "plan", str(policy), "--json")).json
    assert (0, 1) == (planned["current"], planned["next"])
    assert 1 == (await cli("policy", "apply", str(policy), "--json")).json["version"]
    assert 1 == (await cli("policy", "apply", str(policy), "--json")).json["version"]
    for kind, path in (("policy", policy), ("roster", roster)):
        assert "unchanged: version 1 is in force for tenant default\n" == (await cli(kind, "apply", str(path))).out
    assert POLICY == (await cli("policy", "show")).out
    assert "nothing changes" in (await cli("policy", "plan", str(policy))).out
    assert "(deskclock)" in (await cli("policy", "show", "--history")).out
    assert 1 == (await cli("policy", "show", "--version", "7")).code


async def test_a_policy_is_tried_on_open_tickets_and_then_applied_to_them(cli: Cli, pool: Pool, tmp_path: Path) -> None:
    """The trial says what applying does; how it went can be asked later."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("targets: [{name: all, calendar: always, first_response: 4h}]")
    assert 0 == (await cli("policy", "apply", str(policy), "--tenant", "acme")).code
    desk = RollingDesk(pool)
    await desk.record([opened(str(n), START) for n in range(3)])
    await desk.at(timedelta(hours=3))
    policy.write_text("targets: [{name: all, calendar: always, first_response: 2h}]")
    to_open = (str(policy), "--tenant", "acme", "--to", "open")
    tried = await cli("policy", "plan", *to_open)
    assert 0 == tried.code, tried.err
    assert ("version 1 -> 2, for open tickets too:", True, True) == (
        tried.out.splitlines()[0], "clocks: 3 due earlier, 3 late at once" in tried.out, "desk 0 first_response: " in tried.out,
    )  # fmt: skip
    assert 3 == (await cli("policy", "plan", *to_open, "--json")).json["effects"]["counts"]["earlier"]
    detached = (await cli("policy", "apply", *to_open, "--detach")).out
    assert "deskclock policy rollout" in detached
    rollout = (await cli("policy", "rollout", "--show", "--tenant", "acme", "--json")).json[0]
    assert ("running", 0) == (rollout["state"], rollout["done"])
    assert "done" in (await cli("policy", "rollout", "--tenant", "acme")).out
    assert "3 of 3 tickets" in (await cli("policy", "apply", *to_open)).out
    applied = (await cli("policy", "apply", *to_open, "--json")).json
    assert (2, True, "done", 3) == (
        applied["version"], applied["unchanged"], applied["rollout"]["state"], applied["rollout"]["done"],
    )  # fmt: skip
    later = await cli(
        "policy", "apply", str(policy), "--tenant", "acme", "--from", "2026-06-01T00:00:00Z", "--to", "new"
    )
    assert (2, True) == (later.code, "exclude each other" in later.err)
    assert 2 == (await cli("policy", "plan", str(policy), "--from", "2026-06-01T00:00:00")).code
    policy.write_text("targets: [{name: all, calendar: always, first_response: 3h}]")
    ahead = (START + timedelta(days=30)).isoformat()
    waits = (await cli("policy", "apply", str(policy), "--tenant", "acme", "--from", ahead)).out
    assert (True, False, True) == (
        "policy version 3 is for tickets that arrive from " in waits, "3 is in force" in waits, "stays in force" in waits,
    )  # fmt: skip


async def test_a_shadow_policy_is_started_shown_and_stopped(cli: Cli, tmp_path: Path) -> None:
    """Each command says what holds now and what comes next; a bad file names its faults."""
    candidate = tmp_path / "candidate.yaml"
    candidate.write_text("targets:\n  - {name: all, calendar: always, first_response: soon}\n")
    refused = await cli("policy", "shadow", "start", str(candidate))
    assert (4, True) == (refused.code, f"{candidate}:2:" in refused.err)
    assert 1 == (await cli("policy", "shadow", "show")).code
    candidate.write_text("targets:\n  - {name: all, calendar: always, first_response: 1h}\n")
    started = await cli("policy", "shadow", "start", str(candidate))
    assert (0, True) == (started.code, "it differs from what is in force in:" in started.out)
    assert "tried already" in (await cli("policy", "shadow", "start", str(candidate))).out
    assert "nothing to compare yet" in (await cli("policy", "shadow", "show")).out
    shown = (await cli("policy", "shadow", "show", "--json")).json
    assert ("running", 0, [], candidate.read_text()) == (
        shown["state"], shown["tickets"], shown["lines"], shown["source"]
    )  # fmt: skip
    assert 0 == (await cli("policy", "shadow", "stop")).code
    assert "start one with" in (await cli("policy", "shadow", "stop")).err


async def test_the_built_in_policy_is_shown_where_none_was_applied(cli: Cli) -> None:
    """It is a start for one's own."""
    answer = await cli("policy", "show")
    assert (0, True) == (answer.code, "targets:" in answer.out)
    assert "built-in" in answer.err


async def test_time_is_shown_and_advanced(cli: Cli, clock_control: ClockControl) -> None:
    """Trials let hours pass; backwards it does not go."""
    now = await clock_control.freeze(await clock_control.now())
    assert 0 == (await cli("time", "advance", "1h30m")).code
    assert now + timedelta(hours=1.5) == await clock_control.now()
    back = await cli("time", "advance", "--to", now.isoformat())
    assert (4, True) == (back.code, "only moves forward" in back.err)


async def test_migrating_twice_says_that_nothing_is_left(cli: Cli) -> None:
    """Safe to run at any time."""
    assert "up to date" in (await cli("migrate")).out


async def test_the_board_of_an_empty_tenant_stands(cli: Cli) -> None:
    """Once as a picture, and as data."""
    assert "nobody waits" in (await cli("top", "--once")).out
    assert 0 == (await cli("top", "--json")).json["total"]


async def test_a_ticket_that_is_not_there_is_one_line(cli: Cli) -> None:
    """With the way out."""
    answer = await cli("ticket", "show", "4711")
    assert (1, 1) == (answer.code, len(answer.err.splitlines()))


async def test_dead_letters_are_listed_and_sent_again(cli: Cli, jetstream: JetStreamContext) -> None:
    """A replayed one goes to where it was going, and is forgotten."""
    headers = {publish.REASON: "unparseable", publish.DETAIL: "not JSON", publish.SUBJECT: "tickets.default.opened"}
    stored = await jetstream.publish(subjects.dead("default"), b"{oops", headers=headers)
    await jetstream.publish(subjects.dead("other"), b"{}", headers=headers)
    [letter] = (await cli("dead", "list", "--json")).json
    assert (stored.seq, "unparseable", "{oops") == (letter["id"], letter["reason"], letter["payload"])
    assert 1 == (await cli("dead", "replay", "999")).code
    assert 0 == (await cli("dead", "replay", str(stored.seq))).code
    assert "no dead letters" in (await cli("dead", "list")).out
    back = await jetstream.get_last_msg(subjects.TICKETS, "tickets.default.opened")
    assert b"{oops" == back.data


async def test_a_dead_letter_that_was_cut_is_not_sent_again(cli: Cli, jetstream: JetStreamContext) -> None:
    """Half an event is none: it stays where it is."""
    headers = {publish.SUBJECT: "tickets.default.opened", publish.TRUNCATED: "2000000"}
    stored = await jetstream.publish(subjects.dead("default"), b"{", headers=headers)

    answer = await cli("dead", "replay", str(stored.seq))

    assert (1, True) == (answer.code, "was cut to fit" in answer.err)
    assert 1 == (await jetstream.stream_info(subjects.DEAD)).state.messages


async def test_a_database_without_our_schema_is_named(cli: Cli, pool: Pool) -> None:
    """The way out is one command."""
    await pool.execute("DROP TABLE api_key")
    answer = await cli("keys", "list")
    assert (1, True) == (answer.code, "deskclock migrate" in answer.err)


async def test_a_server_that_does_not_answer_is_named_without_its_password(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 3, one line."""
    monkeypatch.setenv("DESKCLOCK_DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:9/x")
    answer = await cli("keys", "list")
    assert (3, 1) == (answer.code, len(answer.err.splitlines()))
    assert "hunter2" not in answer.err


@pytest.mark.parametrize("name", sorted(store.QUERIES))
async def test_every_query_of_the_console_can_be_prepared(pool: Pool, name: str) -> None:
    """On the migrated database."""
    async with pool.acquire() as connection:
        assert await connection.prepare(store.QUERIES[name])


def test_the_schemas_of_both_files_can_be_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """For editors that complete and check while one types."""
    for group, section in (("policy", "targets"), ("roster", "people")):
        assert run([group, "schema"]) == 0
        schema = msgspec.json.decode(capfd.readouterr().out)
        assert any(section in definition.get("properties", {}) for definition in schema["$defs"].values())


async def test_a_ticket_is_explained_to_a_team_lead(cli: Cli, pool: Pool, tmp_path: Path) -> None:
    """What is next and who is responsible, the line and why, what counted; JSON is the struct of the HTTP answer."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("targets: [{name: all, calendar: always, first_response: 4h}]")
    assert 0 == (await cli("policy", "apply", str(policy), "--tenant", "acme")).code
    desk = RollingDesk(pool)
    await desk.at(timedelta())
    await desk.record([opened("7", START)])
    await desk.at(timedelta(hours=3))
    said = await cli("ticket", "explain", "7", "--tenant", "acme")
    assert 0 == said.code, said.err
    for part in (
        "the customer needs a first answer by Mon 01 Jun 2026 11:00",
        "nobody yet: it waits in the queue for an owner",
        "all, of policy version 1: it holds for every ticket",
        "4h of always, due Mon 01 Jun 2026 11:00",
        "to come: counted 1h",
    ):
        assert part in said.out
    assert "\x1b" not in said.out
    told = msgspec.convert((await cli("ticket", "explain", "7", "--tenant", "acme", "--json")).json, Explanation)
    assert [(TargetKind.FIRST_RESPONSE, 3 * 3600.0)] == [(clock.target, clock.open_seconds) for clock in told.clocks]
    gone = await cli("ticket", "explain", "7")
    assert (1, True) == (gone.code, "tenant default has no ticket '7'" in gone.err)
