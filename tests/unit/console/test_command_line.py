"""Every failure is one line with the way out, and an exit code; no server is needed to say so."""

import json
import re
from pathlib import Path

import pytest

from services.console import output, session
from services.console.__main__ import run
from services.console.domain.spans import parse_span
from services.console.session import Stack
from services.console.settings import Settings

EVENTS = """
{"specversion": "1.0", "id": "1", "source": "zendesk", "type": "ticket.opened", "subject": "881", "time": "2026-06-05T10:00:00+02:00", "data": {"channel": "email", "text": "hello"}}
not json
{"specversion": "1.0", "id": "2", "source": "zendesk", "type": "ticket.replied", "subject": "881", "time": "2026-06-05T11:00:00+02:00", "data": {"by": "agent"}}
"""


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "NATS_URL", "ENVIRONMENT", "DEBUG"):
        monkeypatch.delenv(f"DESKCLOCK_{name}", raising=False)
    monkeypatch.setenv("DESKCLOCK_HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("code", "words", "arguments"),
    [
        (2, "No such command 'foo'", ["foo"]),
        (2, "No such option", ["keys", "list", "--what"]),
        (2, "BY", ["time", "advance"]),
        (2, "not a length of time", ["time", "advance", "soon"]),
        (2, "not an instant", ["time", "advance", "--to", "2026-06-05T10:00:00"]),
        (2, "not both", ["demo", "--seconds", "5", "--rate", "5"]),
        (2, "not a time zone", ["top", "--zone", "Mars/Base"]),
        (2, "by id, or say --all", ["dead", "replay"]),
        (3, "DESKCLOCK_DATABASE_URL", ["keys", "list"]),
        (3, "DESKCLOCK_NATS_URL", ["dead", "list"]),
        (3, "not ready", ["health", "--url", "http://127.0.0.1:9"]),
        (4, "not a URL", ["health", "--url", "localhost"]),
        (4, "can't be read", ["policy", "check", "nowhere.yaml"]),
    ],
)
def test_a_failure_is_one_line_and_a_code(
    capsys: pytest.CaptureFixture[str], code: int, words: str, arguments: list[str]
) -> None:
    """The line says what is wrong, the code says of which kind it is."""
    assert code == run(arguments)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("deskclock: ")
    assert words in line


@pytest.mark.parametrize("arguments", [["demo"], ["time", "advance", "1h"], ["up"]])
def test_production_refuses_trials(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    """Embedded servers and moving the time are not for production."""
    monkeypatch.setenv("DESKCLOCK_ENVIRONMENT", "production")
    monkeypatch.setenv("DESKCLOCK_ROUTER_PORT", "18080")
    monkeypatch.setenv("DESKCLOCK_ESCALATION_PORT", "18081")
    assert run(arguments) in {3, 4}
    assert "production" in capsys.readouterr().err


def test_wrong_settings_are_all_named_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with what it means."""
    monkeypatch.setenv("DESKCLOCK_ROUTER_PORT", "http")
    monkeypatch.setenv("DESKCLOCK_ENVIRONMENT", "moon")
    assert 4 == run(["keys", "list"])
    [line] = capsys.readouterr().err.splitlines()
    assert "DESKCLOCK_ROUTER_PORT" in line
    assert "DESKCLOCK_ENVIRONMENT" in line


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """--help works everywhere, and names the exit codes at the top."""
    assert 0 == run(["--help"])
    text = capsys.readouterr().out
    assert "Exit codes" in text
    names = re.findall(r"^  (\w+)  ", text.partition("Commands:")[2], re.MULTILINE)
    assert {"up", "demo", "top", "policy", "evaluate"} <= set(names)
    for name in names:
        assert 0 == run([name, "--help"])


def test_settings_are_explained_and_secrets_masked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of a password is printed."""
    monkeypatch.setenv("DESKCLOCK_DATABASE_URL", "postgresql://me:hunter2@db/deskclock")
    assert 0 == run(["settings", "--json"])
    text = capsys.readouterr().out
    assert "DESKCLOCK_ROUTER_PORT" in text
    assert "hunter2" not in text


def test_a_bad_policy_names_every_fault_with_its_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One line each, then a last one that counts them."""
    path = tmp_path / "policy.yaml"
    path.write_text("targets:\n  - {name: a, calendar: nope, first_response: 1d}\nchannelz: {}\n")
    assert 4 == run(["policy", "check", str(path)])
    lines = capsys.readouterr().err.splitlines()
    assert [f"{path}:2", f"{path}:2", f"{path}:3"] == [":".join(line.split(":")[:2]) for line in lines[:-1]]
    assert "3 faults" in lines[-1]
    assert 4 == run(["policy", "check", str(path), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (3, ["/targets/0/calendar", "/targets/0/first_response", "/channelz"]) == (
        told["faults"], [fault["pointer"] for fault in told["errors"]],
    )  # fmt: skip


def test_evaluate_judges_offline_and_names_lines_it_cannot_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The rest is judged all the same."""
    policy, log = tmp_path / "policy.yaml", tmp_path / "events.ndjson"
    policy.write_text("targets:\n  - {name: all, calendar: always, first_response: 4h, resolution: 2h}\n")
    log.write_text(EVENTS.lstrip())
    assert 4 == run(["evaluate", "--policy", str(policy), "--now", "2026-06-05T13:00:00+02:00", str(log)])
    out, err = capsys.readouterr()
    assert '"ticket":"881"' in out
    assert '"target":"first_response","cycle":1,"matched":"all","state":"met"' in out
    assert '"target":"resolution","cycle":1,"matched":"all","state":"breached"' in out
    assert err.startswith("line 2: ")


@pytest.mark.parametrize(
    ("shown", "called"),
    [
        (".venv/bin/deskclock", "{here}/.venv/bin/deskclock"),
        (".venv/bin/deskclock", ".venv/bin/deskclock"),
        ("/opt/deskclock/bin/deskclock", "/opt/deskclock/bin/deskclock"),
        ("deskclock", "{here}/path/deskclock"),
        (".venv/bin/python -m services.console", "{here}/services/console/__main__.py"),
    ],
)
def test_commands_are_told_as_they_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: str, called: str
) -> None:
    """From the present folder; by name alone where the shell finds this very program."""
    path = tmp_path / "path" / "deskclock"
    path.parent.mkdir()
    path.touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(path.parent))
    monkeypatch.setattr("sys.argv", [called.format(here=tmp_path)])
    monkeypatch.setattr("sys.executable", str(tmp_path / ".venv/bin/python"))
    assert shown == output.program()


def test_a_running_stack_is_found_and_a_dead_one_is_not(tmp_path: Path) -> None:
    """`up` leaves where it is; the file of a process that is gone is no stack."""
    settings = Settings(home=str(tmp_path))
    stack = Stack(
        database_url="postgresql://x/y", nats_url="nats://x", router_url="http://r", escalation_url="http://e", pid=1
    )
    path = session.leave(settings, stack)
    assert 0o600 == path.stat().st_mode & 0o777
    assert stack == session.running(settings)
    session.leave(settings, Stack(database_url="", nats_url="", router_url="", escalation_url="", pid=2**22 + 1))
    assert session.running(settings) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (14_400, "4h"),
        (5_400, "1h30m"),
        (5_400, "90m"),
        (172_800, "2d"),
        (None, "2"),
        (None, ""),
        (None, "4h!"),
        (None, "9" * 30 + "w"),
    ],
)
def test_lengths_of_time(seconds: float | None, text: str) -> None:
    """As people type them; anything else is None."""
    span = parse_span(text)
    assert seconds == (span.total_seconds() if span is not None else None)
