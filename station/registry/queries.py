"""Reads the registry: pages of units, single units, counts and times."""

from __future__ import annotations

import statistics
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import sqlalchemy as sa

from shared.errors import BirthmarkError
from shared.types import TableId
from station.registry import certificates, units
from station.registry.database import Connection
from station.registry.records import Certificate, Standing, Unit, UnitState, Validated
from station.registry.schema import ACTIVE, assignments, has_serial, key_tables, validations
from station.registry.schema import units as table

PAGE_UNITS: Final = 500
"""The most units on one page: about 200 KiB of JSON."""

_LISTED: Final = sa.and_(ACTIVE, table.c.state != UnitState.RESERVED.value)
"""A unit that lists show when no state is asked for, and counts count."""

_TIMED_UNITS: Final = 1000
"""The provisioning times are computed over this many of the latest units."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which units to find. An empty field matches every unit; without `state`, none is released or reserved."""

    state: UnitState | None = None
    family: str = ""
    station: str = ""
    serial_contains: str = ""
    issued_since: int | None = None
    """Seconds since 1970, inclusive."""
    issued_before: int | None = None
    """Seconds since 1970, exclusive."""


@dataclass(frozen=True, slots=True)
class Page:
    units: list[Unit]
    cursor: str | None
    """Pass it to `page` to get the next page; None after the last."""


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds from a unit's first message to `provisioned`, over the latest `count` units."""

    count: int
    minimum: float
    mean: float
    median: float
    p95: float
    maximum: float


async def page(connection: Connection, wanted: Filter, *, limit: int = 100, cursor: str = "") -> Page:
    """Return at most `limit` units (1 to 500), the latest first. Raises `registry.cursor-invalid`.

    Following the cursors gives every unit once, except those added since the first page was read.
    """
    conditions = _conditions(wanted)
    if cursor:
        if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
            raise BirthmarkError("registry.cursor-invalid")
        conditions.append(table.c.id < int(cursor))
    limit = max(1, min(limit, PAGE_UNITS))
    found = await units.select(connection, sa.and_(*conditions), limit + 1)
    more = len(found) > limit
    return Page(found[:limit], str(found[limit - 1].id) if more else None)


async def count_all(connection: Connection) -> int:
    """Count all units, in whatever state."""
    return (await connection.execute(sa.select(sa.func.count()).select_from(table))).scalar_one()


async def count(connection: Connection, wanted: Filter) -> int:
    """Count the units that a filter finds."""
    counted = sa.select(sa.func.count()).select_from(table).where(*_conditions(wanted))
    return (await connection.execute(counted)).scalar_one()


def _conditions(wanted: Filter) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = [
        _LISTED if wanted.state is None else table.c.state == wanted.state.value
    ]
    if wanted.family:
        conditions.append(table.c.family == wanted.family)
    if wanted.station:
        conditions.append(table.c.station == wanted.station)
    if wanted.serial_contains:
        conditions.append(table.c.serial.icontains(wanted.serial_contains, autoescape=True))
    if wanted.issued_since is not None:
        conditions.append(table.c.issued_at >= wanted.issued_since)
    if wanted.issued_before is not None:
        conditions.append(table.c.issued_at < wanted.issued_before)
    return conditions


async def by_serial(connection: Connection, serial: str) -> Unit:
    """Return the unit with this serial number, in any case; the latest, if all were released.

    Raises `registry.unknown-unit`.
    """
    found = await units.select(connection, has_serial(serial))
    if not found:
        raise BirthmarkError("registry.unknown-unit", serial)
    return next((unit for unit in found if unit.state is not UnitState.RELEASED), found[0])


async def by_nuc_blind_index(connection: Connection, nuc_blind_index: bytes) -> Unit | None:
    """Return the unit with this blind index of its NUC hash, unless it was released."""
    found = await units.select(connection, sa.and_(table.c.nuc_blind_index == nuc_blind_index, ACTIVE))
    return found[0] if found else None


async def by_certificate(connection: Connection, sha256: bytes) -> tuple[Unit, Certificate] | None:
    """Return the certificate with this SHA-256 of its DER and the unit that it was issued to, in whatever state."""
    certificate = await certificates.by_sha256(connection, sha256)
    return (await units.by_id(connection, certificate.unit_id), certificate) if certificate else None


async def nuc_blind_indices(connection: Connection) -> dict[int, bytes]:
    """Unit id → the blind index of its NUC hash, for the units that are not released."""
    query = sa.select(table.c.id, table.c.nuc_blind_index).where(ACTIVE)
    return {row.id: row.nuc_blind_index for row in await connection.execute(query)}


@lru_cache(maxsize=1024)
def _standings_query(count: int) -> sa.TextualSelect:
    """The query for `count` blind indices: as many rows for one that nobody has as for a unit's.

    In place of nobody's tables and counts it reads another unit's, so that the time tells little of who there is.
    """
    wanted = ", ".join(f"(:wanted_{number})" for number in range(count))
    text = f"""
        WITH wanted (nuc_blind_index) AS (VALUES {wanted}),
        other (unit_id) AS (SELECT min(unit_id) FROM assignments)
        SELECT wanted.nuc_blind_index, units.id, units.state, assignments.table_id,
            coalesce(validations.day, 0) AS day, coalesce(validations.on_day, 0) AS on_day,
            coalesce(validations.total, 0) AS total
        FROM wanted CROSS JOIN other
        LEFT JOIN units ON units.nuc_blind_index = wanted.nuc_blind_index AND {ACTIVE.text}
        JOIN assignments ON assignments.unit_id = coalesce(units.id, other.unit_id)
        LEFT JOIN validations ON validations.unit_id = assignments.unit_id
    """  # noqa: S608 - the text holds names only
    columns = (table.c.nuc_blind_index, table.c.id, table.c.state, assignments.c.table_id)
    counts = (validations.c.day, validations.c.on_day, validations.c.total)
    return sa.text(text).columns(*(sa.column(column.name, column.type) for column in (*columns, *counts)))


async def standings(connection: Connection, nuc_blind_indices: Collection[bytes]) -> dict[bytes, Standing]:
    """Blind index → how its unit stands, for the units that are not released."""
    values = {f"wanted_{number}": index for number, index in enumerate(nuc_blind_indices)}
    rows = (await connection.execute(_standings_query(len(values)), values)).all()
    last = {row.nuc_blind_index: row for row in rows}
    tables: dict[bytes, set[int]] = {index: set() for index in last}
    for row in rows:
        tables[row.nuc_blind_index].add(row.table_id)
    found = {  # of nobody as well, so that it takes as long
        index: Standing(
            row.id or 0,
            UnitState(row.state or UnitState.RELEASED),
            frozenset(tables[index]),
            Validated(row.day, row.on_day, row.total),
        )
        for index, row in last.items()
    }
    return {index: one for index, one in found.items() if one.state is not UnitState.RELEASED}


async def families(connection: Connection) -> dict[str, int]:
    """Count the units of each family that are neither reserved nor released."""
    counted = sa.select(table.c.family, sa.func.count()).where(_LISTED).group_by(table.c.family)
    return {row[0]: row[1] for row in await connection.execute(counted.order_by(table.c.family))}


async def table_usage(connection: Connection) -> dict[TableId, int]:
    """Count for each key table the units, not released, that have it; 0 for a table that none has."""
    used = (
        sa.select(assignments.c.table_id, sa.func.count().label("used"))
        .join(table, table.c.id == assignments.c.unit_id)
        .where(ACTIVE)
        .group_by(assignments.c.table_id)
        .subquery()
    )
    counted = sa.select(key_tables.c.id, sa.func.coalesce(used.c.used, 0)).outerjoin(
        used, used.c.table_id == key_tables.c.id
    )
    return {TableId(row[0]): row[1] for row in await connection.execute(counted.order_by(key_tables.c.id))}


async def provisioning_times(connection: Connection) -> Times | None:
    """Compute the times over the latest thousand units that were timed; None when there is none."""
    latest = sa.select(table.c.duration_ms).where(table.c.duration_ms.is_not(None))
    found = await connection.execute(latest.order_by(table.c.provisioned_at.desc()).limit(_TIMED_UNITS))
    seconds = sorted(row[0] / 1000 for row in found)
    if not seconds:
        return None
    return Times(
        count=len(seconds),
        minimum=seconds[0],
        mean=statistics.fmean(seconds),
        median=statistics.median(seconds),
        p95=seconds[min(len(seconds) - 1, int(len(seconds) * 0.95))],
        maximum=seconds[-1],
    )


async def any_trusted(connection: Connection, ek_trust: str) -> bool:
    """Whether any unit whose EK certificate had this verdict was ever issued a certificate."""
    asked = sa.select(sa.literal(1)).where(table.c.ek_trust == ek_trust).limit(1)
    return (await connection.execute(asked)).first() is not None
