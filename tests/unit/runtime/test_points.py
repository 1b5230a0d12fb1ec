"""Kill points: each stands once, where it says; a process that wasn't armed passes, one that was doesn't."""

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared.runtime import points
from shared.runtime.points import Point
from shared.runtime.settings import SettingsError

ROOT = Path(__file__).parents[3]
PLACES = {
    Point.K1_RECEIVED: "services/router/intake.py process",
    Point.K2_STORED: "services/router/consumer.py _handle",
    Point.K3_DUE: "services/escalation/stepping.py run_once",
    Point.K4_STEPPING: "services/escalation/stepping.py run_once",
    Point.K5_STEPPED: "services/escalation/stepping.py run_once",
    Point.K6_CLAIMED: "services/escalation/delivery/delivery.py _deliver",
    Point.K7_SENT: "services/escalation/channels/client.py note",
    Point.K8_ANSWERED: "services/escalation/delivery/delivery.py _deliver",
    Point.K9_CONCLUDED: "services/escalation/delivery/concluding.py conclude",
    Point.K10_ANSWERING: "services/escalation/answering.py _answer",
}
PROGRAM = """
import sys
from shared.runtime import points
points.arm(sys.argv[1], environment="development")
for n in (1, 2, 3):
    points.passing(points.Point.K5_STEPPED)
    points.passing(points.Point.K6_CLAIMED)
    print(n, flush=True)
"""


def test_each_point_is_passed_at_one_place() -> None:
    """Named once in the whole product, at the place whose death it is about."""
    found = [
        (Point[node.args[0].attr], f"{path.relative_to(ROOT)} {function.name}")
        for path in sorted((ROOT / "services").rglob("*.py"))
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "passing"
        if isinstance(node.args[0], ast.Attribute)
    ]

    assert sorted(PLACES.items()) == sorted(found)


@pytest.mark.parametrize("told", ["K6_CLAIMED:2", "K6_CLAIMED:2:kill"])
def test_an_armed_process_dies_at_that_passing(told: str) -> None:
    """Of that point, not of others."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, told], cwd=ROOT, capture_output=True, text=True, check=False)

    assert (-signal.SIGKILL, "1\n") == (done.returncode, done.stdout), done.stderr


def test_an_armed_process_stands_still_and_goes_on() -> None:
    """SIGSTOP there; with SIGCONT it goes on as if nothing had been."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "K5_STEPPED:3:stop"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as running:
        _, status = os.waitpid(running.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        running.send_signal(signal.SIGCONT)
        said, _ = running.communicate(timeout=20)
    assert (0, "1\n2\n3\n") == (running.returncode, said)


def test_one_that_was_told_nothing_passes() -> None:
    """Every point, however often."""
    points.arm("", environment="production")
    for point in Point:
        assert not points.is_armed(point)
        points.passing(point)


@pytest.mark.parametrize("told", ["K11", "K6_CLAIMED:0", "K6_CLAIMED:x", "K6_CLAIMED:1:faint", ":"])
def test_a_point_that_makes_no_sense_is_refused(told: str) -> None:
    """With the form it has."""
    with pytest.raises(SettingsError, match="K6_CLAIMED:3:stop"):
        points.arm(told, environment="development")


def test_production_has_none() -> None:
    """Whatever was left in the environment."""
    with pytest.raises(SettingsError, match="production"):
        points.arm("K6_CLAIMED", environment="production")
