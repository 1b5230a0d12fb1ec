"""Calendars that are kept elsewhere, read within bounds: of time, of size, and of where a tenant's address may lead.

Messages never hold the address: many a calendar's address is its password.
"""

import asyncio
import sys
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpcore
import msgspec

from services.escalation.channels.client import check_url, host_of
from services.escalation.channels.guarded import GuardedBackend
from services.escalation.errors import AddressRefused
from shared.policy.ical import ALONE, SIZE_LIMIT, Refusal
from shared.policy.ical_shifts import FedShifts
from shared.policy.reading import Unreadable

FETCH_SECONDS = 15.0
READ_SECONDS = 15.0
_REDIRECTS = 3
_MOVED = frozenset({301, 302, 303, 307, 308})
_OK = 200
_TIMEOUTS = {"connect": 5.0, "read": FETCH_SECONDS, "write": 5.0, "pool": 5.0}


async def read_source(source: str, folder: Path, allowed_hosts: frozenset[str]) -> bytes:
    """The bytes of a feed: from an address, or a file below `folder`; raises `Unreadable`."""
    if "://" in source:
        return await _fetched(source, allowed_hosts)
    if Path(source).is_absolute() or ".." in Path(source).parts:
        raise Unreadable(
            "its file is not below this folder", "name it relative to where import runs, or say --from FILE"
        )
    return read_file(folder / source)


def read_file(path: Path) -> bytes:
    """The bytes of a file; raises `Unreadable`."""
    try:
        with path.open("rb") as file:
            raw = file.read(SIZE_LIMIT + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Unreadable(
            f"its file can't be read: {reason}", "run import where the file is, or say --from FILE"
        ) from None
    return _within_limit(raw)


async def shifts(raw: bytes, zone: str | None, start: datetime, end: datetime) -> FedShifts:
    """The shifts of a feed, worked out in a process of its own that may use so much time and memory; raises `Unreadable`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "shared.policy.ical_shifts",
        zone or "-",
        start.isoformat(),
        end.isoformat(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(READ_SECONDS):
            out, _ = await process.communicate(raw)
        answer: dict[str, Any] = msgspec.json.decode(out, type=dict[str, Any])
    except (TimeoutError, msgspec.DecodeError):
        raise Unreadable("it takes too long to read", ALONE) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if "problem" in answer:
        refusal = msgspec.convert(answer, Refusal)
        raise Unreadable(refusal.problem, refusal.remedy)
    return msgspec.convert(answer, FedShifts)


async def _fetched(address: str, allowed_hosts: frozenset[str]) -> bytes:
    backend = GuardedBackend(allowed_hosts, resolvers=1)
    try:
        async with (
            httpcore.AsyncConnectionPool(
                ssl_context=httpcore.default_ssl_context(), max_connections=1, network_backend=backend
            ) as pool,
            asyncio.timeout(FETCH_SECONDS),
        ):
            return await _following(pool, address, allowed_hosts)
    except TimeoutError:
        raise Unreadable(f"{host_of(address)} took over {FETCH_SECONDS:g} s", "try again later") from None
    except (AddressRefused, httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
        reason = str(error) or type(error).__name__
        raise Unreadable(
            f"it can't be fetched from {host_of(address)}: {reason}", "try again, or import a file"
        ) from None
    finally:
        backend.close()


async def _following(pool: httpcore.AsyncConnectionPool, address: str, allowed_hosts: frozenset[str]) -> bytes:
    for _ in range(_REDIRECTS + 1):
        check_url(address, allowed_hosts)
        headers = [("user-agent", "deskclock"), ("accept", "text/calendar")]
        async with pool.stream("GET", address, headers=headers, extensions={"timeout": _TIMEOUTS}) as answer:
            moved_to = dict(answer.headers).get(b"location") or dict(answer.headers).get(b"Location")
            if answer.status in _MOVED and moved_to is not None:
                address = urljoin(address, moved_to.decode("latin-1"))
                continue
            if answer.status != _OK:
                raise Unreadable(
                    f"{host_of(address)} answers {answer.status}", "see whether it can be read without a password"
                )
            raw = bytearray()
            async for part in answer.aiter_stream():
                raw += part
                if len(raw) > SIZE_LIMIT:
                    break
            return _within_limit(bytes(raw))
    raise Unreadable(f"it leads on more than {_REDIRECTS} times", "write the address it leads to")


def _within_limit(raw: bytes) -> bytes:
    if len(raw) > SIZE_LIMIT:
        raise Unreadable(f"the feed has over {SIZE_LIMIT:,} bytes", ALONE)
    return raw
