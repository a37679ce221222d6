"""Recognises an applicant: decides, without writing, whether it is new, known, or to be refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from shared.errors import BirthmarkError
from shared.types import serial_key
from station.registry import certificates, reservations, units
from station.registry.database import Connection
from station.registry.records import Applicant, Certificate, Reservation, Unit, UnitState
from station.registry.schema import ACTIVE, has_serial
from station.registry.schema import units as table


@dataclass(frozen=True, slots=True)
class Recognition:
    """What the registry holds of an applicant."""

    unit: Unit | None
    """None for an applicant that is new."""
    certificate: Certificate | None
    """The unit's certificate, where it has one that is still valid."""
    reservation: Reservation | None
    """The certificate that the unit is to get, where an earlier session has reserved one."""
    replaced: tuple[int, ...]
    """Ids of units that are only reserved, in the new one's way, and to be replaced by it."""


async def recognise(connection: Connection, applicant: Applicant, now: int) -> Recognition:
    """Recognise `applicant` at `now`, seconds since 1970.

    Raises `registry.serial-taken`, `registry.ek-taken`, `registry.device-key-taken`, `registry.device-key-changed`,
    `registry.duplicate-nuc`, `registry.nuc-changed`, `registry.unit-revoked` or `identity.unknown-certificate`.
    """
    matches = await _find_matches(connection, applicant)
    replaced = tuple(row.id for row in matches if _gives_way(row, applicant, now))
    known = _identify(applicant, [row for row in matches if row.id not in replaced])
    await certificates.require_known(connection, applicant)
    if known is None:
        return Recognition(None, None, None, replaced)
    unit = await units.by_id(connection, known)
    units.require_current(unit)
    if unit.certificate is not None and certificates.is_usable(unit.certificate, now):
        return Recognition(unit, unit.certificate, None, replaced)
    return Recognition(unit, None, await reservations.of_unit(connection, unit), replaced)


async def _find_matches(connection: Connection, applicant: Applicant) -> list[sa.Row[Any]]:
    """Units that have the applicant's serial number, TPM, device key or sensor; the earliest first."""
    claims = [has_serial(applicant.serial), table.c.device_fingerprint == applicant.device_fingerprint]
    claims.append(table.c.nuc_blind_index == applicant.nuc_blind_index)
    if applicant.ek_fingerprint is not None:
        claims.append(table.c.ek_fingerprint == applicant.ek_fingerprint)
    columns = (
        table.c.id,
        table.c.state,
        table.c.reserved_at,
        table.c.serial,
        table.c.ek_fingerprint,
        table.c.device_fingerprint,
        table.c.nuc_blind_index,
    )
    # A union, not an OR: SQLite uses an index for each part, and for an OR none.
    every = sa.union(*(sa.select(*columns).where(claim, ACTIVE) for claim in claims))
    return sorted((await connection.execute(every)).all(), key=lambda row: int(row.id))


def _gives_way(row: sa.Row[Any], applicant: Applicant, now: int) -> bool:
    """Whether a reservation has expired, or is the applicant's own, for another device key or sensor."""
    if row.state != UnitState.RESERVED:
        return False
    if reservations.has_expired(row.reserved_at, now):
        return True
    own = _is_same_serial(row, applicant) and row.ek_fingerprint == applicant.ek_fingerprint
    same = (row.device_fingerprint, row.nuc_blind_index) == (applicant.device_fingerprint, applicant.nuc_blind_index)
    return own and not same


def _is_same_serial(row: sa.Row[Any], applicant: Applicant) -> bool:
    return serial_key(row.serial) == serial_key(applicant.serial)


def _identify(applicant: Applicant, rows: list[sa.Row[Any]]) -> int | None:
    """The id of the applicant's unit, None for a new one. Raises the error that names a partial match."""
    for row in rows:
        serial = _is_same_serial(row, applicant)
        if applicant.ek_fingerprint is not None:
            ek = row.ek_fingerprint == applicant.ek_fingerprint
        else:  # a unit without a TPM is never recognised, but its own reservation is
            ek = serial and row.ek_fingerprint is None and row.state == UnitState.RESERVED
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
