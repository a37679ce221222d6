"""Object identifiers in the certificates of both ends, and what their parser raises. Data only; no code is here."""

from __future__ import annotations

from typing import Final

from cryptography.x509 import InvalidVersion, ObjectIdentifier

UNREADABLE: Final = (ValueError, InvalidVersion)
"""What cryptography raises for bytes that are no certificate or request; an unknown version is no ValueError of its."""

BIRTHMARK_ARC: Final = "1.3.6.1.4.1.60000"
"""The arc that Birthmark's public code uses."""

EKU_STATION: Final = ObjectIdentifier(f"{BIRTHMARK_ARC}.3.1")
"""Extended key usage of a station's certificate. A device's has another, so a device cannot play station."""

HARDWARE_MODULE_NAME: Final = ObjectIdentifier("1.3.6.1.5.5.7.8.4")
"""otherName of RFC 4108 section 5, as IEEE 802.1AR and the TCG device identity profile ask for."""

VERIFIED_TPM_RESIDENCY: Final = ObjectIdentifier("2.23.133.11.1.1")
VERIFIED_TPM_FIXED: Final = ObjectIdentifier("2.23.133.11.1.2")
"""Certificate policies of the TCG profile: the issuer has verified that the key is in a TPM, and cannot leave it."""

TPM_HARDWARE_TYPE: Final = ObjectIdentifier("2.23.133.1.2")
"""hwType in the hardware module name: tcg-tpm20 of TCG's "TPM 2.0 Keys for Device Identity and Attestation", 8.1."""
