"""The main job as a newcomer sees it: `deskclock demo`, end to end, on its short form."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

SECONDS = 120
COMMAND = [sys.executable, "-m", "services.console", "demo", "--fast", "--seconds", "8"]
IN_BACKGROUND = ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh"]
"""Starts a command as `command &` in a script does: with SIGINT ignored."""
ROOT = Path(__file__).parents[2]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DESKCLOCK_")}
    kept |= {
        name: os.environ[name] for name in ("DESKCLOCK_POSTGRES_BIN", "DESKCLOCK_NATS_SERVER") if name in os.environ
    }
    return kept | {"DESKCLOCK_HOME": str(tmp_path), "NO_COLOR": "1"}


def test_a_day_of_a_city_is_replayed_and_judged_as_the_city_judges_it(environ: dict[str, str]) -> None:
    """Tickets come in, are owned, answered, warned of and paged for; nearly all verdicts are the city's own."""
    done = subprocess.run(
        [*COMMAND, "--json"], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (0, "") == (done.returncode, done.stderr if done.returncode else "")
    report = msgspec.json.decode(done.stdout)
    assert report["requests"] > 30
    assert report["over_http"] > 0
    assert 0 == report["refused"]
    assert {"first_response", "resolution"} <= {line["target"] for line in report["attainment"]}
    assert report["pages"]["acknowledged"] > 0
    assert report["pages"]["accepted"] > 0
    assert report["compared"] > 10
    assert report["agreements"] >= 0.95 * report["compared"]
    assert all(lag["measured"]["count"] for lag in report["lags"])
    assert "tickets" in done.stderr  # without a terminal, lines instead of the board


def test_ctrl_c_ends_the_demo_cleanly(environ: dict[str, str]) -> None:
    """Nothing is left running, nothing is left behind, and the code says how it ended."""
    with subprocess.Popen(
        [*IN_BACKGROUND, *COMMAND],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()  # the first line of the board: everything runs
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (130, False) == (process.returncode, "Traceback" in said)
