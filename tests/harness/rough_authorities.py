"""Certificates as no careful authority makes them, but a hostile one can: what the agent's readers must survive.

Each is a tbsCertificate in DER, for whoever signs it; names, keys, dates, numbers or extensions of it are strange.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x448, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID, NameOID

from tests.harness.certificates import NOW, AuthorityChain

_Extension: TypeAlias = tuple[x509.ObjectIdentifier | str, bool, bytes]
"""Identifier, whether it is critical, value."""

_CA: Final[_Extension] = (ExtensionOID.BASIC_CONSTRAINTS, True, bytes.fromhex("30060101ff020100"))
_ISSUES: Final[_Extension] = (ExtensionOID.KEY_USAGE, True, bytes.fromhex("03020106"))


def rough_authorities(ours: AuthorityChain) -> dict[str, bytes]:
    """Name and tbsCertificate of each. They name `ours.root` as their issuer, and have the key of its intermediate."""
    return {name: _der(0x30, b"".join(parts)) for name, parts in _parts(ours)}


def _parts(ours: AuthorityChain) -> Iterator[tuple[str, list[bytes]]]:
    version, serial, algorithm = bytes.fromhex("a003020102"), b"\x02\x01\x05", bytes.fromhex("300a06082a8648ce3d040302")
    issuer = ours.root.subject.public_bytes()
    validity = _der(0x30, b"".join(_time(NOW + dt.timedelta(days=days)) for days in (-1, 999)))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rough")]).public_bytes()
    key = _spki(ours.intermediate_key.public_key())
    extensions = _extensions(_CA, _ISSUES)

    def but(**changed: bytes) -> list[bytes]:
        fields = {
            "version": version,
            "serial": serial,
            "algorithm": algorithm,
            "issuer": issuer,
            "validity": validity,
            "subject": subject,
            "key": key,
            "extensions": extensions,
        }
        return list((fields | changed).values())

    yield "plain", but()
    for name, text in {
        "subject of a malformed tag": b"\x1d\x05rough",
        "subject of no tag": b"\x00\x05rough",
        "subject that is no UTF-8": b"\x0c\x05ro\xff\xfeh",
        "subject in half a BMPString": b"\x1e\x05rough",
        "subject of surrogates": b"\x1e\x04\xd8\x00\xd8\x00",
        "subject in a UniversalString": b"\x1c\x04\x00\x11\x00\x00",
        "subject in Teletex": b"\x14\x05ro\xe9gh",
        "subject in a VisibleString": b"\x1a\x05rough",
        "subject in bits": b"\x03\x05\x00ough",
        "subject in a number": b"\x02\x05rough",
        "subject with a null": b"\x0c\x05ro\0gh",
        "subject that prints what it must not": b"\x13\x05ro_\x1bh",
        "subject of nothing": b"\x0c\x00",
        "subject that is cut off": b"\x0c\x7frough",
        "subject with a sequence": b"\x30\x05\x0c\x03abc",
    }.items():
        yield name, but(subject=_der(0x30, _der(0x31, _der(0x30, b"\x06\x03\x55\x04\x03" + text))))
    yield "subject without a name", but(subject=b"\x30\x00")
    yield "subject with an empty set", but(subject=b"\x30\x02\x31\x00")
    yield "subject of many", but(subject=_der(0x30, _der(0x31, _der(0x30, b"\x06\x03\x55\x04\x03\x0c\x01a")) * 300))
    yield "issuer of a malformed tag", but(issuer=_der(0x30, _der(0x31, _der(0x30, b"\x06\x03\x55\x04\x03\x1d\x01a"))))

    for name, number in {
        "serial number below zero": b"\x02\x01\x85",
        "serial number zero": b"\x02\x01\x00",
        "serial number of no bytes": b"\x02\x00",
        "serial number that is padded": b"\x02\x03\x00\x00\x05",
        "serial number of 200 bytes": b"\x02\x81\xc8" + b"\x7f" * 200,
    }.items():
        yield name, but(serial=number)

    for name, dates in {
        "dates of year 0": b"\x18\x0f00000101000000Z" * 2,
        "dates of year 1": b"\x18\x0f00010101000000Z" * 2,
        "dates until 9999": _time(NOW) + b"\x18\x0f99991231235959Z",
        "dates of 9999": b"\x18\x0f99991231235959Z" * 2,
        "dates the wrong way round": _time(NOW) + _time(NOW - dt.timedelta(days=9)),
        "dates of the 30th of February": b"\x17\x0d260230000000Z" * 2,
        "dates of second 60": b"\x17\x0d260228235960Z" * 2,
        "dates with fractions": b"\x18\x1220260101000000.5Z" * 2,
        "dates without a zone": b"\x17\x0b26010100000" * 2,
        "dates that are text": b"\x0c\x0d260101000000Z" * 2,
        "one date": _time(NOW),
    }.items():
        yield name, but(validity=_der(0x30, dates))

    for name, strange in _keys().items():
        yield name, but(key=strange)

    for name, extension in _strange_extensions().items():
        yield name, but(extensions=_extensions(_CA, _ISSUES, extension))
    yield "extension twice", but(extensions=_extensions(_CA, _CA))
    for name, alone in {
        "constraints of a path below zero": (ExtensionOID.BASIC_CONSTRAINTS, bytes.fromhex("30060101ff0201ff")),
        "constraints of a huge path": (ExtensionOID.BASIC_CONSTRAINTS, bytes.fromhex("300c0101ff02077fffffffffffff")),
        "key usage of no bits": (ExtensionOID.KEY_USAGE, bytes.fromhex("030100")),
    }.items():
        yield name, but(extensions=_extensions((alone[0], True, alone[1])))
    yield "no extensions", but(extensions=b"")
    yield "version 1", but(version=b"", extensions=b"")
    yield "version 9", but(version=bytes.fromhex("a003020108"))
    yield "algorithm that nobody knows", but(algorithm=b"\x30\x03\x06\x01\x29")
    yield "unique identifiers", but(key=key + b"\x81\x02\x00\x05")


def _strange_extensions() -> dict[str, _Extension]:
    alternative, usages = ExtensionOID.SUBJECT_ALTERNATIVE_NAME, ExtensionOID.EXTENDED_KEY_USAGE
    malformed_text = _der(0x30, b"\x06\x08" + bytes.fromhex("2b06010505070202") + _der(0x30, b"\x1d\x03ABC"))
    policy = _der(0x30, b"\x06\x01\x29" + _der(0x30, malformed_text))
    return {
        "unknown critical extension": ("1.2.3.4", True, b"\x05\x00"),
        "extension that is no DER": (alternative, False, b"\xff\xff\xff"),
        "extension of nothing": (ExtensionOID.AUTHORITY_KEY_IDENTIFIER, False, b""),
        "alternative name of an odd kind": (alternative, False, bytes.fromhex("3004a3020500")),
        "alternative name that is no address": (alternative, False, bytes.fromhex("3003870101")),
        "name constraints of nonsense": (ExtensionOID.NAME_CONSTRAINTS, True, bytes.fromhex("3008a0063004870201ff")),
        "usages of nothing": (usages, False, b"\x30\x00"),
        "usages of a number": (usages, False, b"\x02\x01\x05"),
        "usages of a huge name": (usages, False, _der(0x30, _der(0x06, b"\xff" * 90 + b"\x01"))),
        "usages of a station": (usages, False, bytes.fromhex("300c060a2b0601040183d4600301")),
        "policies of a malformed text": (ExtensionOID.CERTIFICATE_POLICIES, False, _der(0x30, policy)),
        "precertificate poison": ("1.3.6.1.4.1.11129.2.4.3", True, b"\x05\x00"),
    }


def _keys() -> dict[str, bytes]:
    curves = (ec.SECP384R1, ec.SECP521R1, ec.SECP256K1, ec.SECP192R1, ec.BrainpoolP256R1)
    keys: dict[str, bytes] = {f"key of {curve.name}": _spki(_key_of(curve())) for curve in curves}
    for module in (ed25519, ed448, x25519, x448):
        kind = next(getattr(module, name) for name in dir(module) if name.endswith("PrivateKey"))
        keys[f"key of {kind.__name__}"] = _spki(kind.generate().public_key())
    keys["key of RSA 1024"] = _spki(rsa.generate_private_key(65537, 1024).public_key())  # noqa: S505 - weak on purpose
    keys["key of DSA"] = _spki(dsa.DSAPublicNumbers(3, dsa.DSAParameterNumbers((1 << 1023) + 1155, (1 << 159) + 7, 2)))
    point = _spki(_key_of(ec.SECP256R1()))
    keys["key off its curve"] = point[:-1] + bytes([point[-1] ^ 1])
    keys["key at infinity"] = _der(0x30, point[2:23] + b"\x03\x02\x00\x00")
    keys["key that is cut off"] = _der(0x30, point[2:23] + b"\x03\x05\x00\x04\x01\x02\x03")
    keys["key of an algorithm that nobody knows"] = bytes.fromhex("3009" + "3003060129" + "03020000")
    keys["key with its curve spelled out"] = _der(0x30, bytes.fromhex("300b06072a8648ce3d02013000" + "03020004"))
    return keys


def _key_of(curve: ec.EllipticCurve) -> ec.EllipticCurvePublicKey:
    return ec.derive_private_key(5, curve).public_key()


def _spki(key: object) -> bytes:
    if isinstance(key, dsa.DSAPublicNumbers):
        numbers = key.parameter_numbers
        parameters = b"".join(_number(value) for value in (numbers.p, numbers.q, numbers.g))
        algorithm = _der(0x30, bytes.fromhex("06072a8648ce380401") + _der(0x30, parameters))
        return _der(0x30, algorithm + _der(0x03, b"\0" + _number(key.y)))
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined, no-any-return]


def _number(value: int) -> bytes:
    return _der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _extensions(*extensions: _Extension) -> bytes:
    listed = b""
    for name, critical, value in extensions:
        encoded = _der(0x06, _identifier(name if isinstance(name, str) else name.dotted_string))
        listed += _der(0x30, encoded + (b"\x01\x01\xff" if critical else b"") + _der(0x04, value))
    return _der(0xA3, _der(0x30, listed))


def _identifier(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    found = b""
    for number in (first * 40 + second, *rest):
        septets = [number & 0x7F]
        while number := number >> 7:
            septets.append(number & 0x7F | 0x80)
        found += bytes(reversed(septets))
    return found


def _time(at: dt.datetime) -> bytes:
    return _der(0x17, at.strftime("%y%m%d%H%M%SZ").encode())


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    return bytes([tag, 0x82]) + size.to_bytes(2, "big") + content if size > 255 else bytes([tag, 0x81, size]) + content
