"""Reads vendor, model and version of the TPM from an EK certificate; does not verify the certificate."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from cryptography import x509

from shared.text import printable
from station.attestation.ek.vendor_certificate import VendorCertificate

_MANUFACTURER: Final = x509.ObjectIdentifier("2.23.133.2.1")
_MODEL: Final = x509.ObjectIdentifier("2.23.133.2.2")
_VERSION: Final = x509.ObjectIdentifier("2.23.133.2.3")
"""tcg-at-tpmManufacturer, -tpmModel, -tpmVersion: TCG EK Credential Profile 2.5, 3.1.2."""

_SWTPM: Final = ("id:00001014", "swtpm")

_NAMES: Final = {
    "AMD": "AMD",
    "ATML": "Atmel",
    "BRCM": "Broadcom",
    "GOOG": "Google",
    "IBM": "IBM",
    "IFX": "Infineon",
    "INTC": "Intel",
    "MSFT": "Microsoft",
    "NSM": "National Semiconductor",
    "NTC": "Nuvoton",
    "NTZ": "Nationz",
    "QCOM": "Qualcomm",
    "ROCC": "Fuzhou Rockchip",
    "SMSC": "SMSC",
    "SMSN": "Samsung",
    "STM": "STMicroelectronics",
    "TXN": "Texas Instruments",
    "WEC": "Winbond",
}
"""TCG TPM Vendor ID Registry: vendors whose TPMs are in use. Others appear by their ID's letters."""


@dataclass(frozen=True, slots=True)
class TpmFacts:
    """The TPM's description in the certificate's subjectAltName: printable text, empty if missing."""

    manufacturer: str
    """The vendor ID as written, such as `id:49465800`."""
    manufacturer_name: str
    model: str
    version: str

    @property
    def is_swtpm(self) -> bool:
        """Whether the certificate names the swtpm simulator. Anybody can write that."""
        return (self.manufacturer, self.model) == _SWTPM


def facts_of(certificate: VendorCertificate) -> TpmFacts | None:
    """Return the facts, or None when the certificate names no TPM vendor."""
    alternative = certificate.alternative_name
    names = alternative.get_values_for_type(x509.DirectoryName) if alternative is not None else []
    said = {attribute.oid: printable(_text(attribute.value), 64) for name in names for attribute in name}
    manufacturer = said.get(_MANUFACTURER, "")
    if not manufacturer:
        return None
    model = said.get(_MODEL, "")
    name = "swtpm" if (manufacturer, model) == _SWTPM else _vendor_name(manufacturer)
    return TpmFacts(manufacturer, name, model, said.get(_VERSION, ""))


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.hex()


def _vendor_name(manufacturer: str) -> str:
    """Return the vendor's name for `id:` and eight hexadecimal digits, which encode up to four ASCII letters."""
    if re.fullmatch(r"id:[0-9A-Fa-f]{8}", manufacturer):
        letters = bytes.fromhex(manufacturer[3:]).rstrip(b"\0 ")
        if letters.isalnum():
            return _NAMES.get(letters.decode(), letters.decode())
    return manufacturer
