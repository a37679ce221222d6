"""Records the certificates of the authority's stations, and revokes them.

A station's certificate lives 90 days. A revoked one stays on the CRL until then; later it has expired, and no agent
that knows a later CRL takes an earlier time for the present.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from shared import limits
from shared.errors import BirthmarkError
from shared.text import printable
from station.registry import audit, crl
from station.registry.audit import Event
from station.registry.database import Connection
from station.registry.records import CrlScope
from station.registry.schema import stations


@dataclass(frozen=True, slots=True)
class StationCertificate:
    """A station's certificate. Times are seconds since 1970."""

    name: str
    certificate_serial: str
    """Hexadecimal."""
    not_before: int
    not_after: int
    recorded_at: int
    revoked_at: int | None
    revoked_reason: str | None

    def valid(self, now: int) -> bool:
        return self.revoked_at is None and now <= self.not_after


async def record(
    connection: Connection, name: str, certificate_serial: int, not_before: int, not_after: int, now: int
) -> None:
    """Record a certificate with which a station will greet units. One that is recorded stays as it is."""
    serial = f"{certificate_serial:x}"
    if await _select(connection, stations.c.certificate_serial == serial):
        return
    await connection.execute(
        stations.insert().values(
            name=name, certificate_serial=serial, not_before=not_before, not_after=not_after, recorded_at=now
        )
    )
    detail = {"name": name, "certificate": serial, "not_after": not_after}
    await audit.append(connection, now, Event.STATION_CERTIFIED, "", **detail)


async def revoke(connection: Connection, named: str, reason: str, now: int) -> list[StationCertificate]:
    """Revoke the certificate with this serial number (hexadecimal), or all of the stations of this name.

    Expired ones stay as they are. Raises `authority.station-unknown`, and `authority.stations-too-many` when the CRL
    would have more than `limits.REVOKED_STATIONS` entries; then revokes none.
    """
    wanted = sa.or_(stations.c.certificate_serial == named.lower(), stations.c.name == named)
    usable = sa.and_(wanted, stations.c.revoked_at.is_(None), stations.c.not_after >= now)
    found = await _select(connection, usable)
    if not found:
        raise BirthmarkError("authority.station-unknown", printable(named, 64))
    if len(await listed(connection, now)) + len(found) > limits.REVOKED_STATIONS:
        raise BirthmarkError("authority.stations-too-many", f"{limits.REVOKED_STATIONS} at most")
    await connection.execute(stations.update().where(usable).values(revoked_at=now, revoked_reason=reason))
    await crl.note_change(connection, CrlScope.STATIONS)
    for certificate in found:
        detail = {"name": certificate.name, "certificate": certificate.certificate_serial, "reason": reason}
        await audit.append(connection, now, Event.STATION_REVOKED, "", **detail)
    serials = [certificate.certificate_serial for certificate in found]
    return await _select(connection, stations.c.certificate_serial.in_(serials))


async def is_revoked(connection: Connection, certificate_serial: int) -> bool:
    """Whether the certificate with this serial number is revoked."""
    serial = stations.c.certificate_serial == f"{certificate_serial:x}"
    return bool(await _select(connection, sa.and_(serial, stations.c.revoked_at.is_not(None))))


async def listed(connection: Connection, now: int) -> list[StationCertificate]:
    """The revoked certificates that have not expired: what a CRL must show."""
    return await _select(connection, sa.and_(stations.c.revoked_at.is_not(None), stations.c.not_after >= now))


async def list_all(connection: Connection) -> list[StationCertificate]:
    """All of them, the earliest first."""
    return await _select(connection, sa.true())


_COLUMNS: Final = tuple(column for column in stations.c if column.name in StationCertificate.__slots__)


async def _select(connection: Connection, condition: sa.ColumnElement[bool]) -> list[StationCertificate]:
    found = await connection.execute(sa.select(*_COLUMNS).where(condition).order_by(stations.c.id))
    return [_station(row) for row in found]


def _station(row: sa.Row[Any]) -> StationCertificate:
    return StationCertificate(**row._mapping)
