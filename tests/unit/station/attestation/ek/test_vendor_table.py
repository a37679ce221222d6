"""The table of vendors' certificates is well-formed, and true where the real certificates are at hand."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from yarl import URL

from station.attestation.ek.bundle import read_bundle
from station.attestation.ek.roots import CERTIFICATES_MAX
from station.attestation.ek.vendor_table import pinned_certificates
from tests.harness.rough_vendors import real_vendors

TABLE = pinned_certificates()


def test_the_vendors_of_chips_for_a_pi_are_in_it_with_root_and_intermediates() -> None:
    for vendor in ("Infineon", "STMicroelectronics", "Nuvoton", "NSING"):
        kinds = Counter(pinned.is_root for pinned in TABLE if pinned.vendor == vendor)
        assert kinds[True] >= 2, vendor
        assert kinds[False] >= 4, vendor
    assert "Infineon OPTIGA(TM) RSA Manufacturing CA 007" in {pinned.name for pinned in TABLE}


def test_every_row_is_a_name_an_address_and_a_fingerprint_of_its_own() -> None:
    assert len({pinned.sha256 for pinned in TABLE}) == len({pinned.address for pinned in TABLE}) == len(TABLE)
    for pinned in TABLE:
        assert re.fullmatch(r"[0-9a-f]{64}", pinned.sha256), pinned
        assert pinned.name.isprintable(), pinned
        url = URL(pinned.address)
        assert url.scheme in ("http", "https"), pinned
        assert url.host, pinned
        assert (url.user, url.fragment) == (None, ""), pinned
    assert len(TABLE) <= CERTIFICATES_MAX // 2, "an operator's own need room beside them"


def test_each_vendors_roots_come_first() -> None:
    for vendor in dict.fromkeys(pinned.vendor for pinned in TABLE):
        kinds = [pinned.is_root for pinned in TABLE if pinned.vendor == vendor]
        assert kinds == sorted(kinds, reverse=True)


def test_real_certificates_have_the_names_and_fingerprints_of_the_table() -> None:
    """Runs where real certificates are at hand (BIRTHMARK_TPM_VENDORS); the repository holds none."""
    folder = real_vendors("real vendors' certificates")
    bundles = [read_bundle(path.read_bytes()) for path in folder.rglob("*.pem")]
    real = {certificate.sha256: certificate for bundle in bundles for certificate in bundle.certificates}
    found = [pinned for pinned in TABLE if pinned.sha256 in real]
    if not found:
        pytest.skip("the folder holds none of the table's certificates")
    for pinned in found:
        certificate = real[pinned.sha256]
        assert certificate.common_name == pinned.name
        assert certificate.why_no_issuer() == ""
        if not pinned.is_root:
            roots = [real[p.sha256] for p in found if p.is_root and p.vendor == pinned.vendor]
            assert any(certificate.is_issued_by(root) for root in roots), pinned.name
