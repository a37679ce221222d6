"""The proxies that an operator declares, and which addresses are this machine's own."""

from __future__ import annotations

import ipaddress

import pytest

from station.web.http.addresses import Networks, Proxies, is_loopback_address


@pytest.mark.parametrize(
    ("declared", "address", "trusted"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1, 10.0.0.0/8", "10.1.2.3", True),
        ("2001:db8::/64", "2001:db8::7", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "2001:db8::7", False),
        ("192.0.2.1", "", False),
        ("192.0.2.1", "192.0.2.1:80", False),
    ],
)
def test_a_proxy_is_trusted_by_its_address(declared: str, address: str, trusted: bool) -> None:
    assert Proxies.of(declared).trust(address) is trusted


def test_without_a_declaration_nobody_is_trusted() -> None:
    assert not Proxies()
    assert not Proxies().trust("127.0.0.1")


def test_networks_hold_their_addresses_in_every_spelling() -> None:
    networks = Networks((ipaddress.ip_network("172.17.0.0/16"), ipaddress.ip_network("fd00::/64")))
    assert str(networks) == "172.17.0.0/16, fd00::/64"
    held = ["172.17.0.2", "::ffff:172.17.0.2", "fd00::9", "172.18.0.2", "fd01::9", "", "host.docker.internal"]
    assert [networks.hold(address) for address in held] == [True] * 3 + [False] * 4


@pytest.mark.parametrize("declared", ["", "proxy.example.org", "192.0.2.1,", "10.0.0.1/8", "192.0.2.1:80"])
def test_what_is_no_address_or_network_is_refused(declared: str) -> None:
    with pytest.raises(ValueError, match=r"does not appear to be|has host bits set"):
        Proxies.of(declared)


@pytest.mark.parametrize(
    ("address", "loopback"),
    [("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True), ("192.0.2.1", False), ("", False)],
)
def test_loopback_is_known_in_every_spelling(address: str, loopback: bool) -> None:
    assert is_loopback_address(address) is loopback
