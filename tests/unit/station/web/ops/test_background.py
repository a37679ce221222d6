"""The background tasks: the audit log's check, and a stop during it."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

from station.registry.schema import audit
from station.web import app_keys
from station.web.ops import background
from tests.harness.api_client import Api, opened


async def test_a_tampered_audit_log_shows_in_the_metrics(api: Api) -> None:
    await api.provision("CAM-1")
    await background.check_audit(api.testbed.app)
    assert "birthmark_audit_intact 1.0" in await (await api.client.get("/metrics")).text()
    async with api.testbed.database.write() as connection:
        await connection.exec_driver_sql("DROP TRIGGER audit_no_update")
        await connection.execute(audit.update().where(audit.c.event == "issued").values(serial="CAM-2"))
    await background.check_audit(api.testbed.app)
    assert "birthmark_audit_intact 0.0" in await (await api.client.get("/metrics")).text()


async def test_a_station_that_stops_during_its_first_check_leaves_no_connection_open(tmp_path: Path) -> None:
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with opened(folder) as api:
            await asyncio.sleep(0)
            assert not api.testbed.app[app_keys.CLOSING].is_set()
    gc.collect()  # pytest makes an error of a connection that is found open here
