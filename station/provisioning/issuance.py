"""The one way to a certificate, over the cable, HTTP or the command line: recognise, reserve, sign, record.

`reserve` reads what the registry holds of the applicant, then reserves in one short transaction. `sign` asks the
issuer, outside every transaction. `record` is one short transaction, and only a recorded certificate is ever handed
out. So a session may end, or the station die, between any two: the unit's next session goes on with its reservation.
"""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from shared import limits
from shared.errors import BirthmarkError
from shared.types import NucHash, TableId, key_index
from station.authority.birthmark_extensions import BirthmarkFacts, encrypt_nuc
from station.authority.issuer import CertificateRequest, Issuer
from station.authority.profiles import DeviceSubject
from station.config import StationConfig
from station.provisioning.audit_limiter import AuditLimiter
from station.registry import reservations, units
from station.registry.database import Connection, Database
from station.registry.recognition import recognise
from station.registry.records import Applicant, Certificate, Reservation, Signed, Unit
from station.registry.violations import TAKEN
from station.secrets.blind_index import key_fingerprint
from station.secrets.key_tables import KeyTables


@dataclass(frozen=True, slots=True)
class Subject:
    """What a certificate says of its unit, beside what the registry stores of the applicant."""

    key: ec.EllipticCurvePublicKey
    nuc_hash: NucHash
    hardware_serial: bytes = b""
    """Identifies the TPM; empty for a unit without one."""
    verified: bool = False
    """Whether the EK certificate is from a known TPM vendor."""


@dataclass(frozen=True, slots=True)
class Granted:
    """A unit with the certificate that it is given."""

    unit: Unit
    certificate: Certificate
    resumed: bool
    """Whether the unit had it already."""


class Issuance:
    """Gives applicants their certificates and key tables. Any number at once, in any number of stations."""

    def __init__(self, config: StationConfig, tables: KeyTables, issuer: Issuer, database: Database) -> None:
        self._config = config
        self._tables = tables
        self.issuer: Final = issuer
        self._database = database
        self.audit_limiter: Final = AuditLimiter()

    async def reserve(self, applicant: Applicant, at: dt.datetime) -> Granted | Reservation:
        """The applicant's unit where it has a valid certificate, else a reservation to sign.

        Raises the errors of `station.registry.recognition`; then nothing is written.
        """
        try:
            return await self._reserve(applicant, at)
        except BirthmarkError as error:
            if error.code not in TAKEN:
                raise
        # Another session, perhaps of another station, was faster: a second look finds who, or goes on with its work.
        return await self._reserve(applicant, at)

    async def sign(
        self, applicant: Applicant, subject: Subject, reservation: Reservation, at: dt.datetime
    ) -> x509.Certificate:
        """Have the certificate signed. Raises the errors of the issuer; the reservation then stays."""
        request = CertificateRequest(
            self._device_subject(applicant, subject, reservation.tables), reservation.serial, at
        )
        return await self.issuer.issue(request)

    def signed(self, certificate: x509.Certificate) -> Signed:
        """What the registry records of a certificate."""
        return signed_by(self.issuer.issuer_of(certificate), certificate)

    async def record(
        self, applicant: Applicant, reservation: Reservation, certificate: x509.Certificate, at: dt.datetime
    ) -> Granted:
        """Record the certificate. Returns the unit with the one that was recorded first, whoever signed it.

        Raises `registry.reservation-lost`, `registry.unit-revoked` or `registry.released-meanwhile`.
        """
        signed = self.signed(certificate)
        async with self._database.write() as connection:
            return _granted(
                await reservations.record(connection, reservation, signed, applicant, int(at.timestamp())),
                resumed=False,
            )

    async def _reserve(self, applicant: Applicant, at: dt.datetime) -> Granted | Reservation:
        now = int(at.timestamp())
        async with self._database.read() as connection:
            found = await recognise(connection, applicant, now)
        if found.reservation is not None:
            return found.reservation
        async with self._database.write() as connection:
            await reservations.expire(connection, now)
            if found.unit is None:
                serial = x509.random_serial_number()
                tables = self._tables.choose()
                return await reservations.reserve_unit(connection, applicant, serial, tables, now, found.replaced)
            if found.certificate is None:
                await _require_unchanged(connection, found.unit)
                serial = x509.random_serial_number()
                return await reservations.reserve_certificate(connection, found.unit.id, applicant, serial, now)
            suppressed = self.audit_limiter.suppressed(applicant.port)
            unit = await units.resume(connection, found.unit.id, now, applicant.port, suppressed)
            return _granted(unit, resumed=True)

    def _device_subject(self, applicant: Applicant, subject: Subject, tables: tuple[TableId, ...]) -> DeviceSubject:
        """With Birthmark's extensions, for a random one of `tables`, when they are configured."""
        facts = None
        authority = self._config.authority
        if authority.birthmark_extensions:
            table = secrets.choice(tables)
            facts = BirthmarkFacts(
                authority_id=authority.authority_id,
                endpoint=self._config.certificate_endpoint,
                encrypted_nuc=encrypt_nuc(self._tables.master_key(table), subject.nuc_hash),
                table=table,
                index=key_index(secrets.randbelow(limits.KEYS_PER_TABLE)),
                family=applicant.family,
            )
        return DeviceSubject(applicant.serial, subject.key, subject.hardware_serial, facts, subject.verified)


def signed_by(issuer: x509.Certificate, certificate: x509.Certificate) -> Signed:
    """Return what the registry records of a certificate that `issuer` has signed."""
    return Signed(
        certificate.public_bytes(Encoding.DER),
        certificate.serial_number,
        key_fingerprint(issuer.public_key()),
        int(certificate.not_valid_after_utc.timestamp()),
    )


async def _require_unchanged(connection: Connection, unit: Unit) -> None:
    """Raises `registry.certificate-requested` when a certificate was recorded for the unit since it was read."""
    latest = (await units.by_id(connection, unit.id)).certificate
    if latest is not None and (unit.certificate is None or latest.id != unit.certificate.id):
        raise BirthmarkError("registry.certificate-requested", unit.serial)


def _granted(unit: Unit, *, resumed: bool) -> Granted:
    if unit.certificate is None:
        raise BirthmarkError("registry.inconsistent", f"{unit.serial} has no certificate")
    return Granted(unit, unit.certificate, resumed)
