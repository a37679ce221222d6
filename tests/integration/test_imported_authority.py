"""An authority that was taken over has an intermediate that does not say what it may issue: who believes its station.

The real import, a station and agents with swtpm, over pairs of ttys.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from tests.harness import openssl
from tests.harness.public_sma import PublicSma, build
from tests.integration.test_plug_in import pi_of, provisioned, refused
from virtual.pi import VirtualPi, run_agent
from virtual.station import VirtualStation, run_station

pytestmark = pytest.mark.timeout(600)  # each test is many processes, on a machine that may be busy

IDS = (os.getuid() or 12345, os.getgid() or 12346)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def sma(bench: Path) -> PublicSma:
    return build(bench / "sma")


def imported(sma: PublicSma, data_dir: Path) -> str:
    ended = run_station("import", str(sma.data), "--data-dir", str(data_dir))
    settings = data_dir / "station.toml"
    settings.write_text(settings.read_text().replace('ek_policy = "require"', 'ek_policy = "simulator"'))
    return ended.stdout


@pytest.fixture(scope="module")
def station(bench: Path, sma: PublicSma) -> Iterator[VirtualStation]:
    with VirtualStation(bench / "station", f"{bench}/pi-*/station") as station:
        assert "birthmark-agent setup --root root.pem --intermediate intermediate.pem" in imported(
            sma, station.data_dir
        )
        station.start()
        yield station


def certificate(station: VirtualStation, name: str) -> str:
    return str(station.data_dir / "authority" / f"{name}.pem")


def provisioned_units(station: VirtualStation) -> set[str]:
    return {unit["device_serial"] for unit in station.devices() if unit["state"] == "provisioned"}


def under_another_intermediate(sma: PublicSma, folder: Path) -> PublicSma:
    """The same root's, as it might have one for something else; it, too, says nothing of what it may issue."""
    other = build(folder)
    root = x509.load_pem_x509_certificate((sma.data / "root-ca.crt").read_bytes())
    root_key = load_pem_private_key((sma.data / "root-ca.key").read_bytes(), None)
    assert isinstance(root_key, ec.EllipticCurvePrivateKey)
    was = x509.load_pem_x509_certificate((other.data / "intermediate-ca.crt").read_bytes())
    builder = x509.CertificateBuilder(root.subject, was.subject, was.public_key(), was.serial_number)
    builder = builder.not_valid_before(was.not_valid_before_utc).not_valid_after(was.not_valid_after_utc)
    for extension in was.extensions:
        if not isinstance(extension.value, x509.AuthorityKeyIdentifier):
            builder = builder.add_extension(extension.value, extension.critical)
    again = builder.sign(root_key, hashes.SHA256())
    (other.data / "intermediate-ca.crt").write_bytes(again.public_bytes(Encoding.PEM))
    for name in ("root-ca.crt", "root-ca.key"):
        (other.data / name).write_bytes((sma.data / name).read_bytes())
    return other


@pytest.fixture(scope="module")
def other_station(bench: Path, sma: PublicSma) -> Iterator[VirtualStation]:
    with VirtualStation(bench / "other", f"{bench}/stray-*/station") as station:
        imported(under_another_intermediate(sma, bench / "other-sma"), station.data_dir)
        station.start()
        yield station


def elsewhere(pi: VirtualPi) -> VirtualPi:
    """The same Pi, plugged into the other station."""
    moved = VirtualPi(pi.directory.with_name(pi.directory.name.replace("pi-", "stray-")), pi.number)
    pi.state_dir.rename(moved.state_dir)
    return moved


def home_again(moved: VirtualPi, pi: VirtualPi) -> None:
    moved.state_dir.rename(pi.state_dir)


def test_a_unit_with_the_root_alone_refuses_it_and_with_the_intermediate_is_provisioned(
    bench: Path, station: VirtualStation
) -> None:
    pi = pi_of(bench, 1)
    root = ("--root-certificate", certificate(station, "root"))
    said = refused(pi, *root)
    assert "[trust.intermediate-unpinned]" in said
    assert "birthmark-agent setup --root root.pem --intermediate intermediate.pem" in said
    assert pi.status() == {"state": "unprovisioned"}
    provisioned(pi, *root, "--intermediate-certificate", certificate(station, "intermediate"))
    assert pi.serial in provisioned_units(station)
    status = pi.status()
    # Not strictly: the old root has no authority key identifier of its own, which strictness asks for.
    files = (certificate(station, "root"), status["chain_file"], status["certificate_file"])
    answer = openssl.run("verify", "-purpose", "sslclient", "-CAfile", files[0], "-untrusted", files[1], files[2])
    assert answer.returncode == 0, answer.stderr


def test_what_setup_put_in_place_is_what_the_agent_is_provisioned_with(
    bench: Path, station: VirtualStation, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    for name in ("etc/default", "boot/firmware", "var/lib"):
        (tree / name).mkdir(parents=True)
    (tree / "boot/firmware/config.txt").touch()
    (tree / "etc/passwd").write_text(f"birthmark-agent:x:{IDS[0]}:{IDS[1]}::/:/bin/false\n")
    run_agent(
        *("setup", "--prefix", str(tree), "--root", certificate(station, "root")),
        *("--intermediate", certificate(station, "intermediate")),
    )
    settings = dict(line.split("=", 1) for line in (tree / "etc/default/birthmark-agent").read_text().splitlines())
    pi = pi_of(bench, 2)
    provisioned(
        pi,
        *("--root-certificate", f"{tree}{settings['BIRTHMARK_ROOT_CERTIFICATE']}"),
        *("--intermediate-certificate", f"{tree}{settings['BIRTHMARK_INTERMEDIATE_CERTIFICATE']}"),
    )
    assert pi.serial in provisioned_units(station)


def test_the_first_stations_intermediate_is_remembered_and_another_under_its_root_refused(
    bench: Path, station: VirtualStation, other_station: VirtualStation
) -> None:
    """From the identity, and after a reset as well; until it is told to forget."""
    pi = pi_of(bench, 3)
    provisioned(pi)
    provisioned(pi)
    moved = elsewhere(pi)
    assert "[trust.intermediate-unpinned]" in refused(moved)
    run_agent("reset", "--yes", "--state-dir", str(moved.state_dir))
    assert "[trust.intermediate-unpinned]" in refused(moved)
    home_again(moved, pi)
    provisioned(pi)
    run_agent("reset", "--yes", "--forget-root", "--state-dir", str(pi.state_dir))
    moved = elsewhere(pi)
    provisioned(moved)
    assert pi.serial in provisioned_units(other_station)
