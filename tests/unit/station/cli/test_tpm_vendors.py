"""`birthmark-station tpm-vendors`, as an operator runs it, with vendors' servers on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result

from station.attestation.ek import vendor_table
from station.attestation.ek.vendor_certificate import VendorCertificate
from station.attestation.ek.vendor_table import PinnedCertificate
from station.setup.vendor_store import file_name
from tests.harness.rough_vendors import real_vendors, rough_vendors
from tests.harness.station_commands import StationCommands, run_station
from tests.harness.vendor_lab import Vendor, pem
from tests.harness.vendor_servers import VendorServer, vendor_server

ROOT = Vendor("One Root CA")
ISSUING = Vendor("One CA 007", ROOT)
OTHER = Vendor("Other Root CA")


@pytest.fixture
def server() -> Iterator[VendorServer]:
    with vendor_server() as running:
        yield running


@pytest.fixture
def table(server: VendorServer, monkeypatch: pytest.MonkeyPatch) -> list[PinnedCertificate]:
    rows = [server.publishes(ROOT, whose="One", root=True), server.publishes(ISSUING, whose="One")]
    monkeypatch.setattr(vendor_table, "pinned_certificates", lambda: tuple(rows))
    return rows


def vendors(station: Path | StationCommands, *arguments: object) -> Result:
    data_dir = station.data_dir if isinstance(station, StationCommands) else station
    name, *rest = arguments
    return run_station("tpm-vendors", name, "--data-dir", data_dir, *rest)


def known(station: Path | StationCommands) -> list[str]:
    listed = json.loads(vendors(station, "list", "--json").stdout)
    return sorted(entry["name"] for entry in listed["certificates"] if not entry["distrusted"])


# --- update ---


def test_update_fetches_all_says_how_many_and_exits_with_0(
    station: StationCommands, table: list[PinnedCertificate]
) -> None:
    result = vendors(station, "update")
    assert result.exit_code == 0, result.output
    assert "One: 2 of 2, 2 of them new" in result.stdout
    assert "2 certificates of TPM vendors are known." in result.stdout
    assert known(station) == ["One CA 007", "One Root CA"]
    assert "One: 2 of 2, 0 of them new" in vendors(station, "update").stdout


def test_update_names_what_failed_and_keeps_the_rest(
    station: StationCommands, table: list[PinnedCertificate], server: VendorServer
) -> None:
    table.append(server.publishes(OTHER, whose="Other", root=True, other=Vendor("Other Root CA").der))
    result = vendors(station, "update")
    assert result.exit_code == 1
    assert "One: 2 of 2" in result.stdout
    assert "Other: 0 of 1" in result.stdout
    assert "[vendors.pin-differs]" in result.stderr
    told = vendors(station, "update", "--json")
    assert told.exit_code == 1
    answer = json.loads(told.stdout)
    assert answer["known"] == 2
    assert answer["vendors"] == [{"vendor": "One", "there": 2}, {"vendor": "Other", "failed": 1}]
    [failed] = answer["failed"]
    assert (failed["name"], failed["code"]) == ("Other Root CA", "vendors.pin-differs")


def test_update_without_a_network_says_so_once_for_each_vendor_and_may_be_tried_again(
    station: StationCommands, table: list[PinnedCertificate]
) -> None:
    absent = VendorServer("http://127.0.0.1:1")
    table[:] = [absent.publishes(Vendor(f"CA {number}"), whose="Other", root=True) for number in range(6)]
    result = vendors(station, "update")
    assert result.exit_code == 75
    [warning] = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert warning.startswith("warning: Other (6 certificates): a TPM vendor's server does not answer: 127.0.0.1: ")


# --- init and setup ---


def test_init_fetches_when_told_beforehand_and_only_then(
    tmp_path: Path, table: list[PinnedCertificate], server: VendorServer
) -> None:
    assert run_station("init", "--data-dir", tmp_path / "one", "--tables", "3").exit_code == 0
    assert server.asked == []
    made = run_station("init", "--data-dir", tmp_path / "two", "--tables", "3", "--update-vendors", "--json")
    assert made.exit_code == 0, made.output
    json.loads(made.stdout)
    assert known(tmp_path / "two") == ["One CA 007", "One Root CA"]


def test_init_warns_of_a_station_that_refuses_every_genuine_tpm(tmp_path: Path, table: list[PinnedCertificate]) -> None:
    warning = "warning: every genuine TPM is refused"
    assert warning in run_station("init", "--data-dir", tmp_path / "one", "--tables", "3").stderr
    filled = run_station("init", "--data-dir", tmp_path / "two", "--tables", "3", "--update-vendors")
    for_trials = run_station("init", "--data-dir", tmp_path / "three", "--tables", "3", "--ek-policy", "simulator")
    assert warning not in filled.stderr + for_trials.stderr


def test_setup_fetches_when_told_and_a_failure_only_warns(
    tmp_path: Path, table: list[PinnedCertificate], server: VendorServer
) -> None:
    arguments = ("--name", "Bench", "--organization", "Example", "--public-url", "https://sma.example.org")
    options = ("--tables", "3", "--root-passphrase-file", "-", "--yes", "--data-dir", tmp_path / "station")
    server.pages.pop("/One_CA_007.crt")
    result = run_station("setup", *arguments, *options, "--update-vendors", stdin="correct horse battery\n")
    assert result.exit_code == 0, result.output
    assert "3/5 TPM vendors: 1 certificates known" in result.stdout
    assert "[vendors.answer-unfit]" in result.stderr
    server.asked.clear()
    again = run_station("setup", *arguments, *options, stdin="correct horse battery\n")
    assert again.exit_code == 0
    assert server.asked == []


# --- add, list, show, distrust ---


def test_add_takes_a_bundle_each_certificate_by_itself(tmp_path: Path, station: StationCommands) -> None:
    damaged = pem(b"\x30\x03\x02\x01\x00")
    bundle = tmp_path / "roots.pem"
    bundle.write_bytes(b"".join(map(pem, rough_vendors().values())) + damaged + ISSUING.pem())
    result = vendors(station, "add", bundle, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert (len(answer["added"]), answer["there"], answer["known"]) == (15, 0, 15)
    [left_out] = answer["left_out"]
    assert left_out.startswith("roots.pem: certificate 15 of 16 cannot be read: ")
    assert f"warning: {left_out}" in result.stderr
    again = vendors(station, "add", tmp_path)
    assert "0 added, 15 there already, 1 left out; 15 are known." in again.stdout


def test_add_names_only_so_many_of_what_it_leaves_out(tmp_path: Path, station: StationCommands) -> None:
    bundle = tmp_path / "cut.pem"
    bundle.write_bytes(b"-----BEGIN CERTIFICATE-----\n" * 1000 + ROOT.pem())
    result = vendors(station, "add", bundle)
    assert result.exit_code == 0, result.output
    assert result.stderr.count("\n") == 65
    assert result.stderr.endswith("warning: 936 more are left out\n")
    assert "1 added, 0 there already, 1000 left out" in result.stdout


def test_add_of_what_holds_none_is_an_error(tmp_path: Path, station: StationCommands) -> None:
    (tmp_path / "notes.txt").write_text("ask them")
    result = vendors(station, "add", tmp_path / "notes.txt")
    assert (result.exit_code, "[vendors.none-readable]" in result.stderr) == (1, True)
    assert "notes.txt: no certificate that can be read" in result.stderr


def test_list_tells_what_is_missing(station: StationCommands, table: list[PinnedCertificate], tmp_path: Path) -> None:
    (tmp_path / "other.pem").write_bytes(OTHER.pem() + ROOT.pem())
    vendors(station, "add", tmp_path / "other.pem")
    told = vendors(station, "list").stdout
    assert "Other Root CA" in told
    assert "added by hand" in told
    assert "1 of One's are missing: birthmark-station tpm-vendors update" in told
    answer = json.loads(vendors(station, "list", "--json").stdout)
    assert [missing["name"] for missing in answer["missing"]] == ["One CA 007"]


@pytest.mark.parametrize("asked", ["One CA 007", "one ca", "sha256"])
def test_show_finds_by_name_part_or_fingerprint(
    station: StationCommands, table: list[PinnedCertificate], asked: str
) -> None:
    vendors(station, "update")
    certificate = VendorCertificate.read(ISSUING.der)
    asked = certificate.sha256[:12].upper() if asked == "sha256" else asked
    [shown] = json.loads(vendors(station, "show", asked, "--json").stdout)
    assert (shown["sha256"], shown["anchor"], shown["vendor"]) == (certificate.sha256, "CN=One Root CA", "One")
    assert shown["address"] == table[1].address
    assert shown["files"] == [file_name(certificate)]
    assert f"sha256      {certificate.sha256}" in vendors(station, "show", asked).stdout


def test_show_of_an_unknown_one_is_an_error(station: StationCommands) -> None:
    result = vendors(station, "show", "Nobody\x1b[2J")
    assert (result.exit_code, "[vendors.unknown]" in result.stderr, "\x1b" in result.output) == (1, True, False)


def test_a_distrusted_one_counts_no_more_and_is_not_fetched_again(
    station: StationCommands, table: list[PinnedCertificate]
) -> None:
    vendors(station, "update")
    assert "2 are meant" in vendors(station, "distrust", "One").stderr
    result = vendors(station, "distrust", "One CA 007")
    assert (result.exit_code, "is distrusted" in result.stdout) == (0, True)
    assert known(station) == ["One Root CA"]
    assert "One: 1 of 2, 0 of them new, 1 distrusted" in vendors(station, "update").stdout
    assert known(station) == ["One Root CA"]
    assert "distrusted" in vendors(station, "list").stdout


def test_with_a_root_all_that_it_issued_is_distrusted_and_not_fetched_again(
    station: StationCommands, table: list[PinnedCertificate]
) -> None:
    vendors(station, "update")
    assert "is distrusted, and with it 1 that it issued: " in vendors(station, "distrust", "One Root CA").stdout
    assert known(station) == []
    listed = json.loads(vendors(station, "list", "--json").stdout)
    assert [entry["distrusted"] for entry in listed["certificates"]] == [True, True]
    for path in station.data_dir.joinpath("ek-roots").glob("*007*.pem"):
        path.unlink()
    assert "One: 0 of 2, 0 of them new, 2 distrusted" in vendors(station, "update").stdout
    assert known(station) == []


def test_the_communitys_real_bundles_are_taken_whole(station: StationCommands) -> None:
    """Runs where real certificates are at hand (BIRTHMARK_TPM_VENDORS); the repository holds none."""
    folder = real_vendors("real certificates")
    result = vendors(station, "add", folder, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    blocks = sum(path.read_bytes().count(b"-----BEGIN CERTIFICATE-----") for path in folder.glob("*.pem"))
    damaged = [why for why in answer["left_out"] if "of" in why and "certificate " in why and ".pem" in why]
    assert len(answer["added"]) >= blocks - len(damaged) - 1
    assert len(damaged) <= 1
