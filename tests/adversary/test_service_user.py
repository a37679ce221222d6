"""A service's user has been taken over, and plants links, pipes and names where root's commands work.

Real users on a machine of their own (`tests/harness/service_machine.py`): root runs each command as a person does.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from device_agent.tpm import Simulator, Tpm
from tests.harness.certificates import chain_of_trust
from tests.harness.provisioned_unit import make_unit_identity
from tests.harness.recorded_station import private
from tests.harness.service_machine import (
    AGENT_STATE,
    AGENT_UID,
    AGENT_USER,
    DATA_DIR,
    UID,
    USER,
    ServiceMachine,
    needs_root,
)

pytestmark = [needs_root, pytest.mark.timeout(600)]  # each command is a process of its own

Got = Callable[[str], None]

LINKS = """
ln -sf {victim} lock
ln -sf {victim} root.pem
ln -sf {victim} revoked-stations.crl
ln -sf {victim} nuc.map
ln -sf {victim} swtpm.log
ln -sf {victim} simulator/swtpm.log
ln -sfn {folder} .nuc.map.new
ln -sfn {folder} .root.pem.new
ln -sfn {folder} .identity-linked
"""
"""Every name that a command is known to write, leading to a file and a directory of root's."""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[ServiceMachine]:
    with ServiceMachine(tmp_path) as machine:
        yield machine


class Victims:
    """What is root's alone, and how it was."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "folder"
        self.file = folder / "file"
        self.folder.mkdir()
        (self.folder / "kept").write_text("root's")
        self.file.write_text("root's")
        self._before = self._state()

    def _state(self) -> list[tuple[str, int, int, int, bytes]]:
        found = [self.file, self.folder, *sorted(self.folder.rglob("*"))]
        return [
            (str(path), status.st_uid, status.st_mode, status.st_nlink, path.read_bytes() if path.is_file() else b"")
            for path in found
            for status in [path.lstat()]
        ]

    def check(self, after: str) -> None:
        assert self._state() == self._before, after


@pytest.fixture
def victims(machine: ServiceMachine) -> Victims:
    return Victims(machine.root)


@pytest.fixture(scope="module")
def provisioned(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state directory of a unit whose TPM is the simulator in it."""
    state = private(tmp_path_factory.mktemp("provisioned"))
    tpm = Tpm.open(simulator.tcti)
    try:
        make_unit_identity(tpm, chain_of_trust(), "simulator").store(state)
    finally:
        tpm.close()
    shutil.copytree(simulator._state, state / "simulator")
    return state


def install(machine: ServiceMachine, provisioned: Path) -> None:
    """Put that unit's state where the service has it."""
    machine.run("rm", "-rf", str(AGENT_STATE))
    machine.run("cp", "-a", str(provisioned), str(AGENT_STATE))
    machine.run("chown", "-hR", f"{AGENT_USER}:{AGENT_USER}", str(AGENT_STATE))


def not_the_users(machine: ServiceMachine, directory: Path, uid: int) -> str:
    return machine.run("find", str(directory), "!", "-uid", str(uid)).stdout


@pytest.fixture
def on_a_pi(machine: ServiceMachine) -> dict[str, tuple[str, ...]]:
    """What root runs on a Pi that touches the state directory; the last but one removes the identity."""
    picture, spare = machine.root / "picture", machine.root / "spare.map"
    picture.write_text("a picture")
    assert machine.agent("nuc", "simulate", "--seed", "7", "--output", str(spare)).returncode == 0
    return {
        "status": ("status",),
        "token": ("token",),
        "sign": ("sign", str(picture)),
        "export": ("export", "--format", "provisioning-json", "--output", f"{AGENT_STATE}/exported.json"),
        "nuc check": ("nuc", "check", "--from", "simulator:7", "--frames", "2"),
        "nuc simulate": ("nuc", "simulate", "--seed", "7", "--output", f"{AGENT_STATE}/nuc.map", "--force"),
        "run": (
            *("run", "--once", "--wait", "0.1", "--port", "/dev/null", "--serial", "1", "--tpm", "simulator"),
            *("--nuc-map", f"{AGENT_STATE}/nuc.map"),
        ),
        "reset": ("reset", "--yes", "--forget-nuc-map", "--forget-root"),
        "setup": (
            *("setup", "--yes", "--trust-first-station", "--nuc-map", str(spare), "--tpm", "simulator"),
            *("--no-usb-overlay", "--tpm-overlay", "none"),
        ),
    }


@pytest.mark.attack("the agent's service user plants links in its directory, and root runs each command there")
def test_root_follows_no_link_that_the_agents_user_plants(
    machine: ServiceMachine, provisioned: Path, victims: Victims, on_a_pi: dict[str, tuple[str, ...]], got: Got
) -> None:
    links = LINKS.format(victim=victims.file, folder=victims.folder)
    ran = 0
    for planted in (links, links + "rm lock"):  # without that one, commands come further
        install(machine, provisioned)
        for name, command in on_a_pi.items():
            machine.shell(f"cd {AGENT_STATE}\nmkdir -p simulator\n{planted}", AGENT_UID)
            told = machine.agent(*command).stderr
            victims.check(f"{name}: {told}")
            assert "Traceback" not in told, (name, told)
            assert not_the_users(machine, AGENT_STATE, AGENT_UID) == "", name
            ran += 1
    got(f"nothing: after {ran} commands root's file and directory are as they were, and nothing of root's lies there")


@pytest.mark.attack("the agent's service user puts a pipe in place of a file that root's commands read")
def test_root_waits_for_no_pipe_of_the_agents_user(machine: ServiceMachine, provisioned: Path, got: Got) -> None:
    codes = []
    for name in ("lock", "identity/identity.json", "identity/chain.pem", "identity/nuc-map.sealed"):
        install(machine, provisioned)
        machine.shell(f"cd {AGENT_STATE} && rm -f {name} && mkfifo {name}", AGENT_UID)
        check = ("nuc", "check", "--from", "simulator:7", "--frames", "2")
        ended = machine.run("timeout", "60", sys.executable, "-m", "device_agent", *check)
        assert ended.returncode == 1, (name, ended.stderr)
        codes += re.findall(r"\[([a-z.-]+)\]", ended.stderr)
    assert codes == ["identity.lock-unfit", *["identity.damaged"] * 3]
    got("nothing: refused [identity.lock-unfit], [identity.damaged]")


@pytest.mark.attack("the agent's service user names a command, or a library, as the TPM of its identity")
def test_no_code_runs_that_an_identity_names_as_its_tpm(
    machine: ServiceMachine, provisioned: Path, on_a_pi: dict[str, tuple[str, ...]], got: Got
) -> None:
    install(machine, provisioned)
    proof = machine.root.parent / "proof"
    about = json.loads((provisioned / "identity" / "identity.json").read_text())
    tried = 0
    for tpm in (
        f"cmd:id > {proof}",
        f"pcap:cmd:id > {proof}",
        f"{AGENT_STATE}/evil.so:x",
        "swtpm:path=/run/theirs",
        "libtpms:/run/theirs",
        "device:/dev/tpm/../../run/theirs",
        "device:/run/theirs",
    ):
        about["tpm"] = tpm
        changed = shlex.quote(json.dumps(about))
        machine.shell(f"printf %s {changed} > {AGENT_STATE}/identity/identity.json", AGENT_UID)
        for name in ("token", "sign", "export", "nuc check") if tpm.startswith("cmd:") else ("token",):
            refused = machine.agent(*on_a_pi[name])
            assert refused.returncode == 1, (name, tpm)
            assert "[tpm.name-untyped]" in refused.stderr, (name, tpm, refused.stderr)
            assert not proof.exists(), (name, tpm)
            tried += 1
    got(f"nothing: {tried} commands refused it [tpm.name-untyped]")


@pytest.mark.attack("a program of root's opens the camera in a directory that the service's user has filled")
def test_a_program_of_roots_opens_no_other_users_camera(machine: ServiceMachine, provisioned: Path, got: Got) -> None:
    install(machine, provisioned)
    program = "from device_agent.camera import Camera\nwith Camera.open() as camera: print(camera.serial)"
    refused = machine.run(sys.executable, "-c", program)
    assert refused.returncode == 1
    assert "[identity.permission]" in refused.stderr
    assert f"belongs to {AGENT_USER}; put `sudo -u {AGENT_USER}` before the command" in refused.stderr
    got("nothing: refused [identity.permission]")


STATION_LINKS = f"""
cd {DATA_DIR}
for name in station.lock root-key.pem root-key.passphrase; do ln -sf {{victim}} $name; done
for name in registry.sqlite-wal registry.sqlite-shm registry.sqlite-journal; do ln -sf {{victim}} $name; done
ln -sf {{victim}} ek-roots/vendor.pem
ln -sfn {{folder}} ek-roots/folder
"""


class Station:
    """A station of the service's, a backup of it, and root's files for the commands."""

    def __init__(self, machine: ServiceMachine) -> None:
        passphrase, vendors, backup = (machine.root / name for name in ("passphrase", "vendors", "backup"))
        passphrase.write_text("a long passphrase\n")
        vendors.mkdir()
        (vendors / "vendor.pem").write_text("some")
        machine.run("install", "-d", "-m", "0700", "-o", USER, "-g", USER, str(DATA_DIR.parent))
        there, opens = ("--data-dir", str(DATA_DIR)), f"--passphrase-file={passphrase}"
        anew = ("init", *there, "--tables", "3", "--public-url", "http://station.example", "--force")
        machine.good(*anew)
        self._machine = machine
        self.daily = (
            ("tokens", "create", "ci", "--scope", "read"),
            ("setup", "--yes", f"--ek-roots={vendors}", f"--root-key-to={machine.root}/root-key"),
        )
        self.seldom = (
            ("export", "--format", "sma", "--output", f"{DATA_DIR.parent}/exported"),
            ("backup", str(backup), opens),
            ("restore", str(backup), opens, *there, "--force"),
            anew,
        )

    def run_each(self, commands: Iterable[tuple[str, ...]], victims: Victims) -> None:
        """Run each command with links planted anew."""
        for command in commands:
            self._machine.shell(STATION_LINKS.format(victim=victims.file, folder=victims.folder), UID)
            told = self._machine.station(*command).stderr
            victims.check(f"{command}: {told}")
            assert "Traceback" not in told, (command, told)
            assert not_the_users(self._machine, DATA_DIR.parent, UID) == "", command
            self._machine.shell(f"cd {DATA_DIR} && rm -f station.lock root-key.* registry.sqlite-*", UID)


@pytest.mark.attack("the station's service user plants links in its directory, and root runs commands there")
def test_root_follows_no_link_that_the_stations_user_plants(
    machine: ServiceMachine, victims: Victims, got: Got
) -> None:
    station = Station(machine)
    station.run_each(station.daily, victims)
    got(f"nothing: after {len(station.daily)} commands root's file and directory are as they were")


def test_nor_do_the_commands_that_copy_and_replace_a_station(machine: ServiceMachine, victims: Victims) -> None:
    station = Station(machine)
    station.run_each(station.seldom, victims)


def test_root_makes_nothing_of_its_own_in_a_directory_of_the_stations_user(machine: ServiceMachine) -> None:
    """That user could put a link in its place while root fills it."""
    machine.run("install", "-d", "-m", "0755", "-o", USER, "-g", USER, str(DATA_DIR.parent))
    options = ("--tables", "3", "--public-url", "http://station.example")
    machine.good("init", "--data-dir", str(DATA_DIR / "deeper" / "data"), *options)
    there = ("--data-dir", str(DATA_DIR / "deeper" / "data"))
    machine.good("export", "--format", "sma", "--output", str(DATA_DIR.parent / "exported"), *there)
    assert not_the_users(machine, DATA_DIR.parent, UID) == ""
