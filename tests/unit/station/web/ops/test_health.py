"""`/health` counts units and ports; `/ready` says whether the station can do its work."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from station.events import PortChanged, PortState
from tests.harness.api_client import Api, problem
from tests.harness.bare_station import NOW, open_bare_station
from tests.harness.page_testbed import Client, PageTestbed
from tests.harness.vendor_lab import Vendor, write_roots


async def test_a_station_whose_registry_is_gone_is_not_ready(api: Api, tmp_path: Path) -> None:
    answer = await api.client.get("/ready")
    assert (answer.status, (await answer.json())["status"]) == (200, "ready")
    await api.testbed.station.database.close()
    for file in tmp_path.glob("registry.sqlite*"):
        file.unlink()
    (tmp_path / "registry.sqlite").write_bytes(b"no database" * 1000)
    answer = await api.client.get("/ready")
    body = await answer.json()
    assert (answer.status, body["status"], body["registry"], body["authority"]) == (503, "not ready", False, True)
    await problem(await api.get("/metrics"), 503, "registry.unavailable")


async def test_health_counts_units_and_ports(testbed: PageTestbed, client: Client) -> None:
    await testbed.provision("one")
    await testbed.provision("two", confirmed=False)
    testbed.station.bus.tell(PortChanged("/dev/ttyACM0", PortState.WAITING))
    answer = await client.get("/health")
    assert answer.content_type == "application/json"
    body = await answer.json()
    assert body["status"] == "healthy"
    assert body["total_devices"] == 2
    assert body["total_tables"] == 10
    assert body["units"] == {"reserved": 0, "issued": 1, "provisioned": 1, "revoked": 0, "released": 0}
    assert body["ports"] == {"waiting": 1}
    assert body["uptime_seconds"] >= 0


async def test_health_counts_the_vendors_certificates_and_what_is_wrong_with_them(
    testbed: PageTestbed, client: Client
) -> None:
    directory = write_roots(testbed.station.config.ek_roots(testbed.station.data_dir), Vendor("One"), Vendor("Two"))
    (directory / "README").write_text("hello")
    testbed.station.vendors.current()
    found = await (await client.get("/health")).json()
    assert (found["vendor_certificates"], found["vendor_problems"]) == (2, 1)


async def test_a_station_is_ready_only_while_its_certificates_are_in_their_time(tmp_path: Path) -> None:
    async with (
        open_bare_station(tmp_path) as station,
        TestClient(TestServer(PageTestbed(station).app)) as client,
    ):
        for years, ready in ((-1, False), (0, True), (100, False)):
            station.clock.now = NOW + years * 366 * 86400
            answer = await client.get("/ready")
            body = await answer.json()
            assert (answer.status, body["authority"], body["registry"]) == (200 if ready else 503, ready, True)


async def test_a_station_that_lacks_key_tables_is_not_ready(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(api.testbed.station.tables), "__len__", lambda _self: 9)
    answer = await api.client.get("/ready")
    body = await answer.json()
    assert (answer.status, body["status"], body["tables"]) == (503, "not ready", False)
