"""The values that the registry stores of a unit: state, key holder, applicant, row."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shared.types import BoardSerial, TableId


class UnitState(StrEnum):
    ISSUED = "issued"
    PROVISIONED = "provisioned"
    REVOKED = "revoked"
    RELEASED = "released"


class KeyHolder(StrEnum):
    """Where a unit's private key lives."""

    TPM = "tpm"
    """Made in the unit's TPM, as its attestation proves."""
    SOFTWARE = "software"
    """The owner made it and sent a CSR."""
    STATION = "station"
    """This station made it, returned it once and did not keep it."""


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
class Unit:
    """A row of the registry, with its tables."""

    id: int
    serial: str
    state: UnitState
    key_holder: KeyHolder
    family: str
    model: str
    station: str
    port: str
    agent: str
    certificate: bytes
    certificate_serial: str
    not_after: int
    issued_at: int
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


@dataclass(frozen=True, slots=True)
class Issuance:
    unit: Unit
    resumed: bool
    """Whether the unit already had its certificate."""
