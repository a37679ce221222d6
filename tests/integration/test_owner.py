"""Commands find the service's directory, root runs them as its owner, and other users learn who may."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.service_machine import CHECKOUT, DATA_DIR, USER, ServiceMachine, needs_root

pytestmark = [needs_root, pytest.mark.timeout(600)]  # each command is a process of its own

ELSEWHERE = Path("/var/lib/elsewhere")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[ServiceMachine]:
    with ServiceMachine(tmp_path) as machine:
        (machine.root / "passphrase").write_text("a long passphrase\n")
        machine.run("install", "-d", "-m", "0700", "-o", USER, "-g", USER, str(DATA_DIR.parent))
        yield machine


def init(machine: ServiceMachine, data_dir: Path = DATA_DIR) -> None:
    machine.good("init", "--data-dir", str(data_dir), "--tables", "3", "--public-url", "http://station.example")


def test_commands_find_the_services_directory_and_leave_nothing_of_roots_in_it(machine: ServiceMachine) -> None:
    init(machine)
    assert json.loads(machine.good("devices", "--json")) == []
    assert machine.good("tokens", "create", "ci", "--scope", "read").startswith("birthmark_")
    assert "ci" in machine.good("tokens", "list")
    assert "initialised" in machine.good("audit")
    assert machine.owners() == {f"{USER} 700", f"{USER} 600"}
    listed = machine.station("tokens", "list", user=USER)
    assert "ci" in listed.stdout, listed.stderr


def test_without_a_station_the_error_says_how_to_make_one(machine: ServiceMachine) -> None:
    missing = machine.station("devices")
    assert missing.returncode == 2
    for text in ("sudo birthmark-station setup", "--data-dir", "BIRTHMARK_DATA_DIR"):
        assert text in missing.stderr


def test_a_named_directory_goes_before_the_services(machine: ServiceMachine) -> None:
    init(machine)
    init(machine, ELSEWHERE)
    machine.good("tokens", "create", "ci", "--scope", "read", "--data-dir", str(ELSEWHERE))
    assert "ci" not in machine.good("tokens", "list")
    by_environment = machine.run(sys.executable, "-m", "station", "tokens", "list", BIRTHMARK_DATA_DIR=str(ELSEWHERE))
    assert "ci" in by_environment.stdout, by_environment.stderr


def test_no_command_makes_or_replaces_the_services_directory_unnamed(machine: ServiceMachine) -> None:
    init(machine)
    for command in (("init", "--force"), ("restore", "file", "--force"), ("import", "/etc", "--force")):
        refused = machine.station(*command)
        assert refused.returncode == 2
        assert "--data-dir" in refused.stderr


def test_another_user_learns_who_may_run_the_command(machine: ServiceMachine) -> None:
    init(machine)
    machine.run("chmod", "0755", str(DATA_DIR.parent))
    for shut in (DATA_DIR, DATA_DIR.parent):
        machine.run("chmod", "0700", str(shut))
        for command in (("devices",), ("serve", "--port", "0"), ("devices", f"--data-dir={DATA_DIR}")):
            denied = machine.station(*command, user="nobody")
            assert denied.returncode == 1, denied.stderr
            assert "[data.unreadable]" in denied.stderr
            assert f"belongs to {USER}" in denied.stderr
            assert f"sudo -u {USER} birthmark-station" in denied.stderr


def test_another_user_learns_who_may_read_a_pis_state(machine: ServiceMachine) -> None:
    machine.run("install", "-d", "-m", "0700", "-o", USER, "/var/lib/birthmark-agent")
    become = ("setpriv", "--reuid=nobody", "--regid=65534", "--clear-groups")
    for command in (("status",), ("reset", "--yes"), ("run", "--once", "--serial=1", "--port=/dev/null")):
        denied = machine.run(*become, sys.executable, "-m", "device_agent", *command)
        assert denied.returncode == 1, denied.stderr
        assert "[identity.permission]" in denied.stderr
        assert f"belongs to {USER}; put `sudo -u {USER}` before the command" in denied.stderr


def test_roots_own_files_are_read_and_written_as_root(machine: ServiceMachine) -> None:
    """A passphrase, a backup and vendors' certificates that only root can read."""
    vendors = machine.root / "vendors"
    vendors.mkdir()
    (vendors / "vendor.pem").write_text("some")
    machine.good("init", "--data-dir", str(DATA_DIR), "--ek-roots", str(vendors))
    backup, passphrase = machine.root / "backup", f"--passphrase-file={machine.root / 'passphrase'}"
    machine.good("backup", str(backup), passphrase)
    status = backup.stat()
    assert (status.st_uid, status.st_mode & 0o777) == (0, 0o600)
    machine.good("restore", str(backup), passphrase, "--data-dir", str(DATA_DIR), "--force")
    assert machine.owners() == {f"{USER} 700", f"{USER} 600"}
    assert machine.run("ls", str(DATA_DIR / "ek-roots")).stdout == "vendor.pem\n"


def test_the_station_itself_runs_as_the_owner(machine: ServiceMachine) -> None:
    init(machine)
    with subprocess.Popen(
        machine.inside(sys.executable, "-m", "station", "serve", "--port", "0", "--serial-port", "/dev/none"),
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith("Station station")
            held = machine.run("head", "-n1", str(DATA_DIR / "station.lock")).stdout
            ids = Path(f"/proc/{int(held)}/status").read_text()
            for user in ("root", USER):
                link = machine.station("open", user=user).stdout
                assert re.fullmatch(r"http://127\.0\.0\.1:\d+/open#[\w-]{22}\n", link)
            refused = machine.station("open", user="nobody")
            assert (refused.returncode, refused.stdout) == (1, "")
        finally:
            process.terminate()
            process.communicate()
    assert "\nUid:\t54321\t54321\t54321\t54321\n" in ids
    assert "\nGid:\t54321\t54321\t54321\t54321\n" in ids
    assert machine.owners() == {f"{USER} 700", f"{USER} 600"}


def test_root_follows_no_link_of_the_services_user(machine: ServiceMachine) -> None:
    init(machine, ELSEWHERE)  # root's own
    machine.run(
        "setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "ln", "-s", str(ELSEWHERE), str(DATA_DIR)
    )
    denied = machine.station("tokens", "create", "ci", "--scope", "read")
    assert denied.returncode == 1
    assert "[data.unreadable]" in denied.stderr
    assert machine.good("tokens", "list", "--data-dir", str(ELSEWHERE)) == ""


def test_a_program_that_the_owner_cannot_read_is_named(machine: ServiceMachine) -> None:
    init(machine)
    for package in ("runtime", "shared", "station"):
        shutil.copytree(CHECKOUT / package, machine.root / package)
    program = f"import sys; sys.path.insert(0, {str(machine.root)!r}); from station.cli import main; main()"
    refused = machine.run(sys.executable, "-P", "-c", program, "devices")
    assert refused.returncode == 1
    assert "cannot read this program" in refused.stderr
