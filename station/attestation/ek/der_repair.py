"""DER as TPM vendors write it, made fit for a strict parser. What comes out is only for reading: no signature holds.

Real endorsement key certificates and their issuers break DER (ITU-T X.690) and RFC 5280 in ways that a signature over
the original bytes does not mind and a strict parser does: sets out of order, padded integers, FALSE written out,
characters a PrintableString may not have, NULL where ECDSA has no parameters. `repair_der` mends these and leaves out
what nobody reads.
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
"""Levels of nesting. A name in an extension is the deepest there is, at 11."""

_ECDSA: Final = bytes.fromhex("2a8648ce3d04")
"""ansi-X9-62 signatures, 1.2.840.10045.4: RFC 5758, 3.2 has them without parameters."""

_STORED_CERT_TAG: Final = b"\x10\x01\x00"
"""Before the DER may stand this and a length of 2 bytes: TCG_PCCLIENT_STORED_CERT of the older PC Client profile."""

_READ: Final = {bytes.fromhex("0603551d" + last) for last in ("0f", "11", "13", "25")}
"""Extensions that are read: keyUsage, subjectAltName, basicConstraints, extKeyUsage."""


def strip_padding(padded: bytes) -> bytes:
    """The certificate at the front of an NV index, without header and padding. Raises `attestation.ek-malformed`."""
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
    """`der`, a trimmed certificate, as a strict parser takes it. Raises `attestation.ek-malformed`."""
    return b"".join(_mended(tag, content, 0, inside=False) for tag, content in values(der))


def _mended(tag: int, content: bytes, depth: int, *, inside: bool) -> bytes:
    """One value, mended. `inside` is true below the extensions, which stand at depth 2 and hold theirs at depth 5."""
    if depth > _DEPTH_MAX:
        raise _malformed("it is nested too deeply")
    if tag & _CONSTRUCTED:
        inside = inside or (depth == 2 and tag == _EXTENSIONS)
        if inside and depth == 4 and _unread(content):
            return b""
        parts = [_mended(t, c, depth + 1, inside=inside) for t, c in values(content)]
        if tag == _SET:
            parts.sort()
        elif tag == _SEQUENCE and len(parts) == 2 and parts[1] == bytes([_NULL, 0]) and _is_ecdsa(parts[0]):
            parts.pop()
        content = b"".join(parts)
        if tag == _EXTENSIONS and depth == 2 and content == bytes([_SEQUENCE, 0]):
            return b""
    elif tag == _BOOLEAN and inside:
        if content == b"\0":  # every BOOLEAN there is by default false
            return b""
        content = b"\xff"
    elif tag == _INTEGER:
        while len(content) > 1 and content[0] == 0 and content[1] < 0x80:
            content = content[1:]
    elif tag in (_PRINTABLE_STRING, _TELETEX_STRING):
        tag, content = _UTF8_STRING, content.decode("latin-1").encode()
    elif tag == _OCTET_STRING and inside and depth == 5:
        content = b"".join(_mended(t, c, depth + 1, inside=True) for t, c in values(content))
    return _value(tag, content)


def _is_ecdsa(value: bytes) -> bool:
    return value[:1] == bytes([_OID]) and value[2:].startswith(_ECDSA)


def extension(der: bytes, oid: str) -> bytes:
    """The value of the extension `oid` (hexadecimal, with tag and length) in a trimmed certificate, as it was written.

    Empty where there is none, or where it cannot be found. For what no decision rests on: no parser has checked it.
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
    """Whether an extension is one that nobody reads and that does not insist on being understood."""
    parts = list(values(extension))
    oid = _value(*parts[0]) if parts else b""
    critical = len(parts) > 1 and parts[1][0] == _BOOLEAN and parts[1][1] != b"\0"
    return oid not in _READ and not critical


def values(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """The (tag, content) of each value in `octets`, to its last byte."""
    at = 0
    while at < len(octets):
        start, end = _extent(octets, at)
        yield octets[at], octets[start:end]
        at = end


def _extent(octets: bytes, at: int) -> tuple[int, int]:
    """Where the content of the value at `at` begins and ends."""
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
