"""Checks a unit's CSR. The station decides what the certificate contains; a CSR only proves the key."""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared import limits
from shared.errors import BirthmarkError
from shared.types import BoardSerial
from shared.x509_profile import UNREADABLE, is_p256

_SUBJECT: Final = (NameOID.COMMON_NAME, NameOID.SERIAL_NUMBER)


def examine_csr(der: bytes, key: ec.EllipticCurvePublicKey, serial: BoardSerial) -> None:
    """Check a PKCS#10 request (RFC 2986) against the attested device key and the unit's serial number.

    Raises `csr.malformed`, `csr.weak-key`, `csr.weak-signature`, `csr.bad-signature`, `csr.other-key`,
    `csr.subject-differs` or `csr.asks-too-much`.
    """
    if len(der) > limits.CSR_BYTES:
        raise BirthmarkError("csr.malformed", "it is too long")
    # The parser is lazy: reading any property may raise.
    try:
        request = x509.load_der_x509_csr(der)
        asked = request.public_key()
        subject = [(attribute.oid, attribute.value) for attribute in request.subject]
        attributes = len(request.attributes)
    except UnsupportedAlgorithm:
        raise BirthmarkError("csr.weak-key") from None
    except (*UNREADABLE, TypeError):
        raise BirthmarkError("csr.malformed") from None
    if not is_p256(asked):
        raise BirthmarkError("csr.weak-key")
    try:
        signed_with = request.signature_hash_algorithm
    except UnsupportedAlgorithm:
        signed_with = None
    if not isinstance(signed_with, hashes.SHA256):
        raise BirthmarkError("csr.weak-signature")
    if not _is_signature_valid(request):
        raise BirthmarkError("csr.bad-signature")
    if asked != key:
        raise BirthmarkError("csr.other-key")
    oids = [oid for oid, _ in subject]
    if (
        NameOID.COMMON_NAME not in oids
        or len(oids) != len(set(oids))
        or any(oid not in _SUBJECT or value != serial for oid, value in subject)
    ):
        raise BirthmarkError("csr.subject-differs")
    if attributes:
        raise BirthmarkError("csr.asks-too-much")


def _is_signature_valid(request: x509.CertificateSigningRequest) -> bool:
    try:
        return request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm):  # the signature algorithm is not one of the key's
        return False
