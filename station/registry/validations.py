"""Counts how often each unit was validated: on the latest day, and in all. Not when, and not of what.

One row a unit, so a registry does not grow with its cameras' photos, and tells nobody when they were made.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import sqlalchemy as sa

from station.registry.database import Connection
from station.registry.records import Validated
from station.registry.schema import units, validations

DAY_SECONDS: Final = 86400

_ADD: Final = sa.text(
    """
    INSERT INTO validations (unit_id, day, on_day, total) VALUES (:unit_id, :day, :number, :number)
    ON CONFLICT (unit_id) DO UPDATE SET
        on_day = CASE
            WHEN validations.day = excluded.day THEN validations.on_day + excluded.on_day
            WHEN validations.day < excluded.day THEN excluded.on_day
            ELSE validations.on_day END,
        day = CASE WHEN validations.day < excluded.day THEN excluded.day ELSE validations.day END,
        total = validations.total + excluded.total
    """
)


def day_of(seconds: float) -> int:
    """The day, in UTC, as days since 1970."""
    return int(seconds // DAY_SECONDS)


async def add(connection: Connection, numbers: Mapping[tuple[int, int], int]) -> None:
    """Add to the counts. `numbers`: day and unit's id → how many validations."""
    rows = [{"day": day, "unit_id": unit_id, "number": number} for (day, unit_id), number in sorted(numbers.items())]
    await connection.execute(_ADD, rows)


async def of_units(connection: Connection, unit_ids: Collection[int]) -> dict[int, Validated]:
    """The counts of these units; one that was never validated is missing."""
    found = await connection.execute(sa.select(validations).where(validations.c.unit_id.in_(unit_ids)))
    return {row.unit_id: Validated(row.day, row.on_day, row.total) for row in found}


async def count_often(connection: Connection, day: int, least: int) -> int:
    """Count the units that were validated at least `least` times on `day`."""
    counted = sa.select(sa.func.count()).select_from(validations).where(*_often(day, least))
    return (await connection.execute(counted)).scalar_one()


async def often(connection: Connection, day: int, least: int, limit: int) -> list[str]:
    """The serial numbers of at most `limit` of them, the most often validated first."""
    query = sa.select(units.c.serial).join(validations, validations.c.unit_id == units.c.id).where(*_often(day, least))
    found = await connection.execute(query.order_by(validations.c.on_day.desc(), units.c.id).limit(limit))
    return list(found.scalars())


def _often(day: int, least: int) -> tuple[sa.ColumnElement[bool], ...]:
    return validations.c.day == day, validations.c.on_day >= least
