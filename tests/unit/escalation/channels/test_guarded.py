"""Where pages may go."""

import asyncio
import socket
import threading

import httpcore
import pytest

from services.escalation.channels import guarded
from services.escalation.channels.guarded import GuardedBackend, is_public
from services.escalation.errors import AddressRefused


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.1", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1",
        "2002:7f00:1::", "2001:0:7f00:1::", "nonsense", "::127.0.0.1", "::ffff:0:127.0.0.1", "fec0::1", "64:ff9b:1::7f00:1",
        "5f00::1", "3fff::1", "168.63.129.16", "192.0.0.192", "100.100.100.200", "fd00:ec2::254", "198.18.0.1", "240.0.0.1",
        "64:ff9b::a9fe:a9fe", "::ffff:169.254.169.254", "2001:db8::1", "2002:808:808::1",
    ],
)  # fmt: skip
def test_addresses_of_our_own_network_are_not_public(address):
    """Loopback, private, link-local, metadata, multicast, and IPv6 forms of them."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "2001:4860:4860::8888", "::ffff:1.1.1.1", "64:ff9b::101:101"],
)
def test_addresses_of_the_internet_are_public(address):
    """Others may be called."""
    assert is_public(address)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "0x7f.1"])
async def test_every_spelling_of_loopback_is_refused(host):
    """What a name resolves to is judged, not how it is written."""
    with pytest.raises((AddressRefused, httpcore.ConnectError)):
        await GuardedBackend(frozenset()).connect_tcp(host, 9)


async def test_a_name_is_resolved_once_and_its_answer_connected_to(monkeypatch):
    """Rebinding: a second answer would be private, but nobody asks a second time."""
    answers = [[(0, 0, 0, "", ("1.1.1.1", 443))], [(0, 0, 0, "", ("127.0.0.1", 443))]]
    connected: list[str] = []

    async def resolve(*_: object, **__: object) -> object:
        return answers.pop(0)

    backend = GuardedBackend(frozenset())

    async def connect(host: str, *_: object) -> None:
        connected.append(host)

    monkeypatch.setattr(backend, "_resolve", resolve)
    monkeypatch.setattr(backend._inner, "connect_tcp", connect)
    await backend.connect_tcp("rebind.test", 443)
    assert ["1.1.1.1"] == connected


async def test_one_private_address_among_public_ones_refuses_the_name(monkeypatch):
    """Which one would be called is not left to chance."""

    async def resolve(*_: object, **__: object) -> object:
        return [(0, 0, 0, "", ("1.1.1.1", 443)), (0, 0, 0, "", ("10.0.0.1", 443))]

    backend = GuardedBackend(frozenset())
    monkeypatch.setattr(backend, "_resolve", resolve)
    with pytest.raises(AddressRefused):
        await backend.connect_tcp("mixed.test", 443)


async def test_local_sockets_are_never_connected_to():
    """There is no way into them."""
    with pytest.raises(AddressRefused):
        await GuardedBackend(frozenset()).connect_unix_socket("/run/docker.sock")


class Told:
    """A network whose addresses answer, refuse or hang as told."""

    def __init__(self, **answers: str) -> None:
        self.answers = {address.replace("_", ".").strip("a"): answer for address, answer in answers.items()}
        self.called: list[str] = []
        self.open: list[str] = []
        self.reached = asyncio.Event()

    async def connect(self, address: str, *_: object) -> object:
        """As `connect_tcp` of a backend."""
        self.called.append(address)
        match self.answers.get(address, "hangs"):
            case "refuses":
                raise httpcore.ConnectError(address)
            case "hangs":
                await asyncio.Event().wait()
        self.open.append(address)
        return Stream(self, address)


class Stream:
    """A connection."""

    def __init__(self, network: Told, address: str) -> None:
        self.network = network
        self.address = address

    async def aclose(self) -> None:
        """Closed."""
        self.network.open.remove(self.address)
        self.network.reached.set()


def of_both_families(monkeypatch, network: Told) -> GuardedBackend:
    """A name with two addresses of each family, the newer ones first."""
    backend = GuardedBackend(frozenset())
    addresses = ["2606:4700::1", "2606:4700::2", "1.1.1.1", "1.0.0.1"]

    async def resolve(*_: object) -> object:
        return [(0, 0, 0, "", (address, 443)) for address in addresses]

    monkeypatch.setattr(backend, "_resolve", resolve)
    monkeypatch.setattr(backend._inner, "connect_tcp", network.connect)
    monkeypatch.setattr("services.escalation.channels.guarded._BESIDE_SECONDS", 0.01)
    return backend


async def test_a_family_of_addresses_that_leads_nowhere_costs_little(monkeypatch):
    """IPv6 hangs, as in many a container: IPv4 is tried beside it."""
    network = Told(a1_1_1_1="answers")
    stream = await of_both_families(monkeypatch, network).connect_tcp("both.test", 443, 3.0)
    assert ("1.1.1.1", ["2606:4700::1", "1.1.1.1"]) == (stream.address, network.called)


async def test_an_address_that_refuses_is_followed_by_the_next_at_once(monkeypatch):
    """In turn, until one answers; if none does, the last refusal is told."""
    network = Told(a1_1_1_1="refuses", a1_0_0_1="refuses")
    network.answers |= {"2606:4700::1": "refuses", "2606:4700::2": "refuses"}
    with pytest.raises(httpcore.ConnectError):
        await of_both_families(monkeypatch, network).connect_tcp("both.test", 443, 3.0)
    assert ["2606:4700::1", "1.1.1.1", "2606:4700::2", "1.0.0.1"] == network.called


async def test_connecting_is_given_up_whole(monkeypatch):
    """Nothing stays open of what was begun."""
    network = Told()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await of_both_families(monkeypatch, network).connect_tcp("both.test", 443, 3.0)
    assert [] == network.open


async def test_a_connection_too_many_is_closed():
    """It came about in the same moment as the one that is used."""
    network = Told(a1_1_1_1="answers")
    abandoned = asyncio.ensure_future(network.connect("1.1.1.1"))
    await asyncio.wait([abandoned])
    guarded._let_go(abandoned)
    await network.reached.wait()
    assert [] == network.open


async def test_a_name_server_that_hangs_holds_nobody_else(monkeypatch):
    """Each channel looks names up in threads of its own."""
    release = threading.Event()

    def look_up(host: str, *_: object, **__: object) -> list[object]:
        if host == "slow.test":
            release.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    slow, other = GuardedBackend(frozenset(), resolvers=1), GuardedBackend(frozenset(), resolvers=1)
    with pytest.raises(httpcore.ConnectTimeout, match="not resolved in time"):
        await slow.connect_tcp("slow.test", 443, 0.05)
    with pytest.raises(httpcore.ConnectError, match="no address"):
        await other.connect_tcp("quick.test", 443, 5.0)
    release.set()
    slow.close()
    other.close()
