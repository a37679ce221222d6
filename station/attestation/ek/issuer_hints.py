"""Reads what a certificate says of its issuer besides the name: the key, and the address of the issuer's certificate.

The hints name a missing certificate to the operator, and distinguish two issuers of one name. A strict parser refuses
many real certificates here too, so a hint that cannot be read counts as missing. No signature covers the check: a chip
may claim anything, so the certificate at such an address is not trusted.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

from shared.errors import BirthmarkError
from station.attestation.ek.der_repair import extension, values

_SUBJECT_KEY_IDENTIFIER: Final = "0603551d0e"  # 2.5.29.14
_AUTHORITY_KEY_IDENTIFIER: Final = "0603551d23"  # 2.5.29.35
_AUTHORITY_INFORMATION_ACCESS: Final = "06082b06010505070101"  # 1.3.6.1.5.5.7.1.1
_CA_ISSUERS: Final = (0x06, bytes.fromhex("2b06010505073002"))  # 1.3.6.1.5.5.7.48.2

_OCTET_STRING: Final = 0x04
_KEY_IDENTIFIER: Final = 0x80
_URI: Final = 0x86

_IDENTIFIER_BYTES: Final = 64
"""Key identifiers have 20 bytes in RFC 5280, up to 64 in RFC 7093."""

_DESCRIPTIONS_MAX: Final = 8

_ADDRESS: Final = re.compile(rb"https?://[A-Za-z0-9.-]{1,100}(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~%/+=()-]{0,150})?")
"""The addresses that an operator gets to see. No vendor's address has markup, quotes, white space or a user name."""


def subject_key_identifier(der: bytes) -> bytes:
    """Return the identifier of the key that the certificate is for; empty if it names none."""
    return _identifier(extension(der, _SUBJECT_KEY_IDENTIFIER), _OCTET_STRING)


def authority_key_identifier(der: bytes) -> bytes:
    """Return the identifier of the key that signed the certificate, as it claims; empty if it names none."""
    for _, content in _read(extension(der, _AUTHORITY_KEY_IDENTIFIER))[:1]:
        return _identifier(content, _KEY_IDENTIFIER)
    return b""


def issuer_address(der: bytes) -> str:
    """Return the first http or https address in caIssuers (authorityInfoAccess), or nothing."""
    for _, descriptions in _read(extension(der, _AUTHORITY_INFORMATION_ACCESS))[:1]:
        for _, description in _read(descriptions):
            match _read(description):
                case [method, (tag, address)] if method == _CA_ISSUERS and tag == _URI and _ADDRESS.fullmatch(address):
                    return address.decode("ascii")
    return ""


def _identifier(octets: bytes, wanted: int) -> bytes:
    found = next((content for tag, content in _read(octets) if tag == wanted), b"")
    return found if len(found) <= _IDENTIFIER_BYTES else b""


def _read(octets: bytes) -> list[tuple[int, bytes]]:
    try:
        return list(islice(values(octets), _DESCRIPTIONS_MAX))
    except BirthmarkError:
        return []
