"""Writing the audit log: each row follows the one before, and is read as it was written."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from station.registry import audit, database
from station.registry.audit import GENESIS, Event, row_hash
from station.registry.database import Database
from station.registry.location import registry_url
from station.registry.schema import audit as table


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Database]:
    database.create(registry_url(tmp_path))
    opened = Database(registry_url(tmp_path), "bench")
    yield opened
    await opened.close()


async def write(registry: Database, event: Event, at: int = 1000, serial: str = "", **detail: object) -> None:
    async with registry.write() as connection:
        await audit.append(connection, at, event, serial, **detail)


async def rows(registry: Database, since: int = 0) -> list[audit.Row]:
    async with registry.read() as connection:
        return await audit.read(connection, since=since)


async def settings(registry: Database) -> object:
    async with registry.read() as connection:
        return await audit.recorded_settings(connection)


def test_a_rows_hash_covers_its_fields_in_messagepack() -> None:
    """The row is an array of 1, 2, "a", "b", "c" and three bytes.

    A fixed hash, because old logs must verify forever.
    """
    packed = bytes.fromhex("970102a173a161a162a163c403010203")
    assert row_hash(1, 2, "s", "a", "b", "c", b"\x01\x02\x03") == hashlib.sha256(packed).digest()


async def test_each_row_follows_the_one_before_and_the_first_the_genesis(registry: Database) -> None:
    for number in range(3):
        await write(registry, Event.ISSUED, 1000 + number, f"CAM-{number}", certificate=number)
    found = await rows(registry)
    assert [row.seq for row in found] == [1, 2, 3]
    assert [row.previous for row in found] == [GENESIS, found[0].hash, found[1].hash]
    for row in found:
        assert row.hash == row_hash(row.seq, row.at, row.station, row.event, row.serial, row.detail, row.previous)


async def test_a_row_is_read_as_it_was_written_and_its_detail_has_one_order(registry: Database) -> None:
    await write(registry, Event.REVOKED, 1234, "CAM-1", reason="stolen", by="", code="keyCompromise")
    [row] = await rows(registry)
    assert (row.at, row.event, row.serial) == (1234, "revoked", "CAM-1")
    assert row.detail == '{"by":"","code":"keyCompromise","reason":"stolen"}'


async def test_rows_are_read_from_a_time_on(registry: Database) -> None:
    for at in (1000, 2000, 3000):
        await write(registry, Event.ISSUED, at)
    assert [row.at for row in await rows(registry, since=2000)] == [2000, 3000]
    assert await rows(registry, since=3001) == []


async def test_a_failed_transaction_leaves_no_audit_row(registry: Database) -> None:
    await write(registry, Event.ISSUED)

    async def fail() -> None:
        async with registry.write() as connection:
            await audit.append(connection, 2000, Event.PROVISIONED, "CAM-1")
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    await write(registry, Event.RELEASED)
    assert [(row.seq, row.event) for row in await rows(registry)] == [(1, "issued"), (2, "released")]


async def test_the_settings_recorded_last_are_found(registry: Database) -> None:
    assert await settings(registry) is None
    await write(registry, Event.INITIALISED, settings={"name": "bench 1"})
    await write(registry, Event.ISSUED, settings="of no such event")
    assert await settings(registry) == {"name": "bench 1"}
    await write(registry, Event.CONFIGURED, 500, settings={"name": "bench 2"})  # by a clock that was set back
    assert await settings(registry) == {"name": "bench 2"}


async def test_each_station_records_its_own_settings(registry: Database, tmp_path: Path) -> None:
    await write(registry, Event.INITIALISED, settings={"name": "bench"})
    other = Database(registry_url(tmp_path), "bench 7")
    assert await settings(other) is None
    await write(other, Event.CONFIGURED, settings={"name": "bench 7"})
    assert [row.station for row in await rows(registry)] == ["bench", "bench 7"]
    assert await settings(registry) == {"name": "bench"}
    assert await settings(other) == {"name": "bench 7"}
    await other.close()


async def test_recorded_settings_that_are_damaged_count_as_not_recorded(registry: Database) -> None:
    await write(registry, Event.INITIALISED, settings={"name": "bench 1"})
    async with registry.write() as connection:
        spoilt = {"event": "configured", "serial": "", "detail": "{", "previous": b"", "hash": b"", "station": "bench"}
        await connection.execute(table.insert().values(seq=2, at=2000, **spoilt))
    assert await settings(registry) is None
