"""The next plug-in after `birthmark-agent reset` goes as promised, with a station, swtpm and a pair of ttys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agent.camera import Camera
from tests.integration.test_plug_in import audit, pi_of, provisioned, refused
from virtual.pi import VirtualPi, run_agent
from virtual.station import VirtualStation

pytestmark = pytest.mark.timeout(600)  # each test is many processes, on a machine that may be busy


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def station(workspace: Path) -> Iterator[VirtualStation]:
    with VirtualStation(workspace / "station", f"{workspace}/pi-*/station") as station:
        station.init()
        station.start()
        yield station


def reset(pi: VirtualPi, *options: str) -> str:
    return run_agent("reset", "--yes", "--state-dir", str(pi.state_dir), *options).stdout


def test_a_unit_that_was_reset_gets_the_same_certificate_again(workspace: Path, station: VirtualStation) -> None:
    pi = pi_of(workspace, 40)
    assert f"the clear file {pi.nuc_map} was removed" in provisioned(pi)
    before = pi.status()
    said = reset(pi)
    assert "Its NUC map is kept, sealed: the station that provisioned it gives it the same certificate back." in said
    assert pi.status() == {"state": "unprovisioned"}
    assert not pi.nuc_map.exists()
    provisioned(pi)
    assert {**pi.status()} == before
    with Camera.open(pi.state_dir) as camera:
        assert camera.nuc_map() == b"the map of sensor 40" * 99
    assert sorted(path.name for path in pi.state_dir.iterdir() if not path.name.startswith(".")) == [
        *("identity", "lock", "revoked-stations.crl", "root.pem", "simulator"),
        *(["swtpm.log"] if (pi.state_dir / "swtpm.log").exists() else []),
    ]
    assert len([row for row in audit(station) if row["serial"] == pi.serial and row["event"] == "issued"]) == 1


def test_a_map_given_beside_the_kept_one_is_compared_with_it(workspace: Path, station: VirtualStation) -> None:
    pi = pi_of(workspace, 41)
    provisioned(pi)
    before = pi.status()
    reset(pi)
    pi.nuc_map.write_bytes(b"the map of sensor 41" * 99)
    provisioned(pi)
    assert (pi.status(), pi.nuc_map.exists()) == (before, False)
    reset(pi)
    pi.nuc_map.write_bytes(b"the map of another sensor" * 99)
    assert "[registry.nuc-changed]" in refused(pi)
    pi.nuc_map.unlink()
    provisioned(pi)  # the kept one is there still
    assert pi.status() == before


def test_a_reset_that_forgets_the_map_states_the_cost_correctly(workspace: Path, station: VirtualStation) -> None:
    pi = pi_of(workspace, 42)
    provisioned(pi)
    before = pi.status()
    said = reset(pi, "--forget-nuc-map")
    assert "Its sealed NUC map is gone." in said
    assert "registry.nuc-changed" in said
    assert "[nuc.map-missing]" in refused(pi)
    pi.nuc_map.write_bytes(b"captured anew" * 99)
    assert "[registry.nuc-changed]" in refused(pi)
    pi.nuc_map.write_bytes(b"the map of sensor 42" * 99)
    provisioned(pi)
    assert pi.status() == before


def test_a_kept_map_of_another_tpm_is_reported_and_can_be_forgotten(workspace: Path, station: VirtualStation) -> None:
    pi, other = pi_of(workspace, 43), pi_of(workspace, 44)
    provisioned(pi)
    provisioned(other)
    reset(pi)
    (pi.state_dir / "simulator").rename(pi.directory / "its-own")
    (other.state_dir / "simulator").rename(pi.state_dir / "simulator")
    said = refused(pi)
    assert "[tpm.not-this-one]" in said
    assert "reset --forget-nuc-map" in said
    assert "Its sealed NUC map is gone." in reset(pi, "--forget-nuc-map")


def test_the_paths_in_the_status_stay_when_the_identity_is_replaced(workspace: Path, station: VirtualStation) -> None:
    pi = pi_of(workspace, 45)
    provisioned(pi)
    first, where = pi.status(), (pi.state_dir / "identity").resolve()
    assert first["chain_file"] == str(pi.state_dir / "identity" / "chain.pem")
    assert first["certificate_file"] == str(pi.state_dir / "identity" / "certificate.pem")
    provisioned(pi)
    assert (pi.state_dir / "identity").resolve() != where
    assert pi.status() == first
    assert Path(first["chain_file"]).read_bytes().startswith(Path(first["certificate_file"]).read_bytes())
    assert json.loads((pi.state_dir / "identity" / "identity.json").read_text())["table_ids"] == first["table_ids"]


def test_a_damaged_identity_is_removed_and_its_map_kept(workspace: Path, station: VirtualStation) -> None:
    pi = pi_of(workspace, 46)
    provisioned(pi)
    before = pi.status()
    (pi.state_dir / "identity" / "chain.pem").write_bytes(b"")
    assert f"Removed what was in {pi.state_dir}. Its NUC map is kept" in reset(pi)
    provisioned(pi, "--root-certificate", str(station.data_dir / "authority" / "root.pem"))
    assert pi.status() == before
