"""A version on its way to thousands of open tickets: killed, interrupted, resumed; every ticket gets it once."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from services.router.domain.reach import Reach
from shared import timesource
from shared.postgres import time as database_time
from shared.postgres.pool import Pool
from tests.conftest import ROOT, Database
from tests.integration.rolling import TENANT, RollingDesk, opened

TICKETS = 400
_PATIENCE_SECONDS = 60.0
_POLICY = "targets: [{name: all, calendar: always, first_response: %s, resolution: %s}]\n"
_HAVE_IT = "SELECT count(*) FROM ticket WHERE policy_version = 2"


async def _open_tickets(pool: Pool, count: int) -> RollingDesk:
    desk = RollingDesk(pool)
    await desk.apply(_POLICY % ("4h", "40h"))
    async with pool.acquire() as connection:
        now = await database_time.now(connection)
    for first in range(0, count, 200):
        await desk.record([opened(str(n), now) for n in range(first, first + 200)])
    return desk


async def _until(pool: Pool, question: str) -> None:
    """Wait until the database answers yes."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not await pool.fetchval(question):
            await timesource.pause(0.02)


async def _require_once(pool: Pool) -> None:
    """Every ticket has the version, its log says so once, and each of its clocks is there once, moved."""
    assert TICKETS == await pool.fetchval(_HAVE_IT)
    said = "SELECT count(*) FROM ticket_event WHERE data ->> 'kind' = 'policy_changed'"
    assert TICKETS == await pool.fetchval(said)
    assert 2 * TICKETS == await pool.fetchval("SELECT count(*) FROM clock WHERE policy_version = 2")
    assert 0 == await pool.fetchval("SELECT count(*) FROM clock WHERE policy_version <> 2")
    rollout = await pool.fetchrow("SELECT * FROM policy_rollout")
    assert rollout is not None
    assert ("done", TICKETS, TICKETS, 0, 2 * TICKETS) == tuple(
        rollout[name] for name in ("state", "total", "done", "failed", "later")
    )


async def test_routers_killed_while_a_version_is_on_its_way_leave_nobody_out(pool: Pool, spawn, jetstream) -> None:
    """Two of them, killed twice; the last one carries on where they were, and says everything once."""
    desk = await _open_tickets(pool, TICKETS)
    await desk.apply(_POLICY % ("8h", "80h"), Reach(is_for_open=True))
    for part in (0.2, 0.6):
        routers = [spawn("services.router", is_doomed=True) for _ in range(2)]
        for router in routers:
            router.launch()
        await _until(pool, f"SELECT ({_HAVE_IT}) >= {int(TICKETS * part)}")
        for router in routers:
            router.kill()
    last = spawn("services.router")
    last.launch()
    await _until(pool, "SELECT state = 'done' FROM policy_rollout")
    await _until(pool, "SELECT NOT EXISTS (SELECT FROM outbox)")
    await last.ready()
    assert 0 == last.stop()
    await _require_once(pool)
    info = await jetstream.stream_info("SLA", subjects_filter=f"sla.{TENANT}.clock.due_changed")
    assert {f"sla.{TENANT}.clock.due_changed": 2 * TICKETS} == info.state.subjects


async def test_ctrl_c_says_how_to_go_on_and_going_on_ends_it(pool: Pool, database: Database, tmp_path: Path) -> None:
    """The command may be left at any time: what it did holds."""
    await _open_tickets(pool, TICKETS)
    policy = tmp_path / "policy.yaml"
    policy.write_text(_POLICY % ("8h", "80h"))
    environment = {
        **os.environ,
        "DESKCLOCK_DATABASE_URL": database.url,
        "DESKCLOCK_HOME": str(tmp_path),
        "DESKCLOCK_ENVIRONMENT": "development",
    }
    command = [sys.executable, "-m", "services.console", "policy"]
    working = await asyncio.create_subprocess_exec(
        *command, "apply", str(policy), "--to", "open", "--tenant", TENANT,
        cwd=ROOT, env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    await _until(pool, f"SELECT ({_HAVE_IT}) > 100")
    working.send_signal(signal.SIGINT)
    _, told = await working.communicate()
    said = " ".join(told.decode().split())
    assert (130, True) == (working.returncode, f"policy rollout --tenant {TENANT}` goes on here" in said), said
    assert 0 < await pool.fetchval(_HAVE_IT) < TICKETS
    going_on = await asyncio.to_thread(
        subprocess.run,
        [*command, "rollout", "--tenant", TENANT],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (0, True) == (going_on.returncode, "done" in going_on.stdout), going_on.stderr
    await _require_once(pool)
