"""The whole stack in the foreground: servers (embedded, unless settings name some), schema, both services."""

import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from services.console import children, embedded
from services.console.binaries import Wanted
from services.console.children import Sink
from services.console.failures import Refused
from services.console.session import Stack, pool_at
from services.console.settings import Settings
from shared.contract.access import Scope
from shared.ledger import keys
from shared.postgres import migrate as migrations
from shared.postgres.pool import Pool
from shared.runtime import settings as settings_reader


@contextmanager
def servers(settings: Settings, *, keep_in: Path | None, durable: bool) -> Iterator[tuple[str, str]]:
    """URLs of PostgreSQL and NATS: those of the settings, and embedded ones for what the settings leave open."""
    if settings.database_url and settings.nats_url:
        yield settings.database_url, settings.nats_url
        return
    with embedded.start(
        keep_in=keep_in,
        cache=settings.home_path / "cache",
        durable=durable,
        environment=settings.environment,
        wanted=settings_reader.load(Wanted),
    ) as started:
        yield settings.database_url or started.database_url, settings.nats_url or started.nats_url


def addresses(settings: Settings, database_url: str, nats_url: str, *, ports: tuple[int, int]) -> Stack:
    """Where everything will be."""
    host = settings.reachable_host
    return Stack(
        database_url=database_url,
        nats_url=nats_url,
        router_url=f"http://{host}:{ports[0]}",
        escalation_url=f"http://{host}:{ports[1]}",
        pid=os.getpid(),
    )


@asynccontextmanager
async def services(
    settings: Settings, stack: Stack, logs: Path, sink: Sink, more: Mapping[str, str] | None = None
) -> AsyncIterator[Pool]:
    """Migrate, start both services, wait until they serve; gives connections to their database.

    A service that ends by itself ends the context with its last words.
    """
    ports = {
        name: url.rpartition(":")[2]
        for name, url in (("ROUTER", stack.router_url), ("ESCALATION", stack.escalation_url))
    }
    environ = {
        **os.environ,
        "DESKCLOCK_LOG_FORMAT": os.environ.get("DESKCLOCK_LOG_FORMAT") or "text",
        **(more or {}),
        "DESKCLOCK_DATABASE_URL": stack.database_url,
        "DESKCLOCK_NATS_URL": stack.nats_url,
        "DESKCLOCK_HTTP_HOST": settings.http_host,
        **{f"DESKCLOCK_{name}_PORT": port for name, port in ports.items()},
        "PYTHONUNBUFFERED": "1",
    }
    async with pool_at(stack.database_url, size=6) as pool:
        async with pool.acquire() as connection:
            await migrations.migrate(connection)
        urls = {"router": stack.router_url, "escalation": stack.escalation_url}
        async with children.services(urls, environ, logs, sink):
            yield pool


def check_port(host: str, port: int, setting: str) -> None:
    """Refuse a port that is taken, before anything is started."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Refused(
                f"{host}:{port} can't be used ({error.strerror}): end what listens there, or set {setting}"
            ) from None


def free_ports(host: str) -> tuple[int, int]:
    """Two ports that nobody uses."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as one, socket.socket(family, socket.SOCK_STREAM) as other:
        one.bind((host, 0))
        other.bind((host, 0))
        return one.getsockname()[1], other.getsockname()[1]


async def own_key(pool: Pool, file: Path) -> tuple[str, bool]:
    """The API key kept in `file`, made where there is none that works; True where it is new."""
    kept = _kept(file)
    parsed = keys.parse(kept)
    async with pool.acquire() as connection:
        if parsed is not None:
            found = await keys.find(connection, parsed[0])
            if found is not None and found.secret_sha256 == keys.digest(parsed[1]):
                return kept, False
        made = await keys.create(connection, "default", [Scope.ADMIN], "made by deskclock up")
    _keep(file, made.key)
    return made.key, True


def _kept(file: Path) -> str:
    return file.read_text(encoding="ascii").strip() if file.exists() else ""


def _keep(file: Path, key: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as out:
        out.write(f"{key}\n")
