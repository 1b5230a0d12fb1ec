"""`deskclock train` and `deskclock model` on a real database, as somebody types them: from a history to a model in force."""

import asyncio
import csv
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.console.__main__ import run
from shared.postgres.pool import Pool
from tests import lessons
from tests.conftest import Database
from tests.lessons import KNOWS


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
    pool: Pool, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    """Runs a command line against this test's database, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DESKCLOCK_DATABASE_URL", database.url)
    monkeypatch.setenv("DESKCLOCK_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DESKCLOCK_ENVIRONMENT", raising=False)

    async def call(*arguments: str) -> Answer:
        capsys.readouterr()
        code = await asyncio.to_thread(run, list(arguments))
        said = capsys.readouterr()
        return Answer(code, said.out, said.err)

    return call


def _write(path: Path, rows: list[tuple[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "theme"), *rows])


async def test_from_a_history_to_a_model_in_force_and_back(cli: Cli, tmp_path: Path) -> None:
    """Trained, uploaded, tried, promoted with its figures, rolled back; each step says where it led."""
    _write(tmp_path / "tickets.csv", lessons.tickets(300, 1))
    made = await cli("train", "tickets.csv", "--upload")
    assert 0 == made.code
    assert "added as model 1 of tenant default" in made.out
    again = await cli("model", "add", "model.deskclock")
    assert "model 1 of tenant default was there already; it learned: theme" in again.out
    assert "in force: none; in shadow: 1" in (await cli("model", "shadow", "1")).out
    promoted = await cli("model", "promote", "1")
    assert 0 == promoted.code
    for words in (*lessons.THEMES, "macro-F1", "always `", "in force: 1; in shadow: none"):
        assert words in promoted.out
    assert "nobody on the roster has the skill `triage`" in promoted.err
    assert "promoted" in (await cli("model", "list")).out
    shown = (await cli("model", "show", "1", "--json")).json
    assert (["theme"], 0) == (shown["learned"], shown["compared"]["tickets"])
    assert "it has scored no ticket yet" in (await cli("model", "show", "1")).out
    assert "in force: none (before: 1)" in (await cli("model", "rollback")).out


async def test_what_has_learned_nothing_is_refused(cli: Cli, tmp_path: Path) -> None:
    """By `train --upload`, which adds nothing, and by `model promote`."""
    _write(tmp_path / "tickets.csv", lessons.tickets(300, 1, noise=True))
    assert 4 == (await cli("train", "tickets.csv", "--upload")).code
    assert [] == (await cli("model", "list", "--json")).json["models"]
    added = await cli("model", "add", "model.deskclock")
    assert "it learned: nothing" in added.out
    refused = await cli("model", "promote", "1")
    assert 4 == refused.code
    assert "learned nothing" in refused.err
    assert 0 == (await cli("model", "shadow", "1")).code
    assert "in shadow: none" in (await cli("model", "stop", "1")).out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("model", "add", "nowhere"), 4, "can't be read"),
        (("model", "add", "text"), 4, "is no model"),
        (("model", "show", "7"), 1, "there are: none"),
        (("model", "promote", "7"), 1, "deskclock model list"),
        (("model", "rollback"), 4, "no model is in force"),
        (("model", "promote", "0"), 2, "VERSION"),
        (("train",), 2, "--corrections"),
        (("train", "--corrections"), 4, "too few labelled rows"),
    ],
)
async def test_what_cannot_be_done_is_one_line_with_the_way_out(
    cli: Cli, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    """And the exit code that other commands have for it."""
    (tmp_path / "text").write_text("hello")
    answer = await cli(*arguments)

    assert code == answer.code
    assert words in answer.err.splitlines()[-1]


async def test_what_people_corrected_is_learned_from(cli: Cli, pool: Pool, tmp_path: Path) -> None:
    """As CSV for a look at it, and straight from the database."""
    rows = lessons.tickets(120, 1)
    opened = "jsonb_build_object('kind', 'opened', 'channel', 'email', 'text', $2::text)"
    for n, (text, theme) in enumerate(rows):
        await pool.execute(
            f"""WITH t AS (SELECT ('00000000-0000-7000-8000-' || lpad($1::text, 12, '0'))::uuid AS id), e AS (
                    INSERT INTO ticket_event (ticket_id, event_id, tenant, occurred_at, received_at, data)
                    SELECT id, $1::text, 'default', now(), now(), {opened} FROM t)
                INSERT INTO correction SELECT 'default', id, $1::text, 'theme', 'unknown', $3::text, now() FROM t""",
            str(n),
            text,
            theme,
        )
    exported = await cli("model", "corrections")
    (tmp_path / "corrected.csv").write_text(exported.out)
    from_file = await cli("train", "corrected.csv", "--json")
    straight = await cli("train", "--corrections", "--json")

    assert 120 == from_file.json["model"]["used"] == straight.json["model"]["used"]
    assert from_file.json["model"]["fingerprint"] == straight.json["model"]["fingerprint"]


async def test_a_file_from_elsewhere_is_shown_as_it_says(cli: Cli, tmp_path: Path) -> None:
    """Both heads, where it comes from, and how sure it has to be."""
    (tmp_path / "model").write_bytes(lessons.model(KNOWS))
    await cli("model", "add", "model")
    shown = await cli("model", "show", "1")

    for words in ("model 1: added", "from 100 of 100 rows", "theme: learned", "urgency: learned", "billing", "urgent"):
        assert words in shown.out
