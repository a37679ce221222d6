"""The authority's certificates: which of them issued a certificate, and the chain from it to the root."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from shared.errors import BirthmarkError
from shared.x509_profile import UNREADABLE


@dataclass(frozen=True, slots=True)
class AuthorityCertificates:
    """Root and intermediates. Only the intermediate issues; what the earlier ones issued stays valid."""

    root: x509.Certificate
    intermediate: x509.Certificate
    earlier_intermediates: tuple[x509.Certificate, ...] = ()

    @property
    def issuers(self) -> tuple[x509.Certificate, ...]:
        """Certificates that may have issued a unit's certificate."""
        return (self.intermediate, *self.earlier_intermediates)

    def issuer_of(self, leaf: x509.Certificate) -> x509.Certificate:
        """The intermediate whose key signed `leaf`. Raises `authority.issuer-unknown`."""
        for issuer in self.issuers:
            if _has_signed(issuer, leaf):
                return issuer
        raise BirthmarkError("authority.issuer-unknown", f"certificate {leaf.serial_number:x}")

    def chain_of(self, leaf: bytes) -> tuple[bytes, ...]:
        """DER: `leaf`, the intermediate that issued it, root. Raises `authority.issuer-unknown`."""
        try:
            certificate = x509.load_der_x509_certificate(leaf)
        except UNREADABLE as error:
            raise BirthmarkError("authority.issuer-unknown", "the certificate cannot be read") from error
        issuer = self.issuer_of(certificate)
        return (leaf, *(c.public_bytes(Encoding.DER) for c in (issuer, self.root)))


def _has_signed(issuer: x509.Certificate, leaf: x509.Certificate) -> bool:
    # Only the signature: the public SMA's certificates name an issuer that is not their issuer's subject.
    key = issuer.public_key()
    try:
        algorithm = leaf.signature_hash_algorithm
        if not isinstance(key, ec.EllipticCurvePublicKey) or algorithm is None:
            return False
        key.verify(leaf.signature, leaf.tbs_certificate_bytes, ec.ECDSA(algorithm))
    except (InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
