"""A station is made whole or not at all, is private, and overwrites nothing."""

import datetime as dt
import json
import shutil
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from station import config as configuration
from station.authority import files, profiles
from station.authority.key_file import KeyFileIssuer
from station.secrets.station_secret import StationSecret
from virtual.station import VirtualStation, run_station
from virtual.timeouts import TIMEOUT_SECONDS


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "station"
    run_station("init", "--data-dir", str(path))
    return path


@pytest.fixture
def data_dir(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "station")


def failed(*arguments: str) -> subprocess.CompletedProcess[str]:
    result = run_station(*arguments, check=False)
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    return result


def test_init_makes_everything_private(made: Path) -> None:
    modes = {path: path.stat().st_mode & 0o777 for path in (made, *made.rglob("*"))}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


def test_init_never_overwrites(data_dir: Path) -> None:
    before = {path: path.read_bytes() for path in data_dir.rglob("*") if path.is_file()}
    assert "[data.exists]" in failed("init", "--data-dir", str(data_dir)).stderr
    assert {path: path.read_bytes() for path in data_dir.rglob("*") if path.is_file()} == before


def test_init_with_force_moves_the_old_one_aside(data_dir: Path) -> None:
    root = (data_dir / "authority" / "root.pem").read_bytes()
    told = json.loads(run_station("init", "--force", "--json", "--data-dir", str(data_dir)).stdout)
    assert (Path(told["replaced"]) / "authority" / "root.pem").read_bytes() == root
    assert (data_dir / "authority" / "root.pem").read_bytes() != root


def test_force_says_what_it_moved_where(data_dir: Path) -> None:
    said = run_station("init", "--force", "--data-dir", str(data_dir)).stdout
    [aside] = data_dir.parent.glob("station.replaced-*")
    assert f"Moved the station that was in {data_dir} to {aside}." in said


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_a_directory_that_is_no_station_is_never_replaced(tmp_path: Path, force: tuple[str, ...]) -> None:
    """An example is the folder `station` of a checkout, which holds this program."""
    source = tmp_path / "station"
    source.mkdir()
    (source / "main.py").write_text("precious")
    refused = failed("init", *force, "--data-dir", str(source))
    assert "[data.not-a-station]" in refused.stderr
    assert "--force" not in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["station"]
    assert [path.name for path in source.iterdir()] == ["main.py"]


@pytest.mark.parametrize(
    ("options", "warns"),
    [
        ((), True),
        (("--public-url", "http://[::1]:8001"), True),
        (("--public-url", "https://station.example.org"), False),
        (("--ek-policy", "simulator"), False),
    ],
)
def test_init_warns_of_an_address_that_nobody_else_can_reach(
    tmp_path: Path, options: tuple[str, ...], warns: bool
) -> None:
    said = run_station("init", "--data-dir", str(tmp_path / "s"), *options).stderr
    assert ("which no other machine can reach" in said) == warns


def test_serve_warns_of_an_address_that_nobody_else_can_reach(data_dir: Path) -> None:
    with VirtualStation(data_dir, str(data_dir / "no-port")) as station:
        station.start("--ek-policy", "simulator")
        station.stop()
        assert "no other machine" not in station.log.read_text()
        station.start()
        station.stop()  # its first output is then written
        assert (
            "warning: public_url is http://127.0.0.1:8001, which no other machine can reach" in station.log.read_text()
        )


def test_vendors_certificates_are_copied_in_private_from_a_directory_or_a_file(tmp_path: Path) -> None:
    vendors = tmp_path / "vendors"
    vendors.mkdir()
    (vendors / "one.pem").write_text("one")
    (vendors / ".hidden").write_text("none")
    (tmp_path / "elsewhere.pem").write_text("two")
    (vendors / "two.pem").symlink_to(tmp_path / "elsewhere.pem")
    for name, source, expected in (
        ("a", vendors, {"one.pem": "one", "two.pem": "two"}),
        ("b", vendors / "one.pem", {"one.pem": "one"}),
    ):
        run_station("init", "--data-dir", str(tmp_path / name), "--ek-roots", str(source))
        copied = list((tmp_path / name / "ek-roots").iterdir())
        assert {path.name: path.read_text() for path in copied} == expected
        assert all(path.lstat().st_mode == stat.S_IFREG | 0o600 for path in copied)


@pytest.mark.timeout(600)  # many processes
def test_two_stations_do_not_share_a_data_directory(data_dir: Path) -> None:
    with VirtualStation(data_dir, str(data_dir / "no-port")) as station:
        station.start()
        assert station.process is not None
        second = failed("serve", "--data-dir", str(data_dir), "--port", "0")
        assert "[data.in-use]" in second.stderr
        assert f"process {station.process.pid}" in second.stderr
        assert station.devices() == []  # a command beside the running station
        station.process.kill()
        station.process.wait()
        station.start()  # the lock died with its holder


@pytest.mark.timeout(600)  # many processes, each of which derives a key from a passphrase
def test_a_station_that_runs_is_not_replaced(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_text("a long passphrase\n")
    sealed = (str(tmp_path / "backup"), f"--passphrase-file={tmp_path / 'passphrase'}", f"--data-dir={data_dir}")
    with VirtualStation(data_dir, str(data_dir / "no-port")) as station:
        station.start()
        run_station("backup", *sealed)
        for command in (("restore", *sealed), ("init", f"--data-dir={data_dir}")):
            refused = failed(*command, "--force")
            assert "[data.in-use]" in refused.stderr
        assert not list(tmp_path.glob("station.replaced-*"))
    run_station("restore", *sealed, "--force")
    assert len(list(tmp_path.glob("station.replaced-*"))) == 1


@pytest.mark.parametrize("tables", ["2", "2501", "-1"])
def test_init_refuses_a_number_of_tables_out_of_range(tmp_path: Path, tables: str) -> None:
    assert "[config.invalid]" in failed("init", "--data-dir", str(tmp_path / "s"), "--tables", tables).stderr
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    "name", ["station.toml", "registry.sqlite", "secrets/station.key", "authority/intermediate.key"]
)
def test_a_half_made_data_directory_is_not_served(data_dir: Path, name: str) -> None:
    (data_dir / name).unlink()
    assert "[data.incomplete]" in failed("serve", "--data-dir", str(data_dir), "--port", "0").stderr


@pytest.mark.parametrize("name", [".", "secrets/station.key", "registry.sqlite", "authority/station.pem"])
def test_a_data_directory_that_others_can_read_is_not_served(data_dir: Path, name: str) -> None:
    path = data_dir / name
    path.chmod(path.stat().st_mode | 0o044)
    assert "[data.readable-by-others]" in failed("serve", "--data-dir", str(data_dir), "--port", "0").stderr


def test_a_data_directory_with_another_stations_secret_is_not_served(data_dir: Path) -> None:
    (data_dir / "secrets" / "station.key").write_bytes(bytes(31) + b"x")
    assert "[authority.unreadable]" in failed("serve", "--data-dir", str(data_dir), "--port", "0").stderr


def test_without_a_station_there_is_nothing_to_serve(tmp_path: Path) -> None:
    assert "[data.missing]" in failed("serve", "--data-dir", str(tmp_path / "none"), "--port", "0").stderr


def test_an_address_in_use_is_named(data_dir: Path, tmp_path: Path) -> None:
    other = shutil.copytree(data_dir, tmp_path / "other")
    with VirtualStation(data_dir, str(data_dir / "no-port")) as station:
        station.start()
        port = station.address.rstrip("/").rsplit(":", 1)[1]
        said = failed("serve", "--data-dir", str(other), "--port", port, "--serial-port", "/dev/none")
    assert "[http.cannot-listen]" in said.stderr


def test_openssl_accepts_the_authoritys_own_chain(made: Path) -> None:
    verify = subprocess.run(
        [
            *("openssl", "verify", "-x509_strict", "-CAfile", str(made / "authority" / "root.pem")),
            *("-untrusted", str(made / "authority" / "intermediate.pem"), str(made / "authority" / "station.pem")),
        ],
        capture_output=True,
        text=True,
    )
    assert verify.returncode == 0, verify.stderr


@pytest.mark.timeout(600)  # many processes
def test_a_station_renews_its_certificate_at_its_start_and_when_it_is_revoked(data_dir: Path) -> None:
    """The one that `init` made is replaced by one that ends in three weeks; then a person revokes the renewed one."""
    config, secret = configuration.load(data_dir / "station.toml"), StationSecret.load(data_dir)
    authority = files.load(data_dir, config, secret)
    assert isinstance(authority.issuer, KeyFileIssuer)
    key = ec.generate_private_key(ec.SECP256R1())
    begun = dt.datetime.now(dt.UTC) - dt.timedelta(days=70)
    ending = profiles.station("Birthmark", "station", key.public_key(), begun, authority.certificates.intermediate)
    files.store_station(data_dir, secret, ending.sign(authority.issuer._key, hashes.SHA256()), key)

    def listed() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(
            run_station("station", "list", "--data-dir", str(data_dir), "--json").stdout
        )
        return found

    def in_use() -> str:
        return f"{files.load(data_dir, config, secret).identity.certificate.serial_number:x}"

    def other_than(known: str, station: VirtualStation) -> str:
        end = time.monotonic() + TIMEOUT_SECONDS
        while (found := in_use()) == known:
            assert time.monotonic() < end, station.log.read_text()
            time.sleep(0.2)
        return found

    old = in_use()
    with VirtualStation(data_dir, str(data_dir / "no-port")) as station:
        station.start()  # it says its address before it serves ports, and renews in between
        renewed = other_than(old, station)
        assert [(one["certificate_serial"], one["valid"]) for one in listed()] == [(renewed, True)]
        run_station("station", "revoke", renewed, "--reason", "copied", "--data-dir", str(data_dir))
        other_than(renewed, station)
        assert [one["valid"] for one in listed()] == [False, True]
