"""`/health` counts what there is; `/ready` says whether the station can do its work."""

from __future__ import annotations

from pathlib import Path

from station.events import PortChanged, PortState
from station.web import app_keys
from tests.harness.api_client import Api
from tests.harness.page_testbed import Client, PageTestbed
from tests.harness.vendor_lab import Vendor, write_roots


async def test_a_station_whose_registry_is_gone_is_not_ready(api: Api, tmp_path: Path) -> None:
    answer = await api.client.get("/ready")
    assert (answer.status, (await answer.json())["status"]) == (200, "ready")
    await api.testbed.database.close()
    for file in tmp_path.glob("registry.sqlite*"):
        file.unlink()
    (tmp_path / "registry.sqlite").write_bytes(b"no database" * 1000)
    answer = await api.client.get("/ready")
    body = await answer.json()
    assert (answer.status, body["status"], body["registry"], body["authority"]) == (503, "not ready", False, True)
    assert "birthmark_registry_up 0.0" in await (await api.client.get("/metrics")).text()


async def test_health_counts_units_and_ports(testbed: PageTestbed, client: Client) -> None:
    await testbed.provision("one")
    await testbed.provision("two", confirmed=False)
    testbed.bus.tell(PortChanged("/dev/ttyACM0", PortState.WAITING))
    answer = await client.get("/health")
    assert answer.content_type == "application/json"
    body = await answer.json()
    assert body["status"] == "healthy"
    assert body["total_devices"] == 2
    assert body["total_tables"] == 10
    assert body["units"] == {"issued": 1, "provisioned": 1, "revoked": 0, "released": 0}
    assert body["ports"] == {"waiting": 1}
    assert body["uptime_seconds"] >= 0


async def test_health_counts_the_vendors_certificates_and_what_is_wrong_with_them(
    testbed: PageTestbed, client: Client
) -> None:
    directory = write_roots(testbed.config.ek_roots(testbed.folder), Vendor("One"), Vendor("Two"))
    (directory / "README").write_text("hello")
    testbed.app[app_keys.VENDORS].current()
    health = await (await client.get("/health")).json()
    assert (health["vendor_certificates"], health["vendor_problems"]) == (2, 1)
