"""What both ends hold certificates to: object identifiers, the curve of keys, and the errors that the parser raises."""

from __future__ import annotations

from typing import Final, TypeGuard

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import InvalidVersion, ObjectIdentifier

UNREADABLE: Final = (ValueError, InvalidVersion)
"""What cryptography raises for a malformed certificate or request; InvalidVersion is no ValueError."""

UNREADABLE_PARTS: Final = (
    *UNREADABLE,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What cryptography raises for a part of a certificate or CRL, when it is read. `make fuzz` found TypeError."""

BIRTHMARK_ARC: Final = "1.3.6.1.4.1.60000"
"""The OID arc that Birthmark's public code uses."""

EKU_STATION: Final = ObjectIdentifier(f"{BIRTHMARK_ARC}.3.1")
"""Extended key usage of a station's certificate. A device certificate has another, so no device acts as a station."""

STATIONS_ONLY: Final = x509.IssuingDistributionPoint(
    full_name=[x509.UniformResourceIdentifier(f"urn:oid:{EKU_STATION.dotted_string}")],
    relative_name=None,
    only_contains_user_certs=False,
    only_contains_ca_certs=False,
    only_some_reasons=None,
    indirect_crl=False,
    only_contains_attribute_certs=False,
)
"""The issuingDistributionPoint of a CRL of stations (RFC 5280 section 5.2.5), critical: no verifier takes it for the
authority's CRL of devices, nor that one for it."""

HARDWARE_MODULE_NAME: Final = ObjectIdentifier("1.3.6.1.5.5.7.8.4")
"""otherName of RFC 4108 section 5, which IEEE 802.1AR and the TCG device identity profile require."""

VERIFIED_TPM_RESIDENCY: Final = ObjectIdentifier("2.23.133.11.1.1")
VERIFIED_TPM_FIXED: Final = ObjectIdentifier("2.23.133.11.1.2")
"""Certificate policies of the TCG profile: the issuer has verified that the key is in a TPM and cannot leave it."""

TPM_HARDWARE_TYPE: Final = ObjectIdentifier("2.23.133.1.2")
"""hwType in the hardware module name: tcg-tpm20 of TCG's "TPM 2.0 Keys for Device Identity and Attestation", 8.1."""


def whole(certificate: x509.Certificate) -> x509.Certificate:
    """`certificate`, whose parser is lazy. Raises ValueError when its subject, key or lifetime cannot be read.

    Or when its serial number is not above zero (RFC 5280, 4.1.2.2).
    """
    try:
        _ = (certificate.subject, certificate.public_key())
        _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    except UNREADABLE_PARTS as error:
        raise ValueError(str(error)) from error
    if certificate.serial_number <= 0:
        raise ValueError("its serial number is not above zero")
    return certificate


def is_p256(key: object) -> TypeGuard[ec.EllipticCurvePublicKey]:
    """Say whether a public key is of P-256, as every key of ours is."""
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
