"""The certificate profiles: root, intermediate, station, device. Each returns a builder; an issuer signs it.

RFC 5280, with IEEE 802.1AR and TCG "TPM 2.0 Keys for Device Identity and Attestation" for devices: serialNumber in
the subject and a hardwareModuleName (RFC 4108) in the subjectAltName.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shared.types import BoardSerial
from shared.x509_profile import (
    EKU_STATION,
    HARDWARE_MODULE_NAME,
    TPM_HARDWARE_TYPE,
    VERIFIED_TPM_FIXED,
    VERIFIED_TPM_RESIDENCY,
)
from station.authority import birthmark_extensions
from station.authority.birthmark_extensions import BirthmarkFacts

ROOT_DAYS: Final = 7300
INTERMEDIATE_DAYS: Final = 3650
STATION_DAYS: Final = 90
"""`station.provisioning.own_certificate` renews it before that. A stolen key ends with it."""
BACKDATE: Final = dt.timedelta(minutes=5)
"""A certificate begins this far in the past, so that a verifier whose clock is slow accepts it at once."""


@dataclass(frozen=True, slots=True)
class DeviceSubject:
    """The unit that a device certificate names."""

    serial: BoardSerial
    key: ec.EllipticCurvePublicKey
    hardware_serial: bytes
    """Identifies the TPM: 32 bytes, SHA-256 of the EK's SubjectPublicKeyInfo. Empty for a unit without a TPM."""
    facts: BirthmarkFacts | None = None
    """Birthmark's extensions; None for a certificate without them."""
    verified: bool = False
    """Whether the EK certificate is from a known TPM vendor; the certificate then says that its key is in a TPM."""


def _key_usage(*, digital_signature: bool = False, authority: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _base_builder(
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: dt.datetime,
    days: int,
    issuer: x509.Certificate | None,
    serial: int | None = None,
) -> x509.CertificateBuilder:
    begin = now.replace(microsecond=0) - BACKDATE
    end = begin + dt.timedelta(days=days)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key)
    own = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    if issuer:
        end = min(end, issuer.not_valid_after_utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key)
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(identifier, critical=False)
        .add_extension(authority_key_identifier(issuer) if issuer else own, critical=False)
    )


def authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """The authority key identifier for what `issuer` signs: its subject key identifier (RFC 5280 section 4.2.1.1)."""
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _name(organization: str, common_name: str, *more: x509.NameAttribute[str]) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            *more,
        ]
    )


def root(organization: str, key: ec.EllipticCurvePublicKey, now: dt.datetime) -> x509.CertificateBuilder:
    """Self-signed, CA:TRUE, path length 1."""
    return (
        _base_builder(_name(organization, "Birthmark Root CA"), key, now, ROOT_DAYS, None)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
    )


def intermediate(
    organization: str, key: ec.EllipticCurvePublicKey, now: dt.datetime, issuer: x509.Certificate
) -> x509.CertificateBuilder:
    """CA:TRUE, path length 0: issues device and station certificates, as its extended key usages say, no further CA."""
    return (
        _base_builder(_name(organization, "Birthmark Intermediate CA"), key, now, INTERMEDIATE_DAYS, issuer)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([EKU_STATION, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    )


def station(
    organization: str, name: str, key: ec.EllipticCurvePublicKey, now: dt.datetime, issuer: x509.Certificate
) -> x509.CertificateBuilder:
    """A leaf whose only extended key usage is station."""
    return (
        _base_builder(_name(organization, name), key, now, STATION_DAYS, issuer)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([EKU_STATION]), critical=True)
    )


def device(
    organization: str,
    subject: DeviceSubject,
    serial: int,
    now: dt.datetime,
    days: int,
    issuer: x509.Certificate,
    crl_url: str,
) -> x509.CertificateBuilder:
    """A leaf for client authentication and signatures, with the serial number `serial`."""
    # serialNumber is a PrintableString (RFC 5280 appendix A.1) without underscores: such a serial is in CN only.
    attribute = [] if "_" in subject.serial else [x509.NameAttribute(NameOID.SERIAL_NUMBER, subject.serial)]
    name = _name(organization, subject.serial, *attribute)
    builder = (
        _base_builder(name, subject.key, now, days, issuer, serial)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(
            x509.CRLDistributionPoints(
                [x509.DistributionPoint([x509.UniformResourceIdentifier(crl_url)], None, None, None)]
            ),
            critical=False,
        )
    )
    if subject.hardware_serial:
        module = x509.OtherName(HARDWARE_MODULE_NAME, _hardware_module_name(subject.hardware_serial))
        builder = builder.add_extension(x509.SubjectAlternativeName([module]), critical=False)
    if subject.verified:
        policies = [x509.PolicyInformation(oid, None) for oid in (VERIFIED_TPM_RESIDENCY, VERIFIED_TPM_FIXED)]
        builder = builder.add_extension(x509.CertificatePolicies(policies), critical=False)
    if subject.facts:
        for extension in birthmark_extensions.extensions(subject.facts):
            builder = builder.add_extension(extension, critical=False)
    return builder


def _hardware_module_name(serial: bytes) -> bytes:
    """HardwareModuleName ::= SEQUENCE { hwType OBJECT IDENTIFIER, hwSerialNum OCTET STRING } (RFC 4108 section 5)."""
    first, second, *rest = (int(arc) for arc in TPM_HARDWARE_TYPE.dotted_string.split("."))
    oid = bytes([first * 40 + second]) + b"".join(_base128(arc) for arc in rest)
    inside = b"\x06" + bytes([len(oid)]) + oid + b"\x04" + bytes([len(serial)]) + serial
    return b"\x30" + bytes([len(inside)]) + inside


def _base128(value: int) -> bytes:
    octets = [value & 0x7F]
    while value := value >> 7:
        octets.insert(0, 0x80 | value & 0x7F)
    return bytes(octets)
