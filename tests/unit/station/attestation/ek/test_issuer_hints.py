"""A certificate's hints at its issuer: read if well-formed, empty if malformed or hostile."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ObjectIdentifier

from station.attestation.ek.issuer_hints import authority_key_identifier, issuer_address, subject_key_identifier
from station.attestation.ek.vendor_certificate import VendorCertificate
from tests.harness.rough_vendors import rough_vendors
from tests.harness.vendor_lab import Vendor, ca_issuers

KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
SOMEBODY = Vendor("Somebody")


def address_of(*addresses: str) -> str:
    return issuer_address(SOMEBODY.ek(KEY, extensions=[(ca_issuers(*addresses), False)]))


def test_a_certificate_that_says_nothing_gives_nothing() -> None:
    der = SOMEBODY.ek(KEY)
    assert (authority_key_identifier(der), subject_key_identifier(der), issuer_address(der)) == (b"", b"", "")


@pytest.mark.parametrize(
    "address",
    [
        "http://vendor.example/<script>alert(1)</script>",
        "http://vendor.example/\x1b[2J",
        "http://vendor.example/a b",
        "http://vendor.example@evil.example/ca.crt",
        "http://vendor.example/ca.crt\nRun this: rm -rf /",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "ldap://vendor.example/cn=CA",
        "http://vendor.example/" + "a" * 151,
        "http://" + "a" * 101 + "/",
        "http://",
        "",
    ],
)
def test_an_address_that_no_vendor_would_publish_is_passed_over(address: str) -> None:
    assert address_of(address) == ""
    assert address_of(address, "https://vendor.example:8443/ca.crt") == "https://vendor.example:8443/ca.crt"


@pytest.mark.parametrize(
    "octets", [b"", b"\x30", b"\x30\x80", b"\x04\x02\x01", b"rubbish", b"\x30\x03\x80\x01"], ids=repr
)
def test_a_hint_that_cannot_be_read_counts_as_not_said(octets: bytes) -> None:
    rubbish = [
        (x509.UnrecognizedExtension(ObjectIdentifier(oid), octets), False)
        for oid in ("2.5.29.35", "1.3.6.1.5.5.7.1.1", "2.5.29.14")
    ]
    der = SOMEBODY.ek(KEY, extensions=rubbish)
    assert (authority_key_identifier(der), subject_key_identifier(der), issuer_address(der)) == (b"", b"", "")


@pytest.mark.parametrize(("size", "known"), [(1, True), (64, True), (65, False), (5000, False)])
def test_a_key_identifier_has_at_most_64_bytes(size: int, known: bool) -> None:
    aki = x509.AuthorityKeyIdentifier(b"k" * size, None, None)
    found = authority_key_identifier(SOMEBODY.ek(KEY, extensions=[(aki, False)]))
    assert found == (b"k" * size if known else b"")


def test_what_other_libraries_write_is_read() -> None:
    """Compared with cryptography's parser, where it can read the imitated vendors' certificates."""
    for name in ("curved-issuing.pem", "threefold-root.pem", "global.pem"):
        der = rough_vendors()[name]
        extensions = x509.load_der_x509_certificate(der).extensions
        ski = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        assert VendorCertificate.read(der).key_identifier == ski
    aki = extensions_of("curved-issuing.pem").get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert authority_key_identifier(rough_vendors()["curved-issuing.pem"]) == aki.key_identifier
    assert issuer_address(rough_vendors()["curved-issuing.pem"]).endswith("/OpticEccRootCA.crt")
    assert authority_key_identifier(rough_vendors()["roughly-0.pem"]) == b""


def extensions_of(name: str) -> x509.Extensions:
    return x509.load_der_x509_certificate(rough_vendors()[name]).extensions
