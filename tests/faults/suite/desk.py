"""The whole desk under trial: servers of its own, two copies of each service behind links, a provider with a ledger.

A round's tickets were opened an hour ago less a moment, so their promises break within its first seconds.
"""

import asyncio
import random
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import nats
from nats.aio.client import Client

from services.console import embedded
from services.console.embedded import Embedded
from services.console.server_processes import DATABASE, SOCKET
from services.escalation.settings import Settings
from services.router.versions import policies
from shared import timesource
from shared.contract import subjects
from shared.jetstream import streams
from shared.jetstream.publish import Message, Publisher
from shared.postgres import failures
from shared.postgres import time as database_time
from shared.postgres.migrate import migrate
from shared.postgres.pool import Pool, open_pool
from tests.faults.suite import duties
from tests.faults.suite.duties import DUTIES, PAGERS, RACES, Burst
from tests.faults.suite.links import Link, Mode
from tests.faults.suite.replicas import ROOT, Replica, free_port, inherited
from tests.providers import credentials
from tests.providers.remote import Remote, provider_process

TENANT = "acme"
_ACK_SECRET = "faults"
ACK_KEY = Settings(database_url="", ack_key=_ACK_SECRET).token_key
PROMISE = timedelta(hours=1)
_MEMORY = Path("/dev/shm")  # noqa: S108 - the servers make private folders in it
_PATIENCE_SECONDS = 90.0
_ROOM_BYTES = 2 * 2**30


class Desk:
    """Everything, for as long as the context lasts."""

    def __init__(
        self, started: Embedded, provider: Remote, folder: Path, seed: int, *, database: str = DATABASE
    ) -> None:
        self.servers = started
        self.database = database
        self.random = random.Random(seed)
        self.provider = provider
        self.provider_link = Link()
        self.replicas: list[Replica] = []
        self._folder = folder
        self._rounds = 0
        self._said: dict[str, dict[str, dict[str, Any]]] = {}
        self._links: list[Link] = []
        self._pool: Pool | None = None
        self._client: Client | None = None

    @property
    def pool(self) -> Pool:
        """The runner's own way to the database, past all links."""
        assert self._pool is not None
        return self._pool

    @property
    def client(self) -> Client:
        """The runner's own way to NATS."""
        assert self._client is not None
        return self._client

    @property
    def routers(self) -> list[Replica]:
        """Both copies."""
        return [one for one in self.replicas if one.name == "router"]

    @property
    def escalations(self) -> list[Replica]:
        """Both copies."""
        return [one for one in self.replicas if one.name == "escalation"]

    async def open(self, *, copies: int = 2) -> None:
        """An empty, migrated database, streams, a policy, and all copies of both services ready."""
        port = int(self.provider.base.rpartition(":")[2])
        self.provider_link = await self._link(port=port)
        races = [(await self._link(port=port)).port for _ in range(RACES)]
        troubled = {name: (await self._link(port=port)).port for name in PAGERS}
        self._pool = await open_pool(self.servers.postgres.url(self.database), name="faults", size=6)
        async with self.pool.acquire() as connection:
            await migrate(connection)
            now = await database_time.now(connection)
            await policies.apply_roster(
                connection, TENANT, duties.roster(self.provider_link.port, races, troubled, free_port()), "faults", now
            )
            await policies.apply_policy(connection, TENANT, duties.policy(), "faults", now)
        self._client = await nats.connect(
            self.servers.nats_url, max_reconnect_attempts=-1, reconnect_time_wait=0.2, error_cb=_quiet
        )
        await streams.ensure(self.client)
        for module in ["services.router"] * copies + ["services.escalation"] * copies:
            self.replicas.append(await self.replica(module))
        for one in self.replicas:
            one.launch()
        await asyncio.gather(*(one.ready() for one in self.replicas))

    async def recover(self) -> None:
        """After a scenario that broke off: links pass, servers run, every copy is started anew."""
        for link in self._links:
            link.ambush = None
            link.turn(Mode.PASS)
        for server in (self.servers.postgres, self.servers.nats):
            if server.pid is None:
                await asyncio.to_thread(server.start)
        for one in self.replicas:
            one.send(signal.SIGCONT)
            await one.end(signal.SIGKILL)
            one.launch()
        await asyncio.gather(*(one.ready() for one in self.replicas))

    async def close(self) -> None:
        """End everything that was started here."""
        for one in self.replicas:
            with suppress(AssertionError):
                one.send(signal.SIGCONT)
                await one.end(signal.SIGKILL)
        if self._client is not None:
            await self._client.close()
        if self._pool is not None:
            self._pool.terminate()
        for link in self._links:
            await link.close()

    async def replica(self, module: str) -> Replica:
        """One more copy that is not started yet."""
        socket_path = str(Path(self.servers.postgres.url(DATABASE).partition("host=")[2].replace("%2F", "/"), SOCKET))
        database = await self._link(path=socket_path)
        token, _, address = self.servers.nats_url.removeprefix("nats://").partition("@")
        bus = await self._link(port=int(address.rpartition(":")[2]))
        base = f"http://127.0.0.1:{self.provider_link.port}"
        environment = {
            **inherited(),
            "DESKCLOCK_DATABASE_URL": f"postgresql://postgres@127.0.0.1:{database.port}/{self.database}",
            "DESKCLOCK_NATS_URL": f"nats://{token}@127.0.0.1:{bus.port}",
            "DESKCLOCK_ACK_KEY": _ACK_SECRET,
            "DESKCLOCK_PAGE_ALLOW_HOSTS": "127.0.0.1",
            "DESKCLOCK_METRICS_OPEN": "true",
            "DESKCLOCK_NTFY_URL": f"{base}/ntfy",
            "DESKCLOCK_PAGERDUTY_URL": f"{base}/pagerduty",
            "DESKCLOCK_TWILIO_URL": f"{base}/twilio",
            "DESKCLOCK_PUBLIC_URL": "https://desk.example.org",  # where providers would bring their receipts
            **credentials.environment(base),
        }
        log = self._folder / f"{len(self._links)}-{module}.log"
        return Replica(module, environment, {"postgres": database, "nats": bus}, log)

    async def _link(self, *, port: int = 0, path: str = "") -> Link:
        link = Link(port=port, path=path)
        await link.start()
        self._links.append(link)
        return link

    async def now(self) -> datetime:
        """The time that decides."""
        async with self.pool.acquire() as connection:
            return await database_time.now(connection)

    async def advance(self, by: timedelta) -> None:
        """Let time pass at once."""
        async with self.pool.acquire() as connection:
            await database_time.advance(connection, by)

    async def breaking(
        self, count: int, *, begins: float = 0.5, within: float = 1.0, copies: int = 1, kinds: str = "d", duty: str = ""
    ) -> Burst:
        """Publish so many tickets whose promises break `begins` seconds from now, spread over `within`.

        Of several `copies`, in any order, each is a message of its own. They are of `kinds` of duties in turn, or
        all of one `duty`.
        """
        self._rounds += 1
        now = await self.now()
        names = [f"F{self._rounds}-{n}" for n in range(count)]
        duty_of = {name: duty or self._duty(kinds[n % len(kinds)], n) for n, name in enumerate(names)}
        opened = {
            name: now - PROMISE + timedelta(seconds=begins + within * n / max(count - 1, 1))
            for n, name in enumerate(names)
        }
        data = {
            name: {"channel": "email", "attributes": {"duty": duty_of[name]}, "opened_at": opened[name].isoformat()}
            for name in names
        }
        started = timesource.unix_time()
        await self.tell("opened", data, copies=copies)
        self._said[names[0]] = data
        return Burst(tickets=names, duties=duty_of, begins=started + begins, ends=started + begins + within)

    def _duty(self, kind: str, n: int) -> str:
        return f"r{n % RACES}" if kind == "r" else f"{kind}{self.random.randrange(DUTIES)}"

    async def repeat(self, burst: Burst) -> None:
        """Say once more that these were opened, as somebody does who compared lists."""
        await self.tell("opened", self._said[burst.tickets[0]], first_copy=100)

    async def dead_letters(self) -> int:
        """How many were set aside."""
        info = await self.client.jetstream().stream_info(subjects.DEAD)
        return info.state.messages

    async def solve(self, tickets: Sequence[str]) -> None:
        """Everything is done: whoever was paged is told so."""
        await self.tell("status_changed", {ticket: {"status": "solved"} for ticket in tickets})

    async def tell(self, kind: str, data: dict[str, dict[str, Any]], *, copies: int = 1, first_copy: int = 0) -> None:
        """The helpdesk says this of these tickets."""
        at = (await self.now()).isoformat()
        messages = [
            Message(
                subjects.ticket(TENANT, kind),
                msgspec.json.encode(
                    {
                        "specversion": "1.0",
                        "id": f"{ticket}-{kind}",
                        "source": "helpdesk",
                        "type": f"ticket.{kind}",
                        "subject": ticket,
                        "time": at,
                        "data": one,
                    }
                ),
                f"{ticket}-{kind}-{copy}",
            )
            for copy in range(first_copy, first_copy + copies)
            for ticket, one in data.items()
        ]
        if copies > 1:
            self.random.shuffle(messages)
        await Publisher(self.client, atomic=False).publish(messages)

    async def until(self, question: str, *arguments: object, within: float = _PATIENCE_SECONDS) -> None:
        """Wait until the database answers yes; raises TimeoutError."""
        async with asyncio.timeout(within):
            while not await self._yes(question, *arguments):
                await timesource.pause(0.05)

    async def _yes(self, question: str, *arguments: object) -> bool:
        try:
            return bool(await self.pool.fetchval(question, *arguments))
        except failures.UNAVAILABLE:
            return False


@asynccontextmanager
async def opened(seed: int) -> AsyncIterator[Desk]:
    """A desk on durable servers of its own, in memory where there is room."""
    with ExitStack() as stack:
        kept, tempfile.tempdir = tempfile.tempdir, str(_MEMORY) if _has_room() else tempfile.tempdir
        try:
            started = stack.enter_context(embedded.start(cache=ROOT / ".deskclock" / "cache", max_connections=100))
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
        finally:
            tempfile.tempdir = kept
        provider = stack.enter_context(provider_process(folder / "ledger.db"))
        desk = Desk(started, provider, folder, seed)
        try:
            await desk.open()
            yield desk
        finally:
            await desk.close()


def _has_room() -> bool:
    with suppress(OSError):
        return shutil.disk_usage(_MEMORY).free >= _ROOM_BYTES
    return False


async def _quiet(_: Exception) -> None:
    """The trial knows that it took NATS away."""
