"""The background tasks: the audit log's check, and a stop during it."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest
from aiohttp import web

from shared.errors import BirthmarkError
from station.events import PortChanged, PortState
from station.registry.schema import audit
from station.web import app_keys
from station.web.ops import background
from tests.harness.api_client import Api, opened
from virtual.timeouts import TIMEOUT_SECONDS


async def test_a_tampered_audit_log_shows_in_the_metrics(api: Api) -> None:
    await api.provision("CAM-1")
    await background.check_audit(api.testbed.app)
    assert "birthmark_audit_intact 1.0" in await (await api.get("/metrics")).text()
    async with api.testbed.station.database.write() as connection:
        await connection.exec_driver_sql("DROP TRIGGER audit_no_update")
        await connection.execute(audit.update().where(audit.c.event == "issued").values(serial="CAM-2"))
    await background.check_audit(api.testbed.app)
    assert "birthmark_audit_intact 0.0" in await (await api.get("/metrics")).text()


async def test_a_station_that_stops_during_its_first_check_leaves_no_connection_open(tmp_path: Path) -> None:
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with opened(folder) as api:
            await asyncio.sleep(0)
            assert not api.testbed.app[app_keys.CLOSING].is_set()
    gc.collect()  # pytest makes an error of a connection that is found open here


async def test_an_ended_session_is_counted_with_its_code_and_one_under_way_is_not(api: Api) -> None:
    for event in (
        PortChanged("/dev/ttyACM0", PortState.WORKING, 3),
        PortChanged("/dev/ttyACM0", PortState.DONE, 6),
        PortChanged("/dev/ttyACM1", PortState.FAILED, 2, code="csr.subject-differs"),
        PortChanged("/dev/ttyACM1", PortState.WAITING),
    ):
        api.testbed.station.bus.tell(event)
    text = await (await api.get("/metrics")).text()
    counted = sorted(line for line in text.splitlines() if line.startswith("birthmark_sessions_total{"))
    assert counted == [
        'birthmark_sessions_total{code="",outcome="done"} 1.0',
        'birthmark_sessions_total{code="csr.subject-differs",outcome="failed"} 1.0',
    ]


async def test_a_registry_that_fails_is_checked_again_sooner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_RETRY_SECONDS", 0.01)
    attempts: list[int] = []
    again = asyncio.Event()

    async def check_audit(_app: web.Application) -> None:
        attempts.append(1)
        if len(attempts) == 3:
            again.set()
            return
        raise BirthmarkError("registry.unavailable")

    monkeypatch.setattr(background, "check_audit", check_audit)
    async with opened(tmp_path):
        await asyncio.wait_for(again.wait(), TIMEOUT_SECONDS)
    assert len(attempts) == 3
