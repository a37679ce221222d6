"""Sealed key tables come back as they were stored, in order; none is stored twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from shared.types import TableId
from station.registry import key_tables
from tests.harness.bare_station import open_bare_station


async def test_sealed_tables_are_stored_once_and_read_in_order(tmp_path: Path) -> None:
    async with open_bare_station(tmp_path, tables=3) as station, station.database.write() as connection:
        await key_tables.store(connection, {TableId(9): b"nine", TableId(5): b"five"})
        found = await key_tables.read(connection)
        assert list(found) == [0, 1, 2, 5, 9]
        assert (found[TableId(5)], found[TableId(9)]) == (b"five", b"nine")
        with pytest.raises(IntegrityError):  # named by `Database`, once the transaction ends
            await key_tables.store(connection, {TableId(5): b"other"})
