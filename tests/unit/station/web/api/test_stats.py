"""The statistics, under the public SMA's names."""

from __future__ import annotations

import pytest

from tests.harness.api_client import Api


async def test_the_statistics_have_the_public_smas_fields_and_add_up(api: Api) -> None:
    for number, family in enumerate(("A", "A", "B")):
        await api.provision(f"CAM-{number}", device_family=family)
    found = await (await api.get("/stats")).json()
    assert found["total_devices"] == 3
    assert found["devices_by_family"] == {"A": 2, "B": 1}
    tables = found["table_statistics"]
    assert sum(tables["table_usage"].values()) == tables["total_assignments"] == found["total_table_assignments"] == 9
    assert tables["total_tables"] == len(tables["table_usage"]) == 10
    assert tables["avg_usage"] == pytest.approx(0.9)
    assert found["provisioning_seconds"]["count"] == 3
