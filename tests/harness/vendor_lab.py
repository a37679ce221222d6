"""Makes TPM vendors: CAs and EK certificates with the peculiarities of real ones, and forged ones."""

from __future__ import annotations

import datetime as dt
import inspect
from base64 import encodebytes
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID, ObjectIdentifier

NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
EK_USAGE = ObjectIdentifier("2.23.133.8.1")


class Algorithm(NamedTuple):
    identifier: bytes
    """AlgorithmIdentifier, DER."""
    hash: hashes.HashAlgorithm


ECDSA_SHA256 = Algorithm(bytes.fromhex("300a06082a8648ce3d040302"), hashes.SHA256())
ECDSA_SHA384 = Algorithm(bytes.fromhex("300a06082a8648ce3d040303"), hashes.SHA384())
ECDSA_SHA384_WITH_NULL = Algorithm(bytes.fromhex("300c06082a8648ce3d0403030500"), hashes.SHA384())
RSA_MD5, RSA_SHA1, RSA_SHA256 = (
    Algorithm(bytes.fromhex(f"300d06092a864886f70d0101{arc}0500"), hash_)
    for arc, hash_ in (("04", hashes.MD5()), ("05", hashes.SHA1()), ("0b", hashes.SHA256()))  # noqa: S303
)

Attributes = tuple[tuple[ObjectIdentifier, str], ...]

INFINEON: Attributes = (
    (ObjectIdentifier("2.23.133.2.1"), "id:49465800"),
    (ObjectIdentifier("2.23.133.2.2"), "SLB9670"),
    (ObjectIdentifier("2.23.133.2.3"), "id:0D0B"),
)
SWTPM: Attributes = (
    (ObjectIdentifier("2.23.133.2.1"), "id:00001014"),
    (ObjectIdentifier("2.23.133.2.2"), "swtpm"),
    (ObjectIdentifier("2.23.133.2.3"), "id:20191023"),
)


def usage(**set_: bool) -> x509.KeyUsage:
    names = inspect.signature(x509.KeyUsage).parameters
    return x509.KeyUsage(**{name: set_.get(name, False) for name in names})


KEY_AGREEMENT = usage(key_agreement=True)


def ca_issuers(*addresses: str) -> x509.AuthorityInformationAccess:
    """Make the extension that names the address of the issuer's certificate."""
    method = AuthorityInformationAccessOID.CA_ISSUERS
    return x509.AuthorityInformationAccess(
        [x509.AccessDescription(method, x509.UniformResourceIdentifier(address)) for address in addresses]
    )


def one_rdn_each(attributes: Attributes) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])


SLB_9670 = one_rdn_each(INFINEON)


def all_in_one_rdn(attributes: Attributes) -> x509.Name:
    return x509.Name([x509.RelativeDistinguishedName(x509.NameAttribute(oid, value) for oid, value in attributes)])


def disordered(attributes: Attributes) -> Callable[[bytes], bytes]:
    """Reverse the order of a multi-valued RDN, wherever it is, as Nuvoton writes it."""
    encoded = [one_rdn_each((attribute,)).public_bytes()[4:] for attribute in attributes]
    ordered, reversed_ = b"".join(sorted(encoded)), b"".join(sorted(encoded, reverse=True))
    assert ordered != reversed_

    def change(tbs: bytes) -> bytes:
        assert ordered in tbs
        return tbs.replace(ordered, reversed_)

    return change


def value(tag: int, content: bytes) -> bytes:
    size = len(content)
    head = bytes([size]) if size < 0x80 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + head + content


PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def signed(tbs: bytes, key: PrivateKey, algorithm: Algorithm = ECDSA_SHA256) -> bytes:
    """Sign `tbs`, which need not be DER, as a certificate."""
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(tbs, PKCS1v15(), algorithm.hash)
    else:
        signature = key.sign(tbs, ec.ECDSA(algorithm.hash))
    return value(0x30, tbs + algorithm.identifier + value(3, b"\0" + signature))


def with_algorithm(tbs: bytes, algorithm: Algorithm) -> bytes:
    """Return `tbs`, made for SHA-256, with another signature algorithm."""
    (made,) = [known.identifier for known in (ECDSA_SHA256, RSA_SHA256) if known.identifier in tbs]
    _, _, rest = tbs.partition(b"\xa0\x03\x02\x01\x02")
    return value(0x30, b"\xa0\x03\x02\x01\x02" + rest.replace(made, algorithm.identifier, 1))


def pem(der: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n" + encodebytes(der) + b"-----END CERTIFICATE-----\n"


class Vendor:
    """A CA with a P-256 key."""

    def __init__(
        self,
        name: x509.Name | str = "Vendor Root CA",
        parent: Vendor | None = None,
        *,
        path_length: int | None = None,
        constraints: x509.BasicConstraints | None = None,
        change: Callable[[bytes], bytes] | None = None,
        extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> None:
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) if isinstance(name, str) else name
        above = parent or self
        self.change = change or (lambda tbs: tbs)
        builder = _builder(self.name, above.name, self.key.public_key())
        builder = builder.add_extension(constraints or x509.BasicConstraints(True, path_length), critical=True)
        builder = builder.add_extension(usage(key_cert_sign=True), critical=True)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        tbs = builder.sign(above.key, hashes.SHA256()).tbs_certificate_bytes
        self.der = signed(above.change(self.change(tbs)) if above is not self else self.change(tbs), above.key)

    def pem(self) -> bytes:
        return pem(self.der)

    def ek(
        self,
        key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
        *,
        tpm: x509.Name | None = SLB_9670,
        subject: x509.Name | None = None,
        key_usage: x509.KeyUsage | None = KEY_AGREEMENT,
        extended: Iterable[ObjectIdentifier] | None = (EK_USAGE,),
        constraints: x509.BasicConstraints | None = None,
        extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
        until: dt.datetime = NOW + dt.timedelta(days=3650),
        change: Callable[[bytes], bytes] | None = None,
    ) -> bytes:
        """Make an EK certificate: empty subject, critical directoryName, EKU, no basicConstraints."""
        builder = _builder(subject or x509.Name([]), self.name, key, until)
        if tpm is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DirectoryName(tpm)]), critical=True)
        if key_usage is not None:
            builder = builder.add_extension(key_usage, critical=True)
        if extended is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
        if constraints is not None:
            builder = builder.add_extension(constraints, critical=True)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        tbs = self.change(builder.sign(self.key, hashes.SHA256()).tbs_certificate_bytes)
        return signed(change(tbs) if change else tbs, self.key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    until: dt.datetime = NOW + dt.timedelta(days=3650),
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2012, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(until)
    )


def write_roots(directory: Path, *vendors: Vendor) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for number, vendor in enumerate(vendors):
        (directory / f"{number}.pem").write_bytes(vendor.pem())
    return directory


def refused_by_strict_parser(der: bytes) -> bool:
    """Whether cryptography's own parser refuses the certificate or its extensions."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = (certificate.subject, certificate.issuer, certificate.extensions)
        certificate.public_bytes(Encoding.DER)
    except ValueError:
        return True
    return False
