"""A station is backed up while it works, then lost, and goes on from the backup with its units and new ones."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.protocol.framing import FrameDecoder
from shared.protocol.messages import Receipt, decode
from virtual.cable import End
from virtual.pi import VirtualPi
from virtual.station import VirtualStation, run_station
from virtual.timeouts import TIMEOUT_SECONDS, WAIT_OPTIONS

PASSPHRASE = "a passphrase for the test"


class Held:
    """Holds a Pi's receipt on the cable until released: a running session, with an issued unit."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.let_go = threading.Event()
        self._decoder = FrameDecoder()

    def __call__(self, sender: End, data: bytes) -> bytes:
        if sender is End.PI and any(isinstance(decode(frame), Receipt) for frame in self._decoder.receive(data)):
            self.reached.set()
            self.let_go.wait(TIMEOUT_SECONDS)
        return data


def pi_of(workspace: Path, number: int) -> VirtualPi:
    pi = VirtualPi(workspace / f"pi-{number}", number)
    pi.nuc_map.write_bytes(f"the map of sensor {number}".encode() * 99)
    return pi


def plug(pi: VirtualPi) -> str:
    """Plug a Pi in until its agent ends. Returns the agent's output."""
    with pi.cable:
        agent = pi.start("--once", *WAIT_OPTIONS)
        _, said = agent.communicate(timeout=TIMEOUT_SECONDS)
    assert agent.returncode == 0, said
    return said


def what_it_is(pi: VirtualPi) -> tuple[Any, Any, Any]:
    status = pi.status()
    return status["state"], status["certificate_sha256"], status["table_ids"]


@pytest.fixture
def passphrase_file(tmp_path: Path) -> str:
    path = tmp_path / "passphrase"
    path.write_text(PASSPHRASE + "\n")
    return f"--passphrase-file={path}"


@pytest.fixture
def station(tmp_path: Path) -> Iterator[VirtualStation]:
    with VirtualStation(tmp_path / "station", f"{tmp_path}/pi-*/station") as station:
        station.init()
        station.start()
        yield station


def test_a_restored_station_knows_its_units_and_provisions_new_ones(
    station: VirtualStation, tmp_path: Path, passphrase_file: str
) -> None:
    done, underway, new = (pi_of(tmp_path, number) for number in (1, 2, 3))
    plug(done)
    held = Held()
    underway.cable.spoil = held
    file = tmp_path / "station.backup"
    with underway.cable:
        agent = underway.start("--once", *WAIT_OPTIONS)
        assert held.reached.wait(TIMEOUT_SECONDS)
        told = run_station(
            "backup", str(file), passphrase_file, "--json", "--data-dir", str(station.data_dir), check=False
        )
        held.let_go.set()
        _, said = agent.communicate(timeout=TIMEOUT_SECONDS)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["units"] == 2
    assert agent.returncode == 0, said
    before = {pi: what_it_is(pi) for pi in (done, underway)}
    assert all(state == "provisioned" for state, _, _ in before.values())
    station.stop()

    with VirtualStation(tmp_path / "restored", f"{tmp_path}/pi-*/station") as restored:
        run_station("restore", str(file), passphrase_file, "--data-dir", str(restored.data_dir))
        states = {unit["device_serial"]: unit["state"] for unit in restored.devices()}
        assert states == {done.serial: "provisioned", underway.serial: "issued"}
        restored.start()
        for pi in (done, underway, new):
            plug(pi)
        assert {pi: what_it_is(pi) for pi in (done, underway)} == before
        assert [unit["state"] for unit in restored.devices()] == ["provisioned"] * 3
        assert what_it_is(new)[0] == "provisioned"
        rows = json.loads(run_station("audit", "--json", "--data-dir", str(restored.data_dir)).stdout)
        events = [row["event"] for row in rows]
        assert events.count("issued") == 3
        assert events.count("restored") == 1
        assert run_station("audit", "verify", "--data-dir", str(restored.data_dir)).returncode == 0

    rows = json.loads(run_station("audit", "--json", "--data-dir", str(station.data_dir)).stdout)
    assert [row["event"] for row in rows].count("backed-up") == 1


def test_a_passphrase_is_long_and_never_an_argument(tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.write_text("eleven char\n")
    for command in ("backup", "restore"):
        arguments = (command, str(tmp_path / "file"), "--data-dir", str(tmp_path / "data"))
        refused = run_station(*arguments, f"--passphrase-file={short}", check=False)
        assert refused.returncode == 1
        assert "12 characters" in refused.stderr
        unasked = run_station(*arguments, check=False)
        assert unasked.returncode == 2
        assert "--passphrase-file" in unasked.stderr


def test_age_and_tar_alone_restore_a_station_that_serves(station: VirtualStation, tmp_path: Path) -> None:
    pi = pi_of(tmp_path, 1)
    plug(pi)
    identity = tmp_path / "identity"
    subprocess.run(["age-keygen", "-o", identity], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", identity], check=True, capture_output=True, text=True).stdout.strip()
    file = tmp_path / "station.age"
    run_station("backup", str(file), f"--recipient={public}", "--data-dir", str(station.data_dir))
    station.stop()
    before = what_it_is(pi)

    with VirtualStation(tmp_path / "restored", f"{tmp_path}/pi-*/station") as restored:
        restored.data_dir.mkdir(mode=0o700, parents=True)
        opened = subprocess.run(["age", "-d", "-i", identity, file], check=True, capture_output=True)
        subprocess.run(["tar", "-x", "-C", restored.data_dir], input=opened.stdout, check=True)
        assert json.loads((restored.data_dir / "backup.json").read_text())["format"] == "birthmark-station-backup"
        restored.start()
        plug(pi)
        assert what_it_is(pi) == before
        assert run_station("audit", "verify", "--data-dir", str(restored.data_dir)).returncode == 0
