"""Repairs the DER of TPM vendors' certificates, so that a strict parser reads them. The copy's signature is invalid.

Real EK certificates and their issuers break DER (ITU-T X.690) and RFC 5280: sets out of order, padded integers, FALSE
written out, characters that a PrintableString may not have, NULL where ECDSA has no parameters. A strict parser refuses
that, although the signature over the original bytes is valid. `repair_der` repairs these errors and leaves out
extensions that this program does not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from shared import limits
from shared.errors import BirthmarkError

_BOOLEAN: Final = 0x01
_INTEGER: Final = 0x02
_NULL: Final = 0x05
_OID: Final = 0x06
_OCTET_STRING: Final = 0x04
_UTF8_STRING: Final = 0x0C
_PRINTABLE_STRING: Final = 0x13
_TELETEX_STRING: Final = 0x14
_SEQUENCE: Final = 0x30
_SET: Final = 0x31
_CONSTRUCTED: Final = 0x20
_EXTENSIONS: Final = 0xA3

_DEPTH_MAX: Final = 16
"""The most levels of nesting. The deepest value, a name in an extension, is at 11."""

_ECDSA: Final = bytes.fromhex("2a8648ce3d04")
"""ansi-X9-62 signatures, 1.2.840.10045.4, which have no parameters (RFC 5758, 3.2)."""

_STORED_CERT_TAG: Final = b"\x10\x01\x00"
"""The header before the DER in the older PC Client profile, TCG_PCCLIENT_STORED_CERT; a length of 2 bytes follows
it."""

_READ: Final = {bytes.fromhex("0603551d" + last) for last in ("0f", "11", "13", "25")}
"""The extensions that this program reads: keyUsage, subjectAltName, basicConstraints, extKeyUsage."""


def strip_padding(padded: bytes) -> bytes:
    """Return the certificate at the start of an NV index, without header and padding.

    Raises `attestation.ek-malformed`.
    """
    if padded.startswith(_STORED_CERT_TAG):
        padded = padded[len(_STORED_CERT_TAG) + 2 :]
    if padded[:1] != bytes([_SEQUENCE]):
        raise _malformed("it does not begin as a certificate")
    start, end = _extent(padded, 0)
    if end > limits.CERTIFICATE_BYTES:
        raise _malformed(f"it is larger than {limits.CERTIFICATE_BYTES} bytes")
    if start == end:
        raise _malformed("it is empty")
    return padded[:end]


def repair_der(der: bytes) -> bytes:
    """Return the certificate `der`, which has no padding, as a strict parser reads it.

    Raises `attestation.ek-malformed`.
    """
    return b"".join(_repaired(tag, content, 0, inside=False) for tag, content in values(der))


def _repaired(tag: int, content: bytes, depth: int, *, inside: bool) -> bytes:
    """Repair one value.

    `inside` is true below the extensions, which are at depth 2 and hold their values at depth 5.
    """
    if depth > _DEPTH_MAX:
        raise _malformed("it is nested too deeply")
    if tag & _CONSTRUCTED:
        inside = inside or (depth == 2 and tag == _EXTENSIONS)
        if inside and depth == 4 and _unread(content):
            return b""
        parts = [_repaired(t, c, depth + 1, inside=inside) for t, c in values(content)]
        if tag == _SET:
            parts.sort()
        elif tag == _SEQUENCE and len(parts) == 2 and parts[1] == bytes([_NULL, 0]) and _is_ecdsa(parts[0]):
            parts.pop()
        content = b"".join(parts)
        if tag == _EXTENSIONS and depth == 2 and content == bytes([_SEQUENCE, 0]):
            return b""
    elif tag == _BOOLEAN and inside:
        if content == b"\0":  # the default of every BOOLEAN here is false
            return b""
        content = b"\xff"
    elif tag == _INTEGER:
        while len(content) > 1 and content[0] == 0 and content[1] < 0x80:
            content = content[1:]
    elif tag in (_PRINTABLE_STRING, _TELETEX_STRING):
        tag, content = _UTF8_STRING, content.decode("latin-1").encode()
    elif tag == _OCTET_STRING and inside and depth == 5:
        content = b"".join(_repaired(t, c, depth + 1, inside=True) for t, c in values(content))
    return _value(tag, content)


def _is_ecdsa(value: bytes) -> bool:
    return value[:1] == bytes([_OID]) and value[2:].startswith(_ECDSA)


def extension(der: bytes, oid: str) -> bytes:
    """Return the value of the extension `oid` (hexadecimal, with tag and length), unrepaired.

    Returns nothing if the extension is missing or cannot be found. No parser has checked the value: base no decision on
    it.
    """
    try:
        (_, certificate), *_ = values(der)
        (_, signed), *_ = values(certificate)
        (all_of_them,) = [content for tag, content in values(signed) if tag == _EXTENSIONS]
        ((_, extensions),) = values(all_of_them)
        for _, content in values(extensions):
            parts = list(values(content))
            if parts and _value(*parts[0]) == bytes.fromhex(oid) and parts[-1][0] == _OCTET_STRING:
                return parts[-1][1]
    except (BirthmarkError, ValueError):
        return b""
    return b""


def _unread(extension: bytes) -> bool:
    """Whether an extension is not critical and not one that this program reads."""
    parts = list(values(extension))
    oid = _value(*parts[0]) if parts else b""
    critical = len(parts) > 1 and parts[1][0] == _BOOLEAN and parts[1][1] != b"\0"
    return oid not in _READ and not critical


def values(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the tag and the content of each value in `octets`, to the last byte."""
    at = 0
    while at < len(octets):
        start, end = _extent(octets, at)
        yield octets[at], octets[start:end]
        at = end


def _extent(octets: bytes, at: int) -> tuple[int, int]:
    """Return the start and the end of the content of the value at `at`."""
    if octets[at] & 0x1F == 0x1F:
        raise _malformed("a tag is too large")
    start = at + 2
    length = octets[at + 1] if at + 1 < len(octets) else 0x80
    if length >= 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4:
            raise _malformed("a length is not definite")
        length = int.from_bytes(octets[start : start + count], "big")
        start += count
    if start + length > len(octets):
        raise _malformed("it ends too early")
    return start, start + length


def _value(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def _malformed(detail: str) -> BirthmarkError:
    return BirthmarkError("attestation.ek-malformed", detail)
