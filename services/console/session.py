"""Where the servers are, and connections to them.

Settings come first; without them a stack that `deskclock up` runs in this folder is found through the file it leaves.
"""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
from msgspec import Struct
from nats.aio.client import Client

from services.console.failures import NoServer
from services.console.settings import Settings
from shared.postgres.pool import Connection, Pool
from shared.runtime.run import CannotStart
from shared.runtime.servers import open_database, open_nats

_RUNNING = "running.json"


class Stack(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where everything of one running stack is."""

    database_url: str
    nats_url: str
    router_url: str
    escalation_url: str
    pid: int = 0
    """The process of `up` that runs it; 0 where others do."""


def running(settings: Settings) -> Stack | None:
    """The stack that `deskclock up` runs from this folder at present."""
    try:
        stack = msgspec.json.decode((settings.home_path / _RUNNING).read_bytes(), type=Stack)
    except (OSError, msgspec.DecodeError):
        return None
    return stack if _is_alive(stack.pid) else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True  # another account's
    except OSError:
        return False
    return True


def leave(settings: Settings, stack: Stack) -> Path:
    """Write down where the stack is, for other commands; readable by its owner alone."""
    path = settings.home_path / _RUNNING
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(stack))
    draft.replace(path)
    return path


def folder(settings: Settings, name: str) -> Path:
    """A folder below `.deskclock`, made where it isn't there yet."""
    path = settings.home_path / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def locate(settings: Settings) -> Stack:
    """Where the servers are; parts that nobody has told are empty."""
    host = settings.reachable_host
    found = running(settings)
    return Stack(
        database_url=settings.database_url or (found.database_url if found else ""),
        nats_url=settings.nats_url or (found.nats_url if found else ""),
        router_url=found.router_url if found else f"http://{host}:{settings.router_port}",
        escalation_url=found.escalation_url if found else f"http://{host}:{settings.escalation_port}",
        pid=found.pid if found else 0,
    )


@asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[Connection]:
    """One connection to PostgreSQL; raises NoServer where there is none."""
    async with pool_at(locate(settings).database_url, size=1) as pool, pool.acquire() as connection:
        yield connection


@asynccontextmanager
async def pool_at(url: str, *, size: int) -> AsyncIterator[Pool]:
    """A pool of connections; raises NoServer with the way out."""
    if not url:
        raise NoServer("no database is known: start one with `deskclock up`, or set DESKCLOCK_DATABASE_URL")
    async with AsyncExitStack() as stack:
        try:
            pool = await open_database(stack, url, name="deskclock-console", size=size)
        except CannotStart as error:
            raise NoServer(str(error)) from None
        yield pool


@asynccontextmanager
async def nats_at(url: str) -> AsyncIterator[Client]:
    """A connection to NATS; raises NoServer with the way out."""
    if not url:
        raise NoServer("no NATS server is known: start one with `deskclock up`, or set DESKCLOCK_NATS_URL")
    async with AsyncExitStack() as stack:
        try:
            client = await open_nats(stack, url, name="deskclock-console")
        except CannotStart as error:
            raise NoServer(str(error)) from None
        yield client
