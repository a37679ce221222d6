"""`birthmark-station ek verify`, as an operator runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import ec

from station.attestation.ek.vendor_table import pinned_certificates
from station.cli import main
from tests.harness.rough_vendors import write_rough_vendors
from tests.harness.vendor_lab import Vendor, ca_issuers, write_roots
from tests.harness.vendor_servers import vendor_server

KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
VENDOR = Vendor()


def verify(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["ek", "verify", *map(str, arguments)])


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    return write_roots(tmp_path / "roots", VENDOR)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_genuine_one_is_accepted_with_its_root_vendor_and_model(tmp_path: Path, roots: Path) -> None:
    result = verify(written(tmp_path / "ek.der", VENDOR.ek(KEY) + b"\xff" * 300), "--roots", roots)
    assert result.exit_code == 0
    assert "accepted: vouched for by CN=Vendor Root CA" in result.stdout
    assert "Infineon" in result.stdout
    assert "SLB9670" in result.stdout


def test_pem_is_read_as_well_and_json_says_the_same(tmp_path: Path, roots: Path) -> None:
    leaf = Vendor("Pem")
    leaf.der = VENDOR.ek(KEY)
    result = verify(written(tmp_path / "ek.pem", b"Issuer: us\n" + leaf.pem()), "--roots", roots, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "accepted": True,
        "trust": "verified",
        "anchor": "CN=Vendor Root CA",
        "note": "",
        "manufacturer": "id:49465800",
        "manufacturer_name": "Infineon",
        "model": "SLB9670",
        "version": "id:0D0B",
    }


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (Vendor("Somebody").ek(KEY), "attestation.ek-untrusted"),
        (Vendor().ek(KEY), "attestation.ek-forged"),
        (VENDOR.der, "attestation.ek-not-an-ek"),
        (b"", "attestation.ek-malformed"),
        (b"rubbish", "attestation.ek-malformed"),
        (VENDOR.pem() + VENDOR.pem(), "attestation.ek-malformed"),
        (b"\0" * 300_000, "attestation.ek-malformed"),
    ],
    ids=["unknown", "forged", "ca", "empty", "rubbish", "two", "huge"],
)
def test_others_are_refused_with_the_reason_and_its_code(
    tmp_path: Path, roots: Path, content: bytes, code: str
) -> None:
    file = written(tmp_path / "ek", content)
    told, as_json = verify(file, "--roots", roots), verify(file, "--roots", roots, "--json")
    assert told.exit_code == as_json.exit_code == 1
    assert told.stdout.startswith("refused: ")
    assert f"[{code}]" in told.stdout
    answer = json.loads(as_json.stdout)
    assert (answer["accepted"], answer["code"]) == (False, code)


def test_problems_in_the_directory_are_warned_of_and_stay_out_of_the_json(tmp_path: Path, roots: Path) -> None:
    (roots / "README").write_text("hello")
    result = verify(written(tmp_path / "ek.der", VENDOR.ek(KEY)), "--roots", roots, "--json")
    assert "warning: README" in result.stderr
    assert json.loads(result.stdout)["accepted"] is True


def test_rough_vendors_certificates_are_known_and_none_is_an_ek(tmp_path: Path) -> None:
    vendors = write_rough_vendors(tmp_path / "vendors")
    result = verify(vendors / "roughly-0.pem", "--roots", vendors)
    assert result.exit_code == 1
    assert "it is a CA's" in result.stdout
    assert "vendors' certificates are known" in result.stdout
    assert result.stderr == ""


def test_a_stations_own_roots_are_used_where_none_are_given(tmp_path: Path, roots: Path) -> None:
    station = tmp_path / "station"
    made = CliRunner().invoke(main, ["init", "--data-dir", str(station), "--tables", "3", "--ek-roots", str(roots)])
    assert made.exit_code == 0, made.output
    file = written(tmp_path / "ek.der", VENDOR.ek(KEY))
    assert verify(file, "--data-dir", station).exit_code == 0
    nowhere = verify(file, "--data-dir", tmp_path / "nowhere")
    assert (nowhere.exit_code, "[data.missing]" in nowhere.stderr) == (1, True)


def test_without_any_roots_the_command_says_how_to_name_them(tmp_path: Path) -> None:
    result = verify(written(tmp_path / "ek.der", VENDOR.ek(KEY)))
    assert result.exit_code == 2
    assert "--roots" in result.stderr


def test_an_escape_sequence_in_a_certificate_never_reaches_the_terminal(tmp_path: Path, roots: Path) -> None:
    result = verify(written(tmp_path / "ek.der", Vendor("Some\x1b[2Jbody").ek(KEY)), "--roots", roots)
    assert result.exit_code == 1
    assert "\x1b" not in result.output


def test_what_is_missing_and_where_it_is_published_is_shown_and_never_fetched(tmp_path: Path, roots: Path) -> None:
    with vendor_server() as server:
        address = f"{server.origin}/missing.crt"
        somebody = Vendor("Somebody")
        ek = somebody.ek(KEY, extensions=[(ca_issuers(address), False)])
        file = written(tmp_path / "ek.der", ek)
        told, as_json = verify(file, "--roots", roots), verify(file, "--roots", roots, "--json")
        assert server.asked == []
    assert "  missing  CN=Somebody\n" in told.stdout
    assert f"  address  {address} (as the chip says)\n" in told.stdout
    assert json.loads(as_json.stdout)["missing"] == {
        "name": "CN=Somebody",
        "key_identifier": "",
        "address": address,
        "vendor_address": "",
    }


@pytest.mark.parametrize(
    "name",
    [
        "Infineon OPTIGA(TM) RSA Manufacturing CA 007",
        "Infineon OPTIGA(TM) RSA Root CA",
        "Infineon OPTIGA(TM) RSA Root CA 2",
    ],
)
def test_one_of_the_table_is_named_with_its_vendors_address(tmp_path: Path, roots: Path, name: str) -> None:
    [pinned] = [p for p in pinned_certificates() if p.name == name]
    file = written(tmp_path / "ek.der", Vendor(name).ek(KEY))
    told, as_json = verify(file, "--roots", roots), verify(file, "--roots", roots, "--json")
    assert f"  address  {pinned.address} (`birthmark-station tpm-vendors update` fetches it)\n" in told.stdout
    assert json.loads(as_json.stdout)["missing"]["vendor_address"] == pinned.address


def test_what_a_chip_brings_is_used_as_a_station_uses_it(tmp_path: Path, roots: Path) -> None:
    issuing = Vendor("Issuing", VENDOR)
    file = written(tmp_path / "ek.der", issuing.ek(KEY))
    assert verify(file, "--roots", roots).exit_code == 1
    for content in (issuing.der + b"\xff" * 64, issuing.pem()):
        result = verify(file, "--roots", roots, "--chain", written(tmp_path / "chain", content))
        assert result.exit_code == 0, result.output
        assert "note     the chip brought the certificate of its issuer, CN=Issuing" in result.stdout
    other = Vendor("Nobody")
    refused = verify(written(tmp_path / "ek2.der", Vendor("Below", other).ek(KEY)), "--roots", roots, "--chain", file)
    assert "  missing  CN=Below\n" in refused.stdout
    assert "  address  the chip gives none\n" in refused.stdout
