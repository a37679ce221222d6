"""What an operator is told where no known vendor vouches: which certificate is missing and where it belongs."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID, ObjectIdentifier

from shared.errors import BirthmarkError
from station.attestation.ek.issuer_hints import authority_key_identifier, issuer_address, subject_key_identifier
from station.attestation.ek.roots import load_ek_roots
from station.attestation.ek.vendor_certificate import VendorCertificate
from station.attestation.ek.verification import EkTrust, EkVerdict, verify_ek
from station.config import EkPolicy
from tests.harness.rough_vendors import rough_vendors
from tests.harness.vendor_lab import NOW, SWTPM, Vendor, one_rdn_each, write_roots

KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
SOMEBODY = Vendor("Somebody")
AKI = x509.AuthorityKeyIdentifier(bytes.fromhex("00112233445566778899aabbccddeeff00112233"), None, None)


def offered(*addresses: str) -> x509.AuthorityInformationAccess:
    method = AuthorityInformationAccessOID.CA_ISSUERS
    return x509.AuthorityInformationAccess(
        [x509.AccessDescription(method, x509.UniformResourceIdentifier(address)) for address in addresses]
    )


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
    extensions = [(AKI, False), (offered("http://pki.vendor.example/ca/TpmCa_042.crt"), False)]
    error = refusal(SOMEBODY.ek(KEY, extensions=extensions), vendors)
    assert error.code == "attestation.ek-untrusted"
    assert error.detail == (
        "its issuer is CN=Somebody (authority key identifier "
        "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22:33; "
        f"the chip gives its address as http://pki.vendor.example/ca/TpmCa_042.crt), which is not in {vendors}"
    )
    assert "from the TPM's vendor" in error.advice
    assert "genuine" not in error.advice + error.sentence


def test_a_certificate_that_says_neither_is_told_by_its_issuer_alone(vendors: Path) -> None:
    assert refusal(SOMEBODY.ek(KEY), vendors).detail == f"its issuer is CN=Somebody, which is not in {vendors}"
    nameless = Vendor(x509.Name([]))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "EK")])
    assert refusal(nameless.ek(KEY, subject=subject), vendors).detail.startswith("its issuer is without a name, ")


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
def test_an_address_that_no_vendor_would_publish_is_not_shown(vendors: Path, address: str) -> None:
    detail = refusal(SOMEBODY.ek(KEY, extensions=[(offered(address), False)]), vendors).detail
    assert detail == f"its issuer is CN=Somebody, which is not in {vendors}"
    both = SOMEBODY.ek(KEY, extensions=[(offered(address, "https://vendor.example:8443/ca.crt"), False)])
    assert issuer_address(both) == "https://vendor.example:8443/ca.crt"


@pytest.mark.parametrize(
    "octets", [b"", b"\x30", b"\x30\x80", b"\x04\x02\x01", b"rubbish", b"\x30\x03\x80\x01"], ids=repr
)
def test_hints_that_cannot_be_read_are_not_given_and_turn_no_tpm_away(tmp_path: Path, octets: bytes) -> None:
    rubbish = [
        (x509.UnrecognizedExtension(ObjectIdentifier(oid), octets), False)
        for oid in ("2.5.29.35", "1.3.6.1.5.5.7.1.1", "2.5.29.14")
    ]
    der = SOMEBODY.ek(KEY, extensions=rubbish)
    assert (authority_key_identifier(der), subject_key_identifier(der), issuer_address(der)) == (b"", b"", "")
    assert refusal(der, tmp_path).code == "attestation.ek-untrusted"


def test_a_key_identifier_of_any_length_is_shown_only_where_it_may_be_one(tmp_path: Path) -> None:
    for size, known in ((64, True), (65, False), (5000, False)):
        der = SOMEBODY.ek(KEY, extensions=[(x509.AuthorityKeyIdentifier(b"k" * size, None, None), False)])
        assert bool(authority_key_identifier(der)) is known
        assert len(refusal(der, tmp_path).detail) < 700


def test_a_hostile_issuers_name_is_cleaned_and_cut(tmp_path: Path) -> None:
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"\x1b[2J\u202e{i}" + "x" * 50) for i in range(30)])
    detail = refusal(Vendor(name).ek(KEY), tmp_path).detail
    assert detail.isprintable()
    assert len(detail) < 300 + len(str(tmp_path))


def test_what_other_libraries_write_is_read(tmp_path: Path) -> None:
    """Of the made twins of real vendors' certificates, by cryptography's own parser where it can."""
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


# --- a name that is known, with another key ---


def test_a_vendor_that_has_renewed_its_key_is_not_called_false(tmp_path: Path) -> None:
    """The chip names a key that is not here, so nothing says that it lies."""
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


def test_a_simulator_is_told_of_the_policy_for_simulators_and_of_no_vendor(tmp_path: Path) -> None:
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
