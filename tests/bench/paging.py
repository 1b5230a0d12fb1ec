"""From a promise that breaks to the first attempt to page somebody: a storm beside another tenant, a busy hour, a hanging provider.

Every figure comes from the page ledger of a running escalation process; the receivers are real HTTP servers.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

import yaml
from msgspec import Struct

from services.router.versions import policies
from shared import timesource
from shared.postgres import time as database_time
from tests.bench import fill
from tests.bench.stack import Stack, wait_for

STORM = 500
RUNNING = 10_000
PER_SECOND = 50
HANGING = 100
_HOSTS = 20
_LADDERS = 1_000
_BUSY_SECONDS = 20
_LEAD = timedelta(seconds=6)
_FAR = timedelta(days=30)
_PATIENCE_SECONDS = 120.0
_PORT = 18_081
_HANG_SECONDS = 30.0
_SECRET = "DESKCLOCK_SECRET_BENCH"

_TOLD_LAGS = """
SELECT extract(epoch FROM coalesce(t.attempted_at, p.attempted_at) - p.due_at)::float8 AS lag
FROM page p LEFT JOIN page t ON t.id = p.told_by
WHERE p.tenant = $1 AND p.kind = 'page'
"""
_UNTOLD = """
SELECT count(*) FROM page p LEFT JOIN page t ON t.id = p.told_by
WHERE p.tenant = $1 AND p.kind = 'page' AND coalesce(t.attempted_at, p.attempted_at) IS NULL
"""


class Lag(Struct, frozen=True):
    """Due to first attempt of the page that tells of it, in seconds."""

    p50: float
    p99: float
    pages: int
    """Breaches that were told."""


class StormCost(Struct, frozen=True):
    """A storm in one tenant, and what another one felt of it."""

    storm: Lag
    other: Lag
    sent: int
    """Pages that the one recipient of the storm got in its window."""


class HangCost(Struct, frozen=True):
    """100 pages to a provider that hangs, and a page by another channel and by another account meanwhile."""

    other_channel: Lag
    other_account: Lag


class Receiver:
    """Takes webhooks: answers at once, or not at all while a path says `hang`."""

    def __init__(self) -> None:
        self.taken: dict[str, int] = {}
        self._over = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Listen on every loopback address."""
        server = await asyncio.start_server(self._serve, "0.0.0.0", _PORT)  # noqa: S104 - many accounts on one host
        try:
            yield
        finally:
            server.close()
            self._over.set()
            for task in self._open:
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while not self._over.is_set():
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                path = head.split(" ", 2)[1]
                length = next(int(line[15:]) for line in head.split("\r\n") if line.startswith("content-length:"))
                await reader.readexactly(length)
                self.taken[path] = self.taken.get(path, 0) + 1
                if path.startswith("/hang"):
                    await timesource.pause(_HANG_SECONDS, unless=self._over)
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                await writer.drain()
        writer.close()
        self._open.discard(task)


async def storm(bench: Stack) -> StormCost:
    """500 breaches of one tenant within a second, all to one person; another tenant has ten a second all the while."""
    await fill.empty(bench.connection)
    await _policy(bench, "stormy", {"lead": _url(1, "/storm")})
    await _policy(bench, "calm", {f"calm-{n}": _url(2 + n % 9, "/calm") for n in range(100)})
    receiver = Receiver()
    async with receiver.serving():
        with bench.process("services.escalation", **_environment()):
            await wait_for(f"http://127.0.0.1:{_PORT + 1}")
            at = await database_time.now(bench.connection) + _LEAD
            await _breaches(
                bench, "calm", first=0, count=100, due_from=at - timedelta(seconds=2), within=timedelta(seconds=10)
            )
            await _breaches(bench, "stormy", first=1_000, count=STORM, due_from=at, within=timedelta(seconds=1))
            await _all_told(bench, "stormy", STORM)
            await _all_told(bench, "calm", 100)
    return StormCost(
        storm=await _lag(bench, "stormy"), other=await _lag(bench, "calm"), sent=receiver.taken.get("/storm", 0)
    )


async def busy(bench: Stack) -> Lag:
    """10,000 running clocks, fifty of which break each second, each to somebody else."""
    await fill.empty(bench.connection)
    people = {f"p-{n}": _url(1 + n % _HOSTS, "/busy") for n in range(_LADDERS)}
    await _policy(bench, "busy", people)
    at = await database_time.now(bench.connection)
    await fill.running_clocks(
        bench.connection, first=0, count=RUNNING, due_from=at + _FAR, within=timedelta(days=1), ladder=None
    )
    receiver = Receiver()
    async with receiver.serving():
        with bench.process("services.escalation", **_environment()):
            await wait_for(f"http://127.0.0.1:{_PORT + 1}")
            at = await database_time.now(bench.connection) + _LEAD
            count = PER_SECOND * _BUSY_SECONDS
            await _breaches(
                bench, "busy", first=RUNNING, count=count, due_from=at, within=timedelta(seconds=_BUSY_SECONDS)
            )
            await _all_told(bench, "busy", count)
    return await _lag(bench, "busy")


async def hanging(bench: Stack) -> HangCost:
    """One provider hangs for 30 s on 100 pages: how late a page by another channel is, and one by another account."""
    await fill.empty(bench.connection)
    await _policy(bench, "hung", {f"h-{n}": _url(1, "/hang") for n in range(HANGING)})
    await _policy(bench, "printed", {f"c-{n}": None for n in range(20)})
    await _policy(bench, "posted", {f"w-{n}": _url(2, "/posted") for n in range(20)})
    receiver = Receiver()
    async with receiver.serving():
        with bench.process("services.escalation", **_environment()):
            await wait_for(f"http://127.0.0.1:{_PORT + 1}")
            at = await database_time.now(bench.connection) + _LEAD
            await _breaches(bench, "hung", first=0, count=HANGING, due_from=at, within=timedelta(seconds=1))
            soon, while_ = at + timedelta(seconds=2), timedelta(seconds=5)
            await _breaches(bench, "printed", first=1_000, count=20, due_from=soon, within=while_)
            await _breaches(bench, "posted", first=2_000, count=20, due_from=soon, within=while_)
            await _all_told(bench, "printed", 20)
            await _all_told(bench, "posted", 20)
    return HangCost(other_channel=await _lag(bench, "printed"), other_account=await _lag(bench, "posted"))


def _url(host: int, path: str) -> str:
    return f"http://127.0.0.{host}:{_PORT}{path}"


def _environment() -> dict[str, str]:
    return {
        _SECRET: "whsec_" + base64.b64encode(b"a key of the benchmark").decode(),
        "DESKCLOCK_PAGE_ALLOW_HOSTS": ",".join(f"127.0.0.{n}" for n in range(1, _HOSTS + 1)),
        "DESKCLOCK_ESCALATION_PORT": str(_PORT + 1),
    }


async def _policy(bench: Stack, tenant: str, people: Mapping[str, str | None]) -> None:
    """People, and for each a ladder of their name that pages them; None is the console."""
    roster = {
        key: {"name": key, "contacts": ["console"] if url is None else [{"webhook": url, "secret": f"env:{_SECRET}"}]}
        for key, url in people.items()
    }
    policy = {
        "calendars": {"always": {"hours": "always"}},
        "targets": [{"name": "everything else", "calendar": "always", "first_response": "4h"}],
        "escalations": {key: {"steps": [{"page": f"person/{key}"}]} for key in people},
    }
    now = await database_time.now(bench.connection)
    await policies.apply_roster(bench.connection, tenant, yaml.safe_dump({"people": roster}), "bench", now)
    await policies.apply_policy(bench.connection, tenant, yaml.safe_dump(policy), "bench", now)


async def _breaches(
    bench: Stack, tenant: str, *, first: int, count: int, due_from: datetime, within: timedelta
) -> None:
    """Clocks of a tenant that break evenly over a while, each with the next of its ladders."""
    async with bench.connection.transaction():
        await fill.running_clocks(
            bench.connection, first=first, count=count, due_from=due_from, within=within, ladder=None, tenant=tenant
        )
        await bench.connection.execute(
            """
            UPDATE clock c SET calendar = 'always', policy_version = p.version, escalate = p.ladders[1 + (t.n % cardinality(p.ladders))]
            FROM (SELECT id, external_id::bigint AS n FROM ticket WHERE tenant = $1) t,
                 (SELECT max(version) AS version, $2::text[] AS ladders FROM policy_version WHERE tenant = $1) p
            WHERE c.ticket_id = t.id
            """,
            tenant,
            [row["key"] for row in await bench.connection.fetch("SELECT key FROM agent WHERE tenant = $1", tenant)],
        )


async def _all_told(bench: Stack, tenant: str, count: int) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            made = await bench.connection.fetchval(
                "SELECT count(*) FROM page WHERE tenant = $1 AND kind = 'page'", tenant
            )
            if made >= count and not await bench.connection.fetchval(_UNTOLD, tenant):
                return
            await timesource.pause(0.5)


async def _lag(bench: Stack, tenant: str) -> Lag:
    lags = sorted(max(row["lag"], 0.0) for row in await bench.connection.fetch(_TOLD_LAGS, tenant))
    return Lag(p50=_share(lags, 0.5), p99=_share(lags, 0.99), pages=len(lags))


def _share(sorted_values: Sequence[float], share: float) -> float:
    return sorted_values[int(len(sorted_values) * share)]
