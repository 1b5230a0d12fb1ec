"""`deskclock up` as somebody starts it: everything runs, a part that dies ends it, and nothing is left running."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.console import stack
from shared import timesource

ROOT = Path(__file__).parents[2]
SECONDS = 60.0
IN_BACKGROUND = ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh"]
"""Starts a command as `command &` in a script does: with SIGINT ignored."""


class Up:
    """A running `deskclock up`."""

    def __init__(self, home: Path) -> None:
        router, escalation = stack.free_ports("127.0.0.1")
        self.url = f"http://127.0.0.1:{router}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DESKCLOCK_")}
        kept |= {
            name: os.environ[name] for name in ("DESKCLOCK_POSTGRES_BIN", "DESKCLOCK_NATS_SERVER") if name in os.environ
        }
        self.environ = kept | {
            "DESKCLOCK_HOME": str(home),
            "DESKCLOCK_ROUTER_PORT": str(router),
            "DESKCLOCK_ESCALATION_PORT": str(escalation),
        }
        self.home = home
        self.process = subprocess.Popen(
            [*IN_BACKGROUND, sys.executable, "-m", "services.console", "up"],
            cwd=ROOT,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait(self) -> str:
        """What it tells when everything runs."""
        assert self.process.stdout is not None
        told = []
        for line in self.process.stdout:
            told.append(line)
            if "Ctrl-C ends it all" in line:
                return "".join(told)
        raise AssertionError(self.process.communicate()[1])

    def end(self) -> tuple[int, str]:
        """Wait for its end; exit code and what it said on standard error."""
        _, said = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, said

    def stop(self) -> None:
        """End it whatever state a test has left it in; a guard of its own ends what it started."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate(timeout=SECONDS)

    def children(self) -> dict[str, int]:
        """The services' process ids, by module."""
        listed = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=True
        ).stdout
        lines = [line.split(maxsplit=1) for line in listed.splitlines()]
        return {args.rsplit(".", 1)[-1]: int(pid) for pid, args in lines if " -m services." in args}

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another command in the same folder."""
        return subprocess.run(
            [sys.executable, "-m", "services.console", *arguments],
            cwd=ROOT,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    running = Up(tmp_path)
    try:
        yield running
    finally:
        running.stop()


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def test_everything_runs_and_ends_with_ctrl_c(up: Up) -> None:
    """It tells where everything is; other commands find it; it ends with 130 and leaves no process."""
    told = up.wait()
    key = (up.home / "api-key").read_text().strip()
    assert key in told
    assert up.url in told
    ticket = {"source": "helpdesk", "external_id": "1", "channel": "email", "subject": "It is down"}
    answer = httpx.post(f"{up.url}/v1/tickets", json=ticket, headers={"authorization": f"Bearer {key}"}, timeout=30)
    assert 201 == answer.status_code
    assert "1" == json.loads(up.cli("ticket", "show", "1", "--json").stdout)["ticket"]["external_id"]
    assert "opened by email" in up.cli("ticket", "explain", "1").stdout
    assert 0 == up.cli("health").returncode
    assert 4 == up.cli("up").returncode
    children = up.children()
    up.process.send_signal(signal.SIGINT)
    code, said = up.end()
    assert (130, False) == (code, "Traceback" in said)
    assert all(is_gone(pid) for pid in children.values())
    assert not (up.home / "running.json").exists()


def test_a_service_that_dies_ends_it_with_its_last_words(up: Up) -> None:
    """Nothing is restarted in silence."""
    up.wait()
    children = up.children()
    os.kill(children["escalation"], signal.SIGKILL)
    code, said = up.end()
    last = said.strip().splitlines()[-1]
    assert 1 == code
    assert last.startswith("deskclock: escalation was ended by signal 9: ")
    assert is_gone(children["router"])


async def test_killed_it_still_leaves_nothing_running(up: Up) -> None:
    """Who is killed can't clean up; somebody else does."""
    up.wait()
    children = up.children()
    up.process.kill()
    up.end()
    for _ in range(300):
        if all(is_gone(pid) for pid in children.values()):
            return
        await timesource.pause(0.1)
    raise AssertionError(f"still running: {children}")
