"""`deskclock report` on a real database, as somebody types it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.console.__main__ import run
from shared import ids
from shared.postgres.pool import Pool
from tests.conftest import ClockControl, Database
from tests.integration.escalation import rows

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


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
def cli(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command line against this test's database."""
    monkeypatch.setenv("DESKCLOCK_DATABASE_URL", database.url)
    monkeypatch.setenv("DESKCLOCK_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DESKCLOCK_ENVIRONMENT", raising=False)

    async def call(*arguments: str) -> Answer:
        capsys.readouterr()
        code = await asyncio.to_thread(run, ["report", *arguments])
        said = capsys.readouterr()
        return Answer(code, said.out, said.err)

    return call


@pytest.fixture
async def desk(pool: Pool, clock_control: ClockControl) -> None:
    """Two tickets of the built-in policy: one runs for a team, one was answered over a weekend."""
    await clock_control.freeze(NOW)
    running, answered = ids.uuid7(NOW), ids.uuid7(NOW + timedelta(seconds=1))
    await pool.executemany(
        """INSERT INTO ticket (id, tenant, source, external_id, status, opened_at, channel, urgency, team, policy_version)
           VALUES ($1, 'default', 'shop', $2, 'open', $3, 'email', 'normal', $4, 0)""",
        [(running, "881", NOW, "north"), (answered, "882", NOW, None)],
    )
    await pool.execute(
        """INSERT INTO clock (ticket_id, target, cycle, tenant, matched, policy_version, calendar, state, started_at, due_at)
           VALUES ($1, 'internal_resolution', 1, 'default', 'everything else', 0, 'office', 'running', $2, $3)""",
        running,
        NOW,
        NOW + timedelta(hours=3),
    )
    await pool.execute(
        """INSERT INTO clock_finished (ticket_id, target, cycle, tenant, matched, policy_version, calendar, state, started_at,
                                       due_at, warned, met_at, ended_at, open_used, wall_used)
           VALUES ($1, 'first_response', 1, 'default', 'everything else', 0, 'office', 'met', $3, $2, 0, $2, $2, '90m', '65h')""",
        answered,
        NOW - timedelta(hours=1),
        NOW - timedelta(hours=66),
    )


async def test_deadlines_as_a_table_and_as_json(cli: Cli, desk: None) -> None:
    """Aligned, without colours where nobody looks."""
    answer = await cli("deadlines")
    assert (0, "") == (answer.code, answer.err)
    [line] = [line for line in answer.out.splitlines() if "north" in line]
    assert ["north", "team's", "resolution", "·", "1", "1", "·", "·", "1"] == line.split()[:9]
    assert "2026-06-01 15:00:00+00:00" in line
    assert "shop 881" in line
    assert "\x1b" not in answer.out
    told = (await cli("deadlines", "--hours", "3", "--json")).json
    assert ([3], [{"hours": 3, "clocks": 1}]) == (told["hours"], told["lines"][0]["due"])


async def test_attainment_as_a_table_and_as_json(cli: Cli, desk: None) -> None:
    """Open time and what the customer waited, side by side."""
    answer = await cli("attainment", "--by", "target,channel,urgency,team,matched")
    assert (0, "") == (answer.code, answer.err)
    [line] = [line for line in answer.out.splitlines() if "first response" in line]
    for said in ("email", "normal", "(pool default)", "everything else", "100.0 %", "1h 30m", "2d 17h"):
        assert said in line
    told = (await cli("attainment", "--from", "2026-06-01T00:00:00+02:00", "--json")).json
    assert (1, 0, "2026-05-31T22:00:00Z") == (told["met"], told["breached"], told["since"].replace("+00:00", "Z"))


@pytest.fixture
async def backlog(pool: Pool, clock_control: ClockControl) -> None:
    """A chat that waited six minutes for billing on Sunday at 18 h in Berlin, and an e-mail that waits for anybody."""
    await clock_control.freeze(NOW)
    sunday, today = NOW - timedelta(hours=20), NOW - timedelta(minutes=15)
    for number, (at, channel, needs) in enumerate(
        [(sunday, "live_chat", b'[["billing",1]]'), (today, "email", b"[]"), (NOW - timedelta(days=9), "email", b"[]")]
    ):
        await pool.execute(
            """INSERT INTO ticket (id, tenant, source, external_id, status, opened_at, channel, needs, policy_version)
               VALUES ($1, 'default', 'shop', $2, 'open', $3, $4, $5, 0)""",
            ids.uuid7(at), str(number), at, channel, needs,
        )  # fmt: skip
    await pool.execute(
        """INSERT INTO wait (tenant, ticket_id, pool, channel, needs, units, reason, since, until)
           SELECT tenant, id, 'default', channel, needs, 4, 'offline', opened_at, opened_at + interval '6 minutes'
           FROM ticket WHERE external_id = '0'
           UNION ALL
           SELECT tenant, id, 'default', channel, needs, 6, 'fragmented', opened_at, $1 FROM ticket WHERE external_id = '1'""",
        NOW,
    )


async def test_staffing_as_a_table_with_a_map_and_as_json(cli: Cli, backlog: None) -> None:
    """What is missing most comes first; the week is drawn in shades that need no colour."""
    answer = await cli("staffing", "--weeks", "2", "--timezone", "Europe/Berlin")
    assert (0, "") == (answer.code, answer.err)
    rows = [" ".join(line.split()) for line in answer.out.splitlines()]
    full = "(none needed) email all full 2 1 50.0 % 15m 15m · 0.06 0.06 Mon 13-14 h"
    offline = "billing live chat all offline 1 1 100.0 % 6m 6m · 0.02 0.02 Sun 18-19 h"
    assert [full, offline] == rows[rows.index(full) : rows.index(offline) + 1]
    assert "all 3 2 66.7 % 6m 15m · 0.08 0.06 Mon 13-14 h" in rows
    assert "billing all offline 1 1 100.0 % 6m 6m · 0.02 0.02 Sun 18-19 h" in rows
    assert "\x1b" not in answer.out
    drawn = answer.out[answer.out.index("Hands missing: all tickets") :].splitlines()
    assert drawn[0].startswith("Hands missing: all tickets (Europe/Berlin; the darkest is 0.06)")
    assert "Mon  " + "··" * 13 + "██" + "··" * 10 == drawn[2]
    assert "Sun  " + "··" * 18 + "▒▒" + "··" * 5 == drawn[8]
    told = (await cli("staffing", "--weeks", "1", "--skill", "billing", "--json")).json
    assert (1, "UTC", ["billing"]) == (told["total"]["arrived"], told["timezone"], told["lines"][0]["skills"])


async def test_staffing_refuses_what_it_cant_answer(cli: Cli, backlog: None) -> None:
    """With the way out, and exit code 2."""
    for asked, said in (
        (("--weeks", "14"), "1<=x<=13"),
        (("--timezone", "Europe/Berln"), "--timezone there is no time zone Europe/Berln: did you mean Europe/Berlin?"),
        (("--channel", "fax"), "live_chat"),
    ):
        answer = await cli("staffing", *asked)
        assert (2, True) == (answer.code, said in " ".join(answer.err.split())), answer.err


async def test_a_tenant_with_nothing_is_told_so(cli: Cli, desk: None) -> None:
    """In a sentence."""
    assert "no promise runs" in (await cli("deadlines", "--tenant", "acme")).out
    assert "no promise was kept or broken" in (await cli("attainment", "--tenant", "acme")).out
    assert "nobody was missing: no ticket came" in (await cli("staffing", "--tenant", "acme")).out
    assert "nobody was missing: 2 tickets came" in (await cli("staffing", "--weeks", "1")).out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("deadlines", "--hours", "1,x"), "--hours must be whole open hours"),
        (("attainment", "--by", "agent"), "--by must be some of target"),
        (("attainment", "--from", "2026-06-01"), "'2026-06-01' is not an instant with an offset"),
        (("attainment", "--from", "2020-06-01T00:00:00Z"), "--from may lie 366 days"),
        (("attainment", "--to", "0001-01-01T00:00:00Z"), "outside the years"),
        (("attainment", "--from", "9999-12-31T23:59:59-14:00"), "is not an instant with an offset"),
    ],
)
async def test_a_wrong_command_line_is_one_line_and_2(cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    """With what is allowed."""
    answer = await cli(*arguments)
    assert (2, 1, True) == (answer.code, len(answer.err.splitlines()), said in answer.err), answer.err


async def test_paging_as_a_table_and_as_json(cli: Cli, pool: Pool, clock_control: ClockControl) -> None:
    """The verdict first, then what each stage took, then what is counted apart."""
    await clock_control.freeze(NOW)
    assert "nobody was paged" in (await cli("paging")).out
    due = NOW - timedelta(hours=1)
    for n in range(3):
        await rows.page(pool, due, 0.05, 0.1 + n, 1, name=str(n))
    await rows.page(pool, due, 0, 9, name="held", held_for="quiet_hours")
    answer = await cli("paging")
    assert (0, "") == (answer.code, answer.err)
    assert "objective: 99% tried within 2 s of being due; missed: 2 of 3 in time (66.67%)" in answer.out
    [line] = [line for line in answer.out.splitlines() if "due -> first tried" in line]
    assert ["all", "3", "1.1", "s", "2.1", "s", "2.1", "s", "2.1", "s"] == line.split()[4:]
    assert "1 held back by quiet hours, in none of the figures" in answer.out
    told = (await cli("paging", "--from", due.isoformat(), "--json")).json
    assert (False, {"quiet_hours": 1}) == (told["is_met"], told["counted"]["deferred"])
    assert 2 == (await cli("paging", "--from", NOW.isoformat())).code
