"""Reads the certificates in one file: PEM with any text between, or DER.

Each certificate counts by itself: what cannot be read is named and left out, and costs no other.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from shared.errors import BirthmarkError
from shared.text import printable
from station.attestation.ek.vendor_certificate import VendorCertificate

FILE_BYTES_MAX: Final = 4 * 1024 * 1024
"""The largest file that is read. The community's bundle of 143 intermediates has 314 kB."""

_PEM: Final = re.compile(
    rb"-----BEGIN (?:X509 )?CERTIFICATE-----"
    rb"([^-]*)(-----END (?:X509 )?CERTIFICATE-----)?"
)

_COMMON_NAME: Final = re.compile(rb"\x06\x03\x55\x04\x03[\x0c\x13\x14\x16](.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Bundle:
    """What one file holds."""

    certificates: tuple[VendorCertificate, ...]
    left_out: tuple[str, ...]
    """What could not be read: which one, and why. Printable."""


def read_bundle(content: bytes) -> Bundle:
    """Read every certificate in a file. Raises nothing: a file without any has one entry in `left_out`."""
    blocks = list(_PEM.finditer(content))
    read: list[VendorCertificate] = []
    left_out: list[str] = []
    for number, block in enumerate(blocks, 1):
        der = b""
        try:
            der = _decoded(block)
            read.append(VendorCertificate.read(der))
        except BirthmarkError as error:
            name = _common_name(der)
            which = f"certificate {number} of {len(blocks)}{name and f', {name},'} cannot be read"
            left_out.append(f"{which if len(blocks) > 1 else 'no certificate that can be read'}: {error.detail}")
    if not blocks:
        try:
            read.append(VendorCertificate.read(content))
        except BirthmarkError as error:
            left_out.append(f"no certificate that can be read: {error.detail}")
    return Bundle(tuple(read), tuple(left_out))


def pem_text(der: bytes) -> bytes:
    """Return a certificate as PEM."""
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"


def _decoded(block: re.Match[bytes]) -> bytes:
    text, end = block.groups()
    if end is None:
        raise BirthmarkError("attestation.ek-malformed", "it is cut off or damaged")
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        raise BirthmarkError("attestation.ek-malformed", "its PEM is not base64") from None


def _common_name(der: bytes) -> str:
    """Return what seems to be the subject's common name, the second one in a certificate: only for people to read."""
    found = [der[match.end() : match.end() + match[1][0]] for match in _COMMON_NAME.finditer(der)][:2]
    return printable(found[-1].decode("latin-1"), 64) if found else ""
