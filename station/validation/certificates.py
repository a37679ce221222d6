"""Validates a camera's bundle: the certificate's issuer, validity and state, and the bundle's signature.

The registry must have this exact certificate. One that the authority's key signed but the registry does not know (a
station's, or a forged one after a key theft) does not pass.
"""

from __future__ import annotations

import base64
import hashlib
import warnings
from typing import Annotated, Final

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from msgspec import Meta

from runtime.clock import SYSTEM_CLOCK, Clock, utc_now
from shared import limits
from shared.birthmark.bundle import legacy_signed_text, signed_text
from shared.x509_profile import UNREADABLE, is_p256
from station.authority.certificates import AuthorityCertificates
from station.registry import queries
from station.registry.database import Database
from station.registry.records import UNKNOWN_AUTHORITY, Certificate, CertificateState, Unit, UnitState
from station.validation.counts import ValidationCounts
from station.validation.verdict import Reason, Verdict

_CERTIFICATE_CHARACTERS: Final = 4 * limits.CERTIFICATE_BYTES
"""Enough for base64 of a certificate's PEM: PEM and base64 add a third each."""

_SIGNATURE_CHARACTERS: Final = 2 * limits.SIGNATURE_BYTES

Sha256Hex = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{64}\Z", max_length=64)]


class CameraBundle(msgspec.Struct, frozen=True):
    """The body of Birthmark's `/validate-cert`."""

    camera_cert: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=_CERTIFICATE_CHARACTERS,
            description="Base64 of the certificate's PEM, or of its DER: cameras send both.",
        ),
    ]
    image_hash: Sha256Hex
    timestamp: Annotated[int, Meta(ge=0, le=2**53)]
    bundle_signature: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=_SIGNATURE_CHARACTERS,
            description="Base64 of a DER ECDSA P-256 signature with SHA-256 over `signed_text`.",
        ),
    ]
    gps_hash: Sha256Hex | None = None


class CertificateValidator:
    """Validates any number of bundles at once."""

    def __init__(
        self,
        certificates: AuthorityCertificates,
        database: Database,
        counts: ValidationCounts,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._counts = counts
        self._issuers = [
            key for c in certificates.issuers if isinstance(key := c.public_key(), ec.EllipticCurvePublicKey)
        ]
        self._database = database
        self._clock = clock

    async def validate(self, bundle: CameraBundle) -> Verdict:
        """Check a decoded `bundle`, whose fields are well-formed. Raises `registry.unavailable`.

        Makes every check, even after one has failed; the first failure is the reason.
        """
        try:
            certificate = _certificate(bundle.camera_cert)
            key = certificate.public_key()
            not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        except (*UNREADABLE, TypeError, UnsupportedAlgorithm, CryptographyDeprecationWarning):
            return Verdict(Reason.MALFORMED)
        if not is_p256(key):
            return Verdict(Reason.MALFORMED)
        trusted = sum(_is_signed_by(issuer, certificate) for issuer in self._issuers) > 0
        now = utc_now(self._clock)
        fingerprint = hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
        async with self._database.read() as connection:
            found = await queries.by_certificate(connection, fingerprint)
        signed = _is_bundle_signature_valid(key, bundle)
        if not trusted:
            return Verdict(Reason.UNTRUSTED)
        if not not_before <= now <= not_after:
            return Verdict(Reason.OUT_OF_DATE)
        reason = _judge(found, signed=signed)
        if found is None or reason is not Reason.VALID:
            return Verdict(reason)
        unit, _ = found
        return Verdict(reason if self._counts.count(unit.id, unit.validated) else Reason.OVER_LIMIT)


def _certificate(text: str) -> x509.Certificate:
    data = base64.b64decode(text, validate=True)  # binascii.Error is a ValueError
    with warnings.catch_warnings():
        # cryptography warns where RFC 5280 forbids; none of our certificates is like that.
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        if data.lstrip().startswith(b"-----BEGIN"):
            return x509.load_pem_x509_certificate(data)
        return x509.load_der_x509_certificate(data)


def _is_signed_by(issuer: ec.EllipticCurvePublicKey, certificate: x509.Certificate) -> bool:
    # Only the signature: the public SMA's certificates name an issuer that is not their issuer's subject.
    try:
        if not isinstance(certificate.signature_hash_algorithm, hashes.SHA256):
            return False
        issuer.verify(certificate.signature, certificate.tbs_certificate_bytes, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _is_bundle_signature_valid(key: ec.EllipticCurvePublicKey, bundle: CameraBundle) -> bool:
    """Whether the key signed everything that the bundle asserts, in one of the two forms."""
    texts = [signed_text(bundle.image_hash, bundle.camera_cert, bundle.timestamp, bundle.gps_hash)]
    if bundle.gps_hash is None:
        texts.append(legacy_signed_text(bundle.image_hash, bundle.timestamp))
    try:
        signature = base64.b64decode(bundle.bundle_signature, validate=True)
    except ValueError:
        return False
    return sum(_is_signature_of(key, signature, text) for text in texts) > 0


def _is_signature_of(key: ec.EllipticCurvePublicKey, signature: bytes, text: bytes) -> bool:
    try:
        key.verify(signature, text, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def _judge(found: tuple[Unit, Certificate] | None, *, signed: bool) -> Reason:
    if found is None:
        return Reason.UNKNOWN_UNIT
    unit, certificate = found
    if certificate.issuer == UNKNOWN_AUTHORITY:
        return Reason.UNTRUSTED  # whatever intermediates this station has come by since
    if certificate.state is CertificateState.REVOKED:
        return Reason.REVOKED
    if unit.state is not UnitState.PROVISIONED:
        return Reason.NOT_PROVISIONED
    return Reason.VALID if signed else Reason.BAD_SIGNATURE
