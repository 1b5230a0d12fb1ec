"""Where pages may go."""

import httpcore
import pytest

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
