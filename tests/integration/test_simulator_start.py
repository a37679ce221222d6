"""The agent's TPM simulator is ready when `start` returns, however slowly swtpm starts and its predecessor ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from device_agent.tpm import Simulator, Tpm
from device_agent.tpm import simulator as module
from shared.errors import BirthmarkError

SWTPM = shutil.which("swtpm")

BINDS_THEN_LISTENS = f"""#!{sys.executable}
# swtpm as a busy machine runs it: the sockets' files are there long before anybody listens.
import os, socket, sys, time
sockets = []
for option in ("--server", "--ctrl"):
    path = dict(part.split("=") for part in sys.argv[sys.argv.index(option) + 1].split(","))["path"]
    sockets.append(socket.socket(socket.AF_UNIX))
    sockets[-1].bind(path)
time.sleep(0.5)
os.execv("{SWTPM}", sys.argv)
"""

LISTENS_THEN_ENDS = f"""#!{sys.executable}
# swtpm as it is when a predecessor holds its state: the first one listens, and ends without an answer.
import os, pathlib, socket, sys, time
first = pathlib.Path(__file__).with_name("first")
if first.exists():
    os.execv("{SWTPM}", sys.argv)
first.touch()
sockets = []
for option in ("--server", "--ctrl"):
    path = dict(part.split("=") for part in sys.argv[sys.argv.index(option) + 1].split(","))["path"]
    sockets.append(socket.socket(socket.AF_UNIX))
    sockets[-1].bind(path)
    sockets[-1].listen(1)
time.sleep(0.5)
sys.exit(1)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a state directory with a TPM that was started once."""
    state_dir = tmp_path_factory.mktemp("made")
    with Simulator(state_dir):
        return state_dir


@pytest.fixture
def simulator(made: Path, tmp_path: Path) -> Iterator[Simulator]:
    """Make a simulator, and switch it off."""
    with closing(Simulator(shutil.copytree(made, tmp_path / "state"))) as found:
        yield found


def stand_in(monkeypatch: pytest.MonkeyPatch, directory: Path, script: str) -> None:
    """Put a program named swtpm before the real one on PATH."""
    directory.mkdir()
    program = directory / "swtpm"
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")


def answers(simulator: Simulator) -> bool:
    tpm = Tpm.open(simulator.tcti)
    try:
        return bool(tpm.public_areas().device)
    finally:
        tpm.close()


@pytest.mark.parametrize("script", [BINDS_THEN_LISTENS, LISTENS_THEN_ENDS], ids=["slow", "state held"])
def test_a_simulator_that_is_started_answers(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    stand_in(monkeypatch, tmp_path / "bin", script)
    simulator.start()
    assert answers(simulator)


def test_a_simulator_waits_until_its_predecessor_lets_go_of_the_state(simulator: Simulator, tmp_path: Path) -> None:
    simulator.start()
    ending = threading.Timer(0.5, simulator.stop)
    ending.start()
    with closing(Simulator(tmp_path / "state")) as successor:
        successor.start()
        ending.join()
        assert answers(successor)


def test_a_predecessor_that_ends_late_cannot_remove_the_sockets_of_the_next(simulator: Simulator) -> None:
    simulator.start()
    before = simulator.tcti
    process = simulator._process
    assert process is not None
    process.kill()  # its sockets stay
    simulator.start()
    assert simulator.tcti != before
    assert answers(simulator)
    assert len(list(Path(simulator.tcti.partition("=")[2]).parent.iterdir())) == 2


def test_a_simulator_that_never_answers_is_reported_and_ends(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, tmp_path / "bin", "#!/bin/sh\nexec sleep 1000\n")
    monkeypatch.setattr(module, "_START_SECONDS", 0.3)
    monkeypatch.setattr(module, "_PREDECESSOR_SECONDS", 0.0)
    spawned: list[subprocess.Popen[bytes]] = []
    spawn = module._spawn

    def kept(command: list[str], output: object) -> subprocess.Popen[bytes]:
        spawned.append(spawn(command, output))
        return spawned[-1]

    monkeypatch.setattr(module, "_spawn", kept)
    with pytest.raises(BirthmarkError) as caught:
        simulator.start()
    assert caught.value.code == "tpm.simulator-failed"
    assert [process.returncode for process in spawned] == [-signal.SIGTERM]
