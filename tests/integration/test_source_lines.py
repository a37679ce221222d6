"""Every line of Birthmark's documents that docs/birthmark.md lists runs here, in that order, and does what it says."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.harness.checkout import ROOT
from tests.harness.public_birthmark import FIELDS
from tests.harness.station_commands import StationCommands
from virtual.station import VirtualStation
from virtual.timeouts import TIMEOUT_SECONDS

SECTION = (ROOT / "docs" / "birthmark.md").read_text().split("## The source documents' lines", 1)[1].split("\n## ")[0]
LINES = re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL)[0].splitlines()
SERVE = "birthmark-station serve --data-dir data"
AUTHORIZATION = re.compile(r' -H "Authorization: Bearer [A-Za-z0-9_-]+"$')


@dataclass
class Walk:
    """What came of the lines that were run in `folder`."""

    folder: Path
    address: str = ""
    printed: list[str] = field(default_factory=list)
    """The curl lines that setup_sma.py printed last."""
    outputs: dict[str, str] = field(default_factory=dict)

    def run(self, line: str) -> None:
        """Run a line as it is written, but for the port, the token in it, and the directory /path/to."""
        command = line
        if line.startswith("curl "):
            [command] = [one for one in self.printed if AUTHORIZATION.sub("", one) == line]
        command = command.replace("http://localhost:8001", self.address).replace("/path/to", str(self.folder / "path"))
        ended = subprocess.run(
            ["bash", "-ec", command],
            cwd=self.folder,
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "CURL_HOME": str(self.folder),
            },
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )
        assert ended.returncode == 0, f"{line}\n{ended.stdout}{ended.stderr}"
        self.outputs[line] = ended.stdout
        if "setup_sma.py" in line and "Bearer" in ended.stdout and "/path/to" not in line:
            self.printed = [one.strip() for one in ended.stdout.splitlines() if one.strip().startswith("curl ")]


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    folder = tmp_path_factory.mktemp("sma")
    (folder / "scripts").symlink_to(ROOT / "scripts")
    (folder / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
    walk = Walk(folder)
    assert LINES.count(SERVE) == 1
    before, after = LINES[: LINES.index(SERVE)], LINES[LINES.index(SERVE) + 1 :]
    for line in before:
        walk.run(line)
    with VirtualStation(folder / "data") as station:
        station.start()
        walk.address = station.address.replace("127.0.0.1", "localhost").rstrip("/")
        for line in after:
            walk.run(line)
    return walk


def replaced(walk: Walk) -> StationCommands:
    """The station that `--force` moved aside."""
    [aside] = walk.folder.glob("data.replaced-*")
    return StationCommands(aside)


def provisioned(walk: Walk, file: str) -> dict[str, object]:
    path = walk.folder / file
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    return dict(json.loads(path.read_text()))


def test_all_lines_were_run(walk: Walk) -> None:
    assert walk.outputs.keys() == set(LINES) - {SERVE}
    assert len(LINES) > 10


def test_setup_makes_as_many_tables_as_it_is_told_and_replaces_only_by_force(walk: Walk) -> None:
    now = StationCommands(walk.folder / "data")
    assert len(now.read_json("tables stats")["assignments"]) == 10
    assert len(replaced(walk).read_json("tables stats")["assignments"]) == 2500
    for line in ("python scripts/setup_sma.py", "python scripts/setup_sma.py --num-tables 10"):
        assert walk.outputs[line].startswith("There is an authority in data; nothing is changed.")
        assert "Bearer" not in walk.outputs[line]
    assert (walk.folder / "path" / "data" / "station.toml").exists()
    for name in ("root-ca.crt", "intermediate-ca.crt"):
        assert (walk.folder / "data" / name).read_text().startswith("-----BEGIN CERTIFICATE-----")


def test_the_tokens_in_the_curl_lines_are_for_provisioning_and_reading_and_end(walk: Walk) -> None:
    [token] = StationCommands(walk.folder / "data").read_json("tokens list")
    assert (token["scopes"], token["valid"]) == (["provision", "read"], True)
    assert token["expires_at"] - token["created_at"] == 30 * 86_400


def test_a_provisioned_device_is_a_file_that_the_camera_program_loads(walk: Walk) -> None:
    for serial, folder in (
        ("DEVICE001", "provisioned_devices"),
        ("PI-12345", "provisioned_devices"),
        ("DEVICE003", "my_devices"),
    ):
        made = provisioned(walk, f"{folder}/provisioning_{serial}.json")
        assert made.keys() >= set(FIELDS)
        assert (made["device_serial"], made["device_family"]) == (serial, "Raspberry Pi")
    [line] = [line for line in LINES if "--nuc-hash" in line]
    given = shlex.split(line)[-1]
    assert provisioned(walk, "provisioned_devices/provisioning_DEVICE002.json")["nuc_hash"] == given
    assert given not in walk.outputs[line]
    [shown] = [line for line in LINES if line.startswith("cat ")]
    assert json.loads(walk.outputs[shown])["device_serial"] == "DEVICE001"


def test_the_curl_lines_answer_json(walk: Walk) -> None:
    answers = [json.loads(output) for line, output in walk.outputs.items() if line.startswith("curl ")]
    health, stats, made, device, devices = answers
    assert health["status"] == "healthy"
    assert stats["total_devices"] == 4
    assert (made["device_serial"], device["device_serial"]) == ("API-DEVICE001", "API-DEVICE001")
    assert devices["total"] == 5
