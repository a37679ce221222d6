"""Reserves what a unit gets before anything is signed: its place, a certificate's serial number, key tables.

A reservation keeps others from the unit's serial number, TPM, device key and sensor. Nothing of it leaves the station
before `record` has stored the signed certificate, so it can be replaced, given up or expire; the audit log tells it.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import sqlalchemy as sa

from shared.errors import BirthmarkError
from shared.types import TableId
from station.registry import audit, units
from station.registry.audit import Event
from station.registry.database import Connection
from station.registry.records import Applicant, CertificateKind, CertificateState, Reservation, Signed, Unit, UnitState
from station.registry.schema import assignments, certificates
from station.registry.schema import units as unit_table

LIFETIME_SECONDS: Final = 900
"""A reservation expires after this time; a session lasts 600 s at most."""


def has_expired(reserved_at: int, now: int) -> bool:
    """Whether a reservation of `reserved_at` has expired. A clock that was set back ends none."""
    return now - reserved_at >= LIFETIME_SECONDS


async def reserve_unit(
    connection: Connection,
    applicant: Applicant,
    certificate_serial: int,
    tables: tuple[TableId, ...],
    now: int,
    replaced: tuple[int, ...] = (),
) -> Reservation:
    """Reserve a new unit's place, after removing the reservations `replaced` that were found in its way.

    Raises an error of `station.registry.violations.TAKEN` when another unit has taken the place since then.
    """
    for unit_id in replaced:
        await _remove_unit(connection, unit_id, now, "replaced")
    unit_id = await units.insert(connection, applicant, UnitState.RESERVED, tables, now)
    return await _reserve(connection, unit_id, applicant, certificate_serial, tables, now)


async def reserve_certificate(
    connection: Connection, unit_id: int, applicant: Applicant, certificate_serial: int, now: int
) -> Reservation:
    """Reserve another certificate for a known unit's key.

    Raises `registry.unit-revoked` or `registry.released-meanwhile`, and `registry.certificate-requested` when another
    session has reserved one since the unit was recognised.
    """
    unit = await units.by_id(connection, unit_id)
    units.require_current(unit)
    return await _reserve(connection, unit_id, applicant, certificate_serial, unit.tables, now)


async def of_unit(connection: Connection, unit: Unit) -> Reservation | None:
    """The certificate that is reserved for a unit."""
    query = sa.select(certificates.c.id, certificates.c.serial).where(
        certificates.c.unit_id == unit.id, certificates.c.state == CertificateState.REQUESTED.value
    )
    row = (await connection.execute(query)).first()
    return Reservation(row.id, unit.id, int(row.serial, 16), unit.tables) if row else None


async def record(
    connection: Connection, reservation: Reservation, signed: Signed, applicant: Applicant, now: int
) -> Unit:
    """Record a signed certificate, once: of two that are signed for one reservation, the first is recorded.

    Returns the unit with the recorded certificate, whoever signed it. Raises `registry.reservation-lost` when the
    reservation was replaced or has expired, `registry.unit-revoked` or `registry.released-meanwhile`.
    """
    values = _columns(signed) | {"state": CertificateState.ISSUED.value, "issued_at": now}
    unsigned = sa.and_(
        certificates.c.id == reservation.certificate_id,
        certificates.c.der.is_(None),
        certificates.c.state == CertificateState.REQUESTED.value,
    )
    if not (await connection.execute(certificates.update().where(unsigned).values(values))).rowcount:
        return await _recorded_before(connection, reservation, applicant)
    # The facts of whoever came with it: an earlier session may have reserved it.
    facts = units.facts(applicant) | {"state": UnitState.ISSUED.value, "issued_at": now}
    reserved = sa.and_(unit_table.c.id == reservation.unit_id, unit_table.c.state == UnitState.RESERVED.value)
    await connection.execute(unit_table.update().where(reserved).values(facts))
    await audit.append(
        connection,
        now,
        Event.ISSUED,
        applicant.serial,
        certificate=values["serial"],
        tables=reservation.tables,
        key_holder=applicant.key_holder,
        family=applicant.family,
        ek=applicant.ek_fingerprint.hex() if applicant.ek_fingerprint else "",
        ek_trust=applicant.ek_trust,
        port=applicant.port,
    )
    return await units.by_id(connection, reservation.unit_id)


async def take_over(
    connection: Connection, applicant: Applicant, signed: Signed, tables: tuple[TableId, ...], at: int
) -> None:
    """Record a unit that another authority has provisioned at `at`, with the certificate that it holds.

    Raises an error of `station.registry.violations` when another unit has anything that is to be its own.
    """
    unit_id = await units.insert(connection, applicant, UnitState.PROVISIONED, tables, at)
    provisioned = {"issued_at": at, "provisioned_at": at}
    await connection.execute(unit_table.update().where(unit_table.c.id == unit_id).values(provisioned))
    values = _new_certificate(unit_id, applicant, CertificateState.ACTIVE, at) | _columns(signed)
    await connection.execute(certificates.insert().values(values | {"issued_at": at, "activated_at": at}))
    await audit.append(
        connection,
        at,
        Event.IMPORTED,
        applicant.serial,
        certificate=f"{signed.serial:x}",
        issuer=signed.issuer.hex(),
        tables=tables,
        key_holder=applicant.key_holder,
        family=applicant.family,
        port=applicant.port,
    )


async def give_up(connection: Connection, reservation: Reservation, now: int) -> None:
    """Remove a reservation that will not be signed, unless it was signed or removed already."""
    await _remove(connection, reservation.certificate_id, reservation.unit_id, now, "given up")


async def expire(connection: Connection, now: int) -> int:
    """Remove every expired reservation. Returns how many there were."""
    before = now - LIFETIME_SECONDS
    of_units = sa.select(sa.literal(0).label("certificate_id"), unit_table.c.id.label("unit_id")).where(
        unit_table.c.state == UnitState.RESERVED.value, unit_table.c.reserved_at <= before
    )
    of_certificates = sa.select(certificates.c.id, certificates.c.unit_id).where(
        certificates.c.state == CertificateState.REQUESTED.value, certificates.c.requested_at <= before
    )
    removed = 0
    for row in (await connection.execute(of_units.union_all(of_certificates))).all():
        removed += await _remove(connection, row.certificate_id, row.unit_id, now, "expired")
    return removed


def _columns(signed: Signed) -> dict[str, Any]:
    return {
        "serial": f"{signed.serial:x}",
        "issuer": signed.issuer,
        "der": signed.der,
        "sha256": hashlib.sha256(signed.der).digest(),
        "not_after": signed.not_after,
    }


def _new_certificate(unit_id: int, applicant: Applicant, state: CertificateState, at: int) -> dict[str, Any]:
    return {
        "unit_id": unit_id,
        "kind": CertificateKind.DEVICE.value,
        "state": state.value,
        "key_fingerprint": applicant.device_fingerprint,
        "requested_at": at,
    }


async def _reserve(
    connection: Connection,
    unit_id: int,
    applicant: Applicant,
    certificate_serial: int,
    tables: tuple[TableId, ...],
    now: int,
) -> Reservation:
    values = _new_certificate(unit_id, applicant, CertificateState.REQUESTED, now)
    values["serial"] = f"{certificate_serial:x}"
    inserted = await connection.execute(certificates.insert().values(values).returning(certificates.c.id))
    await audit.append(
        connection,
        now,
        Event.RESERVED,
        applicant.serial,
        certificate=values["serial"],
        tables=tables,
        port=applicant.port,
    )
    return Reservation(inserted.scalar_one(), unit_id, certificate_serial, tables)


async def _recorded_before(connection: Connection, reservation: Reservation, applicant: Applicant) -> Unit:
    for unit in await units.select(connection, unit_table.c.id == reservation.unit_id):
        units.require_current(unit)
        if unit.certificate is not None and unit.certificate.id == reservation.certificate_id:
            return unit
    raise BirthmarkError("registry.reservation-lost", applicant.serial)


async def _remove(connection: Connection, certificate_id: int, unit_id: int, now: int, why: str) -> bool:
    """Remove a reserved certificate, and with it a unit that has never had one. Returns whether there was one."""
    if await _remove_unit(connection, unit_id, now, why):
        return True
    reserved = sa.and_(certificates.c.id == certificate_id, certificates.c.state == CertificateState.REQUESTED.value)
    removed = await connection.execute(certificates.delete().where(reserved).returning(certificates.c.serial))
    serials = list(removed.scalars())
    for serial in serials:
        unit = await units.by_id(connection, unit_id)
        await audit.append(connection, now, Event.UNRESERVED, unit.serial, certificate=serial, reason=why)
    return bool(serials)


async def _remove_unit(connection: Connection, unit_id: int, now: int, why: str) -> bool:
    """Remove a unit that is only reserved. Returns whether it was."""
    reserved = sa.and_(unit_table.c.id == unit_id, unit_table.c.state == UnitState.RESERVED.value)
    unit_serial = (await connection.execute(sa.select(unit_table.c.serial).where(reserved).with_for_update())).scalar()
    if unit_serial is None:
        return False
    of_it = certificates.c.unit_id == unit_id
    removed = await connection.execute(certificates.delete().where(of_it).returning(certificates.c.serial))
    serials = list(removed.scalars())
    await connection.execute(assignments.delete().where(assignments.c.unit_id == unit_id))
    await connection.execute(unit_table.delete().where(unit_table.c.id == unit_id))
    await audit.append(
        connection, now, Event.UNRESERVED, unit_serial, certificate=serials[0] if serials else "", reason=why
    )
    return True
