"""Reads one certificate of a TPM vendor or of a TPM, and checks who issued it.

OpenSSL verifies the original bytes; the fields are read from a repaired copy (`der_repair`).
docs/decisions/0003-ek-certificates.md says why that takes two libraries.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtensionOID
from OpenSSL import crypto

from shared.errors import BirthmarkError
from shared.text import printable
from shared.x509_profile import UNREADABLE
from station.attestation.ek import issuer_hints
from station.attestation.ek.der_repair import repair_der, strip_padding

EK_USAGE: Final = x509.ObjectIdentifier("2.23.133.8.1")
"""tcg-kp-EKCertificate, the extended key usage of EK certificates and of their issuers."""

_NO_CHECK_TIME: Final = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which pyOpenSSL does not name
_FLAGS: Final = crypto.X509StoreFlags.PARTIAL_CHAIN | crypto.X509StoreFlags.IGNORE_CRITICAL | _NO_CHECK_TIME

_HASHES: Final = (hashes.SHA1, hashes.SHA256, hashes.SHA384, hashes.SHA512)
"""SHA-1 is among them because vendors' issuers of 2012 that are still in use sign with it."""

_UNDERSTOOD: Final = frozenset(
    {
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.SUBJECT_DIRECTORY_ATTRIBUTES,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
    }
)
"""Extensions that may be critical. Policies and directory attributes restrict nothing that the station does."""

_UNREADABLE: Final = (
    *UNREADABLE,
    crypto.Error,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
)
"""What the two libraries raise for bytes that are no certificate."""

ExtensionT = TypeVar("ExtensionT", bound=x509.ExtensionType)


@dataclass(frozen=True, eq=False)
class VendorCertificate:
    """A parsed certificate. `read` makes it."""

    der: bytes
    """As signed, without padding."""
    view: x509.Certificate
    """The repaired copy. Its signature is invalid."""
    openssl: crypto.X509

    @classmethod
    def read(cls, padded: bytes) -> VendorCertificate:
        """Parse DER, padded or not. Raises `attestation.ek-malformed`."""
        der = strip_padding(bytes(padded))
        try:
            openssl = crypto.load_certificate(crypto.FILETYPE_ASN1, der)
            view = x509.load_der_x509_certificate(repair_der(der))
            certificate = cls(der, view, openssl)
            # The parsers are lazy: read every field here, so that an error is raised here.
            _ = (certificate.subject, certificate.issuer, certificate.extensions, certificate.key)
            _ = (view.not_valid_after_utc, view.signature_hash_algorithm)
        except _UNREADABLE as error:
            raise BirthmarkError("attestation.ek-malformed", printable(str(error), 120)) from None
        except x509.UnsupportedGeneralNameType:
            raise BirthmarkError("attestation.ek-malformed", "its subjectAltName is of an unknown kind") from None
        return certificate

    @cached_property
    def extensions(self) -> x509.Extensions:
        """basicConstraints, keyUsage, extKeyUsage, subjectAltName, and all other critical extensions."""
        return self.view.extensions

    @cached_property
    def subject(self) -> str:
        """The subject as in RFC 4514, for people and for looking up issuers."""
        return self.view.subject.rfc4514_string()

    @property
    def common_name(self) -> str:
        """The subject's common name, cleaned for people; empty without one."""
        found = self.view.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        value = found[-1].value if found else ""
        return printable(value if isinstance(value, str) else value.hex(), 128)

    @cached_property
    def sha256(self) -> str:
        """The certificate's fingerprint, hexadecimal."""
        return hashlib.sha256(self.der).hexdigest()

    @cached_property
    def issuer(self) -> str:
        return self.view.issuer.rfc4514_string()

    @cached_property
    def key(self) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
        key = self.view.public_key()
        if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            raise TypeError("its key is neither RSA nor ECC")
        return key

    @property
    def basic_constraints(self) -> x509.BasicConstraints | None:
        return self._extension(x509.BasicConstraints)

    @property
    def key_usage(self) -> x509.KeyUsage | None:
        return self._extension(x509.KeyUsage)

    @property
    def extended_key_usage(self) -> x509.ExtendedKeyUsage | None:
        return self._extension(x509.ExtendedKeyUsage)

    @property
    def alternative_name(self) -> x509.SubjectAlternativeName | None:
        return self._extension(x509.SubjectAlternativeName)

    @cached_property
    def key_identifier(self) -> bytes:
        """The identifier of the key that it is for, as it claims; empty if it names none."""
        return issuer_hints.subject_key_identifier(self.der)

    @cached_property
    def issuer_key_identifier(self) -> bytes:
        """The identifier of the key that signed it, as it claims; empty if it names none."""
        return issuer_hints.authority_key_identifier(self.der)

    def names_another_key(self, issuer: VendorCertificate) -> bool:
        """Whether its authority key identifier differs from the key identifier of `issuer`."""
        said, known = self.issuer_key_identifier, issuer.key_identifier
        return bool(said and known) and said != known

    def _extension(self, kind: type[ExtensionT]) -> ExtensionT | None:
        try:
            return self.extensions.get_extension_for_class(kind).value
        except x509.ExtensionNotFound:
            return None

    def not_understood(self) -> list[str]:
        """The OIDs of unknown critical extensions (RFC 5280, 4.2), which OpenSSL is told to ignore."""
        return [e.oid.dotted_string for e in self.extensions if e.critical and e.oid not in _UNDERSTOOD]

    def why_no_issuer(self) -> str:
        """Return why this may not issue EK certificates; empty if it may."""
        constraints, usage, extended = self.basic_constraints, self.key_usage, self.extended_key_usage
        if constraints is None or not constraints.ca:
            return "it is not a CA's certificate"
        if usage is not None and not usage.key_cert_sign:
            return "its key may not sign certificates"
        if extended is not None and not {EK_USAGE, x509.oid.ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(extended):
            return "its extended key usage is for other certificates"
        if unknown := self.not_understood():
            return f"it has unknown critical extensions ({', '.join(unknown)})"
        return ""

    def is_issued_by(self, issuer: VendorCertificate) -> bool:
        """Whether `issuer` issued this, by name, key identifiers and signature. Does not check lifetimes."""
        if not isinstance(self.view.signature_hash_algorithm, _HASHES):
            return False
        store = crypto.X509Store()
        store.set_flags(_FLAGS)
        store.add_cert(issuer.openssl)
        try:
            crypto.X509StoreContext(store, self.openssl).verify_certificate()
        except crypto.X509StoreContextError:
            return False
        return True
