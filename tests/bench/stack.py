"""Real servers with durable settings, and our services as processes beside them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import nats
import yaml
from nats.aio.client import Client

from services.console import embedded
from services.router.versions import policies
from shared import timesource
from shared.jetstream import streams
from shared.postgres import time as database_time
from shared.postgres.migrate import migrate
from shared.postgres.pool import Connection, Pool, open_pool
from tests.bench.fill import TENANT

ROOT = Path(__file__).parents[2]
AGENTS = 200
_READY_SECONDS = 30.0


class Stack:
    """PostgreSQL and nats-server, and what runs on them."""

    def __init__(self, servers: embedded.Embedded, pool: Pool, connection: Connection, client: Client) -> None:
        self.servers = servers
        self.pool = pool
        self.connection = connection
        self.client = client

    @property
    def environment(self) -> dict[str, str]:
        """For a process of ours."""
        return {
            **os.environ,
            "DESKCLOCK_DATABASE_URL": self.servers.database_url,
            "DESKCLOCK_NATS_URL": self.servers.nats_url,
            "DESKCLOCK_ROUTER_PORT": "0",
            "DESKCLOCK_ESCALATION_PORT": "0",
            "DESKCLOCK_LOG_FORMAT": "json",
        }

    @contextmanager
    def process(self, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """`python -m ...` for as long as the context lasts, ended in good order; `environment` beside the stack's own."""
        log = ROOT / ".deskclock" / "bench.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments], cwd=ROOT, env=self.environment | environment, stdout=out, stderr=out
            )
        try:
            yield process
            if process.poll() not in {None, 0}:
                raise RuntimeError(f"{arguments[0]} ended with {process.returncode}: see {log}")
        finally:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            process.wait(60)


@contextmanager
def servers() -> Iterator[embedded.Embedded]:
    """Both servers as they are shipped: every commit and every acknowledged event is on disk."""
    with embedded.start(cache=ROOT / ".deskclock" / "cache", durable=True, max_connections=100) as started:
        yield started


async def open_stack(started: embedded.Embedded) -> Stack:
    """A migrated database with a roster of `AGENTS` people who can take anything, and empty streams."""
    pool = await open_pool(started.database_url, name="bench", size=2)
    connection = await pool.acquire()
    await migrate(connection)
    people = {
        f"agent-{n:03}": {"name": f"Agent {n}", "channels": ["phone", "email", "live_chat", "messaging", "self_service", "social", "other"],
                          "capacity": 12, "skills": {"lang:en": 3}}
        for n in range(AGENTS)
    }  # fmt: skip
    now = await database_time.now(connection)
    async with connection.transaction():
        await policies.apply_roster(connection, TENANT, yaml.safe_dump({"people": people}), "bench", now)
    await connection.execute("UPDATE agent SET status = 'online', gone_at = NULL, capacity = 1000000")
    client = await nats.connect(started.nats_url, max_reconnect_attempts=-1)
    await streams.ensure(client)
    return Stack(started, pool, connection, client)


async def wait_for(url: str) -> None:
    """Until a service says that it is ready."""
    until = timesource.monotonic() + _READY_SECONDS
    async with httpx.AsyncClient() as http:
        while timesource.monotonic() < until:
            with suppress(httpx.TransportError):
                if (await http.get(f"{url}/health/ready")).is_success:
                    return
            await timesource.pause(0.05)
    raise TimeoutError(url)
