"""CRL numbers only grow, and a stored CRL counts only until something changes."""

from __future__ import annotations

from pathlib import Path

from station.registry import audit, crl
from station.registry.crl import CrlNumber, StoredCrl
from station.registry.records import CrlScope
from tests.harness.bare_station import NOW, open_bare_station

DEVICES = CrlScope.DEVICES


async def test_a_stored_crl_counts_until_something_changes(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as station, station.database.write() as connection:
        assert await crl.stored(connection, DEVICES) == StoredCrl(0, 0, None)
        taken = await crl.take_number(connection, DEVICES)
        await crl.store(connection, DEVICES, taken, b"crl", NOW, 0)
        assert await crl.stored(connection, DEVICES) == StoredCrl(1, NOW, b"crl")
        await crl.note_change(connection, DEVICES)
        assert await crl.stored(connection, DEVICES) == StoredCrl(1, NOW, None)


async def test_a_crl_that_lacks_a_change_made_while_it_was_signed_does_not_count(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as station, station.database.write() as connection:
        taken = await crl.take_number(connection, DEVICES)
        await crl.note_change(connection, DEVICES)
        await crl.store(connection, DEVICES, taken, b"without it", NOW, 0)
        assert (await crl.stored(connection, DEVICES)).der is None
        await crl.store(connection, DEVICES, await crl.take_number(connection, DEVICES), b"with it", NOW, 1)
        assert await crl.stored(connection, DEVICES) == StoredCrl(2, NOW, b"with it")


async def test_of_two_stations_that_sign_the_higher_number_stays(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as station, station.database.write() as connection:
        slow, fast = (
            await crl.take_number(connection, DEVICES),
            await crl.take_number(connection, DEVICES),
        )
        assert (slow, fast) == (CrlNumber(1, 0), CrlNumber(2, 0))
        await crl.store(connection, DEVICES, fast, b"fast", NOW, 0)
        await crl.store(connection, DEVICES, slow, b"slow", NOW + 1, 0)
        assert await crl.stored(connection, DEVICES) == StoredCrl(2, NOW, b"fast")
        assert [row.event for row in await audit.read(connection)] == ["crl-signed", "crl-signed"]


async def test_a_restored_registry_skips_the_numbers_that_may_have_been_used(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as station, station.database.write() as connection:
        await crl.store(connection, DEVICES, await crl.take_number(connection, DEVICES), b"crl", NOW, 0)
        await crl.skip_numbers(connection)
        assert (await crl.stored(connection, DEVICES)).der is None
        assert (await crl.take_number(connection, DEVICES)).number > 1_000_000
