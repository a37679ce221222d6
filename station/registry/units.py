"""Units and what may become of them: who is new, who comes back, who is refused. One transaction decides it whole.

A unit goes `issued` → `provisioned` on its receipt, and is `released` by an operator, after which its serial number,
its TPM and its sensor may be provisioned anew. While it is active none of them belongs to another unit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import BirthmarkError
from shared.types import BoardSerial, TableId
from station.registry import audit
from station.registry.audit import Event
from station.registry.schema import assignments, units


class UnitState(StrEnum):
    ISSUED = "issued"
    PROVISIONED = "provisioned"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Applicant:
    """Who asks for a certificate, after everything about them has been proven."""

    serial: BoardSerial
    model: str
    agent: str
    station: str
    port: str
    ek_fingerprint: bytes
    device_fingerprint: bytes
    nuc_index: bytes
    certificate_sha256: bytes
    """Of the certificate the unit says it holds; empty when it says it holds none."""
    ek_trust: str
    ek_reason: str
    ek_anchor: str
    tpm_manufacturer: str
    tpm_model: str
    tpm_firmware: str


@dataclass(frozen=True, slots=True)
class Unit:
    """A row of the registry, with its tables."""

    id: int
    serial: str
    state: UnitState
    model: str
    station: str
    port: str
    agent: str
    certificate: bytes
    certificate_serial: str
    not_after: int
    issued_at: int
    provisioned_at: int | None
    closed_at: int | None
    closed_reason: str | None
    ek_trust: str
    ek_reason: str
    ek_anchor: str
    tpm_manufacturer: str
    tpm_model: str
    tpm_firmware: str
    tables: tuple[TableId, ...]


@dataclass(frozen=True, slots=True)
class Enrollment:
    unit: Unit
    resumed: bool
    """Whether the unit had its certificate already."""


async def enroll(
    connection: AsyncConnection,
    applicant: Applicant,
    now: int,
    issue: Callable[[], x509.Certificate],
    choose: Callable[[], tuple[TableId, ...]],
) -> Enrollment:
    """Give the applicant their unit: the one they have, or a new one with what `issue` and `choose` make.

    Raises `registry.serial-taken`, `registry.ek-taken`, `registry.device-key-taken`, `registry.device-key-changed`,
    `registry.duplicate-nuc`, `registry.nuc-changed` or `identity.unknown-certificate`; nothing is then written.
    """
    known = _decide(applicant, await _claimed_by(connection, applicant))
    await _check_certificate(connection, applicant)
    if known is not None:
        unit = await by_id(connection, known)
        await audit.append(connection, now, Event.RESUMED, unit.serial, certificate=unit.certificate_serial)
        return Enrollment(unit, resumed=True)

    certificate = issue()
    der = certificate.public_bytes(Encoding.DER)
    tables = choose()
    values: dict[str, Any] = {name: getattr(applicant, name) for name in applicant.__slots__}
    values |= {
        "state": UnitState.ISSUED.value,
        "certificate": der,
        "certificate_sha256": hashlib.sha256(der).digest(),
        "certificate_serial": f"{certificate.serial_number:x}",
        "not_after": int(certificate.not_valid_after_utc.timestamp()),
        "issued_at": now,
    }
    inserted = await connection.execute(units.insert().values(values).returning(units.c.id))
    unit_id: int = inserted.scalar_one()
    await connection.execute(assignments.insert(), [{"unit_id": unit_id, "table_id": table} for table in tables])
    await audit.append(
        connection,
        now,
        Event.ISSUED,
        applicant.serial,
        certificate=values["certificate_serial"],
        tables=tables,
        ek=applicant.ek_fingerprint.hex(),
        ek_trust=applicant.ek_trust,
        port=applicant.port,
        station=applicant.station,
    )
    return Enrollment(await by_id(connection, unit_id), resumed=False)


async def confirm(connection: AsyncConnection, unit_id: int, now: int) -> Unit:
    """The unit has proven that it holds what it was given: `issued` → `provisioned`, once."""
    moved = await connection.execute(
        units.update()
        .where(units.c.id == unit_id, units.c.state == UnitState.ISSUED.value)
        .values(state=UnitState.PROVISIONED.value, provisioned_at=now)
    )
    unit = await by_id(connection, unit_id)
    if unit.state is UnitState.RELEASED:
        raise BirthmarkError("registry.released-meanwhile", unit.serial)
    if moved.rowcount:
        await audit.append(connection, now, Event.PROVISIONED, unit.serial, certificate=unit.certificate_serial)
    return unit


async def release(connection: AsyncConnection, serial: str, reason: str, now: int) -> Unit:
    """Set the unit's serial number, TPM and sensor free. Raises `registry.unknown-unit`."""
    active = (units.c.serial == serial) & (units.c.state != UnitState.RELEASED.value)
    row = (await connection.execute(sa.select(units.c.id).where(active))).first()
    if row is None:
        raise BirthmarkError("registry.unknown-unit", serial)
    await connection.execute(
        units.update()
        .where(units.c.id == row.id)
        .values(state=UnitState.RELEASED.value, closed_at=now, closed_reason=reason)
    )
    unit = await by_id(connection, row.id)
    await audit.append(connection, now, Event.RELEASED, unit.serial, certificate=unit.certificate_serial, reason=reason)
    return unit


async def by_id(connection: AsyncConnection, unit_id: int) -> Unit:
    [unit] = await _select(connection, units.c.id == unit_id)
    return unit


async def listed(connection: AsyncConnection, *, limit: int = 1000, before: int | None = None) -> list[Unit]:
    """Units that are not released, the latest first; `before` is the id of the last one seen."""
    condition = units.c.state != UnitState.RELEASED.value
    if before is not None:
        condition &= units.c.id < before
    return await _select(connection, condition, limit)


async def counted(connection: AsyncConnection) -> dict[UnitState, int]:
    """How many units there are in each state."""
    found = await connection.execute(sa.select(units.c.state, sa.func.count()).group_by(units.c.state))
    counts = {row[0]: row[1] for row in found}
    return {state: counts.get(state.value, 0) for state in UnitState}


async def _select(connection: AsyncConnection, condition: Any, limit: int | None = None) -> list[Unit]:
    shown = [column for column in units.c if column.name in Unit.__slots__]
    rows = (await connection.execute(sa.select(*shown).where(condition).order_by(units.c.id.desc()).limit(limit))).all()
    held: dict[int, list[TableId]] = {row.id: [] for row in rows}
    for start in range(0, len(rows), 500):  # SQLite's limit on bound values
        ids = [row.id for row in rows[start : start + 500]]
        for unit_id, table in await connection.execute(
            sa.select(assignments.c.unit_id, assignments.c.table_id)
            .where(assignments.c.unit_id.in_(ids))
            .order_by(assignments.c.table_id)
        ):
            held[unit_id].append(TableId(table))
    return [Unit(**{**row._mapping, "state": UnitState(row.state), "tables": tuple(held[row.id])}) for row in rows]


async def _claimed_by(connection: AsyncConnection, applicant: Applicant) -> list[sa.Row[Any, Any, Any, Any, Any]]:
    mine = (
        (units.c.serial == applicant.serial)
        | (units.c.ek_fingerprint == applicant.ek_fingerprint)
        | (units.c.device_fingerprint == applicant.device_fingerprint)
        | (units.c.nuc_index == applicant.nuc_index)
    )
    columns = (units.c.id, units.c.serial, units.c.ek_fingerprint, units.c.device_fingerprint, units.c.nuc_index)
    found = await connection.execute(
        sa.select(*columns).where(units.c.state != UnitState.RELEASED.value, mine).order_by(units.c.id)
    )
    return list(found.all())


def _decide(applicant: Applicant, rows: list[sa.Row[Any, Any, Any, Any, Any]]) -> int | None:
    """The id of the unit that the applicant is, None for a new one; a partial likeness is refused by name."""
    for row in rows:
        serial = row.serial == applicant.serial
        ek = row.ek_fingerprint == applicant.ek_fingerprint
        if serial and not ek:
            raise BirthmarkError("registry.serial-taken", applicant.serial)
        if ek and not serial:
            raise BirthmarkError("registry.ek-taken", f"it belongs to {row.serial}")
        if not ek and row.device_fingerprint == applicant.device_fingerprint:
            raise BirthmarkError("registry.device-key-taken", f"it belongs to {row.serial}")
        if not ek:
            raise BirthmarkError("registry.duplicate-nuc", f"it belongs to {row.serial}")
        if row.device_fingerprint != applicant.device_fingerprint:
            raise BirthmarkError("registry.device-key-changed", applicant.serial)
        if row.nuc_index != applicant.nuc_index:
            raise BirthmarkError("registry.nuc-changed", applicant.serial)
    return rows[0].id if rows else None


async def _check_certificate(connection: AsyncConnection, applicant: Applicant) -> None:
    if not applicant.certificate_sha256:
        return
    found = await connection.execute(
        sa.select(units.c.id).where(
            units.c.certificate_sha256 == applicant.certificate_sha256,
            units.c.device_fingerprint == applicant.device_fingerprint,
        )
    )
    if found.first() is None:
        raise BirthmarkError("identity.unknown-certificate", applicant.serial)
