"""`nuc check` compares a provisioned unit's sensor with the map sealed in its TPM, and reports a swapped sensor."""

import json
import subprocess
from pathlib import Path

import pytest

from virtual.pi import VirtualPi, run_agent
from virtual.station import VirtualStation
from virtual.timeouts import TIMEOUT_SECONDS, WAIT_OPTIONS


@pytest.fixture(scope="module")
def unit(tmp_path_factory: pytest.TempPathFactory) -> VirtualPi:
    """Make a unit provisioned with the map of simulated sensor 7; its clear map is removed."""
    directory: Path = tmp_path_factory.mktemp("nuc")
    with VirtualStation(directory / "station", f"{directory}/pi-*/station") as station:
        station.init()
        station.start()
        pi = VirtualPi(directory / "pi-7", 7)
        pi.capture()
        with pi.cable:
            agent = pi.start("--once", *WAIT_OPTIONS)
            _, said = agent.communicate(timeout=TIMEOUT_SECONDS)
        assert agent.returncode == 0, said
    assert not pi.nuc_map.exists()
    return pi


def check(pi: VirtualPi, seed: int) -> subprocess.CompletedProcess[str]:
    arguments = ("nuc", "check", "--state-dir", str(pi.state_dir), "--from", f"simulator:{seed}", "--json")
    return run_agent(*arguments, check=False)


def test_the_sealed_map_fits_the_units_own_sensor(unit: VirtualPi) -> None:
    checked = check(unit, 7)
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["verdict"] == "fits"


def test_a_swapped_sensor_is_seen(unit: VirtualPi) -> None:
    checked = check(unit, 8)
    assert checked.returncode == 1
    assert json.loads(checked.stdout)["verdict"] == "another-sensor"
    assert "[nuc.another-sensor]" in checked.stderr
