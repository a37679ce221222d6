"""What both ends hold certificates to: object identifiers, the curve of keys, and the errors that the parser raises."""

from __future__ import annotations

from typing import Final, TypeGuard

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import InvalidVersion, ObjectIdentifier

UNREADABLE: Final = (ValueError, InvalidVersion)
"""What cryptography raises for a malformed certificate or request; InvalidVersion is no ValueError."""

BIRTHMARK_ARC: Final = "1.3.6.1.4.1.60000"
"""The OID arc that Birthmark's public code uses."""

EKU_STATION: Final = ObjectIdentifier(f"{BIRTHMARK_ARC}.3.1")
"""Extended key usage of a station's certificate. A device certificate has another, so no device acts as a station."""

STATION_CRL_SCOPE: Final = f"urn:oid:{EKU_STATION.dotted_string}"
"""The distribution point that a CRL of stations names in its issuingDistributionPoint (RFC 5280 section 5.2.5): no
verifier takes it for the authority's CRL of devices, nor that one for it."""

HARDWARE_MODULE_NAME: Final = ObjectIdentifier("1.3.6.1.5.5.7.8.4")
"""otherName of RFC 4108 section 5, which IEEE 802.1AR and the TCG device identity profile require."""

VERIFIED_TPM_RESIDENCY: Final = ObjectIdentifier("2.23.133.11.1.1")
VERIFIED_TPM_FIXED: Final = ObjectIdentifier("2.23.133.11.1.2")
"""Certificate policies of the TCG profile: the issuer has verified that the key is in a TPM and cannot leave it."""

TPM_HARDWARE_TYPE: Final = ObjectIdentifier("2.23.133.1.2")
"""hwType in the hardware module name: tcg-tpm20 of TCG's "TPM 2.0 Keys for Device Identity and Attestation", 8.1."""


def is_p256(key: object) -> TypeGuard[ec.EllipticCurvePublicKey]:
    """Say whether a public key is of P-256, as every key of ours is."""
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
