"""Reads CSRs, and checks a unit's. The station decides what the certificate contains; a CSR only proves the key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import NameOID

from shared import limits
from shared.errors import BirthmarkError
from shared.types import BoardSerial
from shared.x509_profile import UNREADABLE, is_p256

_SUBJECT: Final = (NameOID.COMMON_NAME, NameOID.SERIAL_NUMBER)


@dataclass(frozen=True, slots=True)
class Csr:
    """What a PKCS#10 request (RFC 2986) holds, every part of it read."""

    key: PublicKeyTypes
    subject: tuple[tuple[x509.ObjectIdentifier, str | bytes], ...]
    attributes: int
    """How many attributes it asks for, extensions among them."""
    signed_with_sha256: bool
    signature_valid: bool


def read_csr(der: bytes) -> Csr:
    """Read a request. Raises ValueError for what is none, UnsupportedAlgorithm for a key of an unknown kind."""
    # The parser is lazy: reading any property may raise.
    try:
        request = x509.load_der_x509_csr(der)
        return Csr(
            request.public_key(),
            tuple((attribute.oid, attribute.value) for attribute in request.subject),
            len(request.attributes),
            _is_signed_with_sha256(request),
            _is_signature_valid(request),
        )
    except UnsupportedAlgorithm:
        raise
    except (*UNREADABLE, TypeError) as error:
        raise ValueError("no certificate request") from error


def examine_csr(der: bytes, key: ec.EllipticCurvePublicKey, serial: BoardSerial) -> None:
    """Check a request against the attested device key and the unit's serial number.

    Raises `csr.malformed`, `csr.weak-key`, `csr.weak-signature`, `csr.bad-signature`, `csr.other-key`,
    `csr.subject-differs` or `csr.asks-too-much`.
    """
    if len(der) > limits.CSR_BYTES:
        raise BirthmarkError("csr.malformed", "it is too long")
    try:
        request = read_csr(der)
    except UnsupportedAlgorithm:
        raise BirthmarkError("csr.weak-key") from None
    except ValueError:
        raise BirthmarkError("csr.malformed") from None
    if not is_p256(request.key):
        raise BirthmarkError("csr.weak-key")
    if not request.signed_with_sha256:
        raise BirthmarkError("csr.weak-signature")
    if not request.signature_valid:
        raise BirthmarkError("csr.bad-signature")
    if request.key != key:
        raise BirthmarkError("csr.other-key")
    oids = [oid for oid, _ in request.subject]
    if (
        NameOID.COMMON_NAME not in oids
        or len(oids) != len(set(oids))
        or any(oid not in _SUBJECT or value != serial for oid, value in request.subject)
    ):
        raise BirthmarkError("csr.subject-differs")
    if request.attributes:
        raise BirthmarkError("csr.asks-too-much")


def _is_signed_with_sha256(request: x509.CertificateSigningRequest) -> bool:
    try:
        return isinstance(request.signature_hash_algorithm, hashes.SHA256)
    except UnsupportedAlgorithm:
        return False


def _is_signature_valid(request: x509.CertificateSigningRequest) -> bool:
    try:
        return request.is_signature_valid
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):  # not one of the key's algorithms
        return False
