"""Adds units and changes their state: decides in one transaction whether an applicant is new, known or refused.

A unit goes `issued` → `provisioned` on its receipt. An operator may release it (`released`); then its serial number,
its TPM and its sensor may be provisioned anew. Until then no other unit may have any of them. In between it may be
`revoked` and reinstated (`station.registry.revocation`). Lists and counts are in `station.registry.queries`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import BirthmarkError
from shared.types import TableId
from station.registry import audit
from station.registry.audit import Event
from station.registry.records import Applicant, Issuance, KeyHolder, Unit, UnitState
from station.registry.schema import ACTIVE, assignments, crl, units

__all__ = ["Applicant", "Issuance", "KeyHolder", "Unit", "UnitState"]


async def issue_or_resume(
    connection: AsyncConnection,
    applicant: Applicant,
    now: int,
    issue: Callable[[tuple[TableId, ...]], x509.Certificate],
    choose: Callable[[], tuple[TableId, ...]],
) -> Issuance:
    """Return the applicant's unit: the existing one, or a new one with what `choose` and `issue` make.

    Raises `registry.serial-taken`, `registry.ek-taken`, `registry.device-key-taken`, `registry.device-key-changed`,
    `registry.duplicate-nuc`, `registry.nuc-changed`, `registry.unit-revoked` or `identity.unknown-certificate`;
    then writes nothing.
    """
    known = _identify_applicant(applicant, await _find_matches(connection, applicant))
    await _check_certificate(connection, applicant)
    if known is None:
        tables = choose()
        return Issuance(await add(connection, applicant, issue(tables), tables, now), resumed=False)
    unit = await by_id(connection, known)
    _require_unrevoked(unit)
    await audit.append(connection, now, Event.RESUMED, unit.serial, certificate=unit.certificate_serial)
    return Issuance(unit, resumed=True)


async def issue_new(
    connection: AsyncConnection,
    applicant: Applicant,
    now: int,
    issue: Callable[[tuple[TableId, ...]], x509.Certificate],
    choose: Callable[[], tuple[TableId, ...]],
) -> Unit:
    """Make a new unit for an applicant without a TPM, who can therefore never be recognized as a known unit.

    Raises `registry.serial-taken`, `registry.device-key-taken` or `registry.duplicate-nuc`; then writes nothing.
    """
    _identify_applicant(applicant, await _find_matches(connection, applicant))
    tables = choose()
    return await add(connection, applicant, issue(tables), tables, now)


async def add(
    connection: AsyncConnection,
    applicant: Applicant,
    certificate: x509.Certificate,
    tables: tuple[TableId, ...],
    now: int,
    event: Event = Event.ISSUED,
) -> Unit:
    """Write a new unit, `issued` at `now`, with its audit row. The caller checks first that none conflicts."""
    der = certificate.public_bytes(Encoding.DER)
    values: dict[str, Any] = {name: getattr(applicant, name) for name in applicant.__slots__}
    values |= {
        "key_holder": applicant.key_holder.value,
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
        event,
        applicant.serial,
        certificate=values["certificate_serial"],
        tables=tables,
        key_holder=applicant.key_holder,
        family=applicant.family,
        ek=applicant.ek_fingerprint.hex() if applicant.ek_fingerprint else "",
        ek_trust=applicant.ek_trust,
        port=applicant.port,
        station=applicant.station,
    )
    return await by_id(connection, unit_id)


async def confirm(connection: AsyncConnection, unit_id: int, now: int, duration_ms: int | None = None) -> Unit:
    """Record the unit's receipt: `issued` → `provisioned`, once.

    `duration_ms` counts from the unit's first message. Raises `registry.released-meanwhile` or
    `registry.unit-revoked`.
    """
    moved = await connection.execute(
        units.update()
        .where(units.c.id == unit_id, units.c.state == UnitState.ISSUED.value)
        .values(state=UnitState.PROVISIONED.value, provisioned_at=now, duration_ms=duration_ms)
    )
    unit = await by_id(connection, unit_id)
    if unit.state is UnitState.RELEASED:
        raise BirthmarkError("registry.released-meanwhile", unit.serial)
    _require_unrevoked(unit)
    if moved.rowcount:
        await audit.append(connection, now, Event.PROVISIONED, unit.serial, certificate=unit.certificate_serial)
    return unit


def _require_unrevoked(unit: Unit) -> None:
    if unit.state is UnitState.REVOKED:
        raise BirthmarkError("registry.unit-revoked", unit.serial)


async def release(connection: AsyncConnection, serial: str, reason: str, now: int) -> Unit:
    """Release the unit: free its serial number, TPM and sensor, and revoke its certificate.

    Raises `registry.unknown-unit`.
    """
    unit = await active(connection, serial)
    await connection.execute(
        units.update()
        .where(units.c.id == unit.id)
        .values(state=UnitState.RELEASED.value, closed_at=now, closed_reason=reason)
    )
    await connection.execute(crl.update().values(der=None))
    unit = await by_id(connection, unit.id)
    await audit.append(connection, now, Event.RELEASED, unit.serial, certificate=unit.certificate_serial, reason=reason)
    return unit


async def by_id(connection: AsyncConnection, unit_id: int) -> Unit:
    [unit] = await select(connection, units.c.id == unit_id)
    return unit


async def active(connection: AsyncConnection, serial: str) -> Unit:
    """Return the unit with this serial number that is not released. Raises `registry.unknown-unit`."""
    found = await select(connection, sa.and_(units.c.serial == serial, ACTIVE))
    if not found:
        raise BirthmarkError("registry.unknown-unit", serial)
    return found[0]


async def list_active(connection: AsyncConnection, *, limit: int = 1000, before: int | None = None) -> list[Unit]:
    """Return units that are not released, the latest first; `before` is the id of the previous page's last unit."""
    condition = sa.and_(ACTIVE) if before is None else sa.and_(ACTIVE, units.c.id < before)
    return await select(connection, condition, limit)


async def count_by_state(connection: AsyncConnection) -> dict[UnitState, int]:
    """Count the units in each state."""
    found = await connection.execute(sa.select(units.c.state, sa.func.count()).group_by(units.c.state))
    counts = {row[0]: row[1] for row in found}
    return {state: counts.get(state.value, 0) for state in UnitState}


async def select(
    connection: AsyncConnection, condition: sa.ColumnElement[bool], limit: int | None = None
) -> list[Unit]:
    """Return the units for which `condition` holds, with their tables, the latest first."""
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
    return [_unit(row, tuple(held[row.id])) for row in rows]


def _unit(row: sa.Row[Any], tables: tuple[TableId, ...]) -> Unit:
    typed = {"state": UnitState(row.state), "key_holder": KeyHolder(row.key_holder), "tables": tables}
    return Unit(**{**row._mapping, **typed})


async def _find_matches(connection: AsyncConnection, applicant: Applicant) -> list[sa.Row[Any, Any, Any, Any, Any]]:
    columns = (units.c.id, units.c.serial, units.c.ek_fingerprint, units.c.device_fingerprint, units.c.nuc_blind_index)
    claims = [units.c.serial == applicant.serial, units.c.device_fingerprint == applicant.device_fingerprint]
    claims.append(units.c.nuc_blind_index == applicant.nuc_blind_index)
    if applicant.ek_fingerprint is not None:
        claims.append(units.c.ek_fingerprint == applicant.ek_fingerprint)
    found: dict[int, sa.Row[Any, Any, Any, Any, Any]] = {}
    for claim in claims:  # one query each: SQLite uses the indexes, while an OR would read every row
        for row in await connection.execute(sa.select(*columns).where(claim, ACTIVE)):
            found[row.id] = row
    return [found[unit_id] for unit_id in sorted(found)]


def _identify_applicant(applicant: Applicant, rows: list[sa.Row[Any, Any, Any, Any, Any]]) -> int | None:
    """Return the id of the applicant's unit, None for a new one. Raises the error that names a partial match."""
    for row in rows:
        serial = row.serial == applicant.serial
        ek = applicant.ek_fingerprint is not None and row.ek_fingerprint == applicant.ek_fingerprint
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
        if row.nuc_blind_index != applicant.nuc_blind_index:
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
