"""Makes certificates of invented TPM vendors, with the errors of real ones (docs/decisions/0003-ek-certificates.md).

The repository must not contain a real vendor's certificate.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier

from tests.harness.vendor_lab import (
    ECDSA_SHA256,
    ECDSA_SHA384,
    EK_USAGE,
    NOW,
    RSA_SHA1,
    RSA_SHA256,
    Algorithm,
    Attributes,
    PrivateKey,
    all_in_one_rdn,
    ca_issuers,
    disordered,
    one_rdn_each,
    pem,
    signed,
    usage,
    with_algorithm,
)

OUT_OF_ORDER = tuple(f"Roughly TPM Root CA {number}" for number in ("01", "02", "0100", "1110", "1111", "2110", "2111"))
"""Roots whose name is one set of three attributes in an order that DER forbids; the first two are older."""

_SIGNS_CERTIFICATES = usage(key_cert_sign=True)
_ENDED = dt.datetime(2025, 10, 20, tzinfo=dt.UTC)

_Extensions = Iterable[tuple[x509.ExtensionType, bool]]


def _name(common: str, organization: str, country: str = "CH", unit: str = "") -> x509.Name:
    attributes: Attributes = ((NameOID.COUNTRY_NAME, country), (NameOID.ORGANIZATION_NAME, organization))
    if unit:
        attributes += ((NameOID.ORGANIZATIONAL_UNIT_NAME, unit),)
    return one_rdn_each((*attributes, (NameOID.COMMON_NAME, common)))


GLOBAL = _name("Global Trusted Platform Module Root CA", "Global", unit="Global Trusted Computing")
THREEFOLD_ROOT = _name("Threefold TPM EK Root CA", "Threefold Electronics NV")
THREEFOLD_ISSUING = _name("Threefold TPM EK Intermediate CA 01", "Threefold Electronics NV")
CURVED_ROOT = _name("Curved OPTIC(TM) ECC Root CA", "Curved Technologies AG", "DE", "OPTIC(TM) Devices")
CURVED_ISSUING = _name("Curved OPTIC(TM) TPM 2.0 ECC CA 042", "Curved Technologies AG", "DE", "OPTIC(TM)")
ABSENT = _name("Absent Trusted Platform Module Root CA", "Absent, Inc.", "US", "Absent Trusted Computing")
OLD_ROOT = _name("Old TPM EK Root CA", "Old Technologies AG", "DE", "AIM")
OLD_ISSUING = _name("Old TPM EK Intermediate CA 01", "Old Technologies AG", "DE", "AIM")


@cache
def rough_vendors() -> dict[str, bytes]:
    """Make fourteen certificates: file name → DER."""
    (top, root, issuing, old) = (rsa.generate_private_key(65537, 2048) for _ in range(4))
    curved, narrow = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP256R1())
    both = usage(key_cert_sign=True, crl_sign=True)
    at = "http://pki.curved.example/OpticEccRootCA/OpticEccRootCA"
    elsewhere = [
        (ca_issuers(f"{at}.crt"), False),
        (x509.CRLDistributionPoints([x509.DistributionPoint([_uri(f"{at}.crl")], None, None, None)]), False),
    ]
    made = {
        "global": _ca(GLOBAL, top, GLOBAL, top, RSA_SHA256, _may(None, both) + _identifiers(top)),
        "threefold-root": _ca(
            *(THREEFOLD_ROOT, root, GLOBAL, top, RSA_SHA256),
            _may(1) + _identifiers(root, top) + _policy("1.3.6.1.4.1.99999.1.90", critical=False),
        ),
        "threefold-issuing": _ca(
            *(THREEFOLD_ISSUING, issuing, THREEFOLD_ROOT, root, RSA_SHA256),
            _may(0) + _identifiers(issuing, root) + _policy("2.5.29.32.0", critical=True),
        ),
        "curved-root": _ca(
            CURVED_ROOT, curved, CURVED_ROOT, curved, ECDSA_SHA384, _may(None, both) + _identifiers(curved)
        ),
        "curved-issuing": _ca(
            *(CURVED_ISSUING, narrow, CURVED_ROOT, curved, ECDSA_SHA384),
            [*_may(0, both), *_identifiers(narrow, curved), *elsewhere, (x509.ExtendedKeyUsage([EK_USAGE]), False)],
        ),
        "old-root": _ca(
            *(OLD_ROOT, old, ABSENT, top, RSA_SHA1),
            _may(1) + _identifiers(old, top) + _policy("2.16.840.1.99999.1", critical=True),
        ),
        "old-issuing": _ca(
            *(OLD_ISSUING, issuing, OLD_ROOT, old, RSA_SHA1),
            _may(0) + _identifiers(issuing, old) + _policy("2.16.840.1.99999.1", critical=True),
            until=_ENDED,
        ),
    }
    for number, common in enumerate(OUT_OF_ORDER):
        attributes: Attributes = (
            (NameOID.COMMON_NAME, common),
            (NameOID.ORGANIZATION_NAME, "Roughly Technology Corporation"),
            (NameOID.COUNTRY_NAME, "TW"),
        )
        name, older = all_in_one_rdn(attributes), number < 2
        key: PrivateKey = top if older else narrow
        extensions = _may(0) if older else _may(0) + _identifiers(key, key)
        algorithm = RSA_SHA1 if older else ECDSA_SHA256
        made[f"roughly-{number}"] = _ca(name, key, name, key, algorithm, extensions, change=disordered(attributes))
    return {f"{file}.pem": der for file, der in made.items()}


def write_rough_vendors(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, der in rough_vendors().items():
        (directory / name).write_bytes(pem(der))
    return directory


def _ca(
    subject: x509.Name,
    key: PrivateKey,
    issuer: x509.Name,
    issuer_key: PrivateKey,
    algorithm: Algorithm,
    extensions: _Extensions,
    *,
    until: dt.datetime = NOW + dt.timedelta(days=3650),
    change: Callable[[bytes], bytes] = lambda tbs: tbs,
) -> bytes:
    since = dt.datetime(2009, 7, 28, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number(), since, until)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    tbs = builder.sign(issuer_key, hashes.SHA256()).tbs_certificate_bytes
    return signed(change(with_algorithm(tbs, algorithm)), issuer_key, algorithm)


def _may(path_length: int | None, what: x509.KeyUsage = _SIGNS_CERTIFICATES) -> list[tuple[x509.ExtensionType, bool]]:
    return [(x509.BasicConstraints(True, path_length), True), (what, True)]


def _identifiers(key: PrivateKey, issuer: PrivateKey | None = None) -> list[tuple[x509.ExtensionType, bool]]:
    own: list[tuple[x509.ExtensionType, bool]] = [(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)]
    if issuer is None:
        return own
    return [*own, (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), False)]


def _policy(oid: str, *, critical: bool) -> list[tuple[x509.ExtensionType, bool]]:
    statement = x509.PolicyInformation(ObjectIdentifier(oid), ["http://vendor.example/repository/"])
    return [(x509.CertificatePolicies([statement]), critical)]


def _uri(address: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(address)


def real_vendors(what: str) -> Path:
    """Return the folder of real vendors' certificates that BIRTHMARK_TPM_VENDORS names, or one beside the checkout.

    Skips the test, and says so, where there is none.
    """
    named = os.environ.get("BIRTHMARK_TPM_VENDORS")
    checkout = Path(__file__).parents[2]
    for folder in [Path(named)] if named else [checkout / "../shared/tpm_makers", checkout / "../../shared/tpm_makers"]:
        if folder.is_dir():
            return folder.resolve()
    pytest.skip(f"no {what} here: set BIRTHMARK_TPM_VENDORS to a folder that holds some")
