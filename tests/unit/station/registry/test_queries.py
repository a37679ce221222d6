"""Pages, filters, counts and times. No query that runs often reads every unit."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa

from shared.errors import BirthmarkError
from station.provisioning.offline import ProvisionedUnit, ProvisioningRequest
from station.registry import queries, revocation, units
from station.registry.database import Connection
from station.registry.queries import Filter
from station.registry.records import KeyHolder, UnitState
from station.registry.revocation import RevocationCode
from station.registry.schema import ACTIVE, has_serial
from station.registry.schema import units as table
from tests.harness.bare_station import NOW, BareStation, open_bare_station


async def fill(bare_station: BareStation, count: int, family: str = "Camera") -> list[ProvisionedUnit]:
    provisioned = []
    for _ in range(count):
        bare_station.clock.now += 1
        serial = f"{family}-{int(bare_station.clock.now) - NOW}"
        provisioned.append(
            await bare_station.offline_provisioner.provision(ProvisioningRequest(serial, family), "test")
        )
    return provisioned


async def serials(bare_station: BareStation, wanted: Filter) -> list[str]:
    async with bare_station.database.read() as connection:
        found = [unit.serial for unit in (await queries.page(connection, wanted)).units]
        assert await queries.count(connection, wanted) == len(found)
    return found


async def test_pages_follow_one_another_and_show_each_unit_once(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        made = [provisioned.serial for provisioned in await fill(bare_station, 7)]
        found: list[str] = []
        cursor: str | None = ""
        pages = 0
        while cursor is not None:
            async with bare_station.database.read() as connection:
                page = await queries.page(connection, Filter(), limit=3, cursor=cursor)
            found += [unit.serial for unit in page.units]
            cursor, pages = page.cursor, pages + 1
            await fill(bare_station, 1)  # a unit comes while pages are turned
        assert (found, pages) == (made[::-1], 3)


async def test_the_last_page_has_no_cursor_even_when_it_is_full(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        await fill(bare_station, 3)
        async with bare_station.database.read() as connection:
            assert (await queries.page(connection, Filter(), limit=3)).cursor is None


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", " 1", "9" * 19, "١", "1; DROP TABLE units"])
async def test_a_cursor_that_was_never_given_out_is_refused(tmp_path: Path, cursor: str) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        with pytest.raises(BirthmarkError) as raised:
            async with bare_station.database.read() as connection:
                await queries.page(connection, Filter(), cursor=cursor)
        assert raised.value.code == "registry.cursor-invalid"


async def test_units_are_found_by_family_state_station_serial_and_time(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        await fill(bare_station, 2, "Camera")
        await fill(bare_station, 2, "Scanner")
        async with bare_station.database.write() as connection:
            await revocation.revoke(connection, "Camera-1", RevocationCode.HOLD, "why", NOW)
            await revocation.release(connection, "Scanner-4", "why", NOW)
        assert await serials(bare_station, Filter()) == ["Scanner-3", "Camera-2", "Camera-1"]
        assert await serials(bare_station, Filter(family="Camera")) == ["Camera-2", "Camera-1"]
        assert await serials(bare_station, Filter(state=UnitState.REVOKED)) == ["Camera-1"]
        assert await serials(bare_station, Filter(state=UnitState.RELEASED)) == ["Scanner-4"]
        assert await serials(bare_station, Filter(station="station", serial_contains="nner-")) == ["Scanner-3"]
        assert await serials(bare_station, Filter(station="another")) == []
        assert await serials(bare_station, Filter(issued_since=NOW + 2, issued_before=NOW + 3)) == ["Camera-2"]


@pytest.mark.parametrize("text", ["%", "_", "\\", "'", "/"])
async def test_a_search_takes_its_text_literally(tmp_path: Path, text: str) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        await fill(bare_station, 1)
        assert await serials(bare_station, Filter(serial_contains=text)) == []


async def test_a_unit_is_found_by_serial_nuc_blind_index_and_certificate(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        [provisioned] = await fill(bare_station, 1)
        assert provisioned.nuc_hash is not None
        async with bare_station.database.read() as connection:
            by_nuc = await queries.by_nuc_blind_index(connection, bare_station.nuc_blind_index.of(provisioned.nuc_hash))
            by_certificate = await queries.by_certificate(connection, hashlib.sha256(provisioned.chain[0]).digest())
            by_serial = await queries.by_serial(connection, provisioned.serial)
            assert await queries.by_nuc_blind_index(connection, bytes(32)) is None
            assert await queries.by_certificate(connection, bytes(32)) is None
        assert by_nuc == by_serial
        assert by_certificate == (by_serial, by_serial.certificate)
        assert by_serial.serial == provisioned.serial


async def test_a_serial_that_was_released_and_given_anew_means_the_new_unit(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        first = await bare_station.offline_provisioner.provision(ProvisioningRequest("CAM-1"), "test")
        async with bare_station.database.write() as connection:
            await revocation.release(connection, "CAM-1", "why", NOW)
        async with bare_station.database.read() as connection:
            old = await queries.by_serial(connection, "CAM-1")
        second = await bare_station.offline_provisioner.provision(ProvisioningRequest("CAM-1"), "test")
        async with bare_station.database.read() as connection:
            new = await queries.by_serial(connection, "CAM-1")
        assert units.certificate_serial(old) == first.certificate_serial
        assert units.certificate_serial(new) == second.certificate_serial
        assert new.id > old.id


async def test_statistics_count_families_states_tables_and_times(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path, tables=5) as bare_station:
        made = await fill(bare_station, 4, "Camera") + await fill(bare_station, 2, "Scanner")
        async with bare_station.database.write() as connection:
            await revocation.release(connection, "Scanner-6", "why", NOW)
        async with bare_station.database.read() as connection:
            assert await queries.families(connection) == {"Camera": 4, "Scanner": 1}
            counts = await units.count_by_state(connection)
            usage = await queries.table_usage(connection)
            times = await queries.provisioning_times(connection)
        assert counts == dict.fromkeys(UnitState, 0) | {UnitState.PROVISIONED: 5, UnitState.RELEASED: 1}
        expected = [sum(table in provisioned.tables for provisioned in made[:5]) for table in range(5)]
        assert list(usage.values()) == expected
        assert list(usage) == [0, 1, 2, 3, 4]
        assert times is not None
        assert times.count == 6
        assert 0 <= times.minimum <= times.median <= times.p95 <= times.maximum


async def test_an_empty_registry_has_no_times_and_unused_tables(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path, tables=3) as bare_station, bare_station.database.read() as connection:
        assert await queries.provisioning_times(connection) is None
        assert await queries.table_usage(connection) == {0: 0, 1: 0, 2: 0}
        assert await queries.families(connection) == {}


async def test_the_registry_knows_who_holds_a_units_key(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        [provisioned] = await fill(bare_station, 1)
        assert provisioned.key_holder is KeyHolder.STATION


@pytest.mark.parametrize(
    ("column", "claim"),
    [
        ("serial", has_serial("x")),
        ("ek_fingerprint", table.c.ek_fingerprint == b"x"),
        ("device_fingerprint", table.c.device_fingerprint == b"x"),
        ("nuc_blind_index", table.c.nuc_blind_index == b"x"),
    ],
)
async def test_a_claim_is_looked_up_in_its_index(tmp_path: Path, column: str, claim: sa.ColumnElement[bool]) -> None:
    async with open_bare_station(tmp_path) as bare_station, bare_station.database.read() as connection:
        query = sa.select(table.c.id).where(claim, ACTIVE)
        text = str(query.compile(connection.engine, compile_kwargs={"literal_binds": False}))
        explained = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", (b"x",))
        plan = [str(row.detail) for row in explained]
    assert f"USING COVERING INDEX units_active_{column}" in plan[0] or f"USING INDEX units_active_{column}" in plan[0]


class Counted:
    """A connection that counts the rows of each statement."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.rows: list[int] = []

    async def execute(self, *statement: Any) -> Any:
        result = (await self._connection.execute(*statement)).freeze()
        self.rows.append(len(result().all()))
        return result()


@pytest.mark.parametrize("state", ["provisioned", "revoked", "nobody's"])
async def test_a_lookup_reads_as_much_for_a_unit_as_for_nobody(tmp_path: Path, state: str) -> None:
    """A FAIL must not tell by its time that there is such a unit: one statement, and three rows, for each."""
    async with open_bare_station(tmp_path) as bare_station:
        await fill(bare_station, 3)
        async with bare_station.database.write() as connection:
            [unit, *_] = await units.select(connection, sa.true())
            column = sa.select(table.c.nuc_blind_index).where(table.c.id == unit.id)
            index = (await connection.execute(column)).scalar_one()
            if state == "revoked":
                await revocation.revoke(connection, unit.serial, RevocationCode.HOLD, "lost", NOW)
        wanted = index if state != "nobody's" else b"n" * 32
        async with bare_station.database.read() as connection:
            counted = Counted(connection)
            found = await queries.standings(cast("Connection", counted), {wanted})
        assert counted.rows == [3]
        assert (wanted in found) == (state != "nobody's")


async def test_each_of_many_indices_is_answered_whether_or_not_there_is_a_unit(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as bare_station:
        made = await fill(bare_station, 5)
        known = {bare_station.nuc_blind_index.of(one.nuc_hash): one for one in made if one.nuc_hash}
        nobody = {bytes([number]) * 32 for number in range(5)}
        async with bare_station.database.read() as connection:
            found = await queries.standings(connection, known.keys() | nobody)
    assert {index: (one.state, one.tables) for index, one in found.items()} == {
        index: (UnitState.PROVISIONED, frozenset(one.tables)) for index, one in known.items()
    }
