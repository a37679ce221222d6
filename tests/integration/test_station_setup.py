"""`birthmark-station setup`, run by root on a machine with the package's user, and by a user for their own station."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from station.setup.root_key import ROOT_KEY_NAME
from tests.harness.service_machine import DATA_DIR, USER, ServiceMachine, needs_root
from tests.harness.vendor_lab import Vendor
from virtual.station import run_station

pytestmark = pytest.mark.timeout(600)  # each command is a process of its own

PASSPHRASE = "a long passphrase"
ANSWERS = ("--name", "bench 1", "--organization", "Example", "--public-url", "https://station.example.org")

SYSTEMCTL = """#!/bin/sh
echo "$@" >>"$(dirname "$0")/calls"
case $* in
*Listen*) echo "127.0.0.1:8001 (Stream)" ;;
"start birthmark-station.service") [ ! -e "$(dirname "$0")/broken" ] || { echo "Job failed." >&2; exit 1; } ;;
esac
"""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[ServiceMachine]:
    with ServiceMachine(tmp_path) as machine:
        yield machine


@pytest.fixture
def passphrase_file(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.write_text(PASSPHRASE + "\n")
    path.chmod(0o600)
    return path


def with_systemd(machine: ServiceMachine) -> tuple[Path, str]:
    """Make a machine that setup takes for one with systemd. Returns the folder of `systemctl`, and PATH with it."""
    assert machine.run("mkdir", "/run/systemd/system").returncode == 0
    folder = machine.root / "bin"
    folder.mkdir()
    (folder / "systemctl").write_text(SYSTEMCTL)
    (folder / "systemctl").chmod(0o755)
    return folder, f"PATH={folder}:/usr/sbin:/usr/bin:/sbin:/bin"


def typed(command: list[str], dialogue: list[tuple[str, str]]) -> tuple[int, str]:
    """Run a command at a terminal; type each answer after its question appears. Returns exit code and screen."""
    with subprocess.Popen(
        ["script", "-qec", subprocess.list2cmdline(command), "/dev/null"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        screen = b""
        for question, answer in dialogue:
            begin = len(screen)
            while question.encode() not in screen[begin:] or not screen.rstrip(b" ").endswith(b":"):
                byte = process.stdout.read(1)
                assert byte, screen.decode(errors="replace")
                screen += byte
            process.stdin.write(answer.encode() + b"\n")
            process.stdin.flush()
        screen += process.stdout.read()
    return process.returncode, screen.decode(errors="replace")


@needs_root
def test_root_makes_the_services_station_as_its_user_and_starts_it(
    machine: ServiceMachine, passphrase_file: Path
) -> None:
    folder, path = with_systemd(machine)
    safe = machine.root / "safe"
    safe.mkdir()
    vendors = machine.root / "vendors"
    vendors.mkdir()
    (vendors / "vendor.crt").write_bytes(Vendor().pem())
    vendors.chmod(0o700)
    made = machine.run(
        *("env", path, sys.executable, "-m", "station", "setup", *ANSWERS),
        *("--ek-roots", str(vendors), "--root-key-to", str(safe), "--root-passphrase-file", str(passphrase_file)),
    )
    assert made.returncode == 0, made.stderr
    steps = [line for line in made.stdout.splitlines() if line[1:2] == "/"]
    assert [line[:3] for line in steps] == ["1/5", "2/5", "3/5", "4/5", "5/5"]
    assert "The page: http://127.0.0.1:8001/\n" in made.stdout
    assert "the link that this prints: sudo birthmark-station open\n" in made.stdout
    assert (folder / "calls").read_text().splitlines()[:2] == [
        "enable --now birthmark-station.socket",
        "start birthmark-station.service",
    ]
    assert machine.owners() == {f"{USER} 700", f"{USER} 600"}
    key = (safe / ROOT_KEY_NAME).read_bytes()
    assert (safe / ROOT_KEY_NAME).stat().st_mode & 0o777 == 0o600
    assert load_pem_private_key(key, PASSPHRASE.encode())
    assert machine.run("ls", str(DATA_DIR)).stdout.split() == [
        *("authority", "ek-roots", "registry.sqlite", "secrets", "station.toml")
    ]
    assert machine.run("ls", str(DATA_DIR / "ek-roots")).stdout.split() == ["vendor.crt"]
    config = machine.run("cat", str(DATA_DIR / "station.toml")).stdout
    for text in ('"bench 1"', '"Example"', '"https://station.example.org"'):
        assert text in config


@needs_root
def test_run_again_setup_changes_no_setting_and_does_what_is_undone(
    machine: ServiceMachine, passphrase_file: Path
) -> None:
    secret = f"--root-passphrase-file={passphrase_file}"
    first = machine.station("setup", *ANSWERS, "--yes", secret)
    assert first.returncode == 0, first.stderr
    for consequence in ("every genuine TPM is refused", "who has the root key is the authority"):
        assert consequence in first.stderr
    before = machine.run("sh", "-c", f"cd {DATA_DIR} && sha256sum station.toml authority/*").stdout

    again = machine.station("setup", "--name", "another")
    assert again.returncode == 0, again.stderr
    assert "--name is not taken over: it is bench 1" in again.stderr
    assert "there already" in again.stdout
    assert "who has the root key" in again.stderr

    (machine.root / "vendor.crt").write_bytes(Vendor().pem())
    folder, path = with_systemd(machine)
    rest = machine.run(
        *("env", path, sys.executable, "-m", "station", "setup", "--json"),
        *("--root-key-to", str(machine.root / "root.key"), "--ek-roots", str(machine.root / "vendor.crt")),
    )
    assert rest.returncode == 0, rest.stderr
    told = json.loads(rest.stdout)
    assert told["page"] == "http://127.0.0.1:8001/"
    assert (told["made"], told["root_key_left"], told["vendor_certificates"]) == (False, False, 1)
    assert load_pem_private_key((machine.root / "root.key").read_bytes(), PASSPHRASE.encode())
    assert machine.run("sh", "-c", f"cd {DATA_DIR} && sha256sum station.toml authority/*").stdout == before
    assert machine.owners() == {f"{USER} 700", f"{USER} 600"}

    asked = machine.run("env", path, sys.executable, "-m", "station", "open")
    assert "[data.not-served]" in asked.stderr, "this systemctl starts nothing"
    assert (folder / "calls").read_text().splitlines()[-1] == "start birthmark-station.service"

    (folder / "broken").touch()
    failed = machine.run("env", path, sys.executable, "-m", "station", "setup")
    assert failed.returncode == 1
    assert "[setup.service-failed]" in failed.stderr
    assert "Job failed." in failed.stderr


@needs_root
def test_a_missing_option_is_asked_for_at_a_terminal(machine: ServiceMachine) -> None:
    safe = machine.root / "safe"
    safe.mkdir()
    code, screen = typed(
        machine.inside(sys.executable, "-m", "station", "setup"),
        [
            ("Name of this station", "bench 1"),
            ("Organization", "Example"),
            ("Public address", "station.example.org"),
            ("Public address", "https://station.example.org"),
            ("TPM vendors", ""),
            ("root key goes", str(safe / "no such" / "place")),
            ("root key goes", str(safe)),
            ("Passphrase", "short"),
            ("Passphrase", PASSPHRASE),
            ("Repeat", PASSPHRASE),
        ],
    )
    assert code == 0, screen
    assert "2/5 Authority: made in" in screen
    assert PASSPHRASE not in screen
    assert load_pem_private_key((safe / ROOT_KEY_NAME).read_bytes(), PASSPHRASE.encode())


@needs_root
def test_the_services_station_is_made_by_root_alone(machine: ServiceMachine) -> None:
    refused = machine.station("setup", user="nobody")
    assert refused.returncode == 2
    assert "sudo birthmark-station setup" in refused.stderr


@needs_root
def test_a_home_of_somebody_else_is_not_taken_over(machine: ServiceMachine, passphrase_file: Path) -> None:
    machine.run("install", "-d", "-o", "nobody", str(DATA_DIR.parent))
    refused = machine.station("setup", *ANSWERS, "--yes", f"--root-passphrase-file={passphrase_file}")
    assert refused.returncode == 1
    assert "belongs to nobody" in refused.stderr
    machine.run("sh", "-c", f"rmdir {DATA_DIR.parent} && ln -s /etc {DATA_DIR.parent}")
    assert "[data.unwritable]" in machine.station("setup", "--name", "x").stderr
    assert machine.run("stat", "-c", "%U", "/etc").stdout.strip() == "root"


def test_without_a_terminal_every_missing_option_is_named(tmp_path: Path) -> None:
    arguments = ("setup", "--data-dir", str(tmp_path / "own"), "--name", "bench")
    refused = run_station(*arguments, check=False)
    assert refused.returncode == 1
    assert "[setup.answer-missing]" in refused.stderr
    for option in ("--organization", "--public-url", "--root-passphrase-file", "--ek-roots", "--root-key-to"):
        assert option in refused.stderr
    assert "--name" not in refused.stderr
    assert not (tmp_path / "own").exists()
    with_yes = run_station(*arguments, "--yes", check=False).stderr
    assert "--organization" in with_yes
    assert "--ek-roots" not in with_yes


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--public-url", "station.example.org"), "config.invalid"),
        (("--public-url", "http://[1"), "config.invalid"),
        (("--name", "a\nb"), "config.invalid"),
        (("--tables", "2"), "config.invalid"),
        (("--root-key-to", "{own}"), "data.root-key-unmoved"),
        (("--root-key-to", "{own}/key"), "data.root-key-unmoved"),
        (("--root-key-to", "{there}"), "data.root-key-unmoved"),
        (("--root-key-to", "/nowhere/key"), "data.root-key-unmoved"),
    ],
)
def test_a_bad_answer_is_refused_before_anything_is_made(
    tmp_path: Path, passphrase_file: Path, options: tuple[str, ...], code: str
) -> None:
    own = tmp_path / "own"
    given = [option.format(own=own, there=passphrase_file) for option in options]
    common = (*ANSWERS, "--yes", f"--root-passphrase-file={passphrase_file}", f"--data-dir={own}")
    refused = run_station("setup", *common, *given, check=False)
    assert refused.returncode == 1, refused.stderr
    assert f"[{code}]" in refused.stderr
    assert not own.exists()


def test_a_station_of_ones_own_is_set_up_without_a_service(tmp_path: Path, passphrase_file: Path) -> None:
    own = tmp_path / "own"
    made = run_station(*("setup", *ANSWERS, "--yes", f"--root-passphrase-file={passphrase_file}", f"--data-dir={own}"))
    assert f"birthmark-station serve --data-dir {own}" in made.stdout
    assert (own / ROOT_KEY_NAME).is_file()


def test_setup_refuses_a_directory_that_is_no_station(tmp_path: Path, passphrase_file: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    refused = run_station(
        *("setup", *ANSWERS, "--yes", f"--root-passphrase-file={passphrase_file}", f"--data-dir={tmp_path}"),
        check=False,
    )
    assert "[data.not-a-station]" in refused.stderr
    assert "--force" not in refused.stderr
