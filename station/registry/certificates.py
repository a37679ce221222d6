"""Finds units' certificates: those that were signed, whatever became of them.

A certificate goes `requested` → `issued` when it is signed and recorded → `active` when its unit confirms that it holds
it → `superseded` when another becomes active. When the unit is revoked or released, all of them become `revoked`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import sqlalchemy as sa

from shared.errors import BirthmarkError
from station.registry.database import Connection
from station.registry.records import (
    UNKNOWN_AUTHORITY,
    Applicant,
    Certificate,
    CertificateKind,
    CertificateState,
)
from station.registry.schema import certificates

_COLUMNS: Final = tuple(column for column in certificates.c if column.name in Certificate.__slots__)


def is_usable(certificate: Certificate, now: int) -> bool:
    """Whether a unit may go on with this certificate: it is this authority's, not superseded, revoked or expired."""
    live = certificate.state in (CertificateState.ISSUED, CertificateState.ACTIVE) and now < certificate.not_after
    return live and certificate.issuer != UNKNOWN_AUTHORITY


async def latest_of(connection: Connection, unit_ids: Collection[int]) -> dict[int, Certificate]:
    """Unit id → the latest signed certificate, for the units that have one."""
    return {found.unit_id: found for found in await _select(connection, certificates.c.unit_id.in_(unit_ids))}


async def of_unit(connection: Connection, unit_id: int) -> list[Certificate]:
    """Every signed certificate of a unit, the earliest first."""
    return await _select(connection, certificates.c.unit_id == unit_id)


async def by_sha256(connection: Connection, sha256: bytes) -> Certificate | None:
    """The certificate with this SHA-256 of its DER."""
    found = await _select(connection, certificates.c.sha256 == sha256)
    return found[0] if found else None


async def require_known(connection: Connection, applicant: Applicant) -> None:
    """Raises `identity.unknown-certificate` when the applicant names a certificate that is not for its key."""
    if not applicant.certificate_sha256:
        return
    found = await by_sha256(connection, applicant.certificate_sha256)
    if found is None or found.key_fingerprint != applicant.device_fingerprint:
        raise BirthmarkError("identity.unknown-certificate", applicant.serial)


async def count_expiring(connection: Connection, now: int, until: int) -> int:
    """Count the authority's active certificates that expire after `now` and not after `until`, seconds since 1970."""
    expiring = sa.and_(
        certificates.c.state == CertificateState.ACTIVE.value,
        certificates.c.not_after > now,
        certificates.c.not_after <= until,
        certificates.c.issuer != UNKNOWN_AUTHORITY,
    )
    return (await connection.execute(sa.select(sa.func.count()).select_from(certificates).where(expiring))).scalar_one()


async def _select(connection: Connection, condition: sa.ColumnElement[bool]) -> list[Certificate]:
    signed = sa.select(*_COLUMNS).where(condition, certificates.c.der.is_not(None)).order_by(certificates.c.id)
    return [_certificate(row) for row in await connection.execute(signed)]


def _certificate(row: sa.Row[Any]) -> Certificate:
    typed = {"kind": CertificateKind(row.kind), "state": CertificateState(row.state)}
    return Certificate(**{**row._mapping, **typed})
