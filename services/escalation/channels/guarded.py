"""Outgoing connections that can't be led into our own network.

A name is resolved once, every address it has is judged, and the connection goes to a judged address: a name that answers
otherwise a moment later (DNS rebinding) gains nothing. TLS still verifies the name.
"""

import asyncio
import functools
import ipaddress
import itertools
import socket
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpcore

from services.escalation.errors import AddressRefused

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # of a cloud's host, not of the internet, though it looks so
        "192.0.0.0/24",
        "192.88.99.0/24",
        "2001::/23",
        "3fff::/20",
    )
)
_BESIDE_SECONDS = 0.3
_closing: set[asyncio.Future[None]] = set()
_MOST_ADDRESSES = 6
SocketOptions = Iterable[tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]]


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to public addresses, and to the hosts the operator allowed."""

    def __init__(self, allowed_hosts: frozenset[str], *, resolvers: int = 20) -> None:
        """`resolvers` names are looked up at once, in threads of its own: a name server that hangs holds nobody else."""
        self._allowed = allowed_hosts
        self._inner = httpcore.AnyIOBackend()
        self._resolvers = ThreadPoolExecutor(resolvers, thread_name_prefix="resolve")

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: SocketOptions | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve, judge, connect; raises AddressRefused, or httpcore.ConnectError where the name has no address."""
        addresses = await self.addresses(host, port, timeout)
        attempts = (
            functools.partial(self._inner.connect_tcp, address, port, timeout, local_address, socket_options)
            for address in _by_turns(addresses)
        )
        return await _first_of(attempts)

    async def addresses(self, host: str, port: int, timeout: float | None = None) -> list[str]:
        """The addresses of a name, all of them judged; raises as `connect_tcp`."""
        try:
            async with asyncio.timeout(timeout):
                found = await self._resolve(host, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"{host} was not resolved in time") from error
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} can't be resolved") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if host.lower() not in self._allowed:
            for address in addresses:
                if address not in self._allowed and not is_public(address):
                    raise AddressRefused(
                        f"{host} is not on the public internet: allow it in DESKCLOCK_PAGE_ALLOW_HOSTS if it should be"
                    )
        return addresses

    async def _resolve(self, host: str, port: int) -> list[tuple[Any, ...]]:
        ask = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        return list(await asyncio.get_running_loop().run_in_executor(self._resolvers, ask))

    def close(self) -> None:
        """Let the threads end."""
        self._resolvers.shutdown(wait=False, cancel_futures=True)

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        """Never."""
        raise AddressRefused("pages go over the network, not into a local socket")

    async def sleep(self, seconds: float) -> None:
        """As httpcore asks."""
        await self._inner.sleep(seconds)


def _by_turns(addresses: list[str]) -> list[str]:
    """Addresses of both families in turn, so that one family that leads nowhere costs little."""
    six = [address for address in addresses if ":" in address]
    four = [address for address in addresses if ":" not in address]
    if addresses and addresses[0] in four:
        six, four = four, six
    return [one for pair in itertools.zip_longest(six, four) for one in pair if one is not None][:_MOST_ADDRESSES]


async def _first_of(
    attempts: Iterable[Callable[[], Awaitable[httpcore.AsyncNetworkStream]]],
) -> httpcore.AsyncNetworkStream:
    """The first connection that comes about; the next address is tried when one failed, or soon beside it (RFC 8305)."""
    running: set[asyncio.Task[httpcore.AsyncNetworkStream]] = set()
    failed: BaseException = httpcore.ConnectError("the name has no address")
    waiting = list(reversed(list(attempts)))
    try:
        while running or waiting:
            if waiting:
                running.add(asyncio.ensure_future(waiting.pop()()))
            beside = _BESIDE_SECONDS if waiting else None
            done, _ = await asyncio.wait(running, timeout=beside, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                running.discard(task)
                if (error := task.exception()) is None:
                    return task.result()
                failed = error
        raise failed
    finally:
        for task in running:
            task.cancel()
            task.add_done_callback(_let_go)


def _let_go(task: asyncio.Task[httpcore.AsyncNetworkStream]) -> None:
    """Close a connection that came about after all."""
    if not task.cancelled() and task.exception() is None:
        _closing.add(closing := asyncio.ensure_future(task.result().aclose()))
        closing.add_done_callback(_closing.discard)


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet; IPv6 forms of IPv4 are judged as that."""
    try:
        judged: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(judged, ipaddress.IPv6Address):
        inner = judged.ipv4_mapped
        if judged in _NAT64:
            inner = ipaddress.IPv4Address(int(judged) & 0xFFFFFFFF)
        if inner is None and (judged not in _UNICAST or judged.sixtofour is not None):
            return False
        judged = inner or judged
    return judged.is_global and not judged.is_multicast and not any(judged in network for network in _NOT_PUBLIC)
