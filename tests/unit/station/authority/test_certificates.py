"""A certificate's chain goes through the intermediate that issued it, also when that is an earlier one."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from shared.errors import BirthmarkError
from shared.types import board_serial
from station.authority import profiles
from station.authority.certificates import AuthorityCertificates
from station.authority.profiles import DeviceSubject

AT = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
ROOT_KEY, NOW_KEY, FORMER_KEY, FIRST_KEY, LEAF_KEY = (ec.generate_private_key(ec.SECP256R1()) for _ in range(5))
ROOT = profiles.root("O", ROOT_KEY.public_key(), AT).sign(ROOT_KEY, hashes.SHA256())


def intermediate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """All of them have one name: only the signature tells them apart."""
    return profiles.intermediate("O", key.public_key(), AT, ROOT).sign(ROOT_KEY, hashes.SHA256())


NOW, FORMER, FIRST = (intermediate(key) for key in (NOW_KEY, FORMER_KEY, FIRST_KEY))
CERTIFICATES = AuthorityCertificates(ROOT, NOW, (FORMER, FIRST))
SIGNERS = pytest.mark.parametrize(
    ("issuer", "key"), [(NOW, NOW_KEY), (FORMER, FORMER_KEY), (FIRST, FIRST_KEY)], ids=["current", "former", "first"]
)


def builder(issuer: x509.Certificate) -> x509.CertificateBuilder:
    subject = DeviceSubject(board_serial("CAM-1"), LEAF_KEY.public_key(), b"")
    return profiles.device("O", subject, 4711, AT, 730, issuer, "http://127.0.0.1/crl")


def unknown(leaf: bytes) -> str:
    with pytest.raises(BirthmarkError) as caught:
        CERTIFICATES.chain_of(leaf)
    assert caught.value.code == "authority.issuer-unknown"
    return caught.value.detail


@SIGNERS
def test_a_chain_is_leaf_the_intermediate_that_issued_it_and_root(
    issuer: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    leaf = builder(issuer).sign(key, hashes.SHA256())
    assert CERTIFICATES.issuer_of(leaf) == issuer
    chain = [x509.load_der_x509_certificate(der) for der in CERTIFICATES.chain_of(leaf.public_bytes(Encoding.DER))]
    assert chain == [leaf, issuer, ROOT]
    for below, above in pairwise(chain):
        below.verify_directly_issued_by(above)


@SIGNERS
def test_an_issuer_is_found_by_its_signature_whatever_name_the_certificate_gives_it(
    issuer: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    other = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "as the public SMA names it")])
    begin, end = AT, AT + dt.timedelta(days=1)
    leaf = x509.CertificateBuilder(other, other, LEAF_KEY.public_key(), 1, begin, end).sign(key, hashes.SHA256())
    assert CERTIFICATES.issuer_of(leaf) == issuer


def test_every_intermediate_is_an_issuer_and_the_root_is_none() -> None:
    assert CERTIFICATES.issuers == (NOW, FORMER, FIRST)
    assert unknown(NOW.public_bytes(Encoding.DER))


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["P-256", "P-384", "RSA", "Ed25519"],
)
def test_a_certificate_that_none_of_them_issued_has_no_chain(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey,
) -> None:
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    leaf = builder(NOW).sign(key, algorithm)
    assert f"{leaf.serial_number:x}" in unknown(leaf.public_bytes(Encoding.DER))


def test_bytes_that_are_no_certificate_or_were_changed_have_no_chain() -> None:
    leaf = builder(NOW).sign(NOW_KEY, hashes.SHA256())
    der = leaf.public_bytes(Encoding.DER)
    assert CERTIFICATES.chain_of(der)[0] == der
    unknown(b"")
    unknown(b"no certificate")
    unknown(der[:-1])
    unused_bits = len(der) - len(leaf.signature) - 1  # of the BIT STRING: no part of what is signed, nor the signature
    for place in {*range(len(der))} - {unused_bits}:
        unknown(der[:place] + bytes([der[place] ^ 1]) + der[place + 1 :])


def test_an_intermediate_with_another_kind_of_key_issues_nothing() -> None:
    key = rsa.generate_private_key(65537, 2048)
    begin, end = AT, AT + dt.timedelta(days=1)
    built = x509.CertificateBuilder(ROOT.subject, NOW.subject, key.public_key(), 1, begin, end)
    other = built.sign(ROOT_KEY, hashes.SHA256())
    leaf = builder(NOW).sign(NOW_KEY, hashes.SHA256())
    assert AuthorityCertificates(ROOT, other, (NOW,)).issuer_of(leaf) == NOW
