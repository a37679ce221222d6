"""CRL numbers only grow, and a stored CRL counts only until something changes."""

from __future__ import annotations

from pathlib import Path

from station.registry import audit, crl
from station.registry.crl import CrlNumber, StoredCrl
from tests.harness.bare_station import NOW, open_bare_station


async def test_a_stored_crl_counts_until_something_changes(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as station, station.database.write() as connection:
        assert await crl.stored(connection) == StoredCrl(0, 0, None)
        taken = await crl.take_number(connection)
        await crl.store(connection, taken, b"crl", NOW, 0)
        assert await crl.stored(connection) == StoredCrl(1, NOW, b"crl")
        await crl.note_change(connection)
        assert await crl.stored(connection) == StoredCrl(1, NOW, None)


async def test_a_crl_that_lacks_a_change_made_while_it_was_signed_does_not_count(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as station, station.database.write() as connection:
        taken = await crl.take_number(connection)
        await crl.note_change(connection)
        await crl.store(connection, taken, b"without it", NOW, 0)
        assert (await crl.stored(connection)).der is None
        await crl.store(connection, await crl.take_number(connection), b"with it", NOW, 1)
        assert await crl.stored(connection) == StoredCrl(2, NOW, b"with it")


async def test_of_two_stations_that_sign_the_higher_number_stays(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as station, station.database.write() as connection:
        slow, fast = await crl.take_number(connection), await crl.take_number(connection)
        assert (slow, fast) == (CrlNumber(1, 0), CrlNumber(2, 0))
        await crl.store(connection, fast, b"fast", NOW, 0)
        await crl.store(connection, slow, b"slow", NOW + 1, 0)
        assert await crl.stored(connection) == StoredCrl(2, NOW, b"fast")
        assert [row.event for row in await audit.read(connection)] == ["crl-signed", "crl-signed"]


async def test_a_restored_registry_skips_the_numbers_that_may_have_been_used(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path) as station, station.database.write() as connection:
        await crl.store(connection, await crl.take_number(connection), b"crl", NOW, 0)
        await crl.skip_numbers(connection)
        assert (await crl.stored(connection)).der is None
        assert (await crl.take_number(connection)).number > 1_000_000
