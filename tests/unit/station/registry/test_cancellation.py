"""A transaction that is cancelled, at every point where it waits and more than once: whole or not at all, and over."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import types
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from station.registry import database
from station.registry.database import Database
from station.registry.schema import key_tables

WAITS = 40
LEAST_WAITS = 10
"""A transaction as below waits more often than this for its thread, and less often than `WAITS`."""

PATIENCE_SECONDS = 20


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
    """`work`, with `strike` called when it waits for the `at`-th time. Gives whether it came to that."""
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
    """Cancel `work` at its `at`-th wait and in the turns of the loop after it. Gives whether it came to that."""
    loop = asyncio.get_running_loop()

    def strike(left: int = times) -> None:
        task.cancel()
        if left > 1:
            loop.call_soon(strike, left - 1)

    async def run() -> bool:
        return await struck(work, at, lambda: loop.call_soon(strike))

    task = asyncio.create_task(run())
    await asyncio.wait([task], timeout=PATIENCE_SECONDS)
    assert task.done()
    return task.cancelled() or task.result()


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("work", [write_two, read_twice])
async def test_a_cancelled_transaction_is_whole_or_nothing_and_leaves_nobody_waiting(
    tmp_path: Path, work: Callable[[Database, int], Coroutine[Any, Any, None]], times: int
) -> None:
    path = tmp_path / "registry.sqlite"
    database.create(path)
    threads = set(threading.enumerate())
    registry = Database(path)
    hit = [await cancelled(work(registry, 2 * at), at, times) for at in range(WAITS)]
    assert hit.index(False) > LEAST_WAITS
    await write_two(registry, 2 * WAITS)  # nothing holds the lock
    await registry.close()

    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        _, waiting = await asyncio.wait(others, timeout=PATIENCE_SECONDS)
        assert not waiting
    for thread in set(threading.enumerate()) - threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()

    with sqlite3.connect(path) as connection:
        written = {row[0] for row in connection.execute("SELECT id FROM key_tables")}
    connection.close()
    assert {table ^ 1 for table in written} == written
    assert {2 * WAITS, 2 * WAITS + 1} <= written
