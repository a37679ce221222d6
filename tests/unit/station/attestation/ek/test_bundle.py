"""Of a file with many certificates each counts by itself, and what cannot be read is named and left out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from station.attestation.ek.bundle import FILE_BYTES_MAX, pem_text, read_bundle
from station.attestation.ek.roots import load_ek_roots
from station.attestation.ek.vendor_certificate import VendorCertificate
from tests.harness.rough_vendors import real_vendors, rough_vendors
from tests.harness.vendor_lab import Vendor, pem


def names(content: bytes) -> list[str]:
    return [certificate.subject for certificate in read_bundle(content).certificates]


def with_garbage_after_a_value(vendor: Vendor) -> bytes:
    """Extra data inside the key, as a root of Intel's has it: a strict parser refuses the whole certificate."""
    marker = vendor.key.public_key().public_numbers().curve.name
    assert marker == "secp256r1"
    at = vendor.der.index(bytes.fromhex("301306072a8648ce3d0201"))
    return vendor.der[: at + 1] + b"\x14" + vendor.der[at + 2 :]


def test_a_bundle_as_large_as_the_communitys_loads_but_for_what_cannot_be_read(tmp_path: Path) -> None:
    good = [pem(der) for der in rough_vendors().values()]
    damaged = Vendor("Damaged On Die Root")
    text = b"#\n# Certificate: one of many\n# Fingerprint (SHA-256): 00:11\n" * 3
    bundle = b"".join(text + block for block in good * 20) + text + pem(with_garbage_after_a_value(damaged))
    assert 262_144 < len(bundle) < FILE_BYTES_MAX
    (tmp_path / "roots.pem").write_bytes(bundle)
    roots = load_ek_roots(tmp_path)
    assert roots.count == 20 * len(good)
    (problem,) = roots.problems
    assert problem.startswith("roots.pem: certificate 281 of 281, Damaged On Die Root, cannot be read: ")


def test_a_block_that_is_no_base64_costs_only_itself() -> None:
    one, two, three = (Vendor(name).pem() for name in ("One", "Two", "Three"))
    found = read_bundle(one + two.replace(b"MII", b"M!I") + three)
    assert [c.subject for c in found.certificates] == ["CN=One", "CN=Three"]
    assert found.left_out == ("certificate 2 of 3 cannot be read: its PEM is not base64",)


def test_a_block_without_an_end_costs_only_itself() -> None:
    one, two, three = (Vendor(name).pem() for name in ("One", "Two", "Three"))
    found = read_bundle(one + two.partition(b"-----END")[0] + three)
    assert [c.subject for c in found.certificates] == ["CN=One", "CN=Three"]
    assert found.left_out == ("certificate 2 of 3 cannot be read: it is cut off or damaged",)


def test_der_with_padding_is_one_certificate_and_anything_else_is_said() -> None:
    assert names(Vendor("One").der + b"\xff" * 200) == ["CN=One"]
    assert read_bundle(b"hello").left_out == ("no certificate that can be read: it does not begin as a certificate",)


def test_the_name_of_what_cannot_be_read_is_cleaned() -> None:
    vendor = Vendor(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Evil\x1b[2J CA")]))
    (said,) = read_bundle(pem(with_garbage_after_a_value(vendor))).left_out
    (other, _) = read_bundle(pem(with_garbage_after_a_value(vendor)) * 2).left_out
    assert said.isprintable()
    assert other.isprintable()
    assert "Evil" in other


def test_megabytes_of_nonsense_raise_nothing() -> None:
    for nonsense in (
        b"-----BEGIN CERTIFICATE-----" * 100_000,
        os.urandom(1 << 20),
        b"\x06\x03\x55\x04\x03\x0c" * 100_000,
    ):
        assert read_bundle(nonsense[:FILE_BYTES_MAX]).certificates == ()


def test_what_is_written_is_what_is_read() -> None:
    der = Vendor("One", key=ec.generate_private_key(ec.SECP256R1())).der
    (read,) = read_bundle(pem_text(der)).certificates
    assert read.der == VendorCertificate.read(der).der


def test_the_real_bundles_load_whole() -> None:
    """Runs where real certificates are at hand (BIRTHMARK_TPM_VENDORS); the repository holds none."""
    bundles = sorted(real_vendors("real certificates").rglob("*.pem"))
    if not bundles:
        pytest.skip("the folder holds no .pem file")
    for bundle in bundles:
        content = bundle.read_bytes()
        found = read_bundle(content)
        assert len(found.certificates) + len(found.left_out) == max(1, content.count(b"-----BEGIN CERTIFICATE-----"))
        assert len(found.left_out) <= 1, found.left_out
