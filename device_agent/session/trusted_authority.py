"""The authority that a unit trusts: its root and, where that is not enough, its intermediate. Read from files.

A root may have several CAs under it, and not each is there for cameras. Ours say so themselves, by their extended key
usages. One that says nothing, such as an imported authority's, counts only where the unit knows that very one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from runtime.files import read_bounded
from shared.errors import BirthmarkError, ErrorCode
from shared.x509_profile import EKU_STATION, UNREADABLE

_FILE_BYTES: Final = 64 * 1024

UNREADABLE_PARTS: Final = (
    *UNREADABLE,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What cryptography raises for a part of a certificate or CRL, when it is read. `make fuzz` found TypeError."""

Usages = frozenset[x509.ObjectIdentifier]


@dataclass(frozen=True, slots=True)
class TrustedAuthority:
    """What a unit knows of its authority."""

    root: x509.Certificate
    intermediate: x509.Certificate | None = None
    """The one that may issue without extended key usages; None where no such one may."""

    @classmethod
    def of(cls, path: tuple[x509.Certificate, ...]) -> TrustedAuthority:
        """The one that `path`, from a leaf to its root, stands on."""
        unlimited = [issuer for issuer in path[1:-1] if usages(issuer) is None]
        return cls(path[-1], unlimited[0] if unlimited else None)

    def knows(self, issuer: x509.Certificate) -> bool:
        """Whether `issuer` is the intermediate. Its key decides: a renewed certificate for it is still the same CA."""
        return self.intermediate is not None and self.intermediate.public_key() == issuer.public_key()

    def pem(self) -> bytes:
        """Root, then intermediate, for `load_authority`."""
        known = (self.root, self.intermediate) if self.intermediate else (self.root,)
        return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in known)


def usages(certificate: x509.Certificate) -> Usages | None:
    """The extended key usages that `certificate` names, or None. One whose extensions cannot be read allows nothing."""
    try:
        return frozenset(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return None
    except UNREADABLE_PARTS:
        return frozenset()


def whole(certificate: x509.Certificate) -> x509.Certificate:
    """`certificate`, whose parser is lazy. Raises ValueError when its subject, key or lifetime cannot be read."""
    try:
        _ = (certificate.subject, certificate.public_key())
        _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    except UNREADABLE_PARTS as error:
        raise ValueError(str(error)) from error
    return certificate


def load_authority(path: Path) -> TrustedAuthority:
    """What `TrustedAuthority.pem` wrote. Raises `trust.root-unreadable`."""
    try:
        root, *more = map(whole, x509.load_pem_x509_certificates(read_bounded(path, _FILE_BYTES)))
    except (OSError, *UNREADABLE) as error:
        raise BirthmarkError("trust.root-unreadable", str(path)) from error
    return TrustedAuthority(root, more[0] if more else None)


def load_root(path: Path) -> x509.Certificate:
    """A root certificate from a PEM or DER file. Raises `trust.root-unreadable`."""
    return _load(path, "trust.root-unreadable")


def load_intermediate(path: Path) -> x509.Certificate:
    """An intermediate certificate from a PEM or DER file. Raises `trust.intermediate-unreadable`."""
    return _load(path, "trust.intermediate-unreadable")


def _load(path: Path, code: ErrorCode) -> x509.Certificate:
    try:
        data = read_bounded(path, _FILE_BYTES)
        if data.lstrip().startswith(b"-----"):
            return whole(x509.load_pem_x509_certificate(data))
        return whole(x509.load_der_x509_certificate(data))
    except (OSError, *UNREADABLE) as error:
        raise BirthmarkError(code, str(path)) from error


def read_root(data: bytes) -> x509.Certificate:
    """The one root certificate that a PEM file's `data` holds: an authority's, signed by itself (RFC 5280, 3.2).

    Raises `trust.root-not-one`, which says why; a private key beside it is a reason.
    """
    code: Final = "trust.root-not-one"
    root = _read_authority(data, code)
    if not _issued(root, root):
        raise BirthmarkError(code, "another has signed it, so it is no root")
    return root


def read_intermediate(data: bytes, root: x509.Certificate) -> x509.Certificate:
    """The one intermediate certificate that a PEM file's `data` holds: an authority's, issued by `root`.

    Raises `trust.intermediate-not-one`, which says why.
    """
    code: Final = "trust.intermediate-not-one"
    intermediate = _read_authority(data, code)
    if intermediate.public_key() == root.public_key():
        raise BirthmarkError(code, "it is the root itself")
    if not _issued(root, intermediate):
        raise BirthmarkError(code, "the root has not issued it")
    allowed = usages(intermediate)
    if allowed is not None and not allowed >= {EKU_STATION, ExtendedKeyUsageOID.CLIENT_AUTH}:
        raise BirthmarkError(code, "its extended key usages are not those of stations and devices")
    return intermediate


def _read_authority(data: bytes, code: ErrorCode) -> x509.Certificate:
    kinds = re.findall(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----", data)
    if any(b"PRIVATE KEY" in kind for kind in kinds):
        raise BirthmarkError(code, "it holds a private key, which must never come to a Pi")
    if kinds != [b"CERTIFICATE"]:
        found = f"{len(kinds)} PEM blocks" if kinds else "no PEM block"
        raise BirthmarkError(code, f"it holds {found}, not one certificate")
    try:
        certificate = whole(x509.load_pem_x509_certificate(data))
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        raise BirthmarkError(code, "it is no authority's") from None
    except UNREADABLE_PARTS:
        raise BirthmarkError(code, "its certificate cannot be read") from None
    if not constraints.ca or not usage.key_cert_sign:
        raise BirthmarkError(code, "it is no authority's")
    return certificate


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
