"""The check finds every change to the audit log that somebody with the registry's file can make."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.errors import BirthmarkError
from station.registry import audit, audit_check, database
from station.registry.audit import Event, row_hash
from station.registry.audit_check import Damage, Verification
from station.registry.database import Database

ROWS = 8


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Database]:
    path = tmp_path / "registry.sqlite"
    database.create(f"sqlite:{path}")
    opened = Database(f"sqlite:{path}", "bench")
    async with opened.write() as connection:
        for number in range(1, ROWS + 1):
            await audit.append(connection, 1000 + number, Event.ISSUED, f"CAM-{number}", certificate=f"{number:x}")
    yield opened
    await opened.close()


def tamper(folder: Path, *statements: str) -> None:
    """Change the file as an attacker would, past the triggers that forbid changes to the station."""
    with sqlite3.connect(folder / "registry.sqlite") as connection:
        for statement in ("DROP TRIGGER audit_no_update", "DROP TRIGGER audit_no_delete", *statements):
            connection.execute(statement)
    connection.close()


async def check(registry: Database, noted: tuple[int, bytes] | None = None) -> Verification:
    async with registry.read() as connection:
        return await audit_check.verify(connection, noted)


def damages(found: Verification) -> list[tuple[Damage, int, int]]:
    return [(problem.damage, problem.first, problem.last) for problem in found.problems]


async def test_an_untouched_log_is_whole(registry: Database) -> None:
    found = await check(registry)
    assert (found.rows, found.seq, found.problems) == (ROWS, ROWS, ())


async def test_an_empty_log_is_whole(tmp_path: Path) -> None:
    database.create(f"sqlite:{tmp_path / 'empty.sqlite'}")
    empty = Database(f"sqlite:{tmp_path / 'empty.sqlite'}", "bench")
    assert (await check(empty)).problems == ()
    await empty.close()


@pytest.mark.parametrize("row", [1, 4, ROWS])
@pytest.mark.parametrize(
    "change",
    [
        "at = at + 1",
        "at = 'noon'",
        "event = 'released'",
        "serial = 'CAM-X'",
        "serial = x'ff'",
        """detail = '{"certificate":"ff"}'""",
        "detail = detail || ' '",
        "previous = zeroblob(32) || x'01'",
        "previous = x''",
        "hash = zeroblob(32)",
        "hash = 'text'",
    ],
)
async def test_a_change_to_any_column_is_found_and_the_row_named(
    registry: Database, tmp_path: Path, change: str, row: int
) -> None:
    tamper(tmp_path, f"UPDATE audit SET {change} WHERE seq = {row}")
    assert (Damage.CHANGED, row, row) in damages(await check(registry))


async def test_a_changed_row_whose_hash_was_made_anew_is_found_by_the_next(registry: Database, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "registry.sqlite") as connection:
        at, event, detail, previous = connection.execute(
            "SELECT at, event, detail, previous FROM audit WHERE seq = 4"
        ).fetchone()
    connection.close()
    forged = row_hash(4, at, "bench", event, "CAM-X", detail, previous).hex()
    tamper(tmp_path, f"UPDATE audit SET serial = 'CAM-X', hash = x'{forged}' WHERE seq = 4")
    assert damages(await check(registry)) == [(Damage.REPLACED, 5, 5)]


@pytest.mark.parametrize(("first", "last"), [(1, 1), (4, 4), (3, 6)])
async def test_removed_rows_are_found_and_named(registry: Database, tmp_path: Path, first: int, last: int) -> None:
    tamper(tmp_path, f"DELETE FROM audit WHERE seq BETWEEN {first} AND {last}")
    assert damages(await check(registry)) == [(Damage.REMOVED, first, last)]


@pytest.mark.parametrize("kept", [0, 5, ROWS - 1])
async def test_rows_cut_off_at_the_end_are_found_and_named(registry: Database, tmp_path: Path, kept: int) -> None:
    tamper(tmp_path, f"DELETE FROM audit WHERE seq > {kept}")
    assert damages(await check(registry)) == [(Damage.TRUNCATED, kept + 1, ROWS)]


async def test_rows_cut_off_stay_missing_when_the_station_writes_on(registry: Database, tmp_path: Path) -> None:
    tamper(tmp_path, "DELETE FROM audit WHERE seq > 5")
    async with registry.write() as connection:
        await audit.append(connection, 2000, Event.RELEASED, "CAM-1")
    assert damages(await check(registry)) == [(Damage.REMOVED, 6, ROWS)]


async def test_exchanged_rows_are_found_and_named(registry: Database, tmp_path: Path) -> None:
    swap = [f"UPDATE audit SET seq = {new} WHERE seq = {old}" for old, new in ((3, 100), (6, 3), (100, 6))]
    tamper(tmp_path, *swap)
    found = await check(registry)
    assert damages(found) == [(Damage.MOVED, 3, 3), (Damage.MOVED, 6, 6)]
    assert "row 3 was row 6" in found.problems[0].sentence


@pytest.mark.parametrize("place", [-1, 0, 50])
async def test_a_row_moved_out_of_the_order_is_found(registry: Database, tmp_path: Path, place: int) -> None:
    tamper(tmp_path, f"UPDATE audit SET seq = {place} WHERE seq = 2")
    found = damages(await check(registry))
    assert (Damage.MOVED, place, place) in found
    assert (Damage.REMOVED, 2, 2) in found


async def test_an_inserted_row_is_found(registry: Database, tmp_path: Path) -> None:
    values = f"{ROWS + 1}, 9, 'bench', 'issued', 'CAM-X', '{{}}', zeroblob(32), zeroblob(32)"
    tamper(tmp_path, f"INSERT INTO audit VALUES ({values})")
    assert (Damage.CHANGED, ROWS + 1, ROWS + 1) in damages(await check(registry))


@pytest.mark.parametrize("change", ["hash = zeroblob(32)", f"seq = {ROWS - 1}", "seq = 'x'", "hash = 'x'"])
async def test_a_change_to_the_record_of_the_end_is_found(registry: Database, tmp_path: Path, change: str) -> None:
    tamper(tmp_path, f"UPDATE audit_head SET {change}")
    assert damages(await check(registry)) == [(Damage.HEAD, ROWS, ROWS)]


async def test_without_the_record_of_the_end_nothing_more_is_written(registry: Database, tmp_path: Path) -> None:
    tamper(tmp_path, "DELETE FROM audit_head")
    assert damages(await check(registry)) == [(Damage.HEAD, ROWS, ROWS)]
    with pytest.raises(BirthmarkError) as raised:
        async with registry.write() as connection:
            await audit.append(connection, 2000, Event.RELEASED, "CAM-1")
    assert raised.value.code == "audit.headless"


async def test_a_log_rewritten_whole_is_found_by_a_head_that_was_noted(registry: Database, tmp_path: Path) -> None:
    noted = await check(registry)
    statements, previous = [], audit.GENESIS
    for seq in range(1, ROWS + 1):
        digest = row_hash(seq, 1, "bench", "issued", "CAM-X", "{}", previous)
        values = f"at = 1, event = 'issued', serial = 'CAM-X', detail = '{{}}', previous = x'{previous.hex()}'"
        statements.append(f"UPDATE audit SET {values}, hash = x'{digest.hex()}' WHERE seq = {seq}")
        previous = digest
    tamper(tmp_path, *statements, f"UPDATE audit_head SET hash = x'{previous.hex()}'")
    assert (await check(registry)).problems == ()  # nothing here can tell
    assert damages(await check(registry, (noted.seq, noted.hash))) == [(Damage.REPLACED, 1, ROWS)]


async def test_a_noted_head_still_holds_when_the_log_has_grown(registry: Database) -> None:
    noted = await check(registry)
    async with registry.write() as connection:
        await audit.append(connection, 2000, Event.RELEASED, "CAM-1")
    assert (await check(registry, (noted.seq, noted.hash))).problems == ()


async def test_the_database_itself_refuses_to_change_or_remove_a_row(tmp_path: Path, registry: Database) -> None:
    connection = sqlite3.connect(tmp_path / "registry.sqlite")
    for statement in ("UPDATE audit SET at = 0", "DELETE FROM audit"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.close()


async def test_a_log_longer_than_a_batch_is_read_to_its_end(
    registry: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_check, "_BATCH", 3)
    assert (await check(registry)).rows == ROWS
