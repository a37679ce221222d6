"""`birthmark-agent nuc`, as a person or a script uses it."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import os
import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner, Result

from device_agent.board.led import Led, Pattern
from device_agent.cli.main import main
from device_agent.nuc_map.format import decode
from device_agent.nuc_map.frames import Light
from device_agent.nuc_map.sensor import FACTORY, LATER, Occasion, SimulatedSensor
from device_agent.storage.disk import Disk
from shared.errors import BirthmarkError
from tests.harness.picamera2_stand_in import Picamera2


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["nuc", *map(str, arguments)])


def folder(path: Path, seed: int, occasion: Occasion = FACTORY, frames: int = 10) -> Path:
    source = SimulatedSensor(seed, occasion, 192, 128, "RGGB")
    for light in Light:
        (path / light.value).mkdir(parents=True)
        for number, frame in enumerate(source.frames(light, frames)):
            np.save(path / light.value / f"{number:03}.npy", frame.pixels)
    (path / "frames.json").write_text(json.dumps({"pattern": "RGGB", "bits": 12, "sensor": "imx219"}))
    return path


@pytest.fixture
def simulated(tmp_path: Path) -> Path:
    made = run("simulate", "--seed", 5, "--output", tmp_path / "map")
    assert made.exit_code == 0, made.output
    return tmp_path / "map"


def test_a_simulated_sensors_map_fits_it_and_no_other(simulated: Path) -> None:
    own = run("check", "--nuc-map", simulated, "--from", "simulator:5", "--frames", 16)
    assert own.exit_code == 0
    assert "Verdict: fits" in own.stdout
    other = run("check", "--nuc-map", simulated, "--from", "simulator:6", "--frames", 16)
    assert other.exit_code == 1
    assert "Verdict: another-sensor" in other.stdout
    assert "[nuc.another-sensor]" in other.stderr


def test_a_folder_of_frames_becomes_a_map_that_fits_a_later_folder(tmp_path: Path) -> None:
    made = run("capture", "--from", folder(tmp_path / "then", 1), "--output", tmp_path / "map", "--json")
    assert made.exit_code == 0, made.output
    told = json.loads(made.stdout)
    assert (told["sensor"], told["pattern"], told["width"], told["flat_frames"]) == ("imx219", "RGGB", 192, 10)
    assert set(told["reliability"]) == {"R", "Gr", "Gb", "B"}
    now = folder(tmp_path / "now", 1, LATER)
    checked = run("check", "--nuc-map", tmp_path / "map", "--from", now, "--json")
    assert checked.exit_code == 0, checked.output
    fit = json.loads(checked.stdout)
    assert fit["verdict"] == "fits"
    assert [colour["colour"] for colour in fit["colours"]] == ["R", "Gr", "Gb", "B"]
    assert all(colour["agreement"] > 0.8 for colour in fit["colours"])


def test_whoever_looks_at_the_led_alone_is_guided_to_a_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Pattern] = []

    class Looker(Led):
        """Somebody who does what the LED says."""

        def show(self, pattern: Pattern) -> None:
            shown.append(pattern)
            Picamera2.covered = pattern is Pattern.COVER or (Picamera2.covered and pattern is Pattern.WORKING)

    monkeypatch.setattr(Picamera2, "covered", False)
    monkeypatch.setitem(sys.modules, "picamera2", SimpleNamespace(Picamera2=Picamera2))
    monkeypatch.setattr(importlib.import_module("device_agent.cli.nuc"), "find_led", lambda: Looker(None))
    made = run("capture", "--guided", "--output", tmp_path / "map", "--frames", 8)
    assert made.exit_code == 0, made.output
    assert shown == [Pattern.LIGHT, Pattern.WORKING, Pattern.COVER, Pattern.WORKING, Pattern.DONE]
    assert decode((tmp_path / "map").read_bytes()).header.sensor == "imx477"
    again = run("capture", "--guided", "--output", tmp_path / "map", "--frames", 8)
    assert (again.exit_code, shown[-1]) == (1, Pattern.FAILED)
    assert "[nuc.map-exists]" in again.stderr


def test_a_map_is_private_and_whole_and_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        run("simulate", "--seed", 1, "--output", tmp_path / "map")
    finally:
        os.umask(old)
    assert [path.name for path in tmp_path.iterdir()] == ["map"]
    assert stat.S_IMODE((tmp_path / "map").stat().st_mode) == 0o600
    assert decode((tmp_path / "map").read_bytes()).header.sensor == "simulated"


def test_a_map_is_never_readable_by_others_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []

    def rename(self: Disk, source: Path, target: Path) -> None:
        modes.append(stat.S_IMODE(source.stat().st_mode))
        assert not target.exists()
        raise BirthmarkError("disk.full", str(target))

    monkeypatch.setattr(Disk, "rename", rename)
    old = os.umask(0)
    try:
        assert run("simulate", "--seed", 1, "--output", tmp_path / "map").exit_code == 75
    finally:
        os.umask(old)
    assert modes == [0o600]
    assert list(tmp_path.iterdir()) == [], "what was begun is gone"


def test_a_killed_captures_leftovers_are_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".map.new").write_bytes(b"half")
    assert run("simulate", "--seed", 1, "--output", tmp_path / "map").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["map"]


def test_a_map_is_not_replaced_unasked(simulated: Path) -> None:
    before = simulated.read_bytes()
    refused = run("simulate", "--seed", 6, "--output", simulated)
    assert refused.exit_code == 1
    assert "[nuc.map-exists]" in refused.stderr
    assert simulated.read_bytes() == before
    assert run("simulate", "--seed", 6, "--output", simulated, "--force").exit_code == 0
    assert simulated.read_bytes() != before


def test_the_fingerprint_is_never_printed(tmp_path: Path) -> None:
    made = run("simulate", "--seed", 1, "--output", tmp_path / "map", "--json")
    digest = hashlib.sha256((tmp_path / "map").read_bytes()).hexdigest()
    assert digest not in made.output
    assert digest[:16] not in made.output


def test_json_is_all_there_is_on_stdout(tmp_path: Path) -> None:
    made = run("simulate", "--seed", 1, "--output", tmp_path / "map", "--json")
    assert json.loads(made.stdout)["bytes"] == (tmp_path / "map").stat().st_size
    assert "flat frames" in made.stderr


def test_bad_frames_leave_no_file(tmp_path: Path) -> None:
    few = folder(tmp_path / "few", 1, frames=4)
    refused = run("capture", "--from", few, "--output", tmp_path / "map")
    assert refused.exit_code == 1
    assert "[nuc.frames-too-few]" in refused.stderr
    assert not (tmp_path / "map").exists()


def test_a_swapped_byte_in_the_map_is_named(simulated: Path) -> None:
    data = bytearray(simulated.read_bytes())
    data[9000] ^= 1
    simulated.write_bytes(data)
    refused = run("check", "--nuc-map", simulated, "--from", "simulator:5")
    assert refused.exit_code == 1
    assert "[nuc.map-damaged]" in refused.stderr


@pytest.mark.parametrize("library", ["numpy", "tifffile"])
def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == library else found(name))
    refused = run("capture", "--from", tmp_path, "--output", tmp_path / "map")
    assert refused.exit_code == 1
    assert "[nuc.no-numpy]" in refused.stderr
    assert library in refused.stderr


@pytest.mark.parametrize("origin", ["simulator:", "simulator:-1", "simulator:9999999999999999999", "camera:x"])
def test_an_invalid_source_is_a_usage_error(tmp_path: Path, origin: str) -> None:
    assert run("capture", "--from", origin, "--output", tmp_path / "map").exit_code == 2


def test_without_a_map_or_an_identity_check_says_so(tmp_path: Path) -> None:
    missing = run("check", "--nuc-map", tmp_path / "none", "--from", "simulator:1")
    assert "[nuc.map-missing]" in missing.stderr
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    unprovisioned = run("check", "--state-dir", state, "--from", "simulator:1")
    assert (unprovisioned.exit_code, "[identity.missing]" in unprovisioned.stderr) == (1, True)
