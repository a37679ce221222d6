"""Looks up units for validation, many in one query: lookups that arrive while a query runs share the next one.

Batches give thousands of lookups a second from a database that answers some hundreds of queries, and make the response
time reveal little about the result.
"""

from __future__ import annotations

import asyncio
from typing import Final

from station.registry import queries
from station.registry.database import Database
from station.registry.records import Standing

_BATCH: Final = 200
"""The most lookups in one query. SQLite accepts thousands of bound values; a longer batch only delays the first
lookup."""


class Lookup:
    """Finds units that are not released by their blind index."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[bytes, asyncio.Future[Standing | None]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def find(self, nuc_blind_index: bytes) -> Standing | None:
        """Return how the unit stands, as committed at the time of the call, or later. Raises `registry.unavailable`."""
        answer: asyncio.Future[Standing | None] = asyncio.get_running_loop().create_future()
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
                except Exception as error:  # noqa: BLE001 - every waiting caller raises it again
                    for _, answer in batch:
                        if not answer.done():
                            answer.set_exception(error)
                    continue
                for nuc_blind_index, answer in batch:
                    if not answer.done():  # a caller that gave up has cancelled it
                        answer.set_result(found.get(nuc_blind_index))
        finally:
            self._worker = None

    async def _query(self, wanted: set[bytes]) -> dict[bytes, Standing]:
        async with self._database.read() as connection:
            return await queries.standings(connection, wanted)
