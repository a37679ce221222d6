"""The background tasks: the audit log's check, and a stop during it."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest
from aiohttp import web

from shared.errors import BirthmarkError
from station.events import PortChanged, PortState
from station.registry import queries, validations
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


async def test_counts_are_stored_every_so_often_and_when_the_station_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "STORE_SECONDS", 0.01)
    async with opened(tmp_path) as api:
        station = api.testbed.station
        token = api.token(await api.provision("CAM-1"))
        await api.validate(token)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while station.counts.waiting(1):  # noqa: ASYNC110 - as a client would see it
                await asyncio.sleep(0.01)
        monkeypatch.setattr(background, "STORE_SECONDS", 3600)
        await api.validate(token)
        await api.client.close()  # and with it the application
        async with station.database.read() as connection:
            assert (await queries.by_serial(connection, "CAM-1")).validated.total == 2


async def test_a_unit_that_is_validated_8000_times_a_day_is_on_the_page_and_in_the_metrics(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    await api.provision("CAM-1")
    station = api.testbed.station
    for number, often in ((7999, 0), (1, 1), (1, 1)):
        async with station.database.write() as connection:
            await validations.add(connection, {(station.counts.today(), 1): number})
        await background.store_counts(api.testbed.app)
        page = await (await api.get("/", headers={"Accept": "text/html"})).text()
        assert ("CAM-1 was validated at least 8,000 times today." in page) == bool(often)
        api.testbed.app[app_keys.METRICS].gauges_read = -1e9
        assert f"birthmark_units_validated_often {often}.0" in await (await api.get("/metrics")).text()
    assert "8,001 validations today" in page
    warnings = [record for record in caplog.records if "8000 times" in record.message]
    assert len(warnings) == 1, "once, and without the unit"
    assert "CAM-1" not in caplog.text


async def test_counts_that_cannot_be_stored_do_not_make_a_busy_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    async def failing(_app: web.Application) -> None:
        tries.append(1)
        raise BirthmarkError("registry.unavailable")

    monkeypatch.setattr(background, "store_counts", failing)
    async with opened(tmp_path) as api:
        api.testbed.station.counts.full.set()
        await asyncio.sleep(0.3)
        assert len(tries) == 1
