"""Transactions that wait for one another: none is overtaken, however many there are."""

from __future__ import annotations

import asyncio
from pathlib import Path

from station.registry import database
from station.registry.database import Database
from station.registry.schema import key_tables

WRITERS = 60


async def test_writes_are_carried_out_in_the_order_they_were_asked_for(tmp_path: Path) -> None:
    database.create(tmp_path / "registry.sqlite")
    registry = Database(tmp_path / "registry.sqlite")
    written: list[int] = []

    async def write(number: int) -> None:
        async with registry.write() as connection:
            await connection.execute(key_tables.insert().values(id=number, sealed=b"-"))
            written.append(number)

    async with registry.write():
        writers = [asyncio.create_task(write(number)) for number in range(WRITERS)]
        await asyncio.sleep(0)
    await asyncio.gather(*writers)
    await registry.close()
    assert written == list(range(WRITERS))
