"""Vendors' certificates are written a file each, whole, once, under names that people recognize."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509

from shared.errors import BirthmarkError
from station.attestation.ek.roots import load_ek_roots
from station.attestation.ek.vendor_certificate import VendorCertificate
from station.setup import vendor_store
from station.setup.vendor_store import distrust, file_name, store
from tests.harness.vendor_lab import Vendor

ONE, TWO, THREE = (VendorCertificate.read(Vendor(name).der) for name in ("Curved OPTIC(TM) CA 007", "Two", "Three"))


def test_each_certificate_is_written_once_and_readable(tmp_path: Path) -> None:
    assert store(tmp_path, [ONE, TWO, ONE], load_ek_roots(tmp_path)) == [ONE, TWO]
    roots = load_ek_roots(tmp_path)
    assert {c.der for c in roots.issuers} == {ONE.der, TWO.der}
    assert store(tmp_path, [TWO], roots) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([file_name(ONE), file_name(TWO)])
    assert file_name(ONE) == f"curved-optic-tm-ca-007-{ONE.sha256[:8]}.pem"


@pytest.mark.parametrize("limit", ["FILES_MAX", "CERTIFICATES_MAX"])
def test_none_is_written_where_all_would_be_more_than_a_station_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(vendor_store, limit, 2)
    store(tmp_path, [ONE], load_ek_roots(tmp_path))
    with pytest.raises(BirthmarkError) as caught:
        store(tmp_path, [TWO, THREE], load_ek_roots(tmp_path))
    assert caught.value.code == "config.invalid"
    assert [path.name for path in tmp_path.iterdir()] == [file_name(ONE)]
    assert store(tmp_path, [ONE, TWO], load_ek_roots(tmp_path)) == [TWO]
    assert store(tmp_path, [ONE, TWO], load_ek_roots(tmp_path)) == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "\x1b[2J", "x" * 64, ".hidden", "漢字"])
def test_a_name_in_a_certificate_never_leads_elsewhere(tmp_path: Path, name: str) -> None:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = VendorCertificate.read(Vendor(subject).der)
    store(tmp_path / ".", [certificate], load_ek_roots(tmp_path))
    [path] = tmp_path.iterdir()
    assert path.name == file_name(certificate)
    assert len(path.name) < 120
    assert not path.name.startswith(".")


def test_a_distrusted_certificate_counts_no_more(tmp_path: Path) -> None:
    store(tmp_path, [ONE, TWO], load_ek_roots(tmp_path))
    assert distrust(tmp_path, ONE).exists()
    assert [c.der for c in load_ek_roots(tmp_path).issuers] == [TWO.der]


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BirthmarkError) as caught:
        store(tmp_path / "nowhere", [ONE], load_ek_roots(tmp_path))
    assert caught.value.code == "data.unwritable"
