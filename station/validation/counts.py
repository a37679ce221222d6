"""Counts the validations of each unit and day, and keeps the daily limit, without a write for each validation.

Counts wait in memory, at most `WAITING_UNITS` of them, until `store` adds them to the registry, some units in a
transaction. What waits is lost when the station dies; no validation depends on it but by the daily limit. Only
validations that pass are counted, or that would but for the limit: their sender is told so anyway, and a store tells
nobody more. What fails takes the same steps, for a unit that there is not.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import Final

from runtime.clock import SYSTEM_CLOCK, Clock
from station.config import ValidationConfig
from station.registry import validations
from station.registry.database import Database
from station.registry.records import NEVER_VALIDATED, Validated
from station.registry.validations import day_of

WAITING_UNITS: Final = 10_000
"""The most units and days whose counts wait, some 2 MB; `full` asks for a store before."""

_BATCH: Final = 500
"""Units in one transaction: it takes some 10 ms, for which a session on a port may wait."""

_NOBODY: Final = 0


class ValidationCounts:
    def __init__(self, config: ValidationConfig, database: Database, clock: Clock = SYSTEM_CLOCK) -> None:
        self.config: Final = config
        self.full: Final = asyncio.Event()
        """Set while so many counts wait that they should be stored soon."""
        self.uncounted = 0
        """Validations that were not counted, because too many counts were waiting."""
        self._database = database
        self._clock = clock
        self._waiting: dict[tuple[int, int], int] = {}
        """Day and unit's id → validations that are not yet stored."""
        self._storing = asyncio.Lock()

    def today(self) -> int:
        """Days since 1970, in UTC."""
        return day_of(self._clock())

    def on(self, day: int, unit_id: int, stored: Validated) -> int:
        """How often a unit was validated on `day`: what is `stored`, and what waits."""
        return stored.on(day) + self._waiting.get((day, unit_id), 0)

    def waiting(self, unit_id: int) -> int:
        """How many of a unit's validations of today and yesterday are not yet stored."""
        today = self.today()
        return sum(self._waiting.get((day, unit_id), 0) for day in (today, today - 1))

    def count(self, unit_id: int, stored: Validated) -> bool:
        """Count a validation that passes. False when the unit has used up its daily limit."""
        day = self.today()
        limit = self.config.daily_limit
        within = limit == 0 or self.on(day, unit_id, stored) < limit
        self._add(day, unit_id, 1)
        return within

    def count_failure(self) -> None:
        """Take the same steps for a validation that fails."""
        self.count(_NOBODY, NEVER_VALIDATED)

    def _add(self, day: int, unit_id: int, number: int) -> None:
        key = (day, unit_id)
        if key in self._waiting:
            self._waiting[key] += number
        elif len(self._waiting) < WAITING_UNITS:
            self._waiting[key] = number
        else:
            self.uncounted += number
        if len(self._waiting) >= WAITING_UNITS // 2:
            self.full.set()

    async def store(self) -> None:
        """Add what waits to the registry. Raises `registry.unavailable`; what is not stored goes on waiting."""
        async with self._storing:
            taken, self._waiting = self._waiting, {}
            self.full.clear()
            taken = {key: number for key, number in taken.items() if key[1] != _NOBODY}
            try:
                while taken:
                    batch = dict(islice(taken.items(), _BATCH))
                    async with self._database.write() as connection:
                        await validations.add(connection, batch)
                    for key in batch:
                        del taken[key]
            finally:
                for (day, unit_id), number in taken.items():
                    self._add(day, unit_id, number)
