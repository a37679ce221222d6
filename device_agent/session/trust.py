"""Decides whether the agent trusts a station, and the certificate chain that it sends. Takes bytes, returns facts.

1. The trust anchor is one root: pinned by the integrator, or remembered from the first station that provisioned it.
2. A station is trusted when its chain leads to that root, its certificate is a station's, and its signature over
   this session's transcript is valid.
3. A device chain is trusted when it leads to the same root and its leaf is for this unit's own key and serial number.
4. Certificates must be valid at the time in the station's Hello, because a Pi has no reliable clock. Only a unit's
   own certificate may begin later, because a station's clock may have been set back.
The caller must use the same Hello for step 2 with which the transcript began, and send nothing secret before step 2.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from shared.errors import BirthmarkError
from shared.protocol.signing import verify_signature
from shared.types import BoardSerial
from shared.x509_profile import EKU_STATION, UNREADABLE

_DEPTH: Final = 2


@dataclass(frozen=True, slots=True)
class TrustedStation:
    """A station that has proven itself in this session."""

    key: ec.EllipticCurvePublicKey
    root: x509.Certificate
    time: dt.datetime

    def verify(self, signature: bytes, signed: bytes) -> None:
        """Verify that `signature` (DER) over `signed` is this station's. Raises `trust.station-forged`."""
        verify_signature(self.key, signature, signed, "trust.station-forged")


def load_root(path: Path) -> x509.Certificate:
    """Load a root certificate from a PEM or DER file. Raises `trust.root-unreadable`."""
    try:
        data = path.read_bytes()[: 64 * 1024]
        if data.lstrip().startswith(b"-----"):
            return x509.load_pem_x509_certificate(data)
        return x509.load_der_x509_certificate(data)
    except (OSError, *UNREADABLE) as error:
        raise BirthmarkError("trust.root-unreadable", str(path)) from error


def read_root(data: bytes) -> x509.Certificate:
    """Return the one root certificate in a PEM file: an authority's, signed by itself (RFC 5280, 3.2).

    Raises `trust.root-not-one`, which says why; also when a private key is beside it.
    """
    kinds = re.findall(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----", data)
    if any(b"PRIVATE KEY" in kind for kind in kinds):
        raise BirthmarkError("trust.root-not-one", "it holds a private key, which must never come to a Pi")
    if kinds != [b"CERTIFICATE"]:
        found = f"{len(kinds)} PEM blocks" if kinds else "no PEM block"
        raise BirthmarkError("trust.root-not-one", f"it holds {found}, not one certificate")
    try:
        root = x509.load_pem_x509_certificate(data)
        constraints = root.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = root.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        raise BirthmarkError("trust.root-not-one", "it is no authority's") from None
    except UNREADABLE:
        raise BirthmarkError("trust.root-not-one", "its certificate cannot be read") from None
    if not constraints.ca or not usage.key_cert_sign:
        raise BirthmarkError("trust.root-not-one", "it is no authority's")
    try:
        root.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        raise BirthmarkError("trust.root-not-one", "another has signed it, so it is no root") from None
    return root


def verify_station(
    chain: tuple[bytes, ...],
    time: int,
    signed: bytes,
    signature: bytes,
    root: x509.Certificate | None,
) -> TrustedStation:
    """Make steps 1, 2 and 4. `root` is None if none is known yet; then the chain's own root is the anchor.

    `chain` is DER, station first, root last; `time` seconds since 1970; `signed` what `signature` must cover.
    Raises `trust.station-untrusted`, `trust.station-expired`, `trust.not-a-station` or `trust.station-forged`.
    """
    certificates = _parsed(chain, "trust.station-untrusted")
    at = dt.datetime.fromtimestamp(min(time, 253402300799), dt.UTC)
    anchor = root or certificates[-1]
    own = certificates[0]
    # Verify the path first, at a time when the certificate was valid: only a station of ours can have expired.
    in_time = own.not_valid_before_utc <= at <= own.not_valid_after_utc
    _verify_path(certificates, anchor, at if in_time else own.not_valid_after_utc, "trust.station-untrusted")
    if not in_time:
        lifetime = f"{own.not_valid_before_utc:%Y-%m-%d} to {own.not_valid_after_utc:%Y-%m-%d}"
        raise BirthmarkError("trust.station-expired", lifetime)
    if not _has_usage(own, EKU_STATION):
        raise BirthmarkError("trust.not-a-station")
    station = TrustedStation(_ec_key(certificates[0], "trust.station-untrusted"), anchor, at)
    station.verify(signature, signed)
    return station


def verify_device_chain(
    chain: tuple[bytes, ...], station: TrustedStation, device_key: ec.EllipticCurvePublicKey, serial: BoardSerial
) -> tuple[x509.Certificate, ...]:
    """Make step 3. Raises `trust.chain-untrusted` or `trust.chain-for-another`."""
    certificates = _parsed(chain, "trust.chain-untrusted")
    leaf = certificates[0]
    _verify_path(certificates, station.root, max(station.time, leaf.not_valid_before_utc), "trust.chain-untrusted")
    if _ec_key(leaf, "trust.chain-untrusted") != device_key:
        raise BirthmarkError("trust.chain-for-another", "its key is not this unit's")
    # serialNumber is a PrintableString, which has no underscore: such a serial is in commonName only.
    attribute = NameOID.COMMON_NAME if "_" in serial else NameOID.SERIAL_NUMBER
    if [a.value for a in leaf.subject.get_attributes_for_oid(attribute)] != [serial]:
        raise BirthmarkError("trust.chain-for-another", "its serial number is not this board's")
    if not _has_usage(leaf, ExtendedKeyUsageOID.CLIENT_AUTH):
        raise BirthmarkError("trust.chain-untrusted", "its leaf is no device certificate")
    return certificates


def _parsed(chain: tuple[bytes, ...], code: str) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(x509.load_der_x509_certificate(der) for der in chain)
    except UNREADABLE:
        raise BirthmarkError(code, "a certificate cannot be read") from None


def _verify_path(
    certificates: tuple[x509.Certificate, ...], anchor: x509.Certificate, at: dt.datetime, code: str
) -> None:
    """Validate a path (RFC 5280) by cryptography's verifier, with our profile instead of the web's."""

    def is_leaf(_policy: object, _certificate: object, extension: x509.BasicConstraints) -> None:
        if extension.ca:
            raise ValueError("the leaf is an authority")

    def is_authority(_policy: object, _certificate: object, extension: x509.BasicConstraints) -> None:
        if not extension.ca:
            raise ValueError("an issuer is no authority")

    def signs(_policy: object, _certificate: object, extension: x509.KeyUsage) -> None:
        if not extension.key_cert_sign:
            raise ValueError("an issuer may not issue")

    any_criticality = Criticality.AGNOSTIC
    leaf_policy = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, any_criticality, is_leaf)
    issuer_policy = (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, any_criticality, is_authority)
        .require_present(x509.KeyUsage, any_criticality, signs)
    )
    verifier = (
        PolicyBuilder()
        .store(Store([anchor]))
        .time(at)
        .max_chain_depth(_DEPTH)
        .extension_policies(ca_policy=issuer_policy, ee_policy=leaf_policy)
        .build_client_verifier()
    )
    try:
        verifier.verify(certificates[0], list(certificates[1:]))
    except VerificationError as error:
        raise BirthmarkError(code, str(error)[:200]) from None


def _has_usage(certificate: x509.Certificate, usage: x509.ObjectIdentifier) -> bool:
    try:
        return usage in certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return False


def _ec_key(certificate: x509.Certificate, code: str) -> ec.EllipticCurvePublicKey:
    try:
        key = certificate.public_key()
    except ValueError:
        raise BirthmarkError(code, "its key cannot be read") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BirthmarkError(code, "its key is not of P-256")
    return key
