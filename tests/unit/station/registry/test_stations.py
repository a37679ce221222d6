"""The registry knows the stations' certificates, and revokes those in force."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared import limits
from shared.errors import BirthmarkError
from station.registry import audit, crl, stations
from station.registry.audit import Event
from station.registry.database import Connection, Database
from station.registry.records import CrlScope
from tests.harness.bare_station import NOW, open_bare_station

DAY = 86_400


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_bare_station(tmp_path) as station:
        yield station.database


async def record(connection: Connection, name: str, serial: int, days: int = 90) -> None:
    await stations.record(connection, name, serial, NOW, NOW + days * DAY, NOW)


async def refused(connection: Connection, named: str) -> str:
    with pytest.raises(BirthmarkError) as caught:
        await stations.revoke(connection, named, "stolen", NOW)
    return caught.value.code


async def test_a_certificate_is_recorded_once_and_logged(registry: Database) -> None:
    async with registry.write() as connection:
        await record(connection, "hall", 0xABC)
        await record(connection, "hall", 0xABC)
        [found] = await stations.list_all(connection)
        assert (found.name, found.certificate_serial, found.not_after) == ("hall", "abc", NOW + 90 * DAY)
        assert found.valid(NOW)
        assert not found.valid(NOW + 91 * DAY)
        rows = [row async for row in _rows(connection) if row.event == Event.STATION_CERTIFIED]
    assert len(rows) == 1


async def _rows(connection: Connection) -> AsyncIterator[audit.Row]:
    for row in await audit.read(connection):
        yield row


async def test_a_station_is_revoked_by_serial_number_or_by_name_and_a_new_list_is_due(registry: Database) -> None:
    async with registry.write() as connection:
        for name, serial in (("hall", 0xA), ("hall", 0xB), ("other", 0xC)):
            await record(connection, name, serial)
        taken = await crl.take_number(connection, CrlScope.STATIONS)
        await crl.store(connection, CrlScope.STATIONS, taken, b"list", NOW, 0)
        assert [one.certificate_serial for one in await stations.revoke(connection, "A", "stolen", NOW)] == ["a"]
        assert (await crl.stored(connection, CrlScope.STATIONS)).der is None
        assert [one.certificate_serial for one in await stations.revoke(connection, "hall", "stolen", NOW)] == ["b"]
        listed = await stations.listed(connection, NOW)
        assert [(one.certificate_serial, one.revoked_reason) for one in listed] == [("a", "stolen"), ("b", "stolen")]
        assert await stations.is_revoked(connection, 0xB)
        assert not await stations.is_revoked(connection, 0xC)


async def test_what_is_unknown_revoked_or_expired_is_not_revoked(registry: Database) -> None:
    async with registry.write() as connection:
        await record(connection, "hall", 0xA)
        await record(connection, "old", 0xB, days=-1)
        await stations.revoke(connection, "hall", "stolen", NOW)
        for named in ("hall", "a", "old", "nobody", "\u202e"):
            assert await refused(connection, named) == "authority.station-unknown"


async def test_the_list_has_a_bound_and_an_expired_certificate_leaves_it(registry: Database) -> None:
    async with registry.write() as connection:
        for index in range(limits.REVOKED_STATIONS):
            await record(connection, f"hall {index}", index + 1, days=1 if index == 0 else 90)
            await stations.revoke(connection, f"hall {index}", "stolen", NOW)
        await record(connection, "one more", 0xFFFF)
        assert await refused(connection, "one more") == "authority.stations-too-many"
        assert not await stations.is_revoked(connection, 0xFFFF)
        tomorrow = NOW + DAY + 1
        assert len(await stations.listed(connection, tomorrow)) == limits.REVOKED_STATIONS - 1
        assert len(await stations.revoke(connection, "one more", "stolen", tomorrow)) == 1
