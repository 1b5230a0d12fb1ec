"""`deskclock evaluate` from the command line: any order of lines, nothing lost in silence, memory that does not grow."""

import errno
import io
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.console import gathering
from services.console.__main__ import run
from services.console.commands import evaluate

ROOT = Path(__file__).parents[3]
POLICY = "targets:\n  - {name: all, calendar: always, first_response: 1h, resolution: 4h}\n"
START = datetime(2026, 6, 1, 7, tzinfo=UTC)
NOW = "2026-06-05T10:00:00+02:00"
MEMORY = """
import sys
from services.console.__main__ import run
code = run(sys.argv[1:])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(peak.split()[1], file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return str(path)


def test_the_lines_of_a_ticket_stand_anywhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, policy: str
) -> None:
    """The answers are those of a log in order; they come by first appearance, though parts are dealt again and again."""
    monkeypatch.setattr(gathering, "FITS_IN_MEMORY", 2_000)
    lines = [line for n in range(400) for line in ticket(n)]
    in_order = evaluated(capsys, tmp_path, policy, lines)
    random.Random(7).shuffle(lines)
    shuffled = evaluated(capsys, tmp_path, policy, lines)
    first = list(dict.fromkeys(json.loads(line)["subject"] for line in lines))
    assert [str(n) for n in range(400)] == [answer["ticket"] for answer in in_order]
    assert first == [answer["ticket"] for answer in shuffled]
    assert {a["ticket"]: a for a in in_order} == {a["ticket"]: a for a in shuffled}
    assert {"met", "breached"} == {clock["state"] for answer in in_order for clock in answer["clocks"]}


def test_one_ticket_may_have_a_long_log(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, policy: str
) -> None:
    """Its lines are held together, however many they are."""
    monkeypatch.setattr(gathering, "FITS_IN_MEMORY", 2_000)
    lines = [ticket(1)[0], *(event(1, "replied", f"r{n}", n, {"by": "agent"}) for n in range(2, 60))]
    [answer] = evaluated(capsys, tmp_path, policy, lines[::-1])
    assert ["met", "breached"] == [clock["state"] for clock in answer["clocks"]]


def test_an_id_that_comes_again_is_the_same_event(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, policy: str
) -> None:
    """The line that comes first stands."""
    lines = [*ticket(1), event(1, "replied", "1-reply", 5, {"by": "agent"})]
    [answer] = evaluated(capsys, tmp_path, policy, lines)
    [alone] = evaluated(capsys, tmp_path, policy, list(ticket(1)))
    assert alone == answer


def test_lines_that_cannot_be_read_are_named_and_counted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, policy: str
) -> None:
    """The first twenty by number and reason, the others by count; the rest is judged and the exit code is 4."""
    bad = [
        "not json",
        event(9, "moved", "x", 1, {}),
        event(9, "replied", "y", 1, {"by": "a cat"}),
        "[]",
        '{"id": "' + "x" * 2**20 + '"}',
        event(9, "opened", "z", 1, {"channel": "email"}).replace('"subject":"9",', ""),
        *["{"] * 20,
    ]
    lines = [ticket(1)[0], "", *bad, *ticket(1)[1:]]
    file = tmp_path / "events.ndjson"
    file.write_text("\ufeff" + "\n".join(lines))
    assert 4 == run(["evaluate", "--policy", policy, "--now", NOW, str(file)])
    out, err = capsys.readouterr()
    told = err.splitlines()
    assert ["1"] == [json.loads(line)["ticket"] for line in out.splitlines()]
    assert [f"line {n}:" for n in range(3, 23)] == [line[: line.index(":") + 1] for line in told[:20]]
    for words, line in zip(
        ["not JSON", "unknown type 'ticket.moved'", "a cat", "not a CloudEvent", "longer than", "no ticket named"],
        told,
        strict=False,
    ):
        assert words in line
    assert "and 6 more lines" == told[20]
    assert told[21].startswith(f"deskclock: 26 of {26 + len(ticket(1))} lines could not be read")


def test_jobs_side_by_side_give_the_same_answers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, policy: str
) -> None:
    """In the same order, and with the faults that the workers found."""
    lines = [*(line for n in range(50) for line in ticket(n)), event(7, "replied", "bad", 1, {"by": "a cat"})]
    random.Random(3).shuffle(lines)
    file = tmp_path / "events.ndjson"
    file.write_text("\n".join(lines))
    command = ["evaluate", "--policy", policy, "--now", NOW, str(file)]
    assert 4 == run(command)
    alone = capsys.readouterr()
    monkeypatch.setattr(evaluate, "_WORTH_WORKERS", 0)
    assert 4 == run([*command, "--jobs", "2"])
    assert alone == capsys.readouterr()
    assert "1 of 151 lines" in alone.err


def test_a_full_disk_is_said_with_the_way_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, policy: str
) -> None:
    """The way out is another folder for temporary files."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(gathering, "dealt", full)
    file = tmp_path / "events.ndjson"
    file.touch()
    assert 1 == run(["evaluate", "--policy", policy, str(file)])
    assert "no room left for the answers, or for temporary files in" in capsys.readouterr().err


def test_a_ticket_that_was_never_opened_is_answered_without_clocks(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, policy: str
) -> None:
    """Nothing is lost: what is known of it stands there."""
    [answer] = evaluated(capsys, tmp_path, policy, [ticket(1)[-1]])
    assert {
        "source": "desk", "ticket": "1", "urgency": None, "channel": None, "status": "solved", "clocks": []
    } == answer  # fmt: skip


@pytest.mark.parametrize(
    "now",
    [
        "",
        "soon",
        "2026-06-05",
        "2026-06-05T10:00:00",
        "1780000000",
        "9999-12-31T23:59:59-12:00",
        "2026-13-01T00:00:00Z",
    ],
)
def test_a_now_that_is_no_instant_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, policy: str, now: str
) -> None:
    """In one line that shows what an instant looks like."""
    file = tmp_path / "events.ndjson"
    file.touch()
    assert 2 == run(["evaluate", "--policy", policy, "--now", now, str(file)])
    assert "is not an instant with an offset, as in 2026-" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("now", "states", "open_seconds"),
    [
        ("1970-01-01T00:00:00Z", ["running", "running"], 0.0),
        ("2026-06-01T07:00:00Z", ["running", "running"], 0.0),
        ("2026-06-01T08:00:00Z", ["running", "running"], 3600.0),
        ("2026-06-01T08:00:00.000001Z", ["breached", "running"], 3600.000001),
        ("9999-12-31T23:59:59Z", ["breached", "breached"], None),
    ],
)
def test_now_may_lie_anywhere(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    policy: str,
    now: str,
    states: Sequence[str],
    open_seconds: float | None,
) -> None:
    """A promise is broken after its due time, not at it; before its start nothing is used."""
    [answer] = evaluated(capsys, tmp_path, policy, [ticket(0)[0]], now)
    assert states == [clock["state"] for clock in answer["clocks"]]
    if open_seconds is not None:
        assert [open_seconds] * 2 == [clock["open_seconds"] for clock in answer["clocks"]]
        assert [open_seconds] * 2 == [clock["wall_seconds"] for clock in answer["clocks"]]


def test_standard_input_is_read_and_nothing_stays_behind(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, policy: str
) -> None:
    """`-` is standard input; temporary files lie in TMPDIR while it runs."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("\n".join(ticket(3)).encode())))
    assert 0 == run(["evaluate", "--policy", policy, "-"])
    assert "3" == json.loads(capsys.readouterr().out)["ticket"]
    assert [Path(policy)] == list(tmp_path.iterdir())


def test_who_reads_only_the_first_lines_is_told_of_no_fault(tmp_path: Path, policy: str) -> None:
    """`deskclock evaluate ... | head -1` ends quietly, and well."""
    file = tmp_path / "events.ndjson"
    file.write_text("\n".join(ticket(n)[0] for n in range(1_000)))
    command = [sys.executable, "-m", "services.console", "evaluate", "--policy", policy, str(file)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert '"ticket":"0"' in process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert ("", 0) == (process.stderr.read(), process.wait(60))


def test_memory_stays_the_same_for_ten_times_the_tickets(tmp_path: Path, policy: str) -> None:
    """Peak memory of 5,000 tickets, whose lines are far apart, beside that of 500."""
    few, many = peak_kilobytes(tmp_path, policy, 500), peak_kilobytes(tmp_path, policy, 5_000)
    assert many <= 1.1 * few, f"{few:,} kB and {many:,} kB"


def peak_kilobytes(folder: Path, policy: str, tickets: int) -> int:
    """Peak resident memory of one evaluation in a process of its own."""
    file = folder / f"{tickets}.ndjson"
    logs = [ticket(n) for n in range(tickets)]
    file.write_text("\n".join(log[i] for i in (2, 0, 1) for log in logs))
    command = [sys.executable, "-c", MEMORY, "evaluate", "--policy", policy, "--now", NOW, str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True, timeout=120)
    assert tickets == done.stdout.count("\n")
    return int(done.stderr)


def evaluated(
    capsys: pytest.CaptureFixture[str], folder: Path, policy: str, lines: Sequence[str], now: str = NOW
) -> list[dict[str, Any]]:
    """The answers on some lines, none of which is at fault."""
    file = folder / "events.ndjson"
    file.write_text("\n".join(lines) + "\n")
    assert 0 == run(["evaluate", "--policy", policy, "--now", now, str(file)])
    out, err = capsys.readouterr()
    assert "" == err
    return [json.loads(line) for line in out.splitlines()]


def ticket(n: int) -> tuple[str, str, str]:
    """A ticket that is answered after `n` minutes and solved after twice as many."""
    return (
        event(n, "opened", "opened", 0, {"channel": "email", "subject": "hello", "text": "a text of some length " * 9}),
        event(n, "replied", "reply", n, {"by": "agent"}),
        event(n, "status_changed", "solved", 2 * n, {"status": "solved"}),
    )


def event(n: int, kind: str, name: str, minutes: int, data: dict[str, Any]) -> str:
    """A line of the file."""
    envelope = {
        "specversion": "1.0",
        "id": f"{n}-{name}",
        "source": "desk",
        "type": f"ticket.{kind}",
        "subject": str(n),
        "time": (START + timedelta(minutes=minutes)).isoformat(),
        "data": data,
    }
    return json.dumps(envelope, separators=(",", ":"))
