"""The registry's file: found at its address whatever the path, refused at any other, copied as it is at one moment."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from shared.errors import BirthmarkError
from shared.types import TableId
from station.registry import database, key_tables, sqlite
from station.registry.database import Database
from station.registry.location import registry_url


async def write_two(registry: Database, number: int) -> None:
    async with registry.write() as connection:
        await key_tables.store(connection, {TableId(number): b"-", TableId(number + 1): b"-"})


async def ids(registry: Database) -> list[int]:
    async with registry.read() as connection:
        return list(await key_tables.read(connection))


@pytest.mark.parametrize("url", ["registry.sqlite", "sqlite:", "postgresql://host/db", "sqlite:a\0b"])
def test_an_address_of_no_registry_is_refused(url: str) -> None:
    with pytest.raises(BirthmarkError) as caught:
        Database(url, "bench")
    assert caught.value.code == "config.invalid"


@pytest.mark.parametrize("name", ["a b", "50%", "x?mode=ro#y", "äöü"])
async def test_a_directory_of_any_name_can_hold_a_registry(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    directory.mkdir()
    database.create(registry_url(directory))
    registry = Database(registry_url(directory), "bench")
    await write_two(registry, 0)
    assert await ids(registry) == [0, 1]
    await registry.close()
    assert (directory / "registry.sqlite").is_file()


async def test_a_snapshot_holds_what_was_committed_and_leaves_no_name(tmp_path: Path) -> None:
    database.create(registry_url(tmp_path))
    registry = Database(registry_url(tmp_path), "bench")
    await write_two(registry, 0)
    told: list[tuple[int, int]] = []
    with sqlite.snapshot(registry_url(tmp_path), tmp_path, lambda done, every: told.append((done, every))) as copy:
        await write_two(registry, 5)
        content = copy.read()
        assert not list(tmp_path.glob(".backup.*"))
    await registry.close()
    assert told[-1][0] == told[-1][1] > 0
    restored = tmp_path / "restored.sqlite"
    restored.write_bytes(content)
    with closing(sqlite3.connect(restored)) as connection:
        assert [row[0] for row in connection.execute("SELECT id FROM key_tables ORDER BY id")] == [0, 1]
