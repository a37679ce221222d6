"""The error for an unknown vendor names the missing certificate and where it belongs."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier

from shared.errors import BirthmarkError
from station.attestation.ek.issuer_hints import subject_key_identifier
from station.attestation.ek.roots import load_ek_roots
from station.attestation.ek.verification import EkTrust, EkVerdict, verify_ek
from station.config import EkPolicy
from tests.harness.vendor_lab import NOW, SWTPM, Vendor, ca_issuers, one_rdn_each, write_roots

KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
SOMEBODY = Vendor("Somebody")
AKI = x509.AuthorityKeyIdentifier(bytes.fromhex("00112233445566778899aabbccddeeff00112233"), None, None)


def with_key(name: str, key: ec.EllipticCurvePrivateKey) -> Vendor:
    return Vendor(name, key=key, extensions=[(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)])


def ek_of(vendor: Vendor, **peculiar: object) -> bytes:
    aki = x509.AuthorityKeyIdentifier.from_issuer_public_key(vendor.key.public_key())
    return vendor.ek(KEY, extensions=[(aki, False)], **peculiar)  # type: ignore[arg-type]


def judged(der: bytes, directory: Path) -> EkVerdict:
    return verify_ek(der, load_ek_roots(directory), EkPolicy.REQUIRE, now=NOW, key=KEY)


def refusal(der: bytes, directory: Path) -> BirthmarkError:
    with pytest.raises(BirthmarkError) as caught:
        judged(der, directory)
    return caught.value


@pytest.fixture
def vendors(tmp_path: Path) -> Path:
    return write_roots(tmp_path / "ek-roots", Vendor("Another"))


def test_the_issuer_its_key_its_address_and_the_place_are_named(vendors: Path) -> None:
    extensions = [(AKI, False), (ca_issuers("http://pki.vendor.example/ca/TpmCa_042.crt"), False)]
    error = refusal(SOMEBODY.ek(KEY, extensions=extensions), vendors)
    assert error.code == "attestation.ek-untrusted"
    assert error.detail == (
        "its issuer is CN=Somebody (authority key identifier "
        "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22:33; "
        f"the chip gives its address as http://pki.vendor.example/ca/TpmCa_042.crt), which is not in {vendors}"
    )
    assert "from the TPM's vendor" in error.advice
    assert "genuine" not in error.advice + error.sentence


def test_a_certificate_without_hints_is_reported_by_its_issuers_name_alone(vendors: Path) -> None:
    assert refusal(SOMEBODY.ek(KEY), vendors).detail == f"its issuer is CN=Somebody, which is not in {vendors}"
    nameless = Vendor(x509.Name([]))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "EK")])
    assert refusal(nameless.ek(KEY, subject=subject), vendors).detail.startswith("its issuer is without a name, ")


def test_an_address_that_no_vendor_would_publish_is_not_shown(vendors: Path) -> None:
    hostile = [(ca_issuers("http://vendor.example/ca.crt\nRun this: rm -rf /"), False)]
    detail = refusal(SOMEBODY.ek(KEY, extensions=hostile), vendors).detail
    assert detail == f"its issuer is CN=Somebody, which is not in {vendors}"


def test_hints_that_cannot_be_read_turn_no_tpm_away(tmp_path: Path) -> None:
    rubbish = [
        (x509.UnrecognizedExtension(ObjectIdentifier(oid), b"\x30\x80"), False)
        for oid in ("2.5.29.35", "1.3.6.1.5.5.7.1.1", "2.5.29.14")
    ]
    assert refusal(SOMEBODY.ek(KEY, extensions=rubbish), tmp_path).code == "attestation.ek-untrusted"


def test_a_key_identifier_of_any_length_leaves_the_refusal_short(tmp_path: Path) -> None:
    aki = x509.AuthorityKeyIdentifier(b"k" * 5000, None, None)
    assert len(refusal(SOMEBODY.ek(KEY, extensions=[(aki, False)]), tmp_path).detail) < 700


def test_a_hostile_issuers_name_is_cleaned_and_cut(tmp_path: Path) -> None:
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"\x1b[2J\u202e{i}" + "x" * 50) for i in range(30)])
    detail = refusal(Vendor(name).ek(KEY), tmp_path).detail
    assert detail.isprintable()
    assert len(detail) < 300 + len(str(tmp_path))


# --- a name that is known, with another key ---


def test_a_vendor_that_has_renewed_its_key_is_not_called_false(tmp_path: Path) -> None:
    """The chip names a key that is not here, so its certificate may be genuine."""
    old, new = (with_key("Vendor CA 007", ec.generate_private_key(ec.SECP256R1())) for _ in range(2))
    directory = write_roots(tmp_path / "ek-roots", old)
    error = refusal(ek_of(new), directory)
    assert error.code == "attestation.ek-untrusted"
    assert error.detail.endswith(f", which is only one of that name with another key in {directory}")
    assert subject_key_identifier(new.der).hex(":") in error.detail
    (directory / "new.pem").write_bytes(new.pem())
    assert judged(ek_of(new), directory).trust is EkTrust.VERIFIED


def test_a_false_signature_under_a_known_vendors_key_is_called_false(tmp_path: Path) -> None:
    vendor = with_key("Vendor CA 007", ec.generate_private_key(ec.SECP256R1()))
    directory = write_roots(tmp_path / "ek-roots", vendor)
    forger = Vendor("Vendor CA 007")
    known = x509.AuthorityKeyIdentifier.from_issuer_public_key(vendor.key.public_key())
    for der in (forger.ek(KEY, extensions=[(known, False)]), forger.ek(KEY)):
        error = refusal(der, directory)
        assert error.code == "attestation.ek-forged"
        assert "not genuine" in error.advice
        assert error.detail == f"its issuer is CN=Vendor CA 007, whose certificate is in {directory}"


# --- a simulator where real TPMs are required ---


def test_the_error_for_a_simulator_names_its_policy_and_no_vendor(tmp_path: Path) -> None:
    simulated = one_rdn_each(SWTPM)
    unknown = refusal(Vendor("swtpm-localca").ek(KEY, tpm=simulated), tmp_path)
    directory = write_roots(tmp_path / "ek-roots", Vendor("swtpm-localca"))
    another = refusal(Vendor("swtpm-localca").ek(KEY, tpm=simulated), directory)
    assert (unknown.code, another.code) == ("attestation.ek-untrusted", "attestation.ek-forged")
    for error in (unknown, another):
        assert "`birthmark-station serve --ek-policy simulator`" in error.advice
        assert "for tests only" in error.advice
        assert "genuine" not in error.advice
        assert "from the TPM's vendor" not in error.advice
    assert "simulator" not in refusal(SOMEBODY.ek(KEY), tmp_path).advice, "a real TPM's vendor is looked for"
