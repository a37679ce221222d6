"""Revokes, reinstates and releases units, and with them their certificates; lists what a CRL must show.

RFC 5280 allows only certificateHold to be taken back: an operator revokes on hold and may reinstate, or revokes for
good with another reason. A released unit's certificates are revoked for good. Every change says so to
`station.registry.crl` in the same transaction, so nobody gets a CRL that lacks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa

from shared.errors import BirthmarkError
from station.registry import audit, crl, units
from station.registry.audit import Event
from station.registry.database import Connection
from station.registry.records import UNKNOWN_AUTHORITY, CertificateState, CrlScope, Unit, UnitState
from station.registry.schema import certificates
from station.registry.schema import units as table


class RevocationCode(StrEnum):
    """A CRLReason of RFC 5280 section 5.3.1, by its name there."""

    HOLD = "certificateHold"
    KEY_COMPROMISE = "keyCompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION = "cessationOfOperation"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the CRL."""

    certificate_serial: int
    revoked_at: int
    code: RevocationCode


async def revoke(
    connection: Connection, serial: str, code: RevocationCode, reason: str, now: int, by: str = ""
) -> Unit:
    """Revoke a unit with its certificates; a unit on hold may also be revoked for good.

    The audit log records `by`: the name of a bearer token, empty for the command line.

    Raises `registry.unknown-unit` or `registry.already-revoked`.
    """
    unit = await units.active(connection, serial)
    if unit.state is UnitState.REVOKED and (unit.revoked_code != RevocationCode.HOLD or code is RevocationCode.HOLD):
        raise BirthmarkError("registry.already-revoked", unit.serial)
    values = {"revoked_at": now, "revoked_reason": reason, "revoked_code": code.value}
    await _update(connection, unit.id, state=UnitState.REVOKED.value, **values)
    await _revoke_certificates(connection, unit.id, code, now)
    await audit.append(
        connection,
        now,
        Event.REVOKED,
        unit.serial,
        certificate=units.certificate_serial(unit),
        code=code,
        reason=reason,
        by=by,
    )
    return await units.by_id(connection, unit.id)


async def reinstate(connection: Connection, serial: str, reason: str, now: int, by: str = "") -> Unit:
    """Return a unit on hold, and its certificates, to their former state.

    Raises `registry.unknown-unit`, `registry.not-revoked` or `registry.revoked-for-good`.
    """
    unit = await units.active(connection, serial)
    if unit.state is not UnitState.REVOKED:
        raise BirthmarkError("registry.not-revoked", unit.serial)
    if unit.revoked_code != RevocationCode.HOLD:
        raise BirthmarkError("registry.revoked-for-good", f"{unit.serial}, {unit.revoked_code}")
    if unit.provisioned_at is not None:
        state = UnitState.PROVISIONED
    else:
        state = UnitState.RESERVED if unit.issued_at is None else UnitState.ISSUED
    await _update(connection, unit.id, state=state.value, revoked_at=None, revoked_reason=None, revoked_code=None)
    former = sa.case(
        (certificates.c.superseded_at.is_not(None), CertificateState.SUPERSEDED.value),
        (certificates.c.activated_at.is_not(None), CertificateState.ACTIVE.value),
        else_=CertificateState.ISSUED.value,
    )
    await connection.execute(
        certificates.update()
        .where(certificates.c.unit_id == unit.id, certificates.c.state == CertificateState.REVOKED.value)
        .values(state=former, revoked_at=None, revoked_code=None)
    )
    await audit.append(
        connection,
        now,
        Event.REINSTATED,
        unit.serial,
        certificate=units.certificate_serial(unit),
        state=state,
        reason=reason,
        by=by,
    )
    return await units.by_id(connection, unit.id)


async def release(connection: Connection, serial: str, reason: str, now: int) -> Unit:
    """Release a unit: free its serial number, TPM and sensor, and revoke its certificates for good.

    Raises `registry.unknown-unit`.
    """
    unit = await units.active(connection, serial)
    await _update(connection, unit.id, state=UnitState.RELEASED.value, closed_at=now, closed_reason=reason)
    await _revoke_certificates(connection, unit.id, RevocationCode.CESSATION, now)
    await audit.append(
        connection, now, Event.RELEASED, unit.serial, certificate=units.certificate_serial(unit), reason=reason
    )
    return await units.by_id(connection, unit.id)


async def _update(connection: Connection, unit_id: int, **values: object) -> None:
    await connection.execute(table.update().where(table.c.id == unit_id).values(**values))
    await crl.note_change(connection, CrlScope.DEVICES)


async def _revoke_certificates(connection: Connection, unit_id: int, code: RevocationCode, now: int) -> None:
    """Revoke what the unit has, except what is revoked for good already; drop what it was to get."""
    own = certificates.c.unit_id == unit_id
    signed = certificates.c.der.is_not(None)
    for_good = sa.and_(
        certificates.c.state == CertificateState.REVOKED.value, certificates.c.revoked_code != RevocationCode.HOLD.value
    )
    await connection.execute(
        certificates.update()
        .where(own, signed, ~for_good)
        .values(state=CertificateState.REVOKED.value, revoked_at=now, revoked_code=code.value)
    )
    await connection.execute(
        certificates.update().where(own, ~signed).values(state=CertificateState.SUPERSEDED.value, superseded_at=now)
    )


async def entries(connection: Connection, not_after: int) -> list[Entry]:
    """The authority's revoked certificates that expire after `not_after` (seconds since 1970), by serial number."""
    columns = (certificates.c.serial, certificates.c.revoked_at, certificates.c.revoked_code)
    revoked = sa.and_(
        certificates.c.state == CertificateState.REVOKED.value,
        certificates.c.not_after > not_after,
        certificates.c.issuer != UNKNOWN_AUTHORITY,
    )
    found = await connection.execute(sa.select(*columns).where(revoked))
    listed = [Entry(int(row.serial, 16), row.revoked_at, RevocationCode(row.revoked_code)) for row in found]
    return sorted(listed, key=lambda entry: entry.certificate_serial)
