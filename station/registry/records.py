"""The values that the registry stores: a unit and its state, its certificates and theirs, who applies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from shared.types import BoardSerial, TableId


class UnitState(StrEnum):
    RESERVED = "reserved"
    """Its place is taken and its certificate not yet signed."""
    ISSUED = "issued"
    PROVISIONED = "provisioned"
    REVOKED = "revoked"
    RELEASED = "released"


UNKNOWN_AUTHORITY: Final = b""
"""In place of an issuer's fingerprint: another authority, which this station does not have, signed the certificate."""

COUNTED: Final = frozenset({UnitState.ISSUED, UnitState.PROVISIONED, UnitState.REVOKED})
"""The states in which a unit is listed and counted, when no state is asked for."""


class KeyHolder(StrEnum):
    """Where a unit's private key lives."""

    TPM = "tpm"
    """Made in the unit's TPM, as its attestation proves."""
    SOFTWARE = "software"
    """The owner made it and sent a CSR."""
    STATION = "station"
    """This station made it, returned it once and did not keep it."""


class CrlScope(StrEnum):
    """Whose certificates a CRL lists. Each has its own numbers (RFC 5280 section 5.2.3)."""

    DEVICES = "devices"
    STATIONS = "stations"


class CertificateKind(StrEnum):
    DEVICE = "device"


class CertificateState(StrEnum):
    REQUESTED = "requested"
    """Reserved: it has a serial number and is not yet signed."""
    ISSUED = "issued"
    """Signed and recorded."""
    ACTIVE = "active"
    """The unit has confirmed that it holds it."""
    SUPERSEDED = "superseded"
    """Another took its place, or it was never signed."""
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that was signed and recorded. Times are seconds since 1970."""

    id: int
    unit_id: int
    kind: CertificateKind
    state: CertificateState
    serial: str
    """Hexadecimal."""
    key_fingerprint: bytes
    issuer: bytes
    """SHA-256 of the issuer's SubjectPublicKeyInfo, or `UNKNOWN_AUTHORITY`: then it is never valid here."""
    der: bytes
    sha256: bytes
    not_after: int
    requested_at: int
    issued_at: int
    activated_at: int | None
    superseded_at: int | None
    revoked_at: int | None
    revoked_code: str | None


@dataclass(frozen=True, slots=True)
class Signed:
    """What an issuer made of a reservation, to be recorded."""

    der: bytes
    serial: int
    issuer: bytes
    """SHA-256 of the issuer's SubjectPublicKeyInfo, or `UNKNOWN_AUTHORITY`."""
    not_after: int
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A certificate that a unit is to get: nothing is signed yet, and nothing was handed out."""

    certificate_id: int
    unit_id: int
    serial: int
    """The certificate's serial number."""
    tables: tuple[TableId, ...]
    """The unit's key tables."""


@dataclass(frozen=True, slots=True)
class Applicant:
    """A device whose evidence was verified and that is to get a certificate. A field that does not apply is empty."""

    serial: BoardSerial
    key_holder: KeyHolder
    family: str
    station: str
    port: str
    device_fingerprint: bytes
    nuc_blind_index: bytes
    model: str = ""
    agent: str = ""
    ek_fingerprint: bytes | None = None
    """None for a unit without a TPM."""
    certificate_sha256: bytes = b""
    """SHA-256 of the certificate that the unit says it holds; empty when it says it holds none."""
    ek_trust: str = ""
    ek_reason: str = ""
    ek_anchor: str = ""
    tpm_manufacturer: str = ""
    tpm_model: str = ""
    tpm_firmware: str = ""


@dataclass(frozen=True, slots=True)
class Validated:
    """How often a unit was validated."""

    day: int
    """The latest day on which it was, in UTC, as days since 1970."""
    on_day: int
    """How often on that day."""
    total: int

    def on(self, day: int) -> int:
        """How often on `day`, which is not before the latest."""
        return self.on_day if self.day == day else 0


NEVER_VALIDATED: Final = Validated(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a unit stands: what its validation depends on."""

    unit_id: int
    state: UnitState
    tables: frozenset[int]
    validated: Validated


@dataclass(frozen=True, slots=True)
class Unit:
    """A row of the table of units, with its key tables and its certificate. Times are seconds since 1970."""

    id: int
    serial: str
    state: UnitState
    key_holder: KeyHolder
    family: str
    model: str
    station: str
    port: str
    agent: str
    reserved_at: int
    issued_at: int | None
    """None until its first certificate is signed."""
    provisioned_at: int | None
    duration_ms: int | None
    revoked_at: int | None
    revoked_reason: str | None
    revoked_code: str | None
    closed_at: int | None
    closed_reason: str | None
    ek_trust: str
    ek_reason: str
    ek_anchor: str
    tpm_manufacturer: str
    tpm_model: str
    tpm_firmware: str
    tables: tuple[TableId, ...]
    certificate: Certificate | None
    """The latest that was signed; None for a reservation."""
    validated: Validated = NEVER_VALIDATED
