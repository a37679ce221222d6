"""Adds units, changes their state, and reads them.

A unit goes `reserved` → `issued` when its certificate is recorded (`station.registry.reservations`) → `provisioned` on
its receipt. An operator may release it (`released`); then its serial number, its TPM and its sensor may be provisioned
anew. Until then no other unit may have any of them. In between it may be `revoked` and reinstated
(`station.registry.revocation`, where release is, too). Lists and counts are in `station.registry.queries`.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from shared.errors import BirthmarkError
from shared.types import TableId
from station.registry import audit, certificates, validations
from station.registry.audit import Event
from station.registry.database import Connection
from station.registry.records import (
    NEVER_VALIDATED,
    Applicant,
    Certificate,
    CertificateState,
    KeyHolder,
    Unit,
    UnitState,
    Validated,
)
from station.registry.schema import ACTIVE, assignments, has_serial, units
from station.registry.schema import certificates as certificate_table

_BATCH: Final = 500
"""Units in one query for what belongs to them: SQLite accepts thousands of bound values."""


def facts(applicant: Applicant) -> dict[str, Any]:
    """Column → value, for what the registry stores of an applicant."""
    values = {name: getattr(applicant, name) for name in applicant.__slots__ if name in units.c}
    return values | {"key_holder": applicant.key_holder.value}


async def insert(
    connection: Connection, applicant: Applicant, state: UnitState, tables: tuple[TableId, ...], now: int
) -> int:
    """Insert a unit with its key tables, reserved at `now`. Returns its id. Raises the errors of `violations.TAKEN`."""
    values = facts(applicant) | {"state": state.value, "reserved_at": now}
    inserted = await connection.execute(units.insert().values(values).returning(units.c.id))
    unit_id: int = inserted.scalar_one()
    await connection.execute(assignments.insert(), [{"unit_id": unit_id, "table_id": table} for table in tables])
    return unit_id


async def resume(connection: Connection, unit_id: int, now: int, port: str = "", suppressed: int | None = 0) -> Unit:
    """Record that a unit came back, at `port`, for the certificate it has.

    The audit log gets no row if `suppressed` is None; else it is how many events of the port got none before. Raises
    `registry.released-meanwhile` or `registry.unit-revoked`.
    """
    unit = await by_id(connection, unit_id)
    require_current(unit)
    if suppressed is not None:
        detail = {"certificate": certificate_serial(unit), "port": port} | audit.after(suppressed)
        await audit.append(connection, now, Event.RESUMED, unit.serial, **detail)
    return unit


async def confirm(connection: Connection, unit_id: int, now: int, duration_ms: int | None = None) -> Unit:
    """Record the unit's receipt for its latest certificate, once: it is then `provisioned`, the certificate `active`.

    `duration_ms` counts from the unit's first message. Raises `registry.released-meanwhile` or
    `registry.unit-revoked`.
    """
    unit = await by_id(connection, unit_id)
    require_current(unit)
    certificate = unit.certificate
    if certificate is None or certificate.state is not CertificateState.ISSUED:
        return unit
    latest = certificate_table.c.id == certificate.id
    await connection.execute(
        certificate_table.update().where(latest).values(state=CertificateState.ACTIVE.value, activated_at=now)
    )
    first = unit.state is UnitState.ISSUED
    if first:
        values = {"state": UnitState.PROVISIONED.value, "provisioned_at": now, "duration_ms": duration_ms}
        await connection.execute(units.update().where(units.c.id == unit_id).values(values))
    else:
        earlier = sa.and_(
            certificate_table.c.unit_id == unit_id,
            certificate_table.c.state == CertificateState.ACTIVE.value,
            ~latest,
        )
        await connection.execute(
            certificate_table.update().where(earlier).values(state=CertificateState.SUPERSEDED.value, superseded_at=now)
        )
    event = Event.PROVISIONED if first else Event.RENEWED
    await audit.append(connection, now, event, unit.serial, certificate=certificate.serial)
    return await by_id(connection, unit_id)


def require_current(unit: Unit) -> None:
    """Raises `registry.unit-revoked` or `registry.released-meanwhile` when the unit is either."""
    if unit.state is UnitState.REVOKED:
        raise BirthmarkError("registry.unit-revoked", unit.serial)
    if unit.state is UnitState.RELEASED:
        raise BirthmarkError("registry.released-meanwhile", unit.serial)


def certificate_serial(unit: Unit) -> str:
    """The serial number of the unit's latest certificate, hexadecimal; empty when it has none."""
    return unit.certificate.serial if unit.certificate else ""


async def by_id(connection: Connection, unit_id: int) -> Unit:
    [unit] = await select(connection, units.c.id == unit_id)
    return unit


async def active(connection: Connection, serial: str) -> Unit:
    """Return the unit with this serial number, in any case, that is not released. Raises `registry.unknown-unit`."""
    found = await select(connection, sa.and_(has_serial(serial), ACTIVE))
    if not found:
        raise BirthmarkError("registry.unknown-unit", serial)
    return found[0]


async def count_by_state(connection: Connection) -> dict[UnitState, int]:
    """Count the units in each state."""
    found = await connection.execute(sa.select(units.c.state, sa.func.count()).group_by(units.c.state))
    counts = {row[0]: row[1] for row in found}
    return {state: counts.get(state.value, 0) for state in UnitState}


async def select(connection: Connection, condition: sa.ColumnElement[bool], limit: int | None = None) -> list[Unit]:
    """Return the units for which `condition` holds, with all that belongs to them, the latest first."""
    shown = [column for column in units.c if column.name in Unit.__slots__]
    rows = (await connection.execute(sa.select(*shown).where(condition).order_by(units.c.id.desc()).limit(limit))).all()
    found: list[Unit] = []
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        ids = [row.id for row in batch]
        tables = await _tables_of(connection, ids)
        latest = await certificates.latest_of(connection, ids)
        validated = await validations.of_units(connection, ids)
        found += [
            _unit(row, tables[row.id], latest.get(row.id), validated.get(row.id, NEVER_VALIDATED)) for row in batch
        ]
    return found


async def _tables_of(connection: Connection, unit_ids: list[int]) -> dict[int, tuple[TableId, ...]]:
    held: dict[int, list[TableId]] = {unit_id: [] for unit_id in unit_ids}
    query = sa.select(assignments.c.unit_id, assignments.c.table_id).where(assignments.c.unit_id.in_(unit_ids))
    for unit_id, table in await connection.execute(query.order_by(assignments.c.table_id)):
        held[unit_id].append(TableId(table))
    return {unit_id: tuple(tables) for unit_id, tables in held.items()}


def _unit(row: sa.Row[Any], tables: tuple[TableId, ...], certificate: Certificate | None, validated: Validated) -> Unit:
    typed = {"state": UnitState(row.state), "key_holder": KeyHolder(row.key_holder)}
    return Unit(**{**row._mapping, **typed}, tables=tables, certificate=certificate, validated=validated)
