"""The client of a request: behind a proxy, through a UNIX socket, at one of the station's addresses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from unittest import mock
from unittest.mock import Mock

import pytest
from aiohttp import ClientSession, TCPConnector, UnixConnector
from aiohttp.test_utils import make_mocked_request

from station.config import RatesConfig, StationConfig, WebConfig
from station.registry.tokens import Scope
from station.web import app_keys
from station.web.auth.access import COOKIE
from station.web.http.addresses import Proxies
from station.web.http.clients import host_name, is_loopback_name, is_own_address
from tests.harness.api_client import opened


async def test_behind_a_proxy_clients_are_distinguished_by_the_forwarded_address(tmp_path: Path) -> None:
    config = StationConfig(web=WebConfig(rates=RatesConfig(public=0.1)))
    async with opened(tmp_path, config, behind_proxy=True) as api:
        for address, status in (
            ("192.0.2.1", 200),
            ("192.0.2.2", 200),
            ("192.0.2.1", 429),
            ("9.9.9.9, 192.0.2.2", 429),
        ):
            answer = await api.client.get("/health", headers={"X-Forwarded-For": address})
            assert answer.status == status


async def test_only_a_unix_sockets_client_may_name_the_forwarded_address(tmp_path: Path) -> None:
    config = StationConfig(web=WebConfig(rates=RatesConfig(public=0.1)))
    async with opened(tmp_path, config) as api:
        path = str(tmp_path / "proxy.sock")
        server = await asyncio.get_running_loop().create_unix_server(api.client.server.handler, path)
        async with server, ClientSession(connector=UnixConnector(path)) as proxy:
            for address, status in (("192.0.2.1", 200), ("192.0.2.2", 200), ("9.9.9.9, 192.0.2.1", 429)):
                answer = await proxy.get("http://localhost/health", headers={"X-Forwarded-For": address})
                assert answer.status == status
            form = {"token": await api.testbed.token(Scope.READ)}
            own = {"Sec-Fetch-Site": "same-origin"}
            answer = await proxy.post("http://localhost/login", data=form, headers=own, allow_redirects=False)
            assert answer.cookies[COOKIE]["secure"]
            assert (await proxy.get("http://localhost/metrics")).status == 401
        for address, status in (("192.0.2.3", 200), ("192.0.2.4", 429)):
            answer = await api.client.get("/health", headers={"X-Forwarded-For": address})
            assert answer.status == status


@pytest.mark.attack("connects beside the proxy and says for whom it asks")
async def test_who_is_no_declared_proxy_is_not_believed(tmp_path: Path, got: Callable[[str], None]) -> None:
    """The harness declares 127.0.0.1; 127.0.0.2 is a neighbour."""
    config = StationConfig(web=WebConfig(rates=RatesConfig(public=0.1)))
    async with opened(tmp_path, config, behind_proxy=True) as api:
        neighbour = ClientSession(connector=TCPConnector(local_addr=("127.0.0.2", 0)))
        statuses = []
        async with neighbour:
            for number in range(5):
                forged = {"X-Forwarded-For": f"192.0.2.{number}"}
                answer = await neighbour.get(api.client.make_url("/health"), headers=forged)
                statuses.append(answer.status)
    assert statuses == [200, 429, 429, 429, 429]
    got(f"{statuses.count(200)} answer of 5 under five names: it is counted under its own address")


async def test_of_several_proxies_each_is_skipped_and_the_address_before_them_counts(tmp_path: Path) -> None:
    config = StationConfig(web=WebConfig(rates=RatesConfig(public=0.1)))
    async with opened(tmp_path, config) as api:
        api.testbed.app[app_keys.LIMITER].spend("public", "192.0.2.1")
        with mock.patch.dict(api.testbed.app._state, {app_keys.PROXIES: Proxies.of("127.0.0.1,10.0.0.0/8")}):
            for forwarded, status in (
                ("192.0.2.1, 10.0.0.2", 429),
                ("192.0.2.1,10.9.9.9 , 10.0.0.2", 429),
                ("10.0.0.3, 192.0.2.2", 200),
                ("192.0.2.1, 192.0.2.2, 10.0.0.2", 429),
                ("192.0.2.1, no address, 10.0.0.2", 200),
                ("10.0.0.4, 10.0.0.3", 200),
            ):
                answer = await api.client.get("/health", headers={"X-Forwarded-For": forwarded})
                assert answer.status == status, forwarded


@pytest.mark.parametrize(
    ("came_in_at", "named", "own"),
    [
        (("192.0.2.1", 443), "192.0.2.1", True),
        (("::ffff:192.0.2.1", 443, 0, 0), "192.0.2.1", True),
        (("2001:db8::1", 443, 0, 0), "2001:db8:0::1", True),
        (("::ffff:192.0.2.1", 443, 0, 0), "192.0.2.2", False),
        (("192.0.2.1", 443), "sma.example.org", False),
        ("/run/birthmark-station.sock", "/run/birthmark-station.sock", False),
        (None, "", False),
    ],
)
def test_a_station_goes_by_the_address_a_request_came_in_at(came_in_at: object, named: str, own: bool) -> None:
    transport = Mock()
    transport.get_extra_info.side_effect = {"sockname": came_in_at}.get
    assert is_own_address(make_mocked_request("GET", "/", transport=transport), named) is own


@pytest.mark.parametrize(
    ("host", "name", "loopback"),
    [
        ("localhost:8001", "localhost", True),
        ("LOCALHOST", "localhost", True),
        ("[::1]:8001", "::1", True),
        ("127.9.9.9", "127.9.9.9", True),
        ("localhost.example.org", "localhost.example.org", False),
        ("192.0.2.1:80", "192.0.2.1", False),
        ("[::1", "", False),
        ("", "", False),
    ],
)
def test_the_name_in_a_host_header_is_without_its_port(host: str, name: str, loopback: bool) -> None:
    assert host_name(host) == name
    assert is_loopback_name(name) == loopback
