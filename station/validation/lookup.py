"""Looks units up for validation, many in one query: who asks while a query runs is answered by the next one.

One query at a time for whatever has gathered makes thousands of lookups a second out of a database that answers some
hundreds of queries, and lets an answer's time say little about what was found.
"""

from __future__ import annotations

import asyncio
from typing import Final

import sqlalchemy as sa

from station.registry.database import Database
from station.registry.records import UnitState
from station.registry.schema import ACTIVE, assignments, units

_BATCH: Final = 200
"""Lookups in one query. SQLite takes thousands of bound values; a longer batch only makes the first one wait."""

Found = tuple[UnitState, frozenset[int]]
"""A unit's state and table ids."""


class Lookup:
    """Finds units that are not released by their keyed NUC index."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[bytes, asyncio.Future[Found | None]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def find(self, nuc_blind_index: bytes) -> Found | None:
        """What was committed when it was asked, or later. Raises `registry.unavailable`."""
        answer: asyncio.Future[Found | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((nuc_blind_index, answer))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
                try:
                    found = await self._query({nuc_blind_index for nuc_blind_index, _ in batch})
                except Exception as error:  # noqa: BLE001 - it is raised again by everyone who waits for it
                    for _, answer in batch:
                        if not answer.done():
                            answer.set_exception(error)
                    continue
                for nuc_blind_index, answer in batch:
                    if not answer.done():  # who gave up waiting has cancelled it
                        answer.set_result(found.get(nuc_blind_index))
        finally:
            self._worker = None

    async def _query(self, wanted: set[bytes]) -> dict[bytes, Found]:
        query = (
            sa.select(units.c.nuc_blind_index, units.c.state, assignments.c.table_id)
            .join(assignments, assignments.c.unit_id == units.c.id)
            .where(units.c.nuc_blind_index.in_(wanted), ACTIVE)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        states = {row.nuc_blind_index: UnitState(row.state) for row in rows}
        tables: dict[bytes, set[int]] = {nuc_blind_index: set() for nuc_blind_index in states}
        for row in rows:
            tables[row.nuc_blind_index].add(row.table_id)
        return {
            nuc_blind_index: (state, frozenset(tables[nuc_blind_index])) for nuc_blind_index, state in states.items()
        }
