"""The registry's file and its transactions: durable, one writer at a time, whole or not at all, cancelled or not."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import threading
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from shared.errors import BirthmarkError
from station.registry import database, sqlite
from station.registry.database import Database
from station.registry.location import registry_url
from station.registry.schema import assignments, key_tables
from virtual.timeouts import TIMEOUT_SECONDS

WAITS = 40
LEAST_WAITS = 10
"""The transactions below wait for their thread more often than this, and less often than `WAITS`."""
WRITERS = 60


async def write_two(registry: Database, number: int) -> None:
    async with registry.write() as connection:
        for table in (number, number + 1):
            await connection.execute(key_tables.insert().values(id=table, sealed=b"-"))


async def read_twice(registry: Database, _number: int) -> None:
    for _ in range(2):
        async with registry.read() as connection:
            await connection.execute(sa.select(key_tables))


@types.coroutine
def struck(work: Coroutine[Any, Any, None], at: int, strike: Callable[[], object]) -> Generator[Any, Any, bool]:
    """Run `work`, and call `strike` when it waits for the `at`-th time. Returns whether it waited so often."""
    waits = 0
    error: BaseException | None = None
    while True:
        try:
            waited_for = work.throw(error) if error else work.send(None)
        except StopIteration:
            return waits > at
        if waits == at:
            strike()
        waits += 1
        try:
            error = yield waited_for
        except BaseException as raised:  # noqa: BLE001 - handed on
            error = raised


async def cancelled(work: Coroutine[Any, Any, None], at: int, times: int) -> bool:
    """Cancel `work` at its `at`-th wait and in the turns of the loop after it. Returns whether it waited so often."""
    loop = asyncio.get_running_loop()

    def strike(left: int = times) -> None:
        task.cancel()
        if left > 1:
            loop.call_soon(strike, left - 1)

    async def run() -> bool:
        return await struck(work, at, lambda: loop.call_soon(strike))

    task = asyncio.create_task(run())
    await asyncio.wait([task], timeout=TIMEOUT_SECONDS)
    assert task.done()
    return task.cancelled() or task.result()


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("work", [write_two, read_twice])
async def test_a_cancelled_transaction_is_whole_or_nothing_and_blocks_no_other(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[Database, int], Coroutine[Any, Any, None]],
    times: int,
) -> None:
    path = tmp_path / "registry.sqlite"
    database.create(f"sqlite:{path}")
    threads = set(threading.enumerate())
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def kept(*given: Any, **named: Any) -> sqlite3.Connection:
        opened.append(connect(*given, **named))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", kept)
    registry = Database(f"sqlite:{path}", "bench")
    hit = [await cancelled(work(registry, 2 * at), at, times) for at in range(WAITS)]
    assert hit.index(False) > LEAST_WAITS
    await write_two(registry, 2 * WAITS)  # nothing holds the lock
    await registry.close()

    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        _, waiting = await asyncio.wait(others, timeout=TIMEOUT_SECONDS)
        assert not waiting
    for thread in set(threading.enumerate()) - threads:
        thread.join(TIMEOUT_SECONDS)
        assert not thread.is_alive()
    assert len(opened) > LEAST_WAITS
    for left in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
            left.total_changes  # noqa: B018 - whatever it is asked, a closed connection refuses

    monkeypatch.undo()
    with sqlite3.connect(path) as connection:
        written = {row[0] for row in connection.execute("SELECT id FROM key_tables")}
    connection.close()
    assert {table ^ 1 for table in written} == written
    assert {2 * WAITS, 2 * WAITS + 1} <= written


# --- transactions ---


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Database]:
    database.create(registry_url(tmp_path))
    registry = Database(registry_url(tmp_path), "bench")
    yield registry
    await registry.close()


async def ids(registry: Database) -> list[int]:
    async with registry.read() as connection:
        return list((await connection.execute(sa.select(key_tables.c.id).order_by(key_tables.c.id))).scalars())


async def test_a_write_that_fails_leaves_nothing(registry: Database) -> None:
    async def fail() -> None:
        async with registry.write() as connection:
            await connection.execute(key_tables.insert().values(id=1, sealed=b"-"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await ids(registry) == []


async def test_a_read_sees_the_registry_as_it_was_at_its_start(registry: Database) -> None:
    async with registry.read() as connection:
        count = sa.select(sa.func.count()).select_from(key_tables)
        assert (await connection.execute(count)).scalar() == 0
        await write_two(registry, 0)
        assert (await connection.execute(count)).scalar() == 0
    assert await ids(registry) == [0, 1]


async def test_writes_run_one_after_another_and_see_each_others_changes(registry: Database) -> None:
    async def add_one() -> None:
        async with registry.write() as connection:
            most = (await connection.execute(sa.select(sa.func.max(key_tables.c.id)))).scalar()
            await asyncio.sleep(0)
            await connection.execute(key_tables.insert().values(id=0 if most is None else most + 1, sealed=b"-"))

    await asyncio.gather(*(add_one() for _ in range(8)))
    assert await ids(registry) == list(range(8))


async def test_writes_are_carried_out_in_the_order_they_were_asked_for(registry: Database) -> None:
    written: list[int] = []

    async def write(number: int) -> None:
        async with registry.write() as connection:
            await connection.execute(key_tables.insert().values(id=number, sealed=b"-"))
            written.append(number)

    async with registry.write():
        writers = [asyncio.create_task(write(number)) for number in range(WRITERS)]
        await asyncio.sleep(0)
    await asyncio.gather(*writers)
    assert written == list(range(WRITERS))


async def test_a_write_that_waits_too_long_for_the_lock_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database.create(registry_url(tmp_path))
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
    one, other = (Database(registry_url(tmp_path), "bench") for _ in range(2))
    async with one.write():
        with pytest.raises(BirthmarkError) as caught:
            await write_two(other, 0)
    assert caught.value.code == "registry.unavailable"
    await write_two(other, 0)
    await one.close()
    await other.close()


async def test_a_violated_constraint_is_an_error_with_a_code_and_nothing_is_written(registry: Database) -> None:
    await write_two(registry, 0)
    with pytest.raises(BirthmarkError) as caught:
        await write_two(registry, 1)
    assert caught.value.code == "registry.inconsistent"
    assert await ids(registry) == [0, 1]
    with pytest.raises(BirthmarkError) as caught:
        async with registry.write() as connection:
            await connection.execute(assignments.insert().values(unit_id=99, table_id=0))
    assert caught.value.code == "registry.inconsistent"


async def test_a_transaction_knows_its_station(registry: Database) -> None:
    async with registry.read() as connection:
        assert database.station_of(connection) == "bench"
    async with registry.write() as connection:
        assert database.station_of(connection) == "bench"


async def test_a_commit_is_on_the_disk(registry: Database) -> None:
    async with registry.read() as connection:
        pragmas = [
            (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert pragmas == ["wal", 2, 1]  # 2 is FULL


# --- the file ---


def test_a_registry_is_private_and_never_made_over_another(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite"
    database.create(f"sqlite:{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        database.create(f"sqlite:{path}")


def test_migrating_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite"
    database.create(f"sqlite:{path}")
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO key_tables (id, sealed) VALUES (5, x'00')")
        before = "\n".join(connection.iterdump())
    connection.close()
    database.migrate(f"sqlite:{path}")
    with sqlite3.connect(path) as connection:
        assert "\n".join(connection.iterdump()) == before
    connection.close()


def test_a_registry_of_a_newer_station_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite"
    database.create(f"sqlite:{path}")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(BirthmarkError) as caught:
        database.migrate(f"sqlite:{path}")
    assert caught.value.code == "registry.too-new"


@pytest.mark.parametrize("content", [b"this is no database, and it is longer than a header" * 40, None])
async def test_a_file_that_is_no_registry_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "registry.sqlite"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(BirthmarkError) as caught:
        database.migrate(f"sqlite:{path}")
    assert caught.value.code == "registry.unavailable"
    registry = Database(f"sqlite:{path}", "bench")
    with pytest.raises(BirthmarkError) as caught:
        await ids(registry)
    assert caught.value.code == "registry.unavailable"
    await registry.close()
