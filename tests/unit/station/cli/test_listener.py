"""The listener never serves other machines in the clear, and prints an address that a browser can open."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientConnectionError, ClientSession, web

from shared.errors import BirthmarkError
from station.cli.listener import Listener
from station.web.http.addresses import Networks, Proxies
from tests.harness.other_address import other_address

TLS = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)


def networks(*texts: str) -> Networks:
    return Networks(tuple(map(ipaddress.ip_network, texts)))


@pytest.fixture
async def runner() -> AsyncIterator[web.AppRunner]:
    made = web.AppRunner(web.Application())
    await made.setup()
    yield made
    await made.cleanup()


@pytest.fixture
def inherited(monkeypatch: pytest.MonkeyPatch) -> list[socket.socket]:
    """The sockets that systemd passes; a test adds to them."""
    sockets: list[socket.socket] = []
    monkeypatch.setattr("station.cli.listener.inherited_sockets", lambda: sockets)
    return sockets


def unix_socket(path: Path, mode: int) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    path.chmod(mode)
    made.listen()
    return made


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_tls(host: str) -> None:
    assert Listener((host,), 8001).hosts == (host,)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1"])  # noqa: S104 - refused
def test_other_machines_are_served_by_tls_or_where_they_are_declared_only(host: str) -> None:
    with pytest.raises(BirthmarkError) as caught:
        Listener((host,), 8001)
    assert (caught.value.code, caught.value.detail) == ("http.not-loopback", host)
    assert Listener((host,), 8001, TLS).tls is TLS
    assert Listener((host,), 8001, proxies=Proxies.of("192.0.2.9")).proxies
    assert Listener((host,), 8001, plain=networks("10.0.0.0/8")).plain
    with pytest.raises(BirthmarkError, match=r"http\.not-loopback"):
        Listener(("127.0.0.1", host), 8001)


@pytest.mark.parametrize("host", ["", "sma.example.org", "127.0.0.1:8001", "[::1]"])
def test_a_host_that_is_no_address_is_named(host: str) -> None:
    with pytest.raises(BirthmarkError, match=r"is not an address.*http\.cannot-listen"):
        Listener((host,), 8001)


async def test_the_address_it_says_is_one_that_answers(runner: web.AppRunner) -> None:
    listener = Listener(("127.0.0.1",), 0)
    address = await listener.start(runner)
    async with ClientSession() as client, client.get(address) as answer:
        assert answer.status == 404
    await listener.stop()


async def test_an_address_in_use_is_named(runner: web.AppRunner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BirthmarkError, match=rf"127\.0\.0\.1:{port}: .*http\.cannot-listen"):
            await Listener(("127.0.0.1",), port).start(runner)


async def test_inherited_sockets_take_the_place_of_host_and_port(
    runner: web.AppRunner, inherited: list[socket.socket], tmp_path: Path
) -> None:
    inherited += [socket.create_server(("127.0.0.1", 0)), unix_socket(tmp_path / "proxy.sock", 0o660)]
    port = inherited[0].getsockname()[1]
    listener = Listener(("127.0.0.1",), 1)
    address = await listener.start(runner)
    await listener.stop()
    assert address == f"http://127.0.0.1:{port}/ and unix:{tmp_path / 'proxy.sock'}"


async def test_of_inherited_sockets_only_those_to_other_machines_speak_tls(
    runner: web.AppRunner, inherited: list[socket.socket]
) -> None:
    inherited += [socket.create_server(("127.0.0.1", 0)), socket.create_server(("0.0.0.0", 0))]  # noqa: S104 - by TLS
    listener = Listener(("127.0.0.1",), 1, TLS)
    address = await listener.start(runner)
    await listener.stop()
    assert address.startswith("http://127.0.0.1:")
    assert " and https://0.0.0.0:" in address


async def test_an_inherited_socket_to_other_machines_needs_tls(
    runner: web.AppRunner, inherited: list[socket.socket]
) -> None:
    with socket.create_server(("0.0.0.0", 0)) as open_to_all:  # noqa: S104 - refused
        inherited.append(open_to_all)
        with pytest.raises(BirthmarkError, match=r"http\.not-loopback"):
            await Listener(("127.0.0.1",), 1).start(runner)
    assert runner.addresses == []


async def test_a_unix_socket_that_everybody_may_open_is_refused(
    runner: web.AppRunner, inherited: list[socket.socket], tmp_path: Path
) -> None:
    with unix_socket(tmp_path / "proxy.sock", 0o666) as open_to_all:
        inherited.append(open_to_all)
        with pytest.raises(BirthmarkError, match=r"proxy\.sock.*http\.socket-open-to-all"):
            await Listener(("127.0.0.1",), 1).start(runner)


async def test_an_ipv6_address_is_in_brackets(runner: web.AppRunner, inherited: list[socket.socket]) -> None:
    try:
        inherited.append(socket.create_server(("::1", 0), family=socket.AF_INET6))
    except OSError:
        pytest.skip("this machine has no IPv6")
    listener = Listener(("127.0.0.1",), 1)
    assert (await listener.start(runner)).startswith("http://[::1]:")
    await listener.stop()


async def test_of_other_machines_only_the_proxy_is_served_in_the_clear(runner: web.AppRunner) -> None:
    """The declared proxy is 127.0.0.2; the other addresses of this machine stand for another machine."""
    here = other_address()
    listener = Listener(("0.0.0.0",), 0, proxies=Proxies.of(f"127.0.0.2, {here}"))  # noqa: S104 - to the proxy
    port = (await listener.start(runner)).rstrip("/").rpartition(":")[2]
    stranger = Listener(("0.0.0.0",), 0, proxies=Proxies.of("127.0.0.2"))  # noqa: S104 - to the proxy
    closed = (await stranger.start(runner)).rstrip("/").rpartition(":")[2]
    async with ClientSession() as client:
        async with client.get(f"http://{here}:{port}/") as answer:
            assert answer.status == 404
        async with client.get(f"http://127.0.0.1:{closed}/") as answer:
            assert answer.status == 404
        with pytest.raises(ClientConnectionError):
            await client.get(f"http://{here}:{closed}/")
    await listener.stop()
    await stranger.stop()


async def test_it_listens_on_several_addresses(runner: web.AppRunner) -> None:
    listener = Listener(("127.0.0.1", "127.0.0.2"), 0)
    addresses = (await listener.start(runner)).split(" and ")
    assert [address.rpartition(":")[0] for address in addresses] == ["http://127.0.0.1", "http://127.0.0.2"]
    assert not listener.reached_in_the_clear
    async with ClientSession() as client:
        for address in addresses:
            async with client.get(address) as answer:
                assert answer.status == 404
    await listener.stop()


async def test_without_tls_only_listed_networks_are_served(runner: web.AppRunner) -> None:
    """An address of this machine that is not loopback stands for another machine."""
    here = other_address()
    listed = Listener(("0.0.0.0",), 0, plain=networks("10.99.0.0/16", here))  # noqa: S104 - to these
    port = (await listed.start(runner)).rstrip("/").rpartition(":")[2]
    unlisted = Listener(("0.0.0.0",), 0, plain=networks("10.99.0.0/16"))  # noqa: S104 - to these
    closed = (await unlisted.start(runner)).rstrip("/").rpartition(":")[2]
    assert listed.reached_in_the_clear
    async with ClientSession() as client:
        async with client.get(f"http://{here}:{port}/") as answer:
            assert answer.status == 404
        with pytest.raises(ClientConnectionError):
            await client.get(f"http://{here}:{closed}/")
        async with client.get(f"http://127.0.0.1:{closed}/") as answer:
            assert answer.status == 404
    await listed.stop()
    await unlisted.stop()


async def test_a_socket_of_systemds_is_served_in_the_clear_to_listed_networks(
    runner: web.AppRunner, inherited: list[socket.socket]
) -> None:
    here = other_address()
    inherited += [socket.create_server(("127.0.0.1", 0)), socket.create_server((here, 0))]
    listener = Listener(("127.0.0.1",), 1, plain=networks(here))
    addresses = (await listener.start(runner)).split(" and ")
    assert addresses[1].startswith(f"http://{here}:")
    async with ClientSession() as client, client.get(addresses[1]) as answer:
        assert answer.status == 404
    await listener.stop()


async def test_with_tls_a_listed_network_is_served_by_tls_all_the_same(
    runner: web.AppRunner, inherited: list[socket.socket]
) -> None:
    inherited.append(socket.create_server(("0.0.0.0", 0)))  # noqa: S104 - by TLS
    listener = Listener(("127.0.0.1",), 1, TLS, plain=networks("10.0.0.0/8"))
    assert (await listener.start(runner)).startswith("https://0.0.0.0:")
    assert not listener.reached_in_the_clear
    await listener.stop()
