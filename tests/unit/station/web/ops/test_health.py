"""`/health` counts units and ports; `/ready` says whether the station can do its work."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from types import SimpleNamespace

import pytest

from station.events import PortChanged, PortState
from station.web import app_keys
from station.web.ops import health
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
    assert body["units"] == {"reserved": 0, "issued": 1, "provisioned": 1, "revoked": 0, "released": 0}
    assert body["ports"] == {"waiting": 1}
    assert body["uptime_seconds"] >= 0


async def test_health_counts_the_vendors_certificates_and_what_is_wrong_with_them(
    testbed: PageTestbed, client: Client
) -> None:
    directory = write_roots(testbed.config.ek_roots(testbed.folder), Vendor("One"), Vendor("Two"))
    (directory / "README").write_text("hello")
    testbed.app[app_keys.VENDORS].current()
    found = await (await client.get("/health")).json()
    assert (found["vendor_certificates"], found["vendor_problems"]) == (2, 1)


async def test_a_station_is_ready_only_while_its_certificates_are_in_their_time(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = dt.datetime.now(dt.UTC)
    for years, ready in ((-1, False), (0, True), (100, False)):
        monkeypatch.setattr(health, "dt", _clock_at(now + dt.timedelta(days=366 * years)))
        answer = await api.client.get("/ready")
        body = await answer.json()
        assert (answer.status, body["authority"], body["registry"]) == (200 if ready else 503, ready, True)


async def test_a_station_that_lacks_key_tables_is_not_ready(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(api.testbed.tables), "__len__", lambda _self: 9)
    answer = await api.client.get("/ready")
    body = await answer.json()
    assert (answer.status, body["status"], body["tables"]) == (503, "not ready", False)


def _clock_at(now: dt.datetime) -> SimpleNamespace:
    """Replace the module `datetime` by one at another time."""
    return SimpleNamespace(UTC=dt.UTC, datetime=SimpleNamespace(now=lambda _zone: now))
