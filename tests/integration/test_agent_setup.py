"""`birthmark-agent setup` as a person and a script run it, on a directory tree, with a TPM simulator and a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from device_agent.tpm import Simulator
from virtual.cable import End
from virtual.pi import VirtualPi, run_agent
from virtual.station import VirtualStation

pytestmark = pytest.mark.timeout(600)  # each test is many processes, on a machine that may be busy

IDS = (os.getuid() or 12345, os.getgid() or 12346)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    for name in ("etc/default", "boot/firmware", "var/lib"):
        (tree / name).mkdir(parents=True)
    (tree / "boot/firmware/config.txt").write_text("[cm4]\notg_mode=1\n[all]\n")
    (tree / "etc/passwd").write_text(f"birthmark-agent:x:{IDS[0]}:{IDS[1]}::/:/bin/false\n")
    return tree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a station's root certificate by the station's own command."""
    with VirtualStation(tmp_path / "station", f"{tmp_path}/no-port") as station:
        station.init()
    return tmp_path / "station" / "authority" / "root.pem"


def at_a_terminal(said_first: str, *arguments: str) -> tuple[int, str]:
    """Run the command at a terminal on which `said_first` is typed. Returns its status and all its output."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "device_agent", *arguments], stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    os.write(controller, said_first.encode())
    said = b""
    try:
        while piece := os.read(controller, 4096):
            said += piece
    except OSError:  # hung up: it has ended
        pass
    os.close(controller)
    return process.wait(timeout=60), said.decode()


def test_a_script_is_told_which_option_is_missing(tree: Path) -> None:
    ended = run_agent("setup", "--prefix", str(tree), check=False)
    assert (ended.returncode, "Missing option '--root'" in ended.stderr) == (2, True)
    assert (tree / "boot/firmware/config.txt").read_text() == "[cm4]\notg_mode=1\n[all]\n"


def test_a_person_is_asked_for_it_and_before_anything_is_replaced(tree: Path, root: Path, tmp_path: Path) -> None:
    status, said = at_a_terminal(f"/no/such/file\n{root}\n", "setup", "--prefix", str(tree))
    assert status == 0, said
    assert "File with your station's root certificate" in said
    assert "does not exist" in said
    assert "3. Root certificate: done." in said
    with VirtualStation(tmp_path / "other", f"{tmp_path}/no-port") as station:
        station.init()
    other = tmp_path / "other" / "authority" / "root.pem"
    installed = tree / "etc/birthmark-agent/root.pem"
    status, said = at_a_terminal("n\n", "setup", "--prefix", str(tree), "--root", str(other))
    assert (status, installed.read_bytes()) == (1, root.read_bytes()), said
    script = run_agent("setup", "--prefix", str(tree), "--root", str(other), check=False)
    assert (script.returncode, "Say so with --yes." in script.stderr) == (2, True)
    assert run_agent("setup", "--prefix", str(tree), "--root", str(other), "--yes").returncode == 0
    assert installed.read_bytes() == other.read_bytes()


def test_setup_opens_the_tpm_and_reports_it(tree: Path, root: Path, tmp_path: Path) -> None:
    home = tmp_path / "tpm"
    home.mkdir(mode=0o700)
    simulator = Simulator(home)
    simulator.start()
    try:
        options = ("--prefix", str(tree), "--root", str(root), "--json", "--tpm")
        steps = json.loads(run_agent("setup", *options, simulator.tcti).stdout)["steps"]
    finally:
        simulator.close()
    [tpm] = [step for step in steps if step["what"] == "TPM"]
    assert tpm["outcome"] == "already so"
    assert "firmware" in tpm["text"]
    steps = json.loads(run_agent("setup", *options, "device:/dev/no-such-tpm").stdout)["steps"]
    [tpm] = [step for step in steps if step["what"] == "TPM"]
    assert (tpm["outcome"], "[tpm.no-device]" in tpm["text"]) == ("still missing", True)


def test_the_agent_is_provisioned_with_what_setup_installed(tree: Path, tmp_path: Path) -> None:
    with VirtualStation(tmp_path / "station", f"{tmp_path}/pi/station") as station:
        station.init()
        station.start()
        pi = VirtualPi(tmp_path / "pi", 1)
        pi.capture()
        root = station.data_dir / "authority" / "root.pem"
        run_agent("setup", "--prefix", str(tree), "--root", str(root), "--nuc-map", str(pi.nuc_map))
        settings = dict(line.split("=", 1) for line in (tree / "etc/default/birthmark-agent").read_text().splitlines())
        state = tree / "var/lib/birthmark-agent"
        for path in (state, *state.iterdir()):  # on the Pi it is the service's user that runs it; here we are
            assert (path.stat().st_uid, path.stat().st_gid) == IDS
            os.chown(path, os.getuid(), os.getgid())
        with pi.cable:
            agent = run_agent(
                *("run", "--once", "--wait", "30", "--tpm", "simulator", "--serial", pi.serial),
                *("--port", str(pi.cable.paths[End.PI]), "--state-dir", str(state)),
                *("--nuc-map", str(state / "nuc.map")),
                *("--root-certificate", f"{tree}{settings['BIRTHMARK_ROOT_CERTIFICATE']}"),
            )
        assert "step 6 of 6" in agent.stderr
        assert [unit["state"] for unit in station.devices()] == ["provisioned"]
    again = json.loads(run_agent("setup", "--prefix", str(tree), "--json").stdout)
    assert again["changed"] is False
    assert "sealed in this Pi" in next(step["text"] for step in again["steps"] if step["what"] == "NUC map")
