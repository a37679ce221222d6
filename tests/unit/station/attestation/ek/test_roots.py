"""The directory of vendors' certificates: malformed but real ones load, bad ones become problems."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from station.attestation.ek import roots as ek_roots
from station.attestation.ek.bundle import FILE_BYTES_MAX
from station.attestation.ek.roots import load_ek_roots
from tests.harness.rough_vendors import OUT_OF_ORDER, write_rough_vendors
from tests.harness.vendor_lab import (
    ECDSA_SHA384_WITH_NULL,
    Vendor,
    pem,
    refused_by_strict_parser,
    signed,
    value,
    with_algorithm,
    write_roots,
)


@pytest.fixture(scope="module")
def rough(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rough_vendors(tmp_path_factory.mktemp("rough"))


def test_every_rough_vendors_file_loads_also_those_that_strict_parsers_refuse(rough: Path) -> None:
    files = list(rough.glob("*.pem"))
    roots = load_ek_roots(rough)
    assert roots.problems == []
    assert roots.count == len(files) == 14
    assert sum(refused_by_strict_parser(issuer.der) for issuer in roots.issuers) == len(OUT_OF_ORDER) == 7


def test_openssl_itself_finds_every_rough_vendors_signature_good(rough: Path) -> None:
    """Only OpenSSL verifies: the imitations are as hard to parse as the real certificates."""
    for file, issuer in (
        *(("global.pem", "global.pem"), ("threefold-root.pem", "global.pem")),
        *(("threefold-issuing.pem", "threefold-root.pem"), ("curved-issuing.pem", "curved-root.pem")),
        *(("old-issuing.pem", "old-root.pem"), *((f"roughly-{n}.pem", f"roughly-{n}.pem") for n in range(7))),
    ):
        options = ("-partial_chain", "-no_check_time", "-check_ss_sig", "-CAfile", str(rough / issuer))
        assert subprocess.run(["openssl", "verify", *options, str(rough / file)], capture_output=True).returncode == 0


def test_an_issuing_ca_leads_to_its_root_through_one_in_between(rough: Path) -> None:
    roots = load_ek_roots(rough)
    paths = {issuer.subject.split(",")[0]: roots.path(issuer) for issuer in roots.issuers}
    assert [c.subject.split(",")[0] for c in paths["CN=Threefold TPM EK Intermediate CA 01"]] == [
        "CN=Threefold TPM EK Intermediate CA 01",
        "CN=Threefold TPM EK Root CA",
        "CN=Global Trusted Platform Module Root CA",
    ]
    assert paths["CN=Curved OPTIC(TM) TPM 2.0 ECC CA 042"][-1].subject.startswith("CN=Curved OPTIC(TM) ECC Root")
    assert [c.subject.split(",")[0] for c in paths["CN=Old TPM EK Intermediate CA 01"]] == [
        "CN=Old TPM EK Intermediate CA 01",
        "CN=Old TPM EK Root CA",
    ]


def test_null_in_place_of_no_ecdsa_parameters_is_repaired(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    tbs = x509.load_der_x509_certificate(Vendor("On Die").der).tbs_certificate_bytes
    odd = signed(with_algorithm(tbs, ECDSA_SHA384_WITH_NULL), key, ECDSA_SHA384_WITH_NULL)
    assert refused_by_strict_parser(odd)
    (tmp_path / "odd.der").write_bytes(odd)
    roots = load_ek_roots(tmp_path)
    assert ([c.subject for c in roots.issuers], roots.problems) == (["CN=On Die"], [])


def test_one_bad_certificate_in_a_bundle_costs_no_other(tmp_path: Path) -> None:
    bad = pem(value(0x30, b"\x02\x01\x00"))
    (tmp_path / "bundle.pem").write_bytes(Vendor("One").pem() + bad + Vendor("Two").pem())
    roots = load_ek_roots(tmp_path)
    assert [c.subject for c in roots.issuers] == ["CN=One", "CN=Two"]
    (problem,) = roots.problems
    assert problem.startswith("bundle.pem: certificate 2 of 3 cannot be read: ")


def test_a_bundle_with_text_between_and_a_der_file_load(tmp_path: Path) -> None:
    first, second, third = Vendor("One"), Vendor("Two"), Vendor("Three")
    (tmp_path / "bundle.pem").write_bytes(b"Subject: One\n" + first.pem() + b"\r\nSubject: Two\n" + second.pem())
    (tmp_path / "three.crt").write_bytes(third.der)
    roots = load_ek_roots(tmp_path)
    assert [c.subject for c in roots.issuers] == ["CN=One", "CN=Two", "CN=Three"]
    assert roots.problems == []


def test_bad_files_become_problems_and_the_good_ones_load(tmp_path: Path) -> None:
    write_roots(tmp_path, Vendor())
    (tmp_path / "README.txt").write_text("Put certificates here.")
    (tmp_path / "broken.pem").write_bytes(Vendor().pem().replace(b"MII", b"MI!", 1))
    (tmp_path / "short.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----\n")
    (tmp_path / "empty.pem").touch()
    (tmp_path / "huge.pem").write_bytes(b"\0" * (FILE_BYTES_MAX + 1))
    (tmp_path / "directory").mkdir()
    (tmp_path / ".hidden").write_text("left alone")
    os.mkfifo(tmp_path / "pipe")
    roots = load_ek_roots(tmp_path)
    assert roots.count == 1
    assert sorted(problem.split(":")[0] for problem in roots.problems) == [
        "README.txt",
        "broken.pem",
        "empty.pem",
        "huge.pem",
        "short.pem",
    ]


def test_a_certificate_that_may_not_issue_is_not_used(tmp_path: Path) -> None:
    write_roots(
        tmp_path,
        Vendor("No CA", constraints=x509.BasicConstraints(False, None)),
        Vendor("Web CA", extensions=[(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)]),
        Vendor("Odd CA", extensions=[(x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)]),
    )
    roots = load_ek_roots(tmp_path)
    assert roots.count == 0
    assert ["not a CA" in roots.problems[0], "extended key usage" in roots.problems[1]] == [True, True]
    assert "1.2.3.4" in roots.problems[2]


def test_a_ca_below_one_that_allows_none_is_not_used(tmp_path: Path) -> None:
    root = Vendor("Root", path_length=0)
    roots = load_ek_roots(write_roots(tmp_path, root, Vendor("Issuing", root)))
    assert [c.subject for c in roots.issuers] == ["CN=Root"]
    assert "allows only 0" in roots.problems[0]


def test_a_path_has_a_bounded_length(tmp_path: Path) -> None:
    vendors = [Vendor("CA 0")]
    for number in range(1, ek_roots.DEPTH_MAX + 3):
        vendors.append(Vendor(f"CA {number}", vendors[-1]))
    roots = load_ek_roots(write_roots(tmp_path, *vendors))
    assert {c.subject for c in roots.issuers} == {f"CN=CA {number}" for number in range(ek_roots.DEPTH_MAX)}
    assert all("path is longer" in problem for problem in roots.problems)
    assert len(roots.problems) == 3


def test_two_vendors_that_vouch_for_each_other_make_no_endless_path(tmp_path: Path) -> None:
    first, second = Vendor("First"), Vendor("Second")
    crossed = (Vendor("First", second, key=first.key), Vendor("Second", first, key=second.key))
    roots = load_ek_roots(write_roots(tmp_path, *crossed))
    assert roots.count == 2
    assert all(len(roots.path(issuer)) == 2 for issuer in roots.issuers)


def test_no_more_files_and_certificates_are_read_than_the_limits_allow(tmp_path: Path, monkeypatch: object) -> None:
    monkeypatch.setattr(ek_roots, "FILES_MAX", 3)  # type: ignore[attr-defined]
    monkeypatch.setattr(ek_roots, "CERTIFICATES_MAX", 2)  # type: ignore[attr-defined]
    roots = load_ek_roots(write_roots(tmp_path, *(Vendor(f"CA {number}") for number in range(5))))
    assert roots.count == 2
    assert len(roots.problems) == 2


def test_a_directory_that_is_not_there_is_a_problem_and_knows_nobody(tmp_path: Path) -> None:
    roots = load_ek_roots(tmp_path / "nowhere")
    assert (roots.count, len(roots.problems)) == (0, 1)


def test_a_name_with_markup_is_cleaned_in_a_problem(tmp_path: Path) -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Evil\x1b[2J CA")])
    roots = load_ek_roots(write_roots(tmp_path, Vendor(name, constraints=x509.BasicConstraints(False, None))))
    assert "\x1b" not in roots.problems[0]
